"""How an engine finds out whether a container serves, and how it ends one."""

from dataclasses import dataclass

_PROGRAM = (
    "import http.client as h, sys; c = h.HTTPConnection(sys.argv[1], timeout=4); "
    "c.request(*sys.argv[2:]); sys.exit(c.getresponse().status != 200)"
)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How an engine finds out whether a container serves, and how it ends one.

    Attributes:
        command: to run inside; exit code 0 is healthy.
        interval_s: between two checks.
        timeout_s: of one check.
        start_s: failures within are not counted after the start.
        retries: failures in a row that make it unhealthy.
        stop_grace_s: between SIGTERM and SIGKILL; Triton itself waits 30 s for its requests.
    """

    command: tuple[str, ...]
    interval_s: int
    timeout_s: int
    start_s: int
    retries: int
    stop_grace_s: int


HEALTH = HealthCheck(
    command=(
        "python3", "-I", "-S", "-c", _PROGRAM, "127.0.0.1:8000", "GET", "/v2/health/ready",
    ),
    interval_s=10,
    timeout_s=5,
    start_s=300,
    retries=3,
    stop_grace_s=35,
)  # fmt: skip
