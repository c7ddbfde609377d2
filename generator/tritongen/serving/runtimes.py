"""The runtimes behind `up`, `down` and `status`: choosing one, finding servers, leftovers."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Severity
from tritongen.model.progress import Progress
from tritongen.serving.protocol import RunningServer, Runtime, ServerSpec
from tritongen.serving.quick_start import quick_spec
from tritongen.serving.server_spec import UpOptions, readable_lock, server_spec
from tritongen.triton.server import RuntimeName
from tritongen.triton.server_state import StateStore

if TYPE_CHECKING:
    from tritongen.serving.docker.docker_orphans import FoundContainer
    from tritongen.serving.docker.docker_runtime import DockerRuntime
    from tritongen.serving.docker.images import ImageChoice

__all__ = [
    "choose_runtime",
    "choose_with_reason",
    "docker_runtime",
    "end_leftovers",
    "find_running",
    "image_choice",
    "make_room",
    "make_runtime",
    "post_mortem",
    "settle_runtime",
]

# What makes the embedded runtime unfit for a machine or a repository.
_UNFIT = frozenset({"TG803", "TG804", "TG805", "TG806", "TG833"})


def make_runtime(
    name: RuntimeName, options: UpOptions | None = None, progress: Progress | None = None
) -> Runtime:
    """The runtime of a name.

    Args:
        name: embedded or docker.
        options: wheel, image and what else it takes of them.
        progress: told of downloads.

    Raises:
        InvalidInputError: TG304, the image's name is none.
    """
    wanted = options or UpOptions()
    if name is RuntimeName.DOCKER:
        return docker_runtime(wanted, progress)
    from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime

    return EmbeddedRuntime(wheel=wanted.wheel, progress=progress)


def docker_runtime(options: UpOptions, progress: Progress | None = None) -> "DockerRuntime":
    """The Docker runtime, with what only it can do.

    Raises:
        InvalidInputError: TG304, the image's name is none.
    """
    from tritongen.serving.docker.container_settings import USER, DockerOptions
    from tritongen.serving.docker.docker_runtime import DockerRuntime

    chosen = DockerOptions(options.image, options.user or USER, options.read_only)
    return DockerRuntime(chosen, progress)


def choose_runtime(spec: ServerSpec, options: UpOptions) -> RuntimeName:
    """Where to serve: as asked; else embedded, unless an image is named or it cannot serve this."""
    return choose_with_reason(spec, options)[0]


def choose_with_reason(spec: ServerSpec, options: UpOptions) -> tuple[RuntimeName, str]:
    """Where to serve, and why there."""
    asked = _asked(options)
    if asked is not None:
        return asked
    from tritongen.serving.embedded.embedded_runtime import EmbeddedRuntime

    findings = EmbeddedRuntime(wheel=options.wheel).preflight(spec)
    unfit = [item for item in findings if item.severity is Severity.ERROR and item.code in _UNFIT]
    if unfit:
        return RuntimeName.DOCKER, f"the embedded Triton cannot serve this: {unfit[0].message}"
    held = ", ".join(sorted(set(spec.backends) - {"", "ensemble"})) or "its standard backends"
    return RuntimeName.EMBEDDED, f"this machine runs it, with {held}, and needs no Docker for it"


def _asked(options: UpOptions) -> tuple[RuntimeName, str] | None:
    """The runtime that the user chose, and how; None when it is left to the tool."""
    if options.runtime is not None:
        return options.runtime, "asked for with --runtime"
    if options.image:
        return RuntimeName.DOCKER, "an image is named"
    return None


def settle_runtime(project: Path, repository: Path, options: UpOptions) -> tuple[UpOptions, str]:
    """The options with their runtime chosen, and why that one.

    Raises:
        InvalidInputError: the repository cannot be served as it is.
    """
    asked = _asked(options)
    if asked is None:
        store = StateStore(project)
        spec = quick_spec(store, repository, options) or server_spec(
            store, repository, readable_lock(repository), options
        )
        asked = choose_with_reason(spec, options)
    return replace(options, runtime=asked[0]), asked[1]


def image_choice(project: Path, repository: Path, options: UpOptions) -> "ImageChoice":
    """The image of a container for the repository, and why that one.

    Raises:
        InvalidInputError: the repository cannot be served as it is, or the image's name is none.
        EnvironmentProblem: TG852, no official image holds the backends.
    """
    spec = server_spec(StateStore(project), repository, readable_lock(repository), options)
    return docker_runtime(options).choice_for(spec)


def find_running(store: StateStore, *, damaged_names_none: bool = False) -> RunningServer | None:
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
    server = docker_runtime(UpOptions()).find(state)
    return None if server is None or server.alive() else server.ended()


def make_room(label: str, runtime: "DockerRuntime") -> None:
    """Removes this project's containers that have ended, before a new one starts.

    Raises:
        EnvironmentProblem: TG808 one of them still runs and no state file names it, TG840, TG816.
    """
    if runtime.engine.holds_none(label):
        return
    from tritongen.serving.docker.docker_orphans import end_container
    from tritongen.serving.docker.docker_orphans import find_orphans as orphaned_containers

    for found in orphaned_containers(runtime.engine.client()):
        if found.label != label:
            continue
        if found.running:
            raise EnvironmentProblem(
                "TG808",
                f"container {found.container[:12]} of this project runs, and no state file names "
                "it",
                fix="End it with `tritongen down`.",
            )
        end_container(found)


def end_leftovers(label: str, *, everything: bool, grace_s: float) -> tuple[str, ...]:
    """Ends what no state file names any more: of one project, or of all with all servers.

    Returns:
        The name of each server that was ended.

    Raises:
        EnvironmentProblem: TG816, one cannot be ended.
    """
    from tritongen.serving.orphans import end_server, find_orphans, find_servers

    ended = []
    for process in find_servers() if everything else find_orphans():
        if everything or process.label == label:
            end_server(process, grace_s)
            ended.append(process.server)
    for container in _containers(everything=everything):
        if everything or container.label == label:
            from tritongen.serving.docker.docker_orphans import end_container

            end_container(container, grace_s)
            ended.append(container.server)
    return tuple(ended)


def _containers(*, everything: bool) -> "tuple[FoundContainer, ...]":
    """Containers of this tool; none where no engine answers, which then runs none either."""
    if not _engine_likely():
        return ()
    from tritongen.serving.docker import docker_orphans

    try:
        return docker_orphans.find_containers() if everything else docker_orphans.find_orphans()
    except EnvironmentProblem as problem:
        if problem.code not in {"TG840", "TG841"}:
            raise
        return ()


def _engine_likely() -> bool:
    """Whether it is worth loading the client: `down` without Docker should cost nothing."""
    places = (Path("/var/run/docker.sock"), Path.home() / ".docker/config.json")
    return bool(os.environ.get("DOCKER_HOST")) or any(place.exists() for place in places)
