"""The Docker runtime: preflight, start, and finding servers again, by state file or by label."""

import logging
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding
from tritongen.model.progress import Progress
from tritongen.serving.docker import docker_preflight
from tritongen.serving.docker.container_reaper import container_guard, guarded_servers
from tritongen.serving.docker.container_settings import (
    LABEL,
    MODELS,
    PROJECT,
    SERVER,
    ContainerSettings,
    Mount,
    repository_mounts,
)
from tritongen.serving.docker.docker_engine import (
    DockerEngine,
    EngineFacts,
    remove_container,
    speaking,
)
from tritongen.serving.docker.images import PYTHON_LABEL, ImageFacts, describe, image_for, pull
from tritongen.serving.growing_log import new_log
from tritongen.serving.orphans import FoundServer
from tritongen.serving.preflight import choose_ports, endpoints, port_findings, refuse_taken
from tritongen.serving.protocol import CUDA_POOL, PINNED_POOL, ServerSpec, new_state
from tritongen.system.files import translated
from tritongen.triton.server import ApiKeys, RuntimeName, ServerState

if TYPE_CHECKING:
    from tritongen.serving.docker.docker_server import DockerServer


# Another program may take a free port between the choice and the start.
_PORT_ATTEMPTS = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UserChoices:
    """What the user wished of a container; pools of 0 bytes were left to Triton."""

    user: str
    read_only: bool
    pinned_pool_bytes: int = 0
    cuda_pool_bytes: int = 0


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


class DockerRuntime:
    """Runs Triton in a container.

    Args:
        progress: told of the pull.
    """

    name = RuntimeName.DOCKER

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self.engine = DockerEngine()

    def preflight(self, spec: ServerSpec) -> tuple[Finding, ...]:
        """What stands in the way; see `ServerRuntime.preflight`."""
        return docker_preflight.findings(spec, self.engine)

    def make_room(self, label: str) -> None:
        """Removes a project's containers that have ended; see `ServerRuntime.make_room`.

        Raises:
            EnvironmentProblem: TG808 one of them still runs and no state file names it, TG840,
                TG816.
        """
        for found in find_containers(self.engine, label):
            if not found.orphaned:
                continue
            if found.running:
                raise EnvironmentProblem(
                    "TG808",
                    f"container {found.container[:12]} of this project runs, and no state file "
                    "names it",
                    fix="End it with `tritongen down`.",
                )
            end_container(found)

    def run_line(self, spec: ServerSpec) -> str:
        """The ``docker run`` command that starts the same container; nothing is started.

        The engine is asked for its CPUs, and the line is made without them when it does not answer.

        Raises:
            EnvironmentProblem: TG852, or TG807 when no free port is found.
        """
        facts: EngineFacts | None = None
        with suppress(EnvironmentProblem):
            facts = self.engine.facts()
        return _settings(replace(spec, ports=choose_ports(spec.host, spec.ports)), facts).run_line()

    def start(self, spec: ServerSpec) -> "DockerServer":
        """Starts the container and returns at once; see `ServerRuntime.start`."""
        facts = self.engine.facts()
        image = self._present(image_for(spec).reference)
        with translated(spec.log):
            new_log(spec.log).close()
        for folder, _ in spec.kept:
            with translated(folder):
                folder.mkdir(parents=True, exist_ok=True)
                # The container's user is another; nobody else gets into the folder around it.
                folder.chmod(0o777)
        fixed = spec.ports
        for attempt in range(_PORT_ATTEMPTS):
            if facts.local:
                refuse_taken(port_findings(spec.host, fixed))
            chosen = replace(spec, ports=choose_ports(spec.host, fixed))
            try:
                return self._start(_settings(chosen, facts), image)
            except EnvironmentProblem as problem:
                last = attempt + 1 == _PORT_ATTEMPTS
                if problem.code != "TG807" or last or chosen.ports == fixed:
                    raise
        raise AssertionError  # the loop returns or raises

    def attach_to(self, state: ServerState) -> "DockerServer | None":
        """The container of a state file; None when it no longer runs, or is another runtime's.

        Raises:
            EnvironmentProblem: TG840, the engine does not answer, so that nothing is known.
        """
        server = self.find(state)
        return server if server is not None and server.alive() else None

    def user_choices(self, state: ServerState) -> "UserChoices | None":
        """What was wished of the container of a state file; None when it is gone.

        Raises:
            EnvironmentProblem: TG840.
        """
        container = self.engine.container(state.container)
        if container is None:
            return None
        config = container.attrs["Config"]
        words = [word.partition("=") for word in config["Cmd"] or ()]
        given = {name.removeprefix("--"): value for name, _, value in words}
        return UserChoices(
            str(config["User"]),
            bool(container.attrs["HostConfig"]["ReadonlyRootfs"]),
            # Each GPU's has the same size behind its number.
            _number(given.get(PINNED_POOL, "")),
            _number(given.get(CUDA_POOL, "").rpartition(":")[2]),
        )

    def find(self, state: ServerState) -> "DockerServer | None":
        """The container of a state file, also one that has ended; None when it is gone.

        Raises:
            EnvironmentProblem: TG840.
        """
        if state.runtime is not self.name or not state.container:
            return None
        container = self.engine.container(state.container)
        if container is None:
            return None
        marks = container.labels
        if (marks.get(SERVER), marks.get(LABEL)) != (state.server, state.label):
            return None
        from tritongen.serving.docker.docker_server import DockerServer

        backends = frozenset((marks.get(PYTHON_LABEL) or "python").split())
        return DockerServer(state, self.engine, backends, container=container)

    def _present(self, reference: str) -> ImageFacts:
        """The image, pulled when it is not here; one that is here is never pulled over."""
        found = describe(self.engine, reference)
        if found is None:
            pull(self.engine.client(), reference, self._progress)
            found = describe(self.engine, reference)
        if found is None:
            raise EnvironmentProblem("TG842", "image is not here after its pull", where=reference)
        return found

    def _start(self, settings: ContainerSettings, image: ImageFacts) -> "DockerServer":
        # The guard stands before the container does, so that no moment is without one.
        guard = container_guard(settings.server, self.engine.host())
        try:
            made = self.engine.start(settings.body(), settings.name)
            _log.info("container %s of %s runs", made, settings.image)
            # All that is loaded from here on is loaded while Triton loads its models.
            from tritongen.serving.docker.docker_server import DockerServer

            spec, ends = settings.spec, endpoints(settings.spec.host, settings.spec.ports)
            state = new_state(spec, self.name, ends, settings.server, settings.keys, image.server)
            # Who starts the same by hand is not told the keys of this one.
            line = replace(settings, server=_new_name(), keys=ApiKeys.new()).run_line()
            running = DockerServer(
                replace(state, container=made, image=settings.image),
                self.engine,
                image.python_backends,
                guard=guard,
                run_line=line,
            )
            running.mirror_log()
        except EnvironmentProblem as problem:
            guard.finish(wait=problem.code != "TG840")
            raise
        except BaseException:
            guard.finish()
            raise
        return running


def _settings(spec: ServerSpec, facts: EngineFacts | None) -> ContainerSettings:
    """The container of a spec whose ports are settled.

    Raises:
        EnvironmentProblem: TG846, a link of the repository leads nowhere inside; TG852.
    """
    mounts, bad = repository_mounts(spec.repository, MODELS)
    if bad:
        raise EnvironmentProblem(
            "TG846",
            f"{bad[0].path} {bad[0].reason}",
            where=str(spec.repository),
            details=[f"{link.path} {link.reason}" for link in bad[1:]],
        )
    kept = (Mount(str(folder), place, writable=True) for folder, place in spec.kept)
    return ContainerSettings(
        spec=spec,
        image=image_for(spec).reference,
        server=_new_name(),
        mounts=(*mounts, *kept),
        keys=ApiKeys.new(),
        engine_cpus=facts.cpus if facts else None,
    )


def _new_name() -> str:
    """A name for one start that nobody can guess."""
    return os.urandom(8).hex()


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
