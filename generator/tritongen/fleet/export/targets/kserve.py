"""KServe: an InferenceService on its Triton runtime.

On the cluster's `kserve-tritonserver` runtime, in KServe's mode `Standard` (0.16; `RawDeployment`
before): `tritonserver` keeps its own
ports 8080 and 9000 there, and resources are always set, because the runtime's default is one CPU.
Its `command` draws the key of the closed APIs and runs the runtime's own arguments, the first of
which is `tritonserver`. networkpolicy.yaml opens the metrics to Prometheus in the namespace
`monitoring` alone.
"""

from collections.abc import Iterator

from tritongen.fleet.export.deployment import CONNECTION_FLAGS, FORGET_S, Deployment, Service
from tritongen.fleet.export.export_target import ExportFile, ExportTarget, render
from tritongen.fleet.export.targets.kubernetes import limits, mebibytes, network_policy, requests
from tritongen.model.findings import Finding, Severity, finding

# Percent of the requested cores; chosen: the queue of an open system grows steeply beyond.
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
        "command": _command,
        "arguments": _arguments,
        "requests": requests,
        "limits": limits,
        "version": _version,
        "mebibytes": mebibytes,
        "cpu_target": _CPU_PERCENT,
        "forget_s": FORGET_S,
    }
    return (
        ExportFile(_FILE, render("kserve/inferenceservice.yaml.j2", values)),
        network_policy(deployment, _pod_labels, (8080, 9000)),
    )


def _pod_labels(service: Service) -> dict[str, str]:
    """As KServe writes them."""
    return {"serving.kserve.io/inferenceservice": service.name}


def _command(service: Service) -> tuple[str, ...]:
    """What the arguments follow, of which the first is the runtime's ``tritonserver``."""
    box = service.container
    official = box.image_entrypoint and box.image.startswith(_OFFICIAL)
    return (*((_ENTRYPOINT,) if official else ()), *box.program[:-1])


def kserve_findings(deployment: Deployment) -> Iterator[Finding]:
    """Errors are a storage that KServe does not read, and a CPU target that is never reached."""
    for service in deployment.services:
        where = f"InferenceService/{service.name}"
        if not deployment.storage.startswith(_STORAGE):
            message = f"{where} reads its models from {deployment.storage!r}"
            field = f"{where}.storageUri"
            yield finding("TG762", Severity.ERROR, message, path=_FILE, field=field)
    for service in deployment.services:
        where, cpus = f"InferenceService/{service.name}", service.container.cpus
        reachable = min(100.0, 100.0 * service.total_threads / cpus) if cpus else 100.0
        if reachable <= _CPU_PERCENT:
            message = (
                f"{where} aims at {_CPU_PERCENT} % of the CPUs, {reachable:.0f} % can be reached"
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
    deploy=("kubectl apply -f networkpolicy.yaml -f inferenceservice.yaml",),
    findings=kserve_findings,
)
