"""The runtimes behind `up`, `down` and `status`: choosing one, and finding servers again."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding, Severity
from tritongen.model.progress import Progress
from tritongen.serving.protocol import ServerRuntime, ServerSpec
from tritongen.serving.server_spec import UpOptions
from tritongen.triton.server import RuntimeName
from tritongen.triton.server_state import StateStore

if TYPE_CHECKING:
    from tritongen.serving.running_server import RunningServer


# What makes the embedded runtime unfit for a machine or a repository.
_UNFIT = frozenset({"TG803", "TG804", "TG805", "TG806", "TG833", "TG863"})


@dataclass(frozen=True, slots=True)
class ChosenRuntime:
    """Where a server runs, and why there.

    Attributes:
        runtime: of the server.
        reason: in a sentence.
        findings: of its preflight, where the choice already took one.
    """

    runtime: ServerRuntime
    reason: str
    findings: tuple[Finding, ...] | None = None

    @property
    def name(self) -> RuntimeName:
        """Of the runtime."""
        return self.runtime.name

    def preflight(self, spec: ServerSpec) -> tuple[Finding, ...]:
        """What stands in the way of the spec that it was chosen for."""
        return self.runtime.preflight(spec) if self.findings is None else self.findings


def choose_runtime(
    spec: ServerSpec, options: UpOptions, progress: Progress | None = None
) -> ChosenRuntime:
    """Where to serve: as asked; else embedded, unless an image is named or it cannot serve this.

    Args:
        spec: of the server.
        options: as they were given.
        progress: told of downloads.
    """
    if options.runtime is not None:
        runtime = make_runtime(options.runtime, options.wheel, progress)
        return ChosenRuntime(runtime, "asked for with --runtime")
    if options.image:
        return ChosenRuntime(make_runtime(RuntimeName.DOCKER, None, progress), "an image is named")
    embedded = make_runtime(RuntimeName.EMBEDDED, options.wheel, progress)
    findings = embedded.preflight(spec)
    unfit = [item for item in findings if item.severity is Severity.ERROR and item.code in _UNFIT]
    if unfit:
        reason = f"the embedded Triton cannot serve this: {unfit[0].message}"
        return ChosenRuntime(make_runtime(RuntimeName.DOCKER, None, progress), reason)
    held = ", ".join(sorted(set(spec.backends) - {"", "ensemble"})) or "its standard backends"
    reason = f"this machine runs it, with {held}, and needs no Docker for it"
    return ChosenRuntime(embedded, reason, findings)


def make_runtime(
    name: RuntimeName, wheel: Path | None = None, progress: Progress | None = None
) -> ServerRuntime:
    """The runtime of a name.

    Args:
        name: embedded or docker.
        wheel: local copy of the embedded Triton's.
        progress: told of downloads.
    """
    if name is RuntimeName.DOCKER:
        from tritongen.serving.docker.docker_runtime import DockerRuntime

        return DockerRuntime(progress)
    from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime

    return EmbeddedRuntime(wheel=wheel, progress=progress)


def find_running(store: StateStore, *, damaged_names_none: bool = False) -> "RunningServer | None":
    """The server that a project's state file names, None when it does not run.

    Args:
        store: of the project.
        damaged_names_none: what a damaged file named is an orphan, for those who look for these.

    Raises:
        EnvironmentProblem: TG817 the file is damaged, TG840 the Docker Engine does not answer.
    """
    try:
        state = store.read()
    except EnvironmentProblem:
        if not damaged_names_none:
            raise
        return None
    return None if state is None else make_runtime(state.runtime).attach_to(state)


def post_mortem(store: StateStore) -> EnvironmentProblem | None:
    """Why the project's container ended; None when there is nothing left of it to ask.

    Raises:
        EnvironmentProblem: TG840.
    """
    state = store.read()
    if state is None or state.runtime is not RuntimeName.DOCKER:
        return None
    from tritongen.serving.docker.docker_runtime import DockerRuntime

    server = DockerRuntime().find(state)
    return None if server is None or server.alive() else server.ended()
