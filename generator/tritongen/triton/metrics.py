"""CPU and memory from the server's metrics endpoint; they are those of its whole machine."""

import math
import re

from tritongen.triton.http_channel import HttpChannel
from tritongen.triton.statistics import ServerUse

_TIMEOUT_S = 2.0

_SERIES = re.compile(
    # A label's value may hold a brace.
    r"^(nv_cpu_utilization|nv_cpu_memory_used_bytes)"
    r'(?:\{(?:[^}"\n]|"(?:[^"\\\n]|\\.)*")*\})?\s+(\S+)',
    re.MULTILINE,
)


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
    found: dict[str, float] = {}
    for match in _SERIES.finditer(text):
        try:
            value = float(match[2])
        except ValueError:
            continue
        if math.isfinite(value):
            found[match[1]] = value
    if not found:
        return ServerUse()
    share, memory = found.get("nv_cpu_utilization"), found.get("nv_cpu_memory_used_bytes")
    return ServerUse(
        share * cores if share is not None and cores else None,
        int(memory) if memory is not None else None,
        "metrics",
    )
