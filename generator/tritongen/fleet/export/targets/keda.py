"""Kubernetes with KEDA: the same workload, scaled by Prometheus and by the week's schedule.

The workload of `kubernetes`, scaled by KEDA's Prometheus trigger on the same wait, and by cron
triggers where the plan has more replicas at some hours of the week than at others. Set
`serverAddress` to your Prometheus if it is not the chart's.
"""

from collections.abc import Iterator

from tritongen.fleet.export.deployment import Deployment, Replicas, Service
from tritongen.fleet.export.export_target import ExportFile, ExportTarget
from tritongen.fleet.export.monitoring import SCALING_WINDOW, queue_mean
from tritongen.fleet.export.targets.kubernetes import (
    PROMETHEUS,
    PROMETHEUS_PORT,
    cluster_files,
    late_waits,
)
from tritongen.model.findings import Finding

_DAYS = 7


def keda_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """The workload of Kubernetes with a ScaledObject instead of the HPA."""
    values = {
        "prometheus": f"{PROMETHEUS}:{PROMETHEUS_PORT}",
        "time_zone": deployment.time_zone,
        "query": lambda service: _queue_query(service, deployment.namespace),
        "windows": windows,
    }
    return cluster_files(deployment, "scaledobject.yaml", "keda/scaledobject.yaml.j2", values)


def keda_findings(deployment: Deployment) -> Iterator[Finding]:
    """Errors are waits at which KEDA would add replicas too late for the goal."""
    return late_waits(deployment, "scaledobject.yaml", "ScaledObject")


def _queue_query(service: Service, namespace: str) -> str:
    pods = f'namespace="{namespace}", pod=~"{service.name}-[a-z0-9]+-[a-z0-9]+"'
    return f"max({queue_mean(pods, 'pod, model', SCALING_WINDOW)})"


def windows(replicas: Replicas) -> Iterator[tuple[str, str, int]]:
    """Cron start, cron end and replicas wherever more than the least are planned."""
    if not replicas.hourly:
        return
    days = [tuple(replicas.hourly[24 * day : 24 * day + 24]) for day in range(_DAYS)]
    groups: list[tuple[str, tuple[int, ...]]] = []
    if len(set(days[:5])) == 1:
        groups.append(("1-5", days[0]))
        rest = range(5, _DAYS)
    else:
        rest = range(_DAYS)
    # Cron counts from Sunday, the plan from Monday.
    groups += [(str((day + 1) % _DAYS), days[day]) for day in rest]
    for name, hours in groups:
        for first, last, count in _runs(hours, replicas.least):
            end = f"0 {last} * * {name}" if last < 24 else f"59 23 * * {name}"
            yield f"0 {first} * * {name}", end, count


def _runs(hours: tuple[int, ...], least: int) -> Iterator[tuple[int, int, int]]:
    """(first hour, hour after the last, replicas) of each stretch above the least."""
    first = 0
    for hour in range(1, len(hours) + 1):
        if hour == len(hours) or hours[hour] != hours[first]:
            if hours[first] > least:
                yield first, hour, hours[first]
            first = hour


TARGET = ExportTarget(
    summary="Kubernetes with KEDA: the same, scaled by Prometheus and the week's schedule",
    files=keda_files,
    deploy=("kubectl apply -k .",),
    findings=keda_findings,
)
