"""The Docker Engine: how it is reached, what it can do, and its errors in the tool's words.

The engine is the one that the ``docker`` command would use: DOCKER_HOST, else the current context.
"""

import http.client
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tritongen.errors import EnvironmentProblem
from tritongen.serving.docker.engine_socket import usual_socket

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container


# How the client names engines on this machine: by socket, pipe or loopback.
_LOCAL = re.compile(r"http\+docker://local.*|https?://(127\.[0-9.]+|localhost|\[::1\])(:.*)?")

_TIMEOUT_S = 60  # of one answer
# What the engine says → code, for creating and starting a container.
_REASONS = (
    ("port is already allocated", "TG807"),
    ("address already in use", "TG807"),
    ("could not select device driver", "TG826"),
    ("nvidia-container-cli", "TG826"),
    ("executable file not found in $PATH", "TG849"),
    ("no such file or directory: unknown", "TG849"),
    ("bind source path does not exist", "TG850"),
    ("no space left on device", "TG005"),
)


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine offers.

    Attributes:
        version: of the engine.
        cpus: CPUs of its machine.
        memory_bytes: memory of its machine.
        architecture: as images name it, such as ``amd64``.
        local: its machine is this one.
        gpus: containers can be given GPUs.
        missing: limits that it cannot set, in words.
    """

    version: str
    cpus: int
    memory_bytes: int
    architecture: str
    local: bool
    gpus: bool
    missing: tuple[str, ...] = ()


class DockerEngine:
    """One run's way to the engine: the docker package, and what is quicker where that suffices.

    Each method answers the same either way. Nothing is sent before the engine is asked.
    """

    def __init__(self) -> None:
        self._client: DockerClient | None = None
        self._facts: EngineFacts | None = None
        # None where the docker package alone is asked.
        self._socket = usual_socket()

    def client(self) -> "DockerClient":
        """The connection, made when it is first wanted.

        Raises:
            EnvironmentProblem: TG840, TG841.
        """
        if self._client is None:
            self._client = _connect()
        return self._client

    def host(self) -> str:
        """Address of the engine for a guard, empty for what the environment says.

        Raises:
            EnvironmentProblem: TG840.
        """
        return "" if self._socket is not None else _context_host()

    def facts(self) -> EngineFacts:
        """What the engine offers; asked once, since it takes the engine longer than the rest.

        Raises:
            EnvironmentProblem: TG840, TG841.
        """
        if self._facts is None:
            self._facts = self._quick_facts() or _asked_facts(self.client())
        return self._facts

    def image(self, reference: str) -> dict[str, Any] | None:
        """A local image as the engine describes it, None when it is not here.

        Raises:
            EnvironmentProblem: TG840.
        """
        said = self._ask(f"/images/{reference}/json")
        if isinstance(said, dict):
            return said
        import docker.errors

        client = self.client()
        with speaking(reference):
            try:
                return dict(client.images.get(reference).attrs)
            except docker.errors.ImageNotFound:
                return None

    def holds_none(self, labels: Sequence[str]) -> bool:
        """Whether it surely holds no container with these labels; False in any doubt."""
        wanted = json.dumps({"label": list(labels)})
        said = self._ask("/containers/json", all="1", filters=wanted)
        return isinstance(said, list) and not said

    def start(self, body: dict[str, Any], name: str) -> str:
        """Makes a container and starts it; its id.

        Args:
            body: what is asked for, as the engine's API has it.
            name: of the container.

        Raises:
            EnvironmentProblem: TG840, or what the engine's refusal is matched to.
        """
        made = self._order("/containers/create", body, name=name)
        if not (isinstance(made, dict) and made.get("Id")):
            api: Any = self.client().api  # whose stubs leave this method untyped
            with speaking(body["Image"]):
                made = api.create_container_from_config(body, name)
        container = str(made["Id"])
        if self._order(f"/containers/{container}/start") is None:
            client = self.client()
            with speaking(body["Image"]):
                client.api.start(container)
        return container

    def status(self, container: str) -> str:
        """The engine's word for a container's state; empty where the package must be asked."""
        said = self._ask(f"/containers/{container}/json")
        state = said.get("State") if isinstance(said, dict) else None
        return str(state.get("Status", "")) if isinstance(state, dict) else ""

    def log(self, container: str) -> Iterator[bytes]:
        """A container's log as it grows, until the container ends.

        Raises:
            EnvironmentProblem: TG840, or the engine's refusal.
            OSError: the engine went away meanwhile.
            http.client.HTTPException: the same.
        """
        pieces = None if self._socket is None else self._socket.log(container)
        if pieces is not None:
            yield from pieces
            return
        client = self.client()
        with speaking(container[:12]):
            yield from client.containers.get(container).logs(stream=True, follow=True)

    def container(self, container: str) -> "Container | None":
        """A container as it is now, None when it is gone.

        Raises:
            EnvironmentProblem: TG840.
        """
        import docker.errors

        client = self.client()
        with speaking(container[:12]):
            try:
                return client.containers.get(container)
            except docker.errors.NotFound:
                return None

    def _quick_facts(self) -> EngineFacts | None:
        version = self._ask("/version")
        known = isinstance(version, dict) and version.get("ApiVersion")
        info = self._ask("/info") if known else None
        if self._socket is None or not isinstance(info, dict):
            self._socket = None  # the package finds out what it is
            return None
        self._socket.agree(str(version["ApiVersion"]))
        return _facts(info, version, local=True)

    def _ask(self, path: str, **query: str) -> Any:  # noqa: ANN401  (a JSON document)
        return None if self._socket is None else self._socket.get(path, **query)

    def _order(self, path: str, body: object = None, **query: str) -> Any:  # noqa: ANN401  (JSON)
        if self._socket is None:
            return None
        try:
            return self._socket.post(path, body, **query)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(error) from error


def _connect() -> "DockerClient":
    """A client of the engine, which has answered once.

    Raises:
        EnvironmentProblem: TG840 it does not answer, TG841 it may not be used.
    """
    import docker

    with speaking():
        host = _context_host()
        return (
            docker.DockerClient(base_url=host, version="auto", timeout=_TIMEOUT_S)
            if host
            else docker.from_env(version="auto", timeout=_TIMEOUT_S)
        )


def _context_host() -> str:
    """The address of the ``docker`` command's context; empty for what DOCKER_HOST says, if it does.

    Raises:
        EnvironmentProblem: TG840, the context named by DOCKER_CONTEXT does not exist.
    """
    from docker.context import ContextAPI

    if os.environ.get("DOCKER_HOST"):
        return ""
    name = os.environ.get("DOCKER_CONTEXT", "")
    context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    if context is None:
        raise EnvironmentProblem("TG840", f"there is no Docker context {name!r}")
    return "" if context.name == "default" else str(context.Host or "")


@contextmanager
def speaking(where: str = "") -> Iterator[None]:
    """Turns the client's exceptions into the tool's.

    Args:
        where: the image or container concerned.

    Raises:
        EnvironmentProblem: TG840, TG841, or what the engine's refusal is matched to.
    """
    import docker.errors
    import requests

    try:
        yield
    except docker.errors.APIError as error:
        raise _refusal(error, where) from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise _unreachable(error) from error


def remove_container(
    container: "Container", grace_s: int, save_log: Callable[[], None] = lambda: None
) -> None:
    """Stops and removes a container; nothing happens to one that is gone.

    Args:
        container: to be removed.
        grace_s: for its program to end by itself.
        save_log: called before and after it is stopped, while its log can be read.

    Raises:
        EnvironmentProblem: TG840, TG816 when it stays.
    """
    import docker.errors

    with speaking(str(container.id)[:12]):
        try:
            save_log()
            container.stop(timeout=grace_s)
            save_log()
            container.remove(force=True, v=True)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            if "is already in progress" not in str(error):
                raise EnvironmentProblem(
                    "TG816", f"container cannot be removed: {error.explanation}"
                ) from error


def _refusal(error: Any, where: str) -> EnvironmentProblem:  # noqa: ANN401  (docker's exception)
    text = " ".join(str(error.explanation or error).split())
    code = next((code for words, code in _REASONS if words in text), "TG845")
    return EnvironmentProblem(code, text, where=where)


def _unreachable(error: BaseException) -> EnvironmentProblem:
    """The tool's word for an engine that does not answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PermissionError) or "Permission denied" in str(cause):
            return EnvironmentProblem("TG841", "the Docker Engine's socket may not be used")
        cause = cause.__cause__ or cause.__context__
    where = os.environ.get("DOCKER_HOST", "")
    return EnvironmentProblem("TG840", "no Docker Engine answers", where=where)


def _asked_facts(client: "DockerClient") -> EngineFacts:
    with speaking():
        info, version = client.info(), client.version()
    local = _LOCAL.fullmatch(str(client.api.base_url)) is not None
    return _facts(info, version, local=local)


def _facts(info: dict[str, Any], version: dict[str, Any], *, local: bool) -> EngineFacts:
    """What an engine's two answers say of it."""
    limits = (("MemoryLimit", "memory"), ("CpuCfsQuota", "CPU quota"), ("CPUSet", "CPU sets"))
    runtimes = info.get("Runtimes") or {}
    return EngineFacts(
        version=str(version.get("Version", "")),
        cpus=int(info.get("NCPU", 1)),
        memory_bytes=int(info.get("MemTotal", 0)),
        architecture=str(version.get("Arch", "")),
        local=local,
        gpus="nvidia" in runtimes or bool(info.get("DiscoveredDevices")),
        missing=tuple(words for key, words in limits if info.get(key) is False),
    )
