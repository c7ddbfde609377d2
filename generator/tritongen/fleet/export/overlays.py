"""What a platform adds to the pods: autoscalers, monitoring, a gateway, machines of a kind.

Each overlay is a component of Kustomize, so that any of them go together. The autoscaler of the
target is on; the rest waits for whoever has what it needs.
"""

from collections.abc import Iterator, Mapping

from tritongen.fleet.export.cluster import (
    base_files,
    disruption_budget,
    kustomization,
    network_policy,
    period,
    pod_labels,
    workload,
)
from tritongen.fleet.export.deployment import Deployment, Replicas, Service
from tritongen.fleet.export.export_target import ExportFile, render
from tritongen.fleet.export.load_test import PROBES, probe_loads
from tritongen.fleet.export.monitoring import (
    SCALING_WINDOW,
    dashboard,
    queue_mean,
    rules,
)

HPA, KEDA = "overlays/autoscale-hpa", "overlays/autoscale-keda"
# Where the Prometheus Operator answers for each Prometheus of its own.
_PROMETHEUS, _PROMETHEUS_PORT = "http://prometheus-operated.monitoring.svc", 9090
# The longest mean wait over models, as prometheus-adapter writes its placeholders.
_ADAPTER_QUERY = queue_mean("<<.LabelMatchers>>", "<<.GroupBy>>, model", SCALING_WINDOW)
# Served by Triton to everybody: health, descriptions, statistics and answers of models.
_METHODS = (
    "ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig",
    "ModelStatistics", "ModelInfer", "ModelStreamInfer",
)  # fmt: skip
_DAYS = 7


def cluster_files(deployment: Deployment, autoscaler: str) -> tuple[ExportFile, ...]:
    """Everything of a cluster whose pods are those of Deployments.

    Args:
        deployment: what is deployed.
        autoscaler: `HPA` or `KEDA`, the one that is on.
    """
    base = base_files(
        deployment,
        workload(deployment),
        network_policy(deployment, pod_labels),
        disruption_budget(deployment, pod_labels),
    )
    scaled = any(service.replicas.scaled for service in deployment.services)
    made = kustomization(deployment, base, (autoscaler,) if scaled else ())
    return (*base, *overlay_files(deployment), made, *_load_test(deployment))


def _load_test(deployment: Deployment) -> Iterator[ExportFile]:
    """A Job that nothing else names: whoever wants to measure creates it."""
    loads = probe_loads(deployment.services)
    if loads:
        values = {
            "name": deployment.name,
            "namespace": deployment.namespace,
            "loads": loads,
            "probes": PROBES,
        }
        yield ExportFile("probe/job.yaml", render("kubernetes/probe/job.yaml.j2", values))


def overlay_files(deployment: Deployment) -> Iterator[ExportFile]:
    """Every overlay."""
    scaled = tuple(one for one in deployment.services if one.replicas.scaled)
    if scaled:
        yield from _hpa(scaled, deployment)
        yield from _keda(scaled, deployment)
    yield from _machines(deployment)
    yield from _monitoring(deployment)
    yield from _gateway(deployment)


def _overlay(
    name: str, file: str, deployment: Deployment, values: Mapping[str, object]
) -> Iterator[ExportFile]:
    """An overlay of one file of documents."""
    path = f"kubernetes/{name.partition('/')[2]}/{file}.j2"
    yield ExportFile(f"{name}/{file}", render(path, values))
    own = {"namespace": deployment.namespace, "resources": [file]}
    component = render("kubernetes/component.yaml.j2", own)
    yield ExportFile(f"{name}/kustomization.yaml", component)


def _hpa(services: tuple[Service, ...], deployment: Deployment) -> Iterator[ExportFile]:
    yield from _overlay(HPA, "hpa.yaml", deployment, {"services": services, "period": period})
    adapter = {
        "query": f"max by (<<.GroupBy>>) ({_ADAPTER_QUERY})",
        "prometheus": _PROMETHEUS,
        "port": _PROMETHEUS_PORT,
    }
    text = render("kubernetes/autoscale-hpa/prometheus-adapter.yaml.j2", adapter)
    yield ExportFile(f"{HPA}/prometheus-adapter.yaml", text)


def _keda(services: tuple[Service, ...], deployment: Deployment) -> Iterator[ExportFile]:
    values = {
        "services": services,
        "period": period,
        "prometheus": f"{_PROMETHEUS}:{_PROMETHEUS_PORT}",
        "time_zone": deployment.time_zone,
        "query": lambda service: _queue_query(service, deployment.namespace),
        "windows": windows,
    }
    yield from _overlay(KEDA, "scaledobject.yaml", deployment, values)


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


def _machines(deployment: Deployment) -> Iterator[ExportFile]:
    """Pods on machines that fit: of the planned type, with a GPU where there is one."""
    gpus = any(service.container.gpus for service in deployment.services)
    nodes = {"kubernetes.io/os": "linux"}
    if deployment.machine:
        nodes["node.kubernetes.io/instance-type"] = deployment.machine
    if gpus:
        nodes["nvidia.com/gpu.present"] = "true"
    values = {"nodes": nodes, "gpus": gpus, "machine": deployment.machine}
    text = render("kubernetes/machines.yaml.j2", values)
    yield ExportFile(f"overlays/{'gpu' if gpus else 'cpu'}/kustomization.yaml", text)


def _monitoring(deployment: Deployment) -> Iterator[ExportFile]:
    name = "overlays/monitoring"
    place = {"namespace": deployment.namespace}
    groups = rules(deployment, **place).partition("groups:\n")[2]
    values = {**place, "name": deployment.name, "groups": groups}
    yield ExportFile(f"{name}/triton.json", dashboard(deployment, **place))
    text = render("kubernetes/monitoring/monitoring.yaml.j2", values)
    yield ExportFile(f"{name}/monitoring.yaml", text)
    text = render("kubernetes/monitoring/kustomization.yaml.j2", values)
    yield ExportFile(f"{name}/kustomization.yaml", text)


def _gateway(deployment: Deployment) -> Iterator[ExportFile]:
    values = {
        "name": deployment.name,
        "services": deployment.services,
        "methods": "|".join(_METHODS),
    }
    yield from _overlay("overlays/gateway", "gateway.yaml", deployment, values)
