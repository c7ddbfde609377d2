"""Ports: which are free, and which one a fixed wish finds taken."""

import os
from dataclasses import replace

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity, finding
from tritongen.serving.protocol import Ports
from tritongen.system.machine import MIN_PORT, ephemeral_start, is_free
from tritongen.triton.server import Endpoints

_ATTEMPTS = 200

_LOOPBACK = ("127.", "::1", "localhost")


def choose(host: str, ports: Ports) -> Ports:
    """Replaces each 0 by a free port, drawn at random so that two starts rarely meet.

    Raises:
        EnvironmentProblem: TG807 when no free port is found, TG814 for a foreign host.
    """
    span = ephemeral_start() - MIN_PORT
    taken = {ports.http, ports.grpc, ports.metrics}
    chosen = ports
    for name in ("http", "grpc", "metrics"):
        if getattr(ports, name):
            continue
        for _ in range(_ATTEMPTS):
            port = MIN_PORT + int.from_bytes(os.urandom(4)) % span
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


def refuse_taken(findings: tuple[Finding, ...]) -> None:
    """Raises the error for ports that are taken, which is TG807; none where there are no such."""
    if findings:
        others = [item.message for item in findings[1:]]
        raise EnvironmentProblem(findings[0].code, findings[0].message, details=others)


def endpoints(host: str, ports: Ports) -> Endpoints:
    """Where clients on this machine reach a server that listens on `host`."""
    reach = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  (compared only)
    if ":" in reach and not reach.startswith("["):
        reach = f"[{reach}]"
    return Endpoints(f"{reach}:{ports.http}", f"{reach}:{ports.grpc}", f"{reach}:{ports.metrics}")


def ports_of(ends: Endpoints) -> Ports:
    """The ports of a server's endpoints, as its state file has them."""
    return Ports(*(int(end.rpartition(":")[2]) for end in (ends.http, ends.grpc, ends.metrics)))


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    return host.startswith(_LOOPBACK)
