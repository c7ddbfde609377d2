"""What stands in the way of a server on this machine, whatever runs it; and its ports."""

import os
from collections.abc import Iterator
from dataclasses import replace

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.releases import MENDED, RELEASES, at_least
from tritongen.model.server_flags import missing_since
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.system.machine import MIN_PORT, ephemeral_start, is_free, reserve
from tritongen.system.paths import LFS_FIX, is_lfs_pointer
from tritongen.triton.server import Endpoints

_ATTEMPTS = 200

_LOOPBACK = ("127.", "::1", "localhost")


def repository_findings(spec: ServerSpec) -> Iterator[Finding]:
    """The repository and each model's folder exist and can be read."""
    repository = spec.repository
    if not repository.is_dir() or not os.access(repository, os.R_OK | os.X_OK):
        what = "is not a folder" if repository.exists() else "does not exist"
        if repository.is_dir():
            what = "cannot be read"
        yield finding("TG831", Severity.ERROR, f"model repository {what}", path=str(repository))
        return
    for name in spec.models:
        folder = repository / name
        if not folder.is_dir():
            yield finding("TG831", Severity.ERROR, "model has no folder", model=name)
        elif not os.access(folder, os.R_OK | os.X_OK):
            yield finding("TG831", Severity.ERROR, "model's folder cannot be read", model=name)
        for path in folder.glob("*/*"):
            if is_lfs_pointer(path):
                what = f"{path.relative_to(repository)} is a Git LFS pointer, not the model"
                yield finding("TG102", Severity.ERROR, what, model=name, fix=LFS_FIX)


def network_findings(spec: ServerSpec) -> Iterator[Finding]:
    """Taken ports, and an address beyond this machine."""
    try:
        yield from port_findings(spec.host, spec.ports)
    except EnvironmentProblem as problem:
        yield finding(problem.code, Severity.ERROR, problem.what)
    if not is_loopback(spec.host):
        yield finding(
            "TG819", Severity.WARNING, f"the server listens on {spec.host}, without a password"
        )


def weakness_findings(spec: ServerSpec, version: str) -> Iterator[Finding]:
    """Known weaknesses of a release that whoever reaches the server can use.

    Args:
        spec: of the server.
        version: of the server, or the release's ``YY.MM``; one that is in no table says nothing.
    """
    release = next((item for item in RELEASES if version in {item.tag, item.server}), None)
    if is_loopback(spec.host) or release is None or at_least(release.tag, MENDED):
        return
    yield finding(
        "TG837",
        Severity.WARNING,
        f"NVIDIA's security bulletins ask for Triton {MENDED} or later; whoever reaches this one, "
        f"{release.tag}, may be able to run code in it",
    )


def flag_findings(spec: ServerSpec, version: str) -> Iterator[Finding]:
    """Flags that were asked for and that a release does not know yet.

    Args:
        spec: of the server.
        version: as for `weakness_findings`.
    """
    for flag in dict(spec.user_flags):
        if since := missing_since(flag, version):
            message = f"Triton {version} has no flag --{flag}, which came with {since}"
            yield finding("TG863", Severity.ERROR, message)


def choose_ports(host: str, ports: Ports) -> Ports:
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
            if port not in taken and is_free(host, port) and reserve(port):
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
