"""Kubernetes: Deployments with Services and disruption budgets, scaled by an HPA.

The HPA follows the mean wait of a request for a free instance, of the model that waits longest; the
rule for prometheus-adapter that makes the metric lies beside it. Requests equal limits in whole
cores, so that a node with the static CPU manager gives the threads cores of their own. A new
configuration is a new digest in the pod's annotations, and so a rolling update without a gap:
preStop gives the Service ten seconds to forget the pod, Triton sends gRPC clients to a new
connection every three, finishes its requests, and the grace period covers all of it. A gRPC stream
that lasts longer than 33 s is ended. Triton has no such switch for HTTP: clients that keep their
connections see 1 to 8 resets in each update, measured on Kubernetes 1.34, and none that open a
connection for each request.

Each container draws a key of its own at its start, for the APIs that nobody shall use: shared
memory, the model repository (its index, loading, unloading), traces and logging. networkpolicy.yaml
opens the metrics to Prometheus in the namespace `monitoring` alone; it takes a network that
enforces policies, such as Calico or Cilium. Prometheus finds the pods by their annotations.
"""

import math
from collections.abc import Callable, Iterator, Mapping

from tritongen.errors import InvalidInputError
from tritongen.fleet.export.deployment import CONNECTION_FLAGS, FORGET_S, Deployment, Service
from tritongen.fleet.export.export_target import ExportFile, ExportTarget, render
from tritongen.fleet.export.monitoring import SCALING_WINDOW, queue_mean
from tritongen.model.findings import Finding, Severity, finding

_CLAIM = "pvc://"
# What Triton reads by itself.
_REMOTE = ("s3://", "gs://", "as://")
# The longest mean wait over models, as prometheus-adapter writes its placeholders.
_ADAPTER_QUERY = queue_mean("<<.LabelMatchers>>", "<<.GroupBy>>, model", SCALING_WINDOW)
# Where the Prometheus Operator answers for each Prometheus of its own.
PROMETHEUS = "http://prometheus-operated.monitoring.svc"
PROMETHEUS_PORT = 9090


def kubernetes_files(deployment: Deployment) -> tuple[ExportFile, ...]:
    """Deployments, an HPA on the time in the queue, and the metric that it needs."""
    adapter = {
        "query": f"max by (<<.GroupBy>>) ({_ADAPTER_QUERY})",
        "prometheus": PROMETHEUS,
        "port": PROMETHEUS_PORT,
    }
    beside = ExportFile(
        "prometheus-adapter.yaml", render("kubernetes/prometheus-adapter.yaml.j2", adapter)
    )
    return cluster_files(deployment, "hpa.yaml", "kubernetes/hpa.yaml.j2", {}, beside)


def cluster_files(
    deployment: Deployment,
    name: str,
    template: str,
    values: Mapping[str, object],
    *beside: ExportFile,
) -> tuple[ExportFile, ...]:
    """The workload, who may reach it, and its autoscalers where replicas are to be decided.

    Args:
        deployment: what is deployed.
        name: file of the autoscalers.
        template: of that file.
        values: that only this template knows.
        beside: files for others than `kubectl apply`.
    """
    scaled = [service for service in deployment.services if service.replicas.scaled]
    place = {"namespace": deployment.namespace, "name": deployment.name}
    base = (
        ExportFile("namespace.yaml", render("kubernetes/namespace.yaml.j2", place)),
        workload(deployment),
        network_policy(deployment, pod_labels, (8000, 8001)),
    )
    if not scaled:
        return (*base, _kustomization(deployment, base))
    text = render(template, {"services": scaled, "period": period, **values})
    applied = (*base, ExportFile(name, text))
    return (*applied, *beside, _kustomization(deployment, applied))


def kubernetes_findings(deployment: Deployment) -> Iterator[Finding]:
    """Errors are waits at which the HPA would add replicas too late for the goal."""
    return late_waits(deployment, "hpa.yaml", "HorizontalPodAutoscaler")


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


def workload(deployment: Deployment) -> ExportFile:
    """Deployments, Services and disruption budgets."""
    claim, _, path = deployment.storage.removeprefix(_CLAIM).partition("/")
    values = {
        "name": deployment.name,
        "services": deployment.services,
        "digest": deployment.digest,
        "claim": claim if deployment.storage.startswith(_CLAIM) else "",
        "claim_path": path,
        "arguments": {one.name: _arguments(one, deployment) for one in deployment.services},
        "requests": requests,
        "limits": limits,
        "remote": deployment.storage.startswith(_REMOTE),
        "mebibytes": mebibytes,
        "forget_s": FORGET_S,
    }
    return ExportFile("deployment.yaml", render("kubernetes/deployment.yaml.j2", values))


def network_policy(
    deployment: Deployment,
    labels: Callable[[Service], Mapping[str, str]],
    ports: tuple[int, int],
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


def _kustomization(deployment: Deployment, files: tuple[ExportFile, ...]) -> ExportFile:
    """What `kubectl apply -k` reads."""
    values = {"namespace": deployment.namespace, "resources": [file.path for file in files]}
    return ExportFile("kustomization.yaml", render("kubernetes/kustomization.yaml.j2", values))


def _arguments(service: Service, deployment: Deployment) -> tuple[str, ...]:
    storage = deployment.storage
    command = (*service.container.command, *CONNECTION_FLAGS)
    if storage.startswith(_CLAIM):
        return command
    if not storage.startswith(_REMOTE):
        raise InvalidInputError(
            "TG762",
            f"the storage {storage!r} is none that Triton or a volume offers",
            fix="Name pvc://CLAIM[/PATH], s3://…, gs://… or as://….",
        )
    # What stands before the flags is the program, where the image's own entry point runs it.
    return tuple(
        f"--model-repository={storage}" if one.startswith("--model-repository=") else one
        for one in command
    )


def requests(service: Service) -> dict[str, str]:
    """What the scheduler sets aside: whole cores, so that a static CPU manager pins them."""
    return _resources(service, service.container.memory_request_bytes)


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


TARGET = ExportTarget(
    summary="Kubernetes: Deployment, Service, PodDisruptionBudget, HPA on the time in the queue",
    files=kubernetes_files,
    deploy=("kubectl apply -k .",),
    findings=kubernetes_findings,
)
