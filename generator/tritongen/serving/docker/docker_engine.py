"""The Docker Engine: how it is reached, what it can do, and its errors in the tool's words.

The engine is the one that the ``docker`` command would use: DOCKER_HOST, else the current context.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tritongen.errors import EnvironmentProblem

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = [
    "EngineFacts",
    "connect",
    "context_host",
    "engine_facts",
    "facts_from",
    "speaking",
    "unreachable",
]

# How the client names engines on this machine: by socket, pipe or loopback.
_LOCAL = re.compile(r"http\+docker://local.*|https?://(127\.[0-9.]+|localhost|\[::1\])(:.*)?")

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


def connect(timeout: float = 60.0) -> "DockerClient":
    """A client of the engine, which has answered once.

    Args:
        timeout: seconds for one answer.

    Raises:
        EnvironmentProblem: TG840 it does not answer, TG841 it may not be used.
    """
    import docker

    with speaking():
        host = context_host()
        client = (
            docker.DockerClient(base_url=host, version="auto", timeout=int(timeout))
            if host
            else docker.from_env(version="auto", timeout=int(timeout))
        )
        client.ping()
    return client


def context_host() -> str:
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
        raise unreachable(error) from error


def _refusal(error: Any, where: str) -> EnvironmentProblem:  # noqa: ANN401  (docker's exception)
    text = " ".join(str(error.explanation or error).split())
    code = next((code for words, code in _REASONS if words in text), "TG845")
    return EnvironmentProblem(code, text, where=where)


def unreachable(error: BaseException) -> EnvironmentProblem:
    """The tool's word for an engine that does not answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PermissionError) or "Permission denied" in str(cause):
            return EnvironmentProblem("TG841", "the Docker Engine's socket may not be used")
        cause = cause.__cause__ or cause.__context__
    where = os.environ.get("DOCKER_HOST", "")
    return EnvironmentProblem("TG840", "no Docker Engine answers", where=where)


def engine_facts(client: "DockerClient") -> EngineFacts:
    """What the engine offers.

    Raises:
        EnvironmentProblem: TG840.
    """
    with speaking():
        info = client.info()
        version = client.version()
    local = _LOCAL.fullmatch(str(client.api.base_url)) is not None
    return facts_from(info, version, local=local)


def facts_from(info: dict[str, Any], version: dict[str, Any], *, local: bool) -> EngineFacts:
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
