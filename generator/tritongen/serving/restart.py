"""`restart`: the same server again, with the repository as it is now."""

from dataclasses import replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.model.progress import Progress
from tritongen.serving.lifecycle import down
from tritongen.serving.ports import ports_of
from tritongen.serving.server_spec import ServedRepository, UpOptions
from tritongen.serving.up import UpResult, lint_findings, up
from tritongen.triton.server import LOOPBACK, RuntimeName, ServerState
from tritongen.triton.server_state import StateStore

__all__ = ["restart"]


def restart(
    project: Path,
    *,
    grace_s: float,
    timeout_s: float,
    keep_going: bool,
    progress: Progress | None = None,
) -> UpResult:
    """End the project's server and start it again: runtime, image, address and ports as before.

    Args:
        project: the project's folder.
        grace_s: before the old server is killed.
        timeout_s: until every model must be decided.
        keep_going: leave the server up although a model failed.
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
    lint_findings(ServedRepository.read(repository), keep_going=keep_going)
    wanted = replace(_options(state), timeout_s=timeout_s, keep_going=keep_going)
    down(project, grace_s=grace_s)
    return replace(up(project, repository, wanted, progress), reason="as before")


def _options(state: ServerState) -> UpOptions:
    chosen = UpOptions(
        runtime=state.runtime,
        ports=ports_of(state.endpoints),
        host=state.host or LOOPBACK,
        image=state.image,
    )
    if state.runtime is not RuntimeName.DOCKER:
        return chosen
    from tritongen.serving.docker.docker_runtime import DockerRuntime

    found = DockerRuntime().user_choices(state)
    return chosen if found is None else replace(chosen, user=found[0], read_only=found[1])
