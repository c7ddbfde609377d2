"""The Docker runtime: preflight, start, and finding a server again."""

import logging
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Finding
from tritongen.model.progress import Progress
from tritongen.serving.docker import docker_preflight
from tritongen.serving.docker.access import EngineAccess
from tritongen.serving.docker.container_binds import repository_mounts
from tritongen.serving.docker.container_reaper import container_guard
from tritongen.serving.docker.container_settings import (
    LABEL,
    MODELS,
    SERVER,
    ContainerSettings,
    DockerOptions,
    container_settings,
)
from tritongen.serving.docker.docker_engine import EngineFacts, context_host, speaking
from tritongen.serving.docker.images import (
    PYTHON_LABEL,
    ImageChoice,
    ImageFacts,
    checked,
    choose_image,
    pull,
)
from tritongen.serving.growing_log import new_log
from tritongen.serving.ports import choose, endpoints, port_findings
from tritongen.serving.protocol import ServerSpec
from tritongen.system.files import translated
from tritongen.triton.api_keys import ApiKeys
from tritongen.triton.server import RuntimeName, ServerState

if TYPE_CHECKING:
    from tritongen.serving.docker.docker_server import DockerServer

__all__ = ["DockerRuntime"]

_log = logging.getLogger(__name__)
# Another program may take a free port between the choice and the start.
_PORT_ATTEMPTS = 3


class DockerRuntime:
    """Runs Triton in a container.

    Args:
        options: image and further choices.
        progress: told of the pull.
    """

    name = RuntimeName.DOCKER

    def __init__(
        self, options: DockerOptions | None = None, progress: Progress | None = None
    ) -> None:
        self._options = options or DockerOptions()
        self._progress = progress
        self.engine = EngineAccess()
        if self._options.image:
            self._options = replace(self._options, image=checked(self._options.image))

    @property
    def options(self) -> DockerOptions:
        """What the user chose."""
        return self._options

    def image_for(self, spec: ServerSpec) -> str:
        """The image that serves a spec: the user's, or the official one that fits the plan.

        Raises:
            EnvironmentProblem: TG852, no official image of the release does.
        """
        return self.choice_for(spec).reference

    def choice_for(self, spec: ServerSpec) -> ImageChoice:
        """The image of `image_for`, with the reason.

        Raises:
            EnvironmentProblem: TG852.
        """
        if self._options.image:
            return ImageChoice(self._options.image, "named with --image")
        return choose_image(spec.release, spec.backends, spec.needs)

    def preflight(self, spec: ServerSpec) -> tuple[Finding, ...]:
        """What stands in the way; see `Runtime.preflight`."""
        return docker_preflight.findings(
            spec,
            self._options,
            self.engine.facts,
            self.choice_for,
            self.engine.image,
            self.engine.client,
        )

    def run_line(self, spec: ServerSpec) -> str:
        """The ``docker run`` command that starts the same container; nothing is started.

        The engine is asked for its CPUs, and the line is made without them when it does not answer.

        Raises:
            EnvironmentProblem: TG852, or TG807 when no free port is found.
        """
        facts: EngineFacts | None = None
        with suppress(EnvironmentProblem):
            facts = self.engine.facts()
        ports = choose(spec.host, spec.ports)
        settings = self._settings(replace(spec, ports=ports), _new_name(), facts, ApiKeys.new())
        return settings.run_line()

    def start(self, spec: ServerSpec) -> "DockerServer":
        """Starts the container and returns without waiting for its models; see `Runtime.start`."""
        facts = self.engine.facts()
        image = self._present(self.image_for(spec))
        with translated(spec.log):
            new_log(spec.log).close()
        fixed = spec.ports
        for attempt in range(_PORT_ATTEMPTS):
            taken = port_findings(spec.host, fixed) if facts.local else ()
            if taken:
                raise EnvironmentProblem(
                    "TG807", taken[0].message, details=[item.message for item in taken[1:]]
                )
            chosen = replace(spec, ports=choose(spec.host, fixed))
            try:
                return self._start(chosen, facts, image)
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

    def options_of(self, state: ServerState) -> DockerOptions | None:
        """What the user chose for the container of a state file; None when it is gone.

        Raises:
            EnvironmentProblem: TG840.
        """
        import docker.errors

        with speaking(state.container):
            try:
                attributes = self.engine.container(state.container).attrs
            except docker.errors.NotFound:
                return None
        return DockerOptions(
            image=state.image,
            user=str(attributes["Config"]["User"]),
            read_only=bool(attributes["HostConfig"]["ReadonlyRootfs"]),
        )

    def find(self, state: ServerState) -> "DockerServer | None":
        """The container of a state file, also one that has ended; None when it is gone.

        Raises:
            EnvironmentProblem: TG840.
        """
        import docker.errors

        if state.runtime is not self.name or not state.container:
            return None
        from tritongen.serving.docker.docker_server import DockerServer

        with speaking(state.container):
            try:
                container = self.engine.container(state.container)
            except docker.errors.NotFound:
                return None
        marks = container.labels
        if (marks.get(SERVER), marks.get(LABEL)) != (state.server, state.label):
            return None
        backends = frozenset((marks.get(PYTHON_LABEL) or "python").split())
        return DockerServer(
            state, self.engine, container=container, python_backends=backends, host=context_host()
        )

    def _present(self, reference: str) -> ImageFacts:
        """The image, pulled when it is not here; one that is here is never pulled over."""
        found = self.engine.image(reference)
        if found is None:
            pull(self.engine.client(), reference, self._progress)
            found = self.engine.image(reference)
        if found is None:
            raise EnvironmentProblem("TG842", "image is not here after its pull", where=reference)
        return found

    def _settings(
        self, spec: ServerSpec, server: str, facts: EngineFacts | None, keys: ApiKeys
    ) -> ContainerSettings:
        mounts, bad = repository_mounts(spec.repository, MODELS)
        if bad:
            raise EnvironmentProblem(
                "TG846",
                f"{bad[0].path} {bad[0].reason}",
                where=str(spec.repository),
                details=[f"{link.path} {link.reason}" for link in bad[1:]],
            )
        return container_settings(
            spec,
            self._options,
            self.image_for(spec),
            server=server,
            ports=spec.ports,
            mounts=mounts,
            engine_cpus=facts.cpus if facts else None,
            keys=keys,
        )

    def _start(self, spec: ServerSpec, facts: EngineFacts, image: ImageFacts) -> "DockerServer":
        server, keys = _new_name(), ApiKeys.new()
        settings = self._settings(spec, server, facts, keys)
        host = self.engine.host()
        # The guard stands before the container does, so that no moment is without one.
        guard = container_guard(server, host)
        try:
            made = self.engine.create(settings)
            self.engine.start(made, settings.image)
            _log.info("container %s of %s runs", made, settings.image)
            # All that is loaded from here on is loaded while Triton loads its models.
            from tritongen.serving.docker.docker_server import DockerServer

            state = _new_state(spec, server, made, settings.image, image.server)
            state = replace(state, key=keys.tool)
            running = DockerServer(
                state, self.engine, python_backends=image.python_backends, guard=guard, host=host
            )
            running.mirror_log()
        except EnvironmentProblem as problem:
            guard.finish(wait=problem.code != "TG840")
            raise
        except BaseException:
            guard.finish()
            raise
        return running


def _new_name() -> str:
    """A name for one start that nobody can guess."""
    return os.urandom(8).hex()


def _new_state(
    spec: ServerSpec, server: str, container: str, image: str, version: str
) -> ServerState:
    return ServerState(
        runtime=RuntimeName.DOCKER,
        label=spec.label,
        server=server,
        pid=0,
        start_ticks=0,
        boot_id="",
        container=container,
        endpoints=endpoints(spec.host, spec.ports),
        models=spec.models,
        repository=str(spec.repository.resolve()),
        log=str(Path(spec.log).resolve()),
        version=version,
        started=time.time(),
        host=spec.host,
        image=image,
    )
