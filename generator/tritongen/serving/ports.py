"""Ports: which are free, and which one a fixed wish finds taken."""

import errno
import os
import socket
from dataclasses import replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity, finding
from tritongen.serving.protocol import Endpoints, Ports

__all__ = ["choose", "endpoints", "is_free", "port_findings"]

_LOWEST = 20_000
_ATTEMPTS = 200


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


def _ephemeral_start() -> int:
    """Ports from here on are given to outgoing connections and may vanish at any moment."""
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
        return max(_LOWEST + 2000, int(text.split()[0]))
    except (OSError, ValueError, IndexError):
        return 32_768


def choose(host: str, ports: Ports) -> Ports:
    """Replaces each 0 by a free port, drawn at random so that two starts rarely meet.

    Raises:
        EnvironmentProblem: TG807 when no free port is found, TG814 for a foreign host.
    """
    span = _ephemeral_start() - _LOWEST
    taken = {ports.http, ports.grpc, ports.metrics}
    chosen = ports
    for name in ("http", "grpc", "metrics"):
        if getattr(ports, name):
            continue
        for _ in range(_ATTEMPTS):
            port = _LOWEST + int.from_bytes(os.urandom(4)) % span
            if port not in taken and is_free(host, port):
                taken.add(port)
                chosen = replace(chosen, **{name: port})
                break
        else:
            raise EnvironmentProblem("TG807", "no free port was found", where=host)
    return chosen


def port_findings(host: str, ports: Ports) -> tuple[Finding, ...]:
    """One error for each fixed port that is taken, naming it."""
    wanted = (("HTTP", ports.http), ("gRPC", ports.grpc), ("metrics", ports.metrics))
    return tuple(
        finding("TG807", Severity.ERROR, f"port {port} for {name} is taken on {host}")
        for name, port in wanted
        if port and not is_free(host, port)
    )


def endpoints(host: str, ports: Ports) -> Endpoints:
    """Where clients on this machine reach a server that listens on `host`."""
    reach = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  (compared only)
    if ":" in reach and not reach.startswith("["):
        reach = f"[{reach}]"
    return Endpoints(f"{reach}:{ports.http}", f"{reach}:{ports.grpc}", f"{reach}:{ports.metrics}")
