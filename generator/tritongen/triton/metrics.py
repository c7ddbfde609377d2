"""The server's metrics page: its samples, and the memory of its whole machine."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tritongen.triton.address import Endpoint
from tritongen.triton.http_channel import HttpChannel
from tritongen.triton.statistics import MAX_COUNTER, GpuUse, ServerUse

_TIMEOUT_S = 2.0  # Chosen: numbers of a level are good without it.
# One sample of each for each GPU; no utilization of a MIG slice.
_GPU_METRICS = (
    "nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes",
)  # fmt: skip

# Possessive repeats keep no places to go back to, which took 160 times the page's size. A label's
# name is tried from its begin alone, or one without an end would take the square of its length.
_SAMPLE = re.compile(
    # A label's value may hold a brace.
    r'^([A-Za-z_:][\w:]*+)(?:\{((?:[^}"\n]++|"(?:[^"\\\n]++|\\.)*+")*+)\})?[ \t]++(\S++)',
    re.MULTILINE,
)
_LABEL = re.compile(r'(?<!\w)(\w++)="((?:[^"\\]++|\\.)*+)"')


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One line of a page in Prometheus's text format."""

    name: str
    value: float
    _labels: str = field(repr=False)

    def label(self, name: str) -> str:
        """The value of a label, empty when there is none of that name."""
        found = (match[2] for match in _LABEL.finditer(self._labels) if match[1] == name)
        return next(found, "")


def metric_samples(text: str) -> Iterator[MetricSample]:
    """The samples of a page that have a value."""
    for match in _SAMPLE.finditer(text):
        try:
            value = float(match[3])
        except ValueError:
            continue
        if abs(value) <= MAX_COUNTER:
            yield MetricSample(match[1], value, match[2] or "")


@dataclass(frozen=True, slots=True)
class Metrics:
    """A metrics endpoint."""

    endpoint: Endpoint

    def use(self) -> ServerUse:
        """What the machine uses now; empty when the endpoint does not answer."""
        return parse_metrics(metrics_page(self.endpoint, _TIMEOUT_S) or "")


def metrics_page(endpoint: Endpoint, seconds: float) -> str | None:
    """The text of an endpoint's ``/metrics``, None when there is no such page in that time."""
    context = endpoint.tls.context() if endpoint.tls is not None else None
    channel, path = HttpChannel(endpoint.host, endpoint.port, context), f"{endpoint.path}/metrics"
    try:
        answer = channel.ask("GET", path, headers=endpoint.headers, seconds=seconds)
    except OSError:
        return None
    finally:
        channel.close()
    return answer.content.decode("utf-8", "replace") if answer.status == 200 else None


def parse_metrics(text: str) -> ServerUse:
    """Memory from a page; a share of the CPU says nothing where the machine's cores are unknown."""
    gpus = gpu_use(text)
    for sample in metric_samples(text):
        if sample.name == "nv_cpu_memory_used_bytes":
            return ServerUse(None, int(sample.value), "metrics", gpus)
    return ServerUse(gpus=gpus)


def gpu_use(text: str) -> GpuUse | None:
    """What a page says of GPUs, None where it knows of none."""
    found: dict[str, list[float]] = {}
    for sample in metric_samples(text):
        if sample.name in _GPU_METRICS and sample.value >= 0.0:
            found.setdefault(sample.name, []).append(sample.value)
    if not found:
        return None
    busy, used, whole = (found.get(name, []) for name in _GPU_METRICS)
    return GpuUse(
        sum(busy) / len(busy) if busy else None,
        int(sum(used)) if used else None,
        int(sum(whole)) if whole else None,
    )
