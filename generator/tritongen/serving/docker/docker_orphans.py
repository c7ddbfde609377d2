"""Containers found by their labels, whatever became of the state files."""

from pathlib import Path

from tritongen.serving.docker.container_reaper import container_guard, guarded_servers
from tritongen.serving.docker.container_settings import LABEL, PROJECT, SERVER
from tritongen.serving.docker.docker_engine import (
    DockerEngine,
    remove_container,
    speaking,
)
from tritongen.serving.orphans import FoundServer


def find_containers(engine: DockerEngine | None = None, label: str = "") -> tuple[FoundServer, ...]:
    """Containers of this tool, running or not.

    Args:
        engine: to ask; a new connection when None.
        label: of one project; every project's when empty.

    Raises:
        EnvironmentProblem: TG840, TG841.
    """
    engine = engine or DockerEngine()
    wanted = [SERVER, f"{LABEL}={label}"] if label else [SERVER]
    if engine.holds_none(wanted):
        return ()
    client = engine.client()
    with speaking():
        found = client.containers.list(all=True, filters={"label": wanted}, ignore_removed=True)
    # A guard stands before its container does, so that it is looked for afterwards.
    watched = guarded_servers() if found else frozenset()
    return tuple(
        FoundServer(
            server=item.labels[SERVER],
            label=item.labels.get(LABEL, ""),
            project=Path(item.labels.get(PROJECT, "/")),
            owned=item.labels[SERVER] in watched,
            container=str(item.id),
            running=item.status == "running",
        )
        for item in found
    )


def end_container(found: FoundServer, grace_s: float = 10.0) -> None:
    """Stops and removes a container.

    Raises:
        EnvironmentProblem: TG840, TG816 when it stays.
    """
    seconds = max(1, round(grace_s))
    engine = DockerEngine()
    guard = container_guard(found.server, engine.host(), seconds)
    container = engine.container(found.container)
    if container is not None:
        remove_container(container, seconds)
    guard.dismiss()
