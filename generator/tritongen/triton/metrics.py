"""CPU and memory from the server's metrics endpoint; they are those of its whole machine."""

import http.client
import re

from tritongen.triton.statistics import ServerUse

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
        connection = http.client.HTTPConnection(self._host, self._port, timeout=2.0)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read(4 * 1024 * 1024).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return ServerUse()
        finally:
            connection.close()
        return parse_metrics(text, self._cores)


def parse_metrics(text: str, cores: int | None) -> ServerUse:
    """CPU and memory from Prometheus text."""
    found: dict[str, float] = {}
    for match in _SERIES.finditer(text):
        try:
            found[match[1]] = float(match[2])
        except ValueError:
            continue
    if not found:
        return ServerUse()
    share, memory = found.get("nv_cpu_utilization"), found.get("nv_cpu_memory_used_bytes")
    return ServerUse(
        share * cores if share is not None and cores else None,
        int(memory) if memory is not None else None,
        "metrics",
    )
