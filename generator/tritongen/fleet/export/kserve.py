"""KServe: an InferenceService on its Triton runtime."""

from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.fleet.export.kubernetes import arguments, limits, mebibytes, requests
from tritongen.fleet.export.render_texts import ExportFile, render

__all__ = ["kserve_files"]

# Of the requested cores: the queue of an open system grows steeply beyond.
CPU_TARGET = 60
_OFFICIAL = "nvcr.io/nvidia/tritonserver:"
# The runtime sets these by itself.
_OWN = ("--model-repository=", "--http-port=", "--grpc-port=")


def kserve_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """One InferenceService for each service."""
    values = {
        "services": deployment.services,
        "digest": deployment.digest,
        "storage": deployment.storage,
        "arguments": {one.name: _arguments(one) for one in deployment.services},
        "requests": {one.name: requests(one) for one in deployment.services},
        "limits": {one.name: limits(one) for one in deployment.services},
        "versions": {one.name: _version(one) for one in deployment.services},
        "mebibytes": mebibytes,
        "cpu_target": CPU_TARGET,
    }
    text = render("kserve/inferenceservice.yaml.j2", values)
    return (ExportFile("inferenceservice.yaml", text),)


def _arguments(service: Service) -> list[str]:
    flags = [one for one in arguments(service) if one.startswith("--")]
    return [one for one in flags if not one.startswith(_OWN)]


def _version(service: Service) -> str:
    """Tag of the official image, empty for another image."""
    image = service.container.image
    return image.removeprefix(_OFFICIAL) if image.startswith(_OFFICIAL) else ""
