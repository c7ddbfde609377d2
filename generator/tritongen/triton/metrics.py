"""The server's metrics page: its samples, and the CPU and memory of its whole machine."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tritongen.triton.http_channel import HttpChannel
from tritongen.triton.statistics import ServerUse

_TIMEOUT_S = 2.0  # Chosen: numbers of a level are good without it.

_SAMPLE = re.compile(
    # A label's value may hold a brace.
    r'^([A-Za-z_:][\w:]*)(?:\{((?:[^}"\n]|"(?:[^"\\\n]|\\.)*")*)\})?[ \t]+(\S+)',
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One line of a page in Prometheus's text format."""

    name: str
    value: float
    _labels: str = field(repr=False)

    def label(self, name: str) -> str:
        """The value of a label, empty when there is none of that name."""
        labels: dict[str, str] = dict(_LABEL.findall(self._labels))
        return labels.get(name, "")


def metric_samples(text: str) -> Iterator[MetricSample]:
    """The samples of a page that have a finite value."""
    for match in _SAMPLE.finditer(text):
        try:
            value = float(match[3])
        except ValueError:
            continue
        if math.isfinite(value):
            yield MetricSample(match[1], value, match[2] or "")


class Metrics:
    """A metrics endpoint."""

    def __init__(self, host: str, port: int, cores: int | None = None) -> None:
        """Remember the address.

        Args:
            host: of the server.
            port: of its metrics.
            cores: of its machine, None when not known; then CPU is not told.
        """
        self._host, self._port, self._cores = host, port, cores

    def use(self) -> ServerUse:
        """What the machine uses now; empty when the endpoint does not answer."""
        page = metrics_page(self._host, self._port, _TIMEOUT_S)
        return parse_metrics(page or "", self._cores)


def metrics_page(host: str, port: int, seconds: float) -> str | None:
    """The text of ``http://host:port/metrics``, None when there is no such page in that time."""
    channel = HttpChannel(host, port)
    try:
        answer = channel.ask("GET", "/metrics", seconds=seconds)
    except OSError:
        return None
    finally:
        channel.close()
    return answer.content.decode("utf-8", "replace") if answer.status == 200 else None


def parse_metrics(text: str, cores: int | None) -> ServerUse:
    """CPU and memory from Prometheus text."""
    found = {
        sample.name: sample.value
        for sample in metric_samples(text)
        if sample.name in {"nv_cpu_utilization", "nv_cpu_memory_used_bytes"}
    }
    if not found:
        return ServerUse()
    share, memory = found.get("nv_cpu_utilization"), found.get("nv_cpu_memory_used_bytes")
    return ServerUse(
        share * cores if share is not None and cores else None,
        int(memory) if memory is not None else None,
        "metrics",
    )
