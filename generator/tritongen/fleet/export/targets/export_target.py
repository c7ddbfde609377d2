"""What a target of `tritongen export` has to say of itself."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.render_texts import ExportFile
from tritongen.model.findings import Finding


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """One target; what else people should know of it is its module's docstring.

    Attributes:
        summary: what it is, for people.
        files: renders everything.
        deploy: commands that bring it up, run in the folder that was written.
        findings: what of a deployment the target refuses or limits; errors forbid writing.
    """

    summary: str
    files: Callable[[Deployment], tuple[ExportFile, ...]]
    deploy: tuple[str, ...]
    findings: Callable[[Deployment], Iterable[Finding]] = lambda _: ()
