"""What is asked of Prometheus: one place for the rules, the dashboard and the autoscalers."""

from tritongen.fleet.export.deployment import DeployedModel

WINDOW = "1m"
# Triton's summaries hold these quantiles unless told otherwise.
_QUANTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


def _rate(metric: str, labels: str, by: str, window: str) -> str:
    braces = f"{{{labels}}}" if labels else ""
    return f"sum by ({by}) (rate({metric}{braces}[{window}]))"


def request_rate(labels: str = "", by: str = "model", window: str = WINDOW) -> str:
    """Answered requests per second."""
    return _rate("nv_inference_request_success", labels, by, window)


def failure_share(labels: str = "", by: str = "model", window: str = WINDOW) -> str:
    """Share of requests that failed; 0 without requests."""
    failed = _rate("nv_inference_request_failure", labels, by, window)
    return f"{failed} / clamp_min({failed} + {request_rate(labels, by, window)}, 1e-9)"


def latency_mean(labels: str = "", by: str = "model", window: str = WINDOW) -> str:
    """Mean seconds of a request inside the server."""
    total = _rate("nv_inference_request_duration_us", labels, by, window)
    return f"{total} / clamp_min({request_rate(labels, by, window)}, 1e-9) / 1e6"


def queue_mean(labels: str = "", by: str = "model", window: str = WINDOW) -> str:
    """Mean microseconds that a request waits in the queue; 0 without requests."""
    total = _rate("nv_inference_queue_duration_us", labels, by, window)
    return f"{total} / clamp_min({request_rate(labels, by, window)}, 1e-9)"


def batch(labels: str = "", by: str = "model", window: str = WINDOW) -> str:
    """Mean rows of an execution."""
    rows = _rate("nv_inference_count", labels, by, window)
    return f"{rows} / clamp_min({_rate('nv_inference_exec_count', labels, by, window)}, 1e-9)"


def instance_use(service: str, model: DeployedModel, window: str = WINDOW) -> str:
    """Share of the time that the instances of a model are busy, by server of a service.

    Triton counts an execution once for each request in it, so that the time of an execution is the
    mean over requests, and their number is what `nv_inference_exec_count` says.
    """
    labels, by = f'job="{service}", model="{model.name}"', "instance, model"
    parts = ("compute_input", "compute_infer", "compute_output")
    busy = " + ".join(
        _rate(f"nv_inference_{part}_duration_us", labels, by, window) for part in parts
    )
    return (
        f"({busy}) / clamp_min({request_rate(labels, by, window)}, 1e-9)"
        f" * {_rate('nv_inference_exec_count', labels, by, window)} / 1e6 / {model.instances}"
    )


def quantile(model: DeployedModel) -> str:
    """The quantile of Triton's summaries that a model's goal is held against."""
    over = next((item for item in _QUANTILES if item >= model.percentile), _QUANTILES[-1])
    return f"{over / 100:g}"
