"""What stands in the way of a server on this machine, whatever runs it."""

import os
from collections.abc import Iterator

from tritongen.domain.findings import Finding, Severity, finding
from tritongen.errors import EnvironmentProblem
from tritongen.serving.ports import port_findings
from tritongen.serving.protocol import ModelControl, ServerSpec

__all__ = ["network_findings", "repository_findings"]

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


def network_findings(spec: ServerSpec) -> Iterator[Finding]:
    """Taken ports, and an address beyond this machine."""
    try:
        yield from port_findings(spec.host, spec.ports)
    except EnvironmentProblem as problem:
        yield finding(problem.code, Severity.ERROR, problem.what)
    if not spec.host.startswith(_LOOPBACK):
        yield finding(
            "TG819", Severity.WARNING, f"the server listens on {spec.host}, without a password"
        )
        if spec.model_control is ModelControl.EXPLICIT:
            yield finding(
                "TG832", Severity.WARNING, "anyone who reaches the server may load models into it"
            )
