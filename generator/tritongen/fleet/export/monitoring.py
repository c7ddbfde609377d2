"""What is asked of Prometheus, and its files and Grafana's, which several targets share."""

from collections.abc import Mapping

from tritongen.fleet.export.deployment import DeployedModel, Deployment, Service
from tritongen.fleet.export.export_target import ExportFile, render

_WINDOW = "1m"
# Of autoscalers: three samples at the scrape interval of 1 m that Prometheus has by default.
SCALING_WINDOW = "3m"
# Triton's summaries hold these quantiles unless told otherwise.
_QUANTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
# Severity, a long window, a short one that tells whether it goes on, and how many times faster than
# the budget allows: 2 % of a month's in an hour, 5 % in six hours; as Google's SRE workbook has it.
_SPEEDS = (("critical", "1h", "5m", 14.4), ("warning", "6h", "30m", 6.0))
PROMETHEUS_IMAGE = "prom/prometheus:v3.5.0"
GRAFANA_IMAGE = "grafana/grafana:12.1.0"


def _rate(metric: str, labels: str, by: str, window: str = _WINDOW) -> str:
    braces = f"{{{labels}}}" if labels else ""
    return f"sum by ({by}) (rate({metric}{braces}[{window}]))"


def request_rate(labels: str = "", by: str = "model", window: str = _WINDOW) -> str:
    """Answered requests per second."""
    return _rate("nv_inference_request_success", labels, by, window)


def failure_share(labels: str = "", by: str = "model", window: str = _WINDOW) -> str:
    """Share of requests that failed; 0 without requests."""
    failed = _rate("nv_inference_request_failure", labels, by, window)
    return f"{failed} / clamp_min({failed} + {request_rate(labels, by, window)}, 1e-9)"


def latency_mean(labels: str = "", by: str = "model") -> str:
    """Mean seconds of a request inside the server."""
    total = _rate("nv_inference_request_duration_us", labels, by)
    return f"{total} / clamp_min({request_rate(labels, by)}, 1e-9) / 1e6"


def queue_mean(labels: str = "", by: str = "model", window: str = _WINDOW) -> str:
    """Mean microseconds that a request waits in the queue; 0 without requests."""
    total = _rate("nv_inference_queue_duration_us", labels, by, window)
    return f"{total} / clamp_min({request_rate(labels, by, window)}, 1e-9)"


def batch(labels: str = "", by: str = "model") -> str:
    """Mean rows of an execution."""
    rows = _rate("nv_inference_count", labels, by)
    return f"{rows} / clamp_min({_rate('nv_inference_exec_count', labels, by)}, 1e-9)"


def instance_use(service: str, model: DeployedModel, where: str = "") -> str:
    """Share of the time that the instances of a model are busy, by server of a service.

    Triton counts an execution once for each request in it, so that the time of an execution is the
    mean over requests, and their number is what `nv_inference_exec_count` says.
    """
    labels, by = f'job="{service}", model="{model.name}"', "instance, model"
    labels += f", {where}" if where else ""
    parts = ("compute_input", "compute_infer", "compute_output")
    busy = " + ".join(_rate(f"nv_inference_{part}_duration_us", labels, by) for part in parts)
    return (
        f"({busy}) / clamp_min({request_rate(labels, by)}, 1e-9)"
        f" * {_rate('nv_inference_exec_count', labels, by)} / 1e6 / {model.instances}"
    )


def quantile(model: DeployedModel) -> str:
    """The quantile of Triton's summaries that a model's goal is held against."""
    over = next((item for item in _QUANTILES if item >= model.percentile), _QUANTILES[-1])
    return f"{over / 100:g}"


def goal_missed(model: DeployedModel, where: str = "") -> str:
    """1 while the slowest replica misses a model's goal, else 0."""
    labels = f'model="{model.name}", quantile="{quantile(model)}"' + (f", {where}" if where else "")
    goal_us = int((model.latency_ms or 0.0) * 1000)
    return f"max by (model) (nv_inference_request_summary_us{{{labels}}}) > bool {goal_us}"


# As the templates know them.
_QUERIES = {
    one.__name__: one
    for one in (
        request_rate,
        failure_share,
        latency_mean,
        queue_mean,
        batch,
        instance_use,
        goal_missed,
    )
}


def dashboard(deployment: Deployment, **place: str) -> str:
    """The Grafana dashboard.

    Args:
        deployment: what is watched.
        place: labels of all that it asks for, such as the namespace of a cluster.
    """
    values = {
        "query": _QUERIES,
        "where": _matchers(place),
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


def rules(deployment: Deployment, **place: str) -> str:
    """What Prometheus records and alerts on.

    Args:
        deployment: what is watched.
        place: labels of all that it is asked for, such as the namespace of a cluster.
    """
    values = {
        "services": deployment.services,
        "query": _QUERIES,
        "place": place,
        "where": _matchers(place),
        "speeds": _SPEEDS,
    }
    return render("monitoring/rules.yml.j2", values)


def _matchers(labels: Mapping[str, str]) -> str:
    """Labels as a query has them."""
    return ", ".join(f'{name}="{value}"' for name, value in labels.items())


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
