"""Numbers and names of an Azure ML endpoint that its files hold and its limits are told of."""

from tritongen.fleet.catalogue import azureml_limits
from tritongen.fleet.export.deployment import Deployment, Service

# Percent of what the service's threads can use, for five minutes; chosen: up soon, down late.
_OUT_PERCENT, _IN_PERCENT = 70, 25
# Azure's default of a request's time; what it admits at most stands with its other limits.
_MIN_TIMEOUT_MS = 5_000
# initial_delay + period × failure_threshold of the probes in deployment.yml.j2, seconds.
PROBE_PATIENCE_S = 310
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


def folder_of(service: Service, deployment: Deployment) -> str:
    """The folder of a service's files, with a slash; empty where the service is the only one."""
    return f"{service.name}/" if len(deployment.services) > 1 else ""


def timeout_ms(service: Service) -> int:
    """Ten times the loosest goal, within what Azure admits."""
    goals = [model.latency_ms for model in service.models if model.latency_ms is not None]
    wanted = max(_MIN_TIMEOUT_MS, 10 * max(goals, default=0.0))
    return int(min(azureml_limits.TIMEOUT_S * 1000, wanted))


def capacity_profiles(service: Service) -> tuple[tuple[str, str, int], ...]:
    """(title, day on which it begins, instances at least) of the autoscaler's profiles."""
    replicas = service.replicas
    return (
        ("Default", "", replicas.least),
        ("Weekdays", "Monday", replicas.weekday_least),
        ("Weekend", "Saturday", replicas.weekend_least),
    )


def cpu_thresholds(service: Service, deployment: Deployment) -> tuple[int, int]:
    """Percent of a machine's CPUs above which an instance is added, and below which one goes.

    They are shares of the virtual CPUs that the service's threads can keep busy.
    """
    share, vcpus = 1.0, deployment.machine_vcpus
    if vcpus is not None and service.total_threads:
        threads = min(service.total_threads, service.container.cpus or service.total_threads)
        share = min(1.0, threads / vcpus)
    return max(1, round(_OUT_PERCENT * share)), max(1, round(_IN_PERCENT * share))
