"""`restart`: the same server again, with the repository as it is now."""

from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.serving.lifecycle import Progress, UpOptions, UpResult, down, lint_repository, up
from tritongen.serving.protocol import Ports
from tritongen.serving.runtimes import docker_runtime
from tritongen.serving.server_spec import readable_lock
from tritongen.triton.server import LOOPBACK, Endpoints, RuntimeName, ServerState
from tritongen.triton.server_state import StateStore

__all__ = ["RestartOptions", "restart"]


@dataclass(frozen=True, slots=True)
class RestartOptions:
    """How to restart.

    Attributes:
        grace_s: before the old server is killed.
        timeout_s: until every model must be decided.
        keep_going: leave the server up although a model failed.
    """

    grace_s: float = 30.0
    timeout_s: float = 300.0
    keep_going: bool = False


def restart(project: Path, options: RestartOptions, progress: Progress | None = None) -> UpResult:
    """End the project's server and start it again: runtime, image, address and ports as before.

    Args:
        project: the project's folder.
        options: how.
        progress: as for `up`.

    Raises:
        InvalidInputError: the repository cannot be served as it is; the old server still runs.
        EnvironmentProblem: TG809 there was no server; what `down` and `up` raise.
    """
    state = StateStore(project).read()
    if state is None:
        raise EnvironmentProblem(
            "TG809", "there is no server of this project to restart", where=str(project)
        )
    repository = Path(state.repository)
    readable_lock(repository)
    lint_repository(repository, keep_going=options.keep_going)
    wanted = replace(_options(state), timeout_s=options.timeout_s, keep_going=options.keep_going)
    down(project, grace_s=options.grace_s)
    return up(project, repository, wanted, progress)


def _options(state: ServerState) -> UpOptions:
    chosen = UpOptions(
        runtime=state.runtime,
        ports=_ports(state.endpoints),
        host=state.host or LOOPBACK,
        image=state.image,
    )
    if state.runtime is RuntimeName.DOCKER:
        found = docker_runtime(UpOptions()).options_of(state)
        if found is not None:
            chosen = replace(chosen, user=found.user, read_only=found.read_only)
    return chosen


def _ports(ends: Endpoints) -> Ports:
    return Ports(*(int(end.rpartition(":")[2]) for end in (ends.http, ends.grpc, ends.metrics)))
