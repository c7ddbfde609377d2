"""One run's way to the engine: its socket where that suffices, the SDK for everything else.

Each method answers the same either way. The SDK is loaded when it is first wanted, which on the
usual way to a server that is ready is never.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tritongen.serving.docker.container_settings import LABEL, SERVER, ContainerSettings
from tritongen.serving.docker.docker_engine import (
    EngineFacts,
    connect,
    context_host,
    engine_facts,
    facts_from,
    speaking,
    unreachable,
)
from tritongen.serving.docker.engine_socket import EngineSocket, usual_socket
from tritongen.serving.docker.images import ImageFacts, describe, image_facts

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

__all__ = ["EngineAccess"]


class EngineAccess:
    """The engine that the ``docker`` command would use. Nothing is sent before it is asked."""

    def __init__(self) -> None:
        self._client: DockerClient | None = None
        self._socket: EngineSocket | None = None
        self._facts: EngineFacts | None = None

    def client(self) -> "DockerClient":
        """The SDK's connection, made when it is first wanted.

        Raises:
            EnvironmentProblem: TG840, TG841.
        """
        if self._client is None:
            self._client = connect()
        return self._client

    def host(self) -> str:
        """Address of the engine for a guard, empty for what the environment says.

        Raises:
            EnvironmentProblem: TG840.
        """
        return "" if self._socket is not None else context_host()

    def facts(self) -> EngineFacts:
        """What the engine offers; asked once, since it takes the engine longer than the rest.

        Raises:
            EnvironmentProblem: TG840, TG841.
        """
        if self._facts is None:
            self._facts = self._quick_facts() or engine_facts(self.client())
        return self._facts

    def image(self, reference: str) -> ImageFacts | None:
        """What a local image says of itself, None when it is not here.

        Raises:
            EnvironmentProblem: TG840.
        """
        said = self._get(f"/images/{reference}/json")
        if isinstance(said, dict):
            return image_facts(reference, said)
        return describe(self.client(), reference)

    def holds_none(self, label: str) -> bool:
        """Whether the engine surely holds no container of a project; False in any doubt."""
        wanted = json.dumps({"label": [SERVER, f"{LABEL}={label}"]})
        said: Any = self._get("/containers/json", all="1", filters=wanted)
        return isinstance(said, list) and not said

    def create(self, settings: ContainerSettings) -> str:
        """Makes a container, which is not started yet; its id.

        Raises:
            EnvironmentProblem: TG840, or what the engine's refusal is matched to.
        """
        body = settings.body()
        said = self._post("/containers/create", body, name=settings.name)
        if isinstance(said, dict) and said.get("Id"):
            return str(said["Id"])
        client = self.client()
        with speaking(settings.image):
            api: Any = client.api  # whose stubs leave this method untyped
            return str(api.create_container_from_config(body, settings.name)["Id"])

    def start(self, container: str, image: str) -> None:
        """Starts a container.

        Args:
            container: its id.
            image: of it, for the words of a refusal.

        Raises:
            EnvironmentProblem: TG840, or what the engine's refusal is matched to.
        """
        if self._post(f"/containers/{container}/start") is not None:
            return
        client = self.client()
        with speaking(image):
            client.api.start(container)

    def status(self, container: str) -> str:
        """The engine's word for a container's state; empty where the SDK must be asked."""
        said = self._get(f"/containers/{container}/json")
        state = said.get("State") if isinstance(said, dict) else None
        return str(state.get("Status", "")) if isinstance(state, dict) else ""

    def log(self, container: str) -> Iterator[bytes]:
        """A container's log as it grows, until the container ends.

        Raises:
            EnvironmentProblem: TG840, or the engine's refusal.
            OSError: the engine went away meanwhile.
        """
        pieces = None if self._socket is None else self._socket.log(container)
        if pieces is not None:
            yield from pieces
            return
        with speaking(container):
            yield from self.container(container).logs(stream=True, follow=True)

    def container(self, container: str) -> "Container":
        """The SDK's handle on a container; its exceptions are not translated."""
        return self.client().containers.get(container)

    def _quick_facts(self) -> EngineFacts | None:
        """What the socket says; with that it is settled that the engine can be asked so."""
        found = usual_socket()
        if found is None:
            return None
        version, info = found.get_both("/version", "/info")
        if not (isinstance(version, dict) and isinstance(info, dict) and version.get("ApiVersion")):
            return None
        found.agree(str(version["ApiVersion"]))
        self._socket = found
        return facts_from(info, version, local=True)

    def _get(self, path: str, **query: str) -> Any:  # noqa: ANN401  (a JSON document)
        return None if self._socket is None else self._socket.get(path, **query)

    def _post(self, path: str, body: Any = None, **query: str) -> Any:  # noqa: ANN401  (JSON)
        if self._socket is None:
            return None
        try:
            return self._socket.post(path, body, **query)
        except OSError as error:
            raise unreachable(error) from error
