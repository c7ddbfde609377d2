"""The Docker runtime: preflight, start, and finding a server again."""

import secrets
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.domain.findings import Finding
from tritongen.errors import EnvironmentProblem
from tritongen.serving.docker import preflight
from tritongen.serving.docker.engine import (
    EngineFacts,
    connect,
    context_host,
    engine_facts,
    speaking,
)
from tritongen.serving.docker.guard import Guard
from tritongen.serving.docker.images import (
    PYTHON_LABEL,
    ImageChoice,
    ImageFacts,
    checked,
    choose_image,
    describe,
    pull,
)
from tritongen.serving.docker.links import repository_mounts
from tritongen.serving.docker.server import DockerServer
from tritongen.serving.docker.settings import (
    MODELS,
    SERVER,
    ContainerSettings,
    DockerOptions,
    container_settings,
)
from tritongen.serving.files import translated
from tritongen.serving.ports import choose, endpoints, port_findings
from tritongen.serving.protocol import Progress, RuntimeName, ServerSpec, ServerState

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

__all__ = ["DockerRuntime"]

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
        self._connected: DockerClient | None = None
        self._engine: EngineFacts | None = None
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
        return preflight.findings(spec, self._options, self.client, self.facts, self.choice_for)

    def run_line(self, spec: ServerSpec) -> str:
        """The ``docker run`` command that starts the same container; nothing is started.

        The engine is asked for its CPUs, and the line is made without them when it does not answer.

        Raises:
            EnvironmentProblem: TG852, or TG807 when no free port is found.
        """
        facts: EngineFacts | None = None
        with suppress(EnvironmentProblem):
            facts = self.facts()
        ports = choose(spec.host, spec.ports)
        settings = self._settings(replace(spec, ports=ports), secrets.token_hex(8), facts)
        return settings.run_line()

    def start(self, spec: ServerSpec) -> DockerServer:
        """Starts the container and returns without waiting for its models; see `Runtime.start`."""
        client, facts = self.client(), self.facts()
        image = self._present(client, self.image_for(spec))
        with translated(spec.log):
            spec.log.write_bytes(b"")
        fixed = spec.ports
        for attempt in range(_PORT_ATTEMPTS):
            taken = port_findings(spec.host, fixed) if facts.local else ()
            if taken:
                raise EnvironmentProblem(
                    "TG807", taken[0].message, details=[item.message for item in taken[1:]]
                )
            chosen = replace(spec, ports=choose(spec.host, fixed))
            try:
                return self._start(client, chosen, facts, image)
            except EnvironmentProblem as problem:
                last = attempt + 1 == _PORT_ATTEMPTS
                if problem.code != "TG807" or last or chosen.ports == fixed:
                    raise
        raise AssertionError  # the loop returns or raises

    def attach_to(self, state: ServerState) -> DockerServer | None:
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
                attributes = self.client().containers.get(state.container).attrs
            except docker.errors.NotFound:
                return None
        return DockerOptions(
            image=state.image,
            user=str(attributes["Config"]["User"]),
            read_only=bool(attributes["HostConfig"]["ReadonlyRootfs"]),
        )

    def find(self, state: ServerState) -> DockerServer | None:
        """The container of a state file, also one that has ended; None when it is gone.

        Raises:
            EnvironmentProblem: TG840.
        """
        import docker.errors

        if state.runtime is not self.name or not state.container:
            return None
        client = self.client()
        with speaking(state.container):
            try:
                container = client.containers.get(state.container)
            except docker.errors.NotFound:
                return None
        if container.labels.get(SERVER) != state.server:
            return None
        backends = frozenset((container.labels.get(PYTHON_LABEL) or "python").split())
        return DockerServer(state, container, python_backends=backends, host=context_host())

    def client(self) -> "DockerClient":
        """The one connection to the engine, made when it is first wanted.

        Raises:
            EnvironmentProblem: TG840, TG841.
        """
        if self._connected is None:
            self._connected = connect()
        return self._connected

    def facts(self) -> EngineFacts:
        """What the engine offers; asked once, since it takes the engine longer than the rest.

        Raises:
            EnvironmentProblem: TG840, TG841.
        """
        if self._engine is None:
            self._engine = engine_facts(self.client())
        return self._engine

    def _present(self, client: "DockerClient", reference: str) -> ImageFacts:
        """The image, pulled when it is not here; one that is here is never pulled over."""
        found = describe(client, reference)
        if found is None:
            pull(client, reference, self._progress)
            found = describe(client, reference)
        if found is None:
            raise EnvironmentProblem("TG842", "image is not here after its pull", where=reference)
        return found

    def _settings(
        self, spec: ServerSpec, server: str, facts: EngineFacts | None
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
        )

    def _start(
        self, client: "DockerClient", spec: ServerSpec, facts: EngineFacts, image: ImageFacts
    ) -> DockerServer:
        server = secrets.token_hex(8)
        settings = self._settings(spec, server, facts)
        host = context_host()
        # The guard stands before the container does, so that no moment is without one.
        guard = Guard(server, host)
        try:
            container = _create(client, settings)
            with speaking(settings.image):
                container.start()
            state = _new_state(spec, server, str(container.id), settings.image, image.server)
            running = DockerServer(
                state, container, python_backends=image.python_backends, guard=guard, host=host
            )
            running.mirror_log()
        except EnvironmentProblem as problem:
            guard.finish(wait=problem.code != "TG840")
            raise
        except BaseException:
            guard.finish()
            raise
        return running


def _create(client: "DockerClient", settings: ContainerSettings) -> "Container":
    with speaking(settings.image):
        host = client.api.create_host_config(**settings.host_arguments())
        made = client.api.create_container(host_config=host, **settings.arguments())
        return client.containers.get(made["Id"])


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
