"""KServe: an InferenceService on its Triton runtime.

On the cluster's `kserve-tritonserver` runtime, in KServe's mode `Standard` (0.16; `RawDeployment`
before): `tritonserver` keeps its own
ports 8080 and 9000 there, and resources are always set, because the runtime's default is one CPU.
Its `command` draws the key of the closed APIs and runs the runtime's own arguments, the first of
which is `tritonserver`. networkpolicy.yaml opens the metrics to Prometheus in the namespace
`monitoring` alone, which finds the pods by their annotations.

**Models** come from KServe's own reader of storages, by default from the claim `NAME-models`, which
the Job of claim.yaml fills from the stream that the export names, one folder a build. At its start
a pod holds them against SHA256SUMS, whatever they come from, and refuses another repository. The
claim `NAME-cache` keeps what language models fetch, with the hub's token as the key `token` of the
secret `NAME-hub`, and engines that models build. **Update:** another build is a rolling update;
gRPC clients move to another pod before theirs ends, HTTP clients that keep their connections see
resets, as with `kubernetes`. **Undo:** apply an older export, as long as its folder is there.
**Scale:** replicas follow the CPU; with GPUs, of which it tells nothing, their number is fixed.
**Observe:** `tritongen observe --prometheus URL`, or `tritongen probe` at the address of the
predictor.

**Run:** not on a cluster with KServe; its objects are held against KServe's own schema.
"""

from collections.abc import Iterator
from functools import partial

from tritongen.fleet.export.cluster import (
    base_files,
    cache_claim,
    check,
    disruption_budget,
    kustomization,
    limits,
    mebibytes,
    network_policy,
    pod_security,
    requests,
    whole_nodes,
)
from tritongen.fleet.export.deployment import CONNECTION_FLAGS, FORGET_S, Deployment, Service
from tritongen.fleet.export.export_target import ExportFile, ExportTarget, render
from tritongen.fleet.export.model_files import copy_name, sums
from tritongen.model.findings import Finding, Severity, finding

# Percent of the planned cores; chosen: the queue of an open system grows steeply beyond.
_CPU_PERCENT = 60
# What KServe's storage initializer reads.
_STORAGE = ("pvc://", "s3://", "gs://", "as://", "https://", "http://", "hf://")
_FILE = "inferenceservice.yaml"
_OFFICIAL = "nvcr.io/nvidia/tritonserver:"
# Of the official image; it prepares CUDA.
_ENTRYPOINT = "/opt/nvidia/nvidia_entrypoint.sh"
# The runtime sets these by itself.
_OWN = ("--model-repository=", "--http-port=", "--grpc-port=")


def kserve_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """One InferenceService for each service, and who may reach its ports."""
    values = {
        "services": deployment.services,
        "digest": deployment.digest,
        "storage": deployment.storage,
        "command": {one.name: _command(one, deployment) for one in deployment.services},
        "name": deployment.name,
        "copy": copy_name(deployment),
        "cache": cache_claim(deployment),
        "pod_security": pod_security,
        "arguments": _arguments,
        "requests": partial(requests, copied=not deployment.in_claim),
        "limits": limits,
        "version": _version,
        "mebibytes": mebibytes,
        "cpu_target": cpu_target,
        "bounds": bounds,
        "forget_s": FORGET_S,
    }
    files = base_files(
        deployment,
        ExportFile(_FILE, render("kserve/inferenceservice.yaml.j2", values)),
        network_policy(deployment, _pod_labels, (8080, 9000)),
        disruption_budget(deployment, _pod_labels),
    )
    if not (deployment.in_claim or deployment.base_image):
        files = (*files, sums(deployment))
    return (*files, kustomization(deployment, files))


def cpu_target(service: Service) -> int:
    """Percent of the requested CPUs: of hardware threads, of which a core has two or one."""
    box = service.container
    return round(_CPU_PERCENT * (box.cores or 1) / (box.cpus or 1)) if box.cpus else _CPU_PERCENT


def bounds(service: Service) -> tuple[int, int]:
    """Replicas at least and at most; how busy CPUs are says nothing of a server with GPUs."""
    replicas = service.replicas
    if not service.container.gpus:
        return replicas.least, replicas.most
    fixed = replicas.most if replicas.planned else replicas.least
    return fixed, fixed


def _pod_labels(service: Service) -> dict[str, str]:
    """As KServe writes them."""
    return {"serving.kserve.io/inferenceservice": service.name}


def _command(service: Service, deployment: Deployment) -> tuple[str, ...]:
    """What the arguments follow, of which the first is the runtime's ``tritonserver``."""
    box = service.container
    official = box.image_entrypoint and box.image.startswith(_OFFICIAL)
    shell, flag, start, _ = box.program
    # KServe brings the models after all init steps of others.
    first = check("/mnt/models", deployment)
    return (*((_ENTRYPOINT,) if official else ()), shell, flag, f"{first} && {start}")


def kserve_findings(deployment: Deployment) -> Iterator[Finding]:
    """Errors are a storage that KServe does not read, and a CPU target that is never reached."""
    if deployment.base_image:
        message = "KServe reads models from a storage, not from the image of the server"
        fix = "Name Triton's image with its tag or digest: --image NAME:TAG."
        yield finding("TG762", Severity.ERROR, message, fix=fix, path=_FILE)
    for service in deployment.services:
        where = f"InferenceService/{service.name}"
        if not deployment.storage.startswith(_STORAGE):
            message = f"{where} reads its models from {deployment.storage!r}"
            field = f"{where}.storageUri"
            yield finding("TG762", Severity.ERROR, message, path=_FILE, field=field)
    yield from whole_nodes(deployment, _FILE, "InferenceService")
    for service in deployment.services:
        if service.container.gpus:
            continue  # a fixed number
        where, cpus = f"InferenceService/{service.name}", service.container.cpus
        reachable = min(100.0, 100.0 * service.total_threads / cpus) if cpus else 100.0
        if reachable <= cpu_target(service):
            message = (
                f"{where} aims at {cpu_target(service)} % of the CPUs, {reachable:.0f} % can be "
                "reached"
            )
            yield finding("TG759", Severity.ERROR, message, path=_FILE, field=where)


def _arguments(service: Service) -> list[str]:
    own = [one for one in service.container.arguments if not one.startswith(_OWN)]
    return [*own, *CONNECTION_FLAGS]


def _version(service: Service) -> str:
    """Tag of the official image, empty for another image and for one with a digest."""
    image = service.container.image
    tagged = image.startswith(_OFFICIAL) and not service.container.pinned
    return image.removeprefix(_OFFICIAL) if tagged else ""


TARGET = ExportTarget(
    summary="KServe: an InferenceService on its Triton runtime",
    files=kserve_files,
    deploy=("kubectl apply -k .",),
    findings=kserve_findings,
    copies=True,
)
