"""Azure ML: managed online endpoints, without code and by container, with autoscaling."""

import shlex
from pathlib import PurePosixPath

from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.fleet.export.render_texts import ExportFile, render

__all__ = ["IN_PERCENT", "OUT_PERCENT", "WINDOWS_ZONES", "azureml_files"]

# Of what the service's threads can use, for five minutes.
OUT_PERCENT = 70
IN_PERCENT = 25
_LEAST_TIMEOUT_MS = 5_000
_MOST_TIMEOUT_MS = 180_000
# Autoscale knows Windows' names only.
WINDOWS_ZONES = {
    "UTC": "UTC",
    "Etc/UTC": "UTC",
    "Europe/London": "GMT Standard Time",
    "Europe/Berlin": "W. Europe Standard Time",
    "Europe/Paris": "Romance Standard Time",
    "Europe/Warsaw": "Central European Standard Time",
    "Europe/Kyiv": "FLE Standard Time",
    "America/New_York": "Eastern Standard Time",
    "America/Chicago": "Central Standard Time",
    "America/Los_Angeles": "Pacific Standard Time",
    "Asia/Kolkata": "India Standard Time",
    "Asia/Shanghai": "China Standard Time",
    "Asia/Tokyo": "Tokyo Standard Time",
    "Australia/Sydney": "AUS Eastern Standard Time",
}


def azureml_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """Everything for each service's endpoint; a folder each where there are several."""
    several = len(deployment.services) > 1
    return tuple(
        file
        for service in deployment.services
        for file in _files(service, deployment, f"{service.name}/" if several else "")
    )


def _files(service: Service, deployment: Deployment, folder: str) -> tuple[ExportFile, ...]:
    up = "../" if folder else ""
    repository = f"{up}{deployment.repository}"
    values = {
        "service": service,
        # Another repository is another version; older workspaces take numbers only.
        "version": str(int(deployment.digest[:7], 16)),
        "machine": deployment.machine,
        "repository": repository if repository.startswith("../") else f"./{repository}",
        "timeout_ms": _timeout_ms(service),
    }
    plain = render("azureml/deployment.yml.j2", {**values, "container": False})
    container = render("azureml/deployment.yml.j2", {**values, "container": True})
    return (
        ExportFile(f"{folder}endpoint.yml", render("azureml/endpoint.yml.j2", values)),
        ExportFile(f"{folder}deployment.yml", plain),
        ExportFile(f"{folder}deployment-container.yml", container),
        ExportFile(f"{folder}container/Dockerfile", _dockerfile(service, deployment)),
        ExportFile(f"{folder}autoscale.json", _autoscale(service, deployment)),
    )


def _timeout_ms(service: Service) -> int:
    """Ten times the loosest goal, within what Azure admits."""
    goals = [model.latency_ms for model in service.models if model.latency_ms is not None]
    return int(min(_MOST_TIMEOUT_MS, max(_LEAST_TIMEOUT_MS, 10 * max(goals, default=0.0))))


def _dockerfile(service: Service, deployment: Deployment) -> str:
    flags = [one for one in service.container.flags if not one.startswith("--model-repository")]
    values = {
        "service": service,
        "folder": PurePosixPath(deployment.repository).name,
        "arguments": [shlex.quote(flag) for flag in flags],
    }
    return render("azureml/Dockerfile.j2", values)


def _autoscale(service: Service, deployment: Deployment) -> str:
    replicas = service.replicas
    share = _reachable_share(service, deployment.machine_vcpus)
    values = {
        "service": service,
        "comment": "Written by `tritongen export azureml`. Deploy it with `az deployment group "
        "create -f autoscale.json -p deployment=<resource id>`.",
        "time_zone": WINDOWS_ZONES.get(deployment.time_zone, "UTC"),
        "profiles": [
            ("Default", "", replicas.least),
            ("Weekdays", "Monday", replicas.weekday_least),
            ("Weekend", "Saturday", replicas.weekend_least),
        ],
        "out_percent": max(1, round(OUT_PERCENT * share)),
        "in_percent": max(1, round(IN_PERCENT * share)),
    }
    return render("azureml/autoscale.json.j2", values)


def _reachable_share(service: Service, vcpus: int | None) -> float:
    """Share of a machine's virtual CPUs that the service's threads can keep busy."""
    if vcpus is None or not service.total_threads:
        return 1.0
    threads = min(service.total_threads, service.container.cpus or service.total_threads)
    return min(1.0, threads / vcpus)
