"""What every export for a cluster consists of, whatever runs the pods and scales them."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tritongen.errors import InvalidInputError
from tritongen.fleet.export.deployment import (
    CONNECTION_FLAGS,
    FORGET_S,
    Deployment,
    Service,
)
from tritongen.fleet.export.export_target import ExportFile, render
from tritongen.fleet.export.model_files import (
    RECEIVER,
    SUMS,
    copy_commands,
    copy_name,
    image_files,
    sums,
)
from tritongen.model.findings import Finding, Severity, finding

_READY_PORTS = (8000, 8001)
# What Triton reads by itself.
_REMOTE = ("s3://", "gs://", "as://")
# Builds that find room in a claim beside each other: to go back, something must be left; chosen.
_BUILDS = 4
# Room for what models fetch or make when they load: so many times what is known of their weights,
# and at least so much; chosen.
_FETCHES, _CACHE_BYTES = 2, 50 << 30
# Logs of a container, which its engine keeps on the node, with room to spare.
_LOG_BYTES = 64 << 20


def base_files(deployment: Deployment, *pods: ExportFile) -> tuple[ExportFile, ...]:
    """Everything that is applied but for autoscalers, and what it is made from.

    Args:
        deployment: what is deployed.
        pods: what runs the pods, with what only this kind of workload needs.
    """
    place = {"namespace": deployment.namespace, "name": deployment.name}
    namespace = ExportFile("namespace.yaml", render("kubernetes/namespace.yaml.j2", place))
    return (namespace, *pods, *_caches(deployment), *_copied(deployment))


def _caches(deployment: Deployment) -> Iterator[ExportFile]:
    """The claim for what models fetch or make when they load, which all pods share."""
    if deployment.caches:
        fetched = sum(model.fetched_bytes for one in deployment.services for model in one.models)
        size = math.ceil(max(_CACHE_BYTES, _FETCHES * fetched) / 2**30)
        values = {"claim": cache_claim(deployment), "size": f"{size}Gi"}
        yield ExportFile("cache.yaml", render("kubernetes/cache.yaml.j2", values))


def cache_claim(deployment: Deployment) -> str:
    """Name of that claim."""
    return f"{deployment.name}-cache"


def _copied(deployment: Deployment) -> Iterator[ExportFile]:
    """What brings the models to the pods, and the digests that these hold them against."""
    yield from image_files(deployment)
    if deployment.in_claim:
        # A claim without a folder is filled by whoever made it.
        yield from _copying(deployment) if deployment.claim[1] else ()
        yield sums(deployment)


def _copying(deployment: Deployment) -> Iterator[ExportFile]:
    """The claim, where it is not the user's own, and what takes the models into it."""
    claim, folder = deployment.claim
    values = {
        "name": deployment.name,
        "service": deployment.services[0],
        "claim": claim,
        # A claim that the user has named is there, and is the user's.
        "own_claim": claim == f"{deployment.name}-models",
        "folder": folder,
        "size": f"{max(1, math.ceil(_BUILDS * deployment.weight_bytes / 2**30))}Gi",
        "copy": copy_name(deployment),
        "commands": tuple(copy_commands(deployment)),
        "pod_security": pod_security,
        "sums": SUMS,
    }
    yield ExportFile("claim.yaml", render("kubernetes/claim.yaml.j2", values))
    yield ExportFile(RECEIVER, render("kubernetes/receive.sh.j2", values))


def is_remote(deployment: Deployment) -> bool:
    """Whether Triton reads the models from an object store by itself.

    Raises:
        InvalidInputError: TG762, from nowhere that it knows.
    """
    storage = deployment.storage
    if deployment.base_image or deployment.in_claim:
        return False
    if not storage.startswith(_REMOTE):
        raise InvalidInputError(
            "TG762",
            f"the storage {storage!r} is none that Triton or a volume offers",
            fix="Name pvc://CLAIM[/PATH], s3://…, gs://… or as://….",
        )
    return True


def kustomization(
    deployment: Deployment, files: tuple[ExportFile, ...], components: tuple[str, ...] = ()
) -> ExportFile:
    """What `kubectl apply -k` reads: documents of this folder, and overlays that are on."""
    names = [file.path for file in files]
    values = {
        "namespace": deployment.namespace,
        "resources": [name for name in names if name.endswith(".yaml") and "/" not in name],
        "held": [name for name in (SUMS, RECEIVER) if name in names],
        "copy": copy_name(deployment),
        "components": components,
    }
    return ExportFile("kustomization.yaml", render("kubernetes/kustomization.yaml.j2", values))


def workload(deployment: Deployment) -> ExportFile:
    """Deployments and Services."""
    claim, folder = deployment.claim
    remote = is_remote(deployment)
    values = {
        "name": deployment.name,
        "services": deployment.services,
        "digest": deployment.digest,
        "claim": claim if deployment.in_claim else "",
        "claim_path": folder.removeprefix("/"),
        "cache": cache_claim(deployment),
        "copy": copy_name(deployment),
        "check": check("/models", deployment),
        "labels": pod_labels,
        "arguments": {one.name: _arguments(one, deployment) for one in deployment.services},
        "requests": partial(requests, copied=remote),
        "limits": limits,
        "pod_security": pod_security,
        "remote": remote,
        "mebibytes": mebibytes,
        "forget_s": FORGET_S,
    }
    return ExportFile("deployment.yaml", render("kubernetes/deployment.yaml.j2", values))


def check(folder: str, deployment: Deployment) -> str:
    """A shell's refusal of another repository than this deployment's."""
    wrong = f"{folder} does not hold the repository {deployment.digest}: copy it, or undo"
    held = f"(cd {folder} && sha256sum --quiet --check /repository/{SUMS})"
    return f"{held} || {{ echo '{wrong}' >&2; exit 1; }}"


def disruption_budget(
    deployment: Deployment, labels: Callable[[Service], Mapping[str, str]]
) -> ExportFile:
    """How many pods a drain may take at a time.

    Args:
        deployment: what is deployed.
        labels: of a service's pods.
    """
    values = {"services": deployment.services, "labels": labels}
    text = render("kubernetes/poddisruptionbudget.yaml.j2", values)
    return ExportFile("poddisruptionbudget.yaml", text)


def network_policy(
    deployment: Deployment,
    labels: Callable[[Service], Mapping[str, str]],
    ports: tuple[int, int] = _READY_PORTS,
) -> ExportFile:
    """Lets everybody ask the models, and only Prometheus read the metrics.

    Args:
        deployment: what is deployed.
        labels: of a service's pods.
        ports: of HTTP and gRPC.
    """
    values = {"services": deployment.services, "labels": labels, "ports": ports}
    text = render("kubernetes/networkpolicy.yaml.j2", values)
    return ExportFile("networkpolicy.yaml", text)


def pod_labels(service: Service) -> dict[str, str]:
    """By which a service's pods are found."""
    return {"app.kubernetes.io/name": "triton", "app.kubernetes.io/instance": service.name}


def pod_security(service: Service) -> dict[str, object]:
    """What the pod security standard `restricted` asks of a pod."""
    user, _, group = service.container.user.partition(":")
    return {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(group),
        "fsGroup": int(group),
        # Not file by file at each start: a claim may hold many.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _arguments(service: Service, deployment: Deployment) -> tuple[str, ...]:
    command = (*service.container.command, *CONNECTION_FLAGS)
    if not is_remote(deployment):
        return command
    # What stands before the flags is the program, where the image's own entry point runs it.
    return tuple(
        f"--model-repository={deployment.storage}" if one.startswith("--model-repository=") else one
        for one in command
    )


def requests(service: Service, *, copied: bool) -> dict[str, str]:
    """What the scheduler sets aside: whole cores, so that a static CPU manager pins them.

    Args:
        service: whose container it is.
        copied: whether the models are copied to the node at each start.
    """
    wanted = _resources(service, service.container.memory_request_bytes)
    kept = service.scratch_bytes if copied else service.container.tmp_bytes
    return {**wanted, "ephemeral-storage": mebibytes(kept + _LOG_BYTES)}


def limits(service: Service) -> dict[str, str]:
    """What a container may use at most."""
    return _resources(service, service.container.memory_bytes)


def _resources(service: Service, memory_bytes: int | None) -> dict[str, str]:
    box = service.container
    wanted = {
        "cpu": str(box.cpus or ""),
        "memory": mebibytes(memory_bytes) if memory_bytes else "",
        "nvidia.com/gpu": str(box.gpus or ""),
    }
    return {name: text for name, text in wanted.items() if text}


def mebibytes(size: int) -> str:
    """A Kubernetes quantity."""
    return f"{math.ceil(size / 2**20)}Mi"


def period(seconds: float) -> int:
    """An autoscaler's interval; Kubernetes admits 1 to 1800 s."""
    return max(1, min(1800, int(seconds)))


def late_waits(deployment: Deployment, path: str, kind: str) -> Iterator[Finding]:
    """Services whose autoscaler would add replicas when the goal is missed already."""
    for service in deployment.services:
        goal, wait = service.latency_ms, service.queue_target_us
        if service.replicas.scaled and goal is not None and wait >= goal * 1000:
            where = f"{kind}/{service.name}"
            message = (
                f"{where} adds replicas when requests wait {wait:g} µs; the goal is {goal:g} ms"
            )
            yield finding("TG759", Severity.ERROR, message, path=path, field=where)


def whole_nodes(deployment: Deployment, path: str, kind: str) -> Iterator[Finding]:
    """Services whose pods ask for all of a node, which keeps some of it for itself."""
    vcpus = deployment.machine_vcpus
    for service in deployment.services:
        cpus = service.container.cpus
        if vcpus is not None and cpus is not None and cpus >= vcpus:
            where = f"{kind}/{service.name}"
            message = (
                f"{where} asks for {cpus} CPUs of a machine with {vcpus}: a node keeps some for "
                "itself, and places no such pod"
            )
            fix = "Give the cluster nodes of a larger machine type."
            yield finding("TG761", Severity.WARNING, message, fix=fix, path=path, field=where)
