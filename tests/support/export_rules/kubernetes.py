"""Rules for workloads on Kubernetes: Deployments, Services, disruption budgets, KServe."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from support.export_rules.quantities import quantity
from support.export_rules.rule_findings import finding
from support.export_rules.server import check_server
from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.model.findings import Finding, Severity

__all__ = ["Documents", "check_cluster"]

Documents = Sequence[tuple[str, Mapping[str, Any]]]

_TRITON_GRACE_S = 30
# A pod that serves is ready so soon; a client that is alone waits no longer.
_READY_S = 1
_AGE = "--grpc-max-connection-age="
_PORT_NAME = 15
_REMOTE = ("s3://", "gs://", "as://")
_STORAGE = ("pvc://", "s3://", "gs://", "as://", "https://", "http://", "hf://")
_OWN_FLAGS = ("--http-port", "--grpc-port", "--model-store", "--model-repository")


def check_cluster(documents: Documents, deployment: Deployment) -> Iterator[Finding]:
    """What workloads do wrong.

    Args:
        documents: (path, document) of every file of the export.
        deployment: what they were rendered from.
    """
    known = {service.name: service for service in deployment.services}
    pods = [
        (one.get("spec") or {}).get("template") or {}
        for _, one in documents
        if one["kind"] == "Deployment"
    ]
    # As KServe labels its own.
    pods += [
        {"metadata": {"labels": {"serving.kserve.io/inferenceservice": one["metadata"]["name"]}}}
        for _, one in documents
        if one["kind"] == "InferenceService"
    ]
    for path, document in documents:
        name = str(document["metadata"].get("name"))
        where = f"{document['kind']}/{name}"
        spec = document.get("spec") or {}
        if document["kind"] == "Deployment":
            yield from _deployment(path, where, spec, known.get(name), deployment)
        elif document["kind"] == "Service":
            yield from _service(path, where, spec, pods)
        elif document["kind"] == "PodDisruptionBudget":
            yield from _budget(path, where, spec, pods, known.get(name))
        elif document["kind"] == "InferenceService":
            predictor = spec.get("predictor") or {}
            yield from _inference_service(path, where, predictor, known.get(name), deployment)


def _error(code: str, message: str, path: str, field: str) -> Finding:
    return finding(code, Severity.ERROR, message, path=path, field=field)


def _within(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def _deployment(
    path: str, where: str, spec: Mapping[str, Any], service: Service | None, deployment: Deployment
) -> Iterator[Finding]:
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    selector = (spec.get("selector") or {}).get("matchLabels") or {}
    if not _within(selector, labels):
        message = f"{where} selects {dict(selector)}, its pods are labelled {dict(labels)}"
        yield _error("TG753", message, path, f"{where}.spec.selector")
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    if str(rolling.get("maxUnavailable", "25%")) not in {"0", "0%"}:
        message = f"{where} takes a pod away before a new one serves"
        yield _error("TG766", message, path, f"{where}.spec.strategy")
    pod = template.get("spec") or {}
    volumes = {volume["name"]: volume for volume in pod.get("volumes") or ()}
    for box in pod.get("containers") or ():
        place = f"{where}.{box.get('name')}"
        yield from _container(path, place, box, volumes)
        if service is not None:
            yield from _node(path, where, box, deployment)
            yield from _content(path, place, pod, box)
            yield from _triton(path, place, box, volumes, service)
            yield from _probes(path, place, box, {8000}, service)
            yield from _grace(path, place, pod, box)
            yield from _scratch(path, place, box, volumes, service)
    if not pod.get("serviceAccountName"):
        message = f"{where} runs under the account of everybody in the namespace"
        yield _error("TG762", message, path, f"{where}.spec.template.spec")


def _container(
    path: str, where: str, box: Mapping[str, Any], volumes: Mapping[str, Any]
) -> Iterator[Finding]:
    for mount in box.get("volumeMounts") or ():
        if mount.get("name") not in volumes:
            message = f"{where} mounts the volume {mount.get('name')!r}, which is not declared"
            yield _error("TG756", message, path, f"{where}.volumeMounts")
    for port in box.get("ports") or ():
        number, name = port.get("containerPort"), str(port.get("name", ""))
        if not isinstance(number, int) or not 1 <= number <= 65535 or len(name) > _PORT_NAME:
            message = f"{where} has the port {name!r} {number!r}"
            yield _error("TG755", message, path, f"{where}.ports")
    for kind in ("requests", "limits"):
        for resource, value in ((box.get("resources") or {}).get(kind) or {}).items():
            found = quantity(value)
            if found is None or found <= 0:
                message = f"{where} {kind} {value!r} of {resource}"
                yield _error("TG754", message, path, f"{where}.resources.{kind}")
    for volume in volumes.values():
        size = (volume.get("emptyDir") or {}).get("sizeLimit")
        if size is not None and quantity(size) is None:
            message = f"the volume {volume['name']} has the size {size!r}"
            yield _error("TG754", message, path, f"volumes.{volume['name']}")


def _triton(
    path: str,
    where: str,
    box: Mapping[str, Any],
    volumes: Mapping[str, Any],
    service: Service,
) -> Iterator[Finding]:
    resources = box.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    if requests.get("cpu") != limits.get("cpu"):
        message = (
            f"{where} requests {requests.get('cpu')} CPUs and is limited to {limits.get('cpu')}: "
            "its threads cannot be pinned"
        )
        yield _error("TG757", message, path, f"{where}.resources")
    memory = quantity(requests.get("memory")), quantity(limits.get("memory", 0))
    if memory[0] is not None and memory[1] and memory[0] > memory[1]:
        message = f"{where} requests more memory than its limit"
        yield _error("TG754", message, path, f"{where}.resources")
    # Kubernetes writes `$$(` where no variable is meant.
    environment = {
        str(entry["name"]): str(entry["value"]).replace("$$(", "$(")
        for entry in box.get("env") or ()
        if "value" in entry
    }
    yield from check_server(
        path,
        where,
        service,
        cpus=quantity(limits.get("cpu")),
        environment=environment,
        shared_bytes=_shared(box, volumes),
        command=[*(box.get("command") or ()), *(box.get("args") or ())],
        gpus=quantity(limits.get("nvidia.com/gpu", 0)) or 0.0,
        kept=[
            str(mount.get("mountPath"))
            for mount in box.get("volumeMounts") or ()
            if "persistentVolumeClaim" in volumes.get(mount.get("name"), {})
            and not mount.get("readOnly")
        ],
    )
    patience = (box.get("startupProbe") or {}).get("failureThreshold", 0)
    if patience < service.container.health.start_s:
        message = f"{where} is restarted while its models are still fetched"
        yield _error("TG758", message, path, f"{where}.startupProbe")


def _content(
    path: str, where: str, pod: Mapping[str, Any], box: Mapping[str, Any]
) -> Iterator[Finding]:
    """Whether a pod refuses a repository that is not its manifest's."""
    if any(scheme in str(one) for one in box.get("args") or () for scheme in _REMOTE):
        return
    first = [*(pod.get("initContainers") or ()), box]
    words = " ".join(str(word) for one in first for word in one.get("command") or ())
    if "sha256sum --quiet --check /repository/SHA256SUMS" not in words:
        yield _error("TG756", f"{where} serves whatever it finds", path, f"{where}.initContainers")
    if not any(mount.get("mountPath") == "/repository" for mount in first[0]["volumeMounts"]):
        yield _error("TG756", f"{where} has no digests to check by", path, where)


def _node(
    path: str, where: str, box: Mapping[str, Any], deployment: Deployment
) -> Iterator[Finding]:
    cpus = quantity(((box.get("resources") or {}).get("limits") or {}).get("cpu"))
    vcpus = deployment.machine_vcpus
    if cpus is not None and vcpus is not None and cpus >= vcpus:
        message = (
            f"{where} asks for {cpus:g} CPUs of a machine with {vcpus}: a node keeps some for "
            "itself, and places no such pod"
        )
        fix = "Give the cluster nodes of a larger machine type."
        yield finding("TG761", Severity.WARNING, message, fix=fix, path=path, field=where)


def _shared(box: Mapping[str, Any], volumes: Mapping[str, Any]) -> float | None:
    for mount in box.get("volumeMounts") or ():
        if mount.get("mountPath") == "/dev/shm":  # noqa: S108  (inside the container)
            folder = (volumes.get(mount.get("name")) or {}).get("emptyDir") or {}
            return quantity(folder.get("sizeLimit")) if folder.get("medium") == "Memory" else None
    return None


def _probes(
    path: str, where: str, box: Mapping[str, Any], numbers: set[int], service: Service
) -> Iterator[Finding]:
    named = {port.get("name"): port.get("containerPort") for port in box.get("ports") or ()}
    for kind, wanted in (
        ("startupProbe", "/v2/health/ready"),
        ("readinessProbe", "/v2/health/ready"),
        ("livenessProbe", "/v2/health/live"),
    ):
        probe = box.get(kind)
        if probe is None:
            yield _error("TG758", f"{where} has no {kind}", path, where)
            continue
        asked = probe.get("httpGet") or {}
        port = named.get(asked.get("port"), asked.get("port"))
        if asked.get("path") != wanted or port not in numbers:
            message = f"{where} {kind} asks {asked.get('path')} at port {asked.get('port')}"
            fix = f"Ask {wanted} at port {min(numbers)}."
            yield finding(
                "TG758", Severity.ERROR, message, fix=fix, path=path, field=f"{where}.{kind}"
            )
        if probe.get("timeoutSeconds", 1) > probe.get("periodSeconds", 10):
            message = f"{where} {kind} may take longer than its period"
            yield _error("TG758", message, path, f"{where}.{kind}")
    start = box.get("startupProbe") or {}
    if start.get("periodSeconds", 10) > _READY_S:
        message = f"{where} serves, and is ready {start.get('periodSeconds', 10)} s later"
        yield _error("TG758", message, path, f"{where}.startupProbe")
    patience = start.get("periodSeconds", 10) * start.get("failureThreshold", 3)
    if patience < service.replicas.start_up_s:
        message = (
            f"{where} is restarted after {patience} s, and needs {service.replicas.start_up_s:g} s "
            "to start"
        )
        yield _error("TG758", message, path, f"{where}.startupProbe")


def _grace(
    path: str, where: str, pod: Mapping[str, Any], box: Mapping[str, Any]
) -> Iterator[Finding]:
    before = ((box.get("lifecycle") or {}).get("preStop") or {}).get("exec") or {}
    words = list(before.get("command") or ())
    pause = int(words[1]) if len(words) == 2 and str(words[1]).isdigit() else 0
    if not pause:
        message = f"{where} refuses requests before its Service forgets it"
        fix = "Sleep some seconds in preStop."
        yield finding("TG766", Severity.ERROR, message, fix=fix, path=path, field=where)
    ages = [str(one).removeprefix(_AGE) for one in box.get("args") or () if _AGE in str(one)]
    # A tenth more at random, and what the Service needs to forget the pod.
    if not ages or int(ages[-1]) * 1.1 > 1000 * pause / 2:
        message = f"{where} keeps gRPC connections until it unloads its models"
        fix = f"Set {_AGE}MILLISECONDS to less than half of preStop."
        yield finding("TG766", Severity.ERROR, message, fix=fix, path=path, field=where)
    grace = pod.get("terminationGracePeriodSeconds", 30)
    if grace <= pause + _TRITON_GRACE_S:
        message = (
            f"{where} is killed after {grace} s: preStop takes {pause} s, Triton waits "
            f"{_TRITON_GRACE_S} s for requests in flight"
        )
        fix = f"Set terminationGracePeriodSeconds above {pause + _TRITON_GRACE_S}."
        yield finding("TG766", Severity.ERROR, message, fix=fix, path=path, field=where)


def _scratch(
    path: str,
    where: str,
    box: Mapping[str, Any],
    volumes: Mapping[str, Any],
    service: Service,
) -> Iterator[Finding]:
    """Whether a repository of an object store finds room, and somebody may read it."""
    if not any(scheme in str(one) for one in box.get("args") or () for scheme in _REMOTE):
        return
    size = quantity((volumes["tmp"].get("emptyDir") or {}).get("sizeLimit"))
    wanted = sum(model.weight_bytes for model in service.models)
    if size is not None and size < wanted + service.container.tmp_bytes:
        message = f"{where} copies {wanted} bytes into {size:g}"
        yield _error("TG754", message, path, f"{where}.volumes.tmp")
    if not box.get("envFrom"):
        yield _error("TG762", f"{where} has no keys of the object store", path, where)


def _service(
    path: str, where: str, spec: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    selector = spec.get("selector") or {}
    chosen = [pod for pod in pods if _within(selector, _labels(pod))]
    if not chosen:
        message = f"{where} selects {dict(selector)}, and no pod is labelled so"
        yield _error("TG753", message, path, f"{where}.spec.selector")
    named = {
        name: port
        for pod in chosen
        for box in (pod.get("spec") or {}).get("containers") or ()
        for port in box.get("ports") or ()
        for name in (port.get("name"), port.get("containerPort"))
    }
    for port in spec.get("ports") or ():
        if chosen and port.get("targetPort", port.get("port")) not in named:
            message = f"{where} leads to the port {port.get('targetPort')!r}, which no pod has"
            yield _error("TG755", message, path, f"{where}.spec.ports")


def _labels(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return (pod.get("metadata") or {}).get("labels") or {}


def _budget(
    path: str,
    where: str,
    spec: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    service: Service | None,
) -> Iterator[Finding]:
    selector = (spec.get("selector") or {}).get("matchLabels") or {}
    if not any(_within(selector, _labels(pod)) for pod in pods):
        message = f"{where} selects {dict(selector)}, and no pod is labelled so"
        yield _error("TG753", message, path, f"{where}.spec.selector")
    least = service.replicas.least if service is not None else 1
    kept, gone = spec.get("minAvailable"), spec.get("maxUnavailable")
    if gone in {0, "0", "0%"} or (isinstance(kept, int) and kept >= least):
        message = f"{where} never lets a node be drained at {least} replicas"
        fix = "Set maxUnavailable: 1."
        yield finding("TG761", Severity.ERROR, message, fix=fix, path=path, field=where)
    if spec.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        message = f"{where} keeps a node from being drained for a pod that does not serve"
        yield _error("TG761", message, path, where)


def _inference_service(
    path: str,
    where: str,
    predictor: Mapping[str, Any],
    service: Service | None,
    deployment: Deployment,
) -> Iterator[Finding]:
    model = predictor.get("model") or {}
    volumes = {volume["name"]: volume for volume in predictor.get("volumes") or ()}
    uri = str(model.get("storageUri", ""))
    if not uri.startswith(_STORAGE):
        yield _error("TG762", f"{where} reads its models from {uri!r}", path, f"{where}.storageUri")
    for argument in model.get("args") or ():
        if str(argument).partition("=")[0] in _OWN_FLAGS:
            message = f"{where} sets {argument}, which the runtime sets by itself"
            yield _error("TG762", message, path, f"{where}.args")
    yield from _container(path, where, model, volumes)
    if service is None:
        return
    yield from _node(path, where, model, deployment)
    yield from _content(path, where, predictor, model)
    yield from _triton(path, where, model, volumes, service)
    yield from _probes(path, where, model, {8080}, service)
    limit = predictor.get("containerConcurrency")
    if limit and limit < service.concurrency:
        message = f"{where} admits {limit} requests at a time, {service.concurrency} are served"
        yield _error("TG763", message, path, f"{where}.containerConcurrency")
    yield from _grace(path, where, predictor, model)
    context = predictor.get("securityContext") or {}
    if (context.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
        yield _error("TG762", f"{where} is refused where pods are restricted", path, where)
