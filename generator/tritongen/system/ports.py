"""Ports of this machine: which are free, and where those begin that connections take."""

import errno
import socket
from pathlib import Path

from tritongen.errors import EnvironmentProblem

__all__ = ["MIN_PORT", "ephemeral_start", "is_free"]

MIN_PORT = 20_000


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now.

    Raises:
        EnvironmentProblem: TG814 when the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Triton sets the same option; without it a port in TIME_WAIT would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise EnvironmentProblem(
                "TG814", f"cannot listen on {host}: {error.strerror or error}", where=host
            ) from error
    return True


def ephemeral_start() -> int:
    """Ports from here on are given to outgoing connections and may vanish at any moment."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        return max(MIN_PORT + 2000, int(text.split()[0]))
    except (OSError, ValueError, IndexError):
        return 32_768
