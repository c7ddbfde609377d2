"""What stands in the way of a server on this machine, whatever runs it."""

import os
from collections.abc import Iterator

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.releases import MENDED, RELEASES, at_least
from tritongen.serving.ports import is_loopback, port_findings
from tritongen.serving.protocol import ModelControl, ServerSpec


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
        if spec.model_control is ModelControl.EXPLICIT:
            yield finding(
                "TG832", Severity.WARNING, "whoever has the server's key may load models into it"
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
