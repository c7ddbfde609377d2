"""Prometheus's and Grafana's files, which several targets share."""

from collections.abc import Mapping

from tritongen.fleet.export import prometheus_queries
from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.fleet.export.render_texts import ExportFile, render

__all__ = ["GRAFANA_IMAGE", "PROMETHEUS_IMAGE", "dashboard", "monitoring_files", "rules"]

PROMETHEUS_IMAGE = "prom/prometheus:v3.5.0"
GRAFANA_IMAGE = "grafana/grafana:12.1.0"

_QUERIES: Mapping[str, object] = {
    "request_rate": prometheus_queries.request_rate,
    "failure_share": prometheus_queries.failure_share,
    "latency_mean": prometheus_queries.latency_mean,
    "queue_mean": prometheus_queries.queue_mean,
    "batch": prometheus_queries.batch,
    "instance_use": prometheus_queries.instance_use,
    "quantile": prometheus_queries.quantile,
}


def rules(deployment: Deployment) -> str:
    """Recording rules and alerts."""
    values = {**_QUERIES, "services": deployment.services}
    return render("monitoring/rules.yml.j2", values)


def dashboard(deployment: Deployment) -> str:
    """The Grafana dashboard."""
    values = {
        **_QUERIES,
        "name": deployment.name,
        "jobs": "|".join(service.name for service in deployment.services),
        "goals": _told("; goals: ", [_goals(service) for service in deployment.services]),
        "targets": _told(
            "; planned: ",
            [f"{service.name} {service.queue_target_us} µs" for service in deployment.services],
        ),
    }
    return render("monitoring/dashboard.json.j2", values)


def _told(before: str, parts: list[str]) -> str:
    told = [part for part in parts if part]
    return before + ", ".join(told) if told else ""


def _goals(service: Service) -> str:
    return ", ".join(
        f"{model.name} {model.latency_ms:g} ms" for model in service.models if model.latency_ms
    )


def monitoring_files(deployment: Deployment, *, dns: bool) -> tuple[ExportFile, ...]:
    """Configuration, rules, provisioning and dashboard.

    Args:
        deployment: what is watched.
        dns: find every replica by Swarm's names; else one server a service.
    """
    values = {"services": deployment.services, "dns": dns}
    provisioning = "grafana/provisioning"
    return (
        ExportFile("prometheus/prometheus.yml", render("monitoring/prometheus.yml.j2", values)),
        ExportFile("prometheus/rules.yml", rules(deployment)),
        ExportFile(
            f"{provisioning}/datasources/prometheus.yml",
            render("monitoring/datasource.yml.j2", {}),
        ),
        ExportFile(
            f"{provisioning}/dashboards/tritongen.yml", render("monitoring/dashboards.yml.j2", {})
        ),
        ExportFile("grafana/dashboards/triton.json", dashboard(deployment)),
    )
