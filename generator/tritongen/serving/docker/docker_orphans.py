"""Containers found by their labels, whatever became of the state files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.serving.docker.container_reaper import container_guard, guarded_servers
from tritongen.serving.docker.container_settings import LABEL, PROJECT, SERVER
from tritongen.serving.docker.docker_engine import connect, context_host, speaking
from tritongen.triton.server_state import StateStore

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["FoundContainer", "end_container", "find_containers", "find_orphans"]


@dataclass(frozen=True, slots=True)
class FoundContainer:
    """A container that this tool made.

    Attributes:
        server: unique name of the start.
        label: its project's label.
        project: its project's folder.
        container: its id.
        running: whether it serves, or has ended.
        owned: a process on this machine still watches over it.
    """

    server: str
    label: str
    project: Path
    container: str
    running: bool
    owned: bool


def find_containers(client: "DockerClient | None" = None) -> tuple[FoundContainer, ...]:
    """Every container of this tool, running or not.

    Raises:
        EnvironmentProblem: TG840, TG841.
    """
    engine = client or connect()
    watched = guarded_servers()
    with speaking():
        found = engine.containers.list(all=True, filters={"label": SERVER}, ignore_removed=True)
    return tuple(
        FoundContainer(
            server=item.labels[SERVER],
            label=item.labels.get(LABEL, ""),
            project=Path(item.labels.get(PROJECT, "/")),
            container=str(item.id),
            running=item.status == "running",
            owned=item.labels[SERVER] in watched,
        )
        for item in found
    )


def find_orphans(client: "DockerClient | None" = None) -> tuple[FoundContainer, ...]:
    """Containers that nobody owns: no process watches them, and no state file names them.

    Raises:
        EnvironmentProblem: TG840, TG841.
    """
    return tuple(item for item in find_containers(client) if not (item.owned or _is_known(item)))


def _is_known(found: FoundContainer) -> bool:
    if not found.running:
        return False  # what is left of it is of no use to anybody
    try:
        state = StateStore(found.project).read()
    except EnvironmentProblem:
        return False  # a damaged state file names nothing
    return state is not None and state.server == found.server


def end_container(found: FoundContainer, grace: float = 10.0) -> None:
    """Stops and removes a container.

    Raises:
        EnvironmentProblem: TG840, TG816 when it stays.
    """
    import docker.errors

    seconds = max(1, round(grace))
    guard = container_guard(found.server, context_host(), seconds)
    client = connect()
    with speaking(found.container[:12]):
        try:
            container = client.containers.get(found.container)
            container.stop(timeout=seconds)
            container.remove(force=True, v=True)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            if "is already in progress" not in str(error):
                raise EnvironmentProblem(
                    "TG816", f"container cannot be removed: {error.explanation}"
                ) from error
    guard.dismiss()
