"""`down`, `status` and `logs` of a project's server, which `up` started."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.serving.growing_log import last_text
from tritongen.serving.runtimes import find_running, post_mortem
from tritongen.triton.server_state import StateStore, project_label

if TYPE_CHECKING:
    from tritongen.serving.attached import ServerStatus
    from tritongen.serving.orphans import FoundServer
    from tritongen.serving.running_server import RunningServer


def down(project: Path, *, everything: bool = False, grace_s: float = 30.0) -> tuple[str, ...]:
    """Stop the project's server, or every server that this tool ever started here.

    Returns:
        The endpoint or name of each server that was stopped; empty when none ran.

    Raises:
        EnvironmentProblem: TG816, one cannot be ended; TG817 or TG004, all are ended and the state
            file cannot be removed.
    """
    store = StateStore(project)
    stopped = []
    # Where nothing was ever started there is nothing to keep apart, and nothing is made.
    used = store.folder.is_dir()
    with store.lock("starting or stopping the server") if used else nullcontext():
        running = find_running(store, damaged_names_none=True)
        if running is not None:
            running.stop(grace_s)
            stopped.append(running.endpoints.http)
        try:
            store.clear()
        finally:  # a state that cannot be forgotten keeps no server alive
            # Without --all only leftovers of this project's own folder are ended.
            label = project_label(project)
            stopped += _end_leftovers(label, everything=everything, grace_s=grace_s)
    return tuple(stopped)


def status(project: Path, repository: Path | None = None) -> "ServerStatus":
    """The project's server as it is now, and how it differs from a repository on disk.

    Args:
        project: the project's folder.
        repository: to compare with; the one that it was started on when None.

    Raises:
        EnvironmentProblem: TG809 none runs; TG812 it ended; TG814 it does not answer.
    """
    # Clients are of no use to `up` before its server runs, and it loads this module, too.
    from tritongen.serving.attached import ServerStatus, own_drift

    server = running_server(project)
    state = server.state
    models = server.statuses()
    # A model that does not serve has said so already, with the server's reason.
    failed = {model.name for model in models if not model.ready}
    drift = own_drift(state, repository or Path(state.repository))
    return ServerStatus(
        runtime=state.runtime,
        endpoints=server.endpoints,
        version=state.version,
        models=models,
        drift=tuple(item for item in drift if item.model not in failed),
        repository=state.repository,
        log=state.log,
    )


def running_server(project: Path) -> "RunningServer":
    """The project's server.

    Raises:
        EnvironmentProblem: TG809, none runs; TG812 or TG813, its container has ended.
    """
    store = StateStore(project)
    server = find_running(store)
    if server is None:
        problem = post_mortem(store)
        if problem is not None:
            raise problem
        state = store.read()
        details = () if state is None else (f"the last one logged to {state.log}",)
        raise EnvironmentProblem(
            "TG809", "no server of this project is running", where=str(project), details=details
        )
    return server


def last_logs(project: Path, lines: int) -> tuple[str, ...]:
    """The last lines of the project's server log, whether it still runs or not.

    Raises:
        EnvironmentProblem: TG809, there was never a server; TG011, the log is not the tool's own.
    """
    store = StateStore(project)
    running = find_running(store)
    if running is not None:
        return running.logs(lines)
    try:
        text = last_text(store.log)
    except OSError as problem:
        raise EnvironmentProblem(
            "TG809", "no server of this project has logged anything", where=str(store.log)
        ) from problem
    return tuple(text.splitlines()[-max(lines, 1) :])


def _end_leftovers(label: str, *, everything: bool, grace_s: float) -> tuple[str, ...]:
    """Ends what no state file names any more: of one project, or of all with all servers.

    Returns:
        The name of each server that was ended.

    Raises:
        EnvironmentProblem: TG816, one cannot be ended.
    """
    from tritongen.serving.orphans import end_server, find_servers

    ended = []
    for found in (*find_servers(), *_containers()):
        if everything or (found.label == label and found.orphaned):
            if found.container:
                from tritongen.serving.docker.docker_runtime import end_container

                end_container(found, grace_s)
            else:
                end_server(found, grace_s)
            ended.append(found.server)
    return tuple(ended)


def _containers() -> "tuple[FoundServer, ...]":
    """Containers of this tool; none where no engine answers, which then runs none either."""
    if not _engine_likely():
        return ()
    from tritongen.serving.docker.docker_runtime import find_containers

    try:
        return find_containers()
    except EnvironmentProblem as problem:
        if problem.code not in {"TG840", "TG841"}:
            raise
        return ()


def _engine_likely() -> bool:
    """Whether it is worth loading the client: `down` without Docker should cost nothing."""
    places = (Path("/var/run/docker.sock"), Path.home() / ".docker/config.json")
    return bool(os.environ.get("DOCKER_HOST")) or any(place.exists() for place in places)
