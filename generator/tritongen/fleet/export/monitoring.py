"""Prometheus's and Grafana's files, which several targets share."""

from tritongen.fleet.export import prometheus_queries
from tritongen.fleet.export.deployment import Deployment, Service
from tritongen.fleet.export.render_texts import ExportFile, render

PROMETHEUS_IMAGE = "prom/prometheus:v3.5.0"
GRAFANA_IMAGE = "grafana/grafana:12.1.0"


def rules(deployment: Deployment) -> str:
    """Recording rules and alerts."""
    values = {"query": prometheus_queries, "services": deployment.services}
    return render("monitoring/rules.yml.j2", values)


def dashboard(deployment: Deployment) -> str:
    """The Grafana dashboard."""
    values = {
        "query": prometheus_queries,
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
