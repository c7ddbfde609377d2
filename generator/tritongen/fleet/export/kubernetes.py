"""Kubernetes: Deployments with Services and disruption budgets, scaled by HPA or by KEDA."""

import math
from collections.abc import Iterator

from tritongen.errors import InvalidInputError
from tritongen.fleet.export.deployment import Deployment, Replicas, Service
from tritongen.fleet.export.prometheus_queries import WINDOW
from tritongen.fleet.export.render_texts import ExportFile, render

__all__ = [
    "arguments",
    "keda_files",
    "kubernetes_files",
    "limits",
    "mebibytes",
    "requests",
    "windows",
]

# Where the chart prometheus-community/prometheus answers.
PROMETHEUS = "http://prometheus-server.monitoring.svc"
_CLAIM = "pvc://"
# What Triton reads by itself.
_REMOTE = ("s3://", "gs://", "as://")
_DAYS = 7


def kubernetes_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """Deployments, an HPA on the time in the queue, and the metric that it needs."""
    values = {"services": deployment.services, "period": _period}
    return (
        _workload(deployment),
        ExportFile("hpa.yaml", render("kubernetes/hpa.yaml.j2", values)),
        ExportFile(
            "prometheus-adapter.yaml",
            render("kubernetes/prometheus-adapter.yaml.j2", {"query": _ADAPTER_QUERY}),
        ),
        _kustomization("deployment.yaml", "hpa.yaml"),
    )


def keda_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """The same workload with a KEDA ScaledObject instead of the HPA."""
    values = {
        "services": deployment.services,
        "period": _period,
        "prometheus": PROMETHEUS,
        "time_zone": deployment.time_zone,
        "queries": {one.name: _queue_query(one) for one in deployment.services},
        "windows": {one.name: list(windows(one.replicas)) for one in deployment.services},
    }
    return (
        _workload(deployment),
        ExportFile("scaledobject.yaml", render("keda/scaledobject.yaml.j2", values)),
        _kustomization("deployment.yaml", "scaledobject.yaml"),
    )


def _workload(deployment: Deployment) -> ExportFile:
    claim, _, path = deployment.storage.removeprefix(_CLAIM).partition("/")
    values = {
        "name": deployment.name,
        "services": deployment.services,
        "digest": deployment.digest,
        "claim": claim if deployment.storage.startswith(_CLAIM) else "",
        "claim_path": path,
        "arguments": {one.name: _arguments(one, deployment) for one in deployment.services},
        "requests": {one.name: requests(one) for one in deployment.services},
        "limits": {one.name: limits(one) for one in deployment.services},
        "mebibytes": mebibytes,
        "scaled": True,
    }
    return ExportFile("deployment.yaml", render("kubernetes/deployment.yaml.j2", values))


def _kustomization(*resources: str) -> ExportFile:
    text = render("kubernetes/kustomization.yaml.j2", {"resources": list(resources)})
    return ExportFile("kustomization.yaml", text)


def _arguments(service: Service, deployment: Deployment) -> list[str]:
    storage = deployment.storage
    if storage.startswith(_CLAIM):
        return arguments(service)
    if not storage.startswith(_REMOTE):
        raise InvalidInputError(
            "TG762",
            f"the storage {storage!r} is none that Triton or a volume offers",
            fix="Name pvc://CLAIM[/PATH], s3://…, gs://… or as://….",
        )
    # What stands before the flags is the program, where the image's own entry point runs it.
    return [
        f"--model-repository={storage}" if one.startswith("--model-repository=") else one
        for one in arguments(service)
    ]


def arguments(service: Service) -> list[str]:
    """Triton's flags; the closed APIs ask for the pod's number, which only the cluster knows."""
    box = service.container
    escaped = [argument.replace("$(", "$$(") for argument in box.arguments]
    return [
        argument.replace(box.key, "$(POD_UID)") if box.key else argument for argument in escaped
    ]


def requests(service: Service) -> dict[str, str]:
    """What the scheduler sets aside: whole cores, so that a static CPU manager pins them."""
    box = service.container
    cpu = {"cpu": str(box.cpus)} if box.cpus else {}
    return {**cpu, "memory": mebibytes(box.memory_request_bytes), **_gpus(service)}


def limits(service: Service) -> dict[str, str]:
    """What a container may use at most."""
    box = service.container
    cpu = {"cpu": str(box.cpus)} if box.cpus else {}
    memory = {"memory": mebibytes(box.memory_bytes)} if box.memory_bytes else {}
    return {**cpu, **memory, **_gpus(service)}


def _gpus(service: Service) -> dict[str, str]:
    count = service.container.gpus
    return {"nvidia.com/gpu": str(count)} if count else {}


def mebibytes(size: int) -> str:
    """A Kubernetes quantity."""
    return f"{math.ceil(size / 2**20)}Mi"


def _period(seconds: float) -> int:
    """An autoscaler's interval; Kubernetes admits 1 to 1800 s."""
    return max(1, min(1800, int(seconds)))


def _mean_wait(by: str, labels: str) -> str:
    total = f"sum by ({by}, model) (rate(nv_inference_queue_duration_us{{{labels}}}[{WINDOW}]))"
    count = f"sum by ({by}, model) (rate(nv_inference_request_success{{{labels}}}[{WINDOW}]))"
    return f"{total} / clamp_min({count}, 1e-9)"


_ADAPTER_QUERY = f"max by (<<.GroupBy>>) ({_mean_wait('<<.GroupBy>>', '<<.LabelMatchers>>')})"


def _queue_query(service: Service) -> str:
    pods = f'pod=~"{service.name}-[a-z0-9]+-[a-z0-9]+"'
    return f"max({_mean_wait('pod', pods)})"


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
