"""What is known of one server: who started it, where it listens, its keys, the models it serves.

The keys are for APIs that are not for everybody who reaches a server: Triton asks for a header with
a key before it answers a restricted one. Shared memory is one: who registers a region of Triton's
own Python backend reads and writes what travels there. The tool itself needs some of them, and
knows their key from the project's state; nobody knows the other.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tritongen.model.own_backends import OWN_BACKENDS

_TOOL, _NOBODY = "tritongen-key", "tritongen-closed"
# As Triton names the header that it takes over gRPC.
_GRPC_PREFIX = "triton-grpc-protocol-"


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """The keys of one server.

    Attributes:
        tool: of what the tool asks for itself: the list of models, loading them, shared memory.
        nobody: of traces and logs, which write files; it is kept nowhere.

    Empty ones close nothing: whoever starts the server closes it.
    """

    tool: str
    nobody: str

    @classmethod
    def new(cls) -> "ApiKeys":
        """Keys that nobody can guess."""
        return cls(os.urandom(16).hex(), os.urandom(16).hex())

    @property
    def groups(self) -> tuple[str, ...]:
        """Values of Triton's flags, each ``api,…:header=key``."""
        if not self.tool:
            return ()
        return (
            f"shared-memory,model-repository:{_TOOL}={self.tool}",
            f"trace,logging:{_NOBODY}={self.nobody}",
        )


def key_headers(key: str, *, grpc: bool = False) -> dict[str, str]:
    """The header with the tool's key; none for a server without one."""
    return {f"{_GRPC_PREFIX}{_TOOL}" if grpc else _TOOL: key} if key else {}


LOOPBACK = "127.0.0.1"


class RuntimeName(StrEnum):
    """Where a server runs."""

    EMBEDDED = "embedded"
    DOCKER = "docker"
    ATTACHED = "attached"


def own_implementation(runtime: str, backends: Iterable[str]) -> str:
    """Of what a server's figures are, in words; empty where backends are NVIDIA's or not known.

    Args:
        runtime: where the server runs.
        backends: of the models that were measured.
    """
    own = sorted(OWN_BACKENDS & set(backends))
    if runtime != RuntimeName.EMBEDDED or not own:
        return ""
    return f"this project's own Python backend for {', '.join(own)}, not NVIDIA's C++ one"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a server listens, each as ``host:port``; empty for a closed or unknown one."""

    http: str = ""
    grpc: str = ""
    metrics: str = ""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Whether one expected model serves.

    Attributes:
        name: the model.
        ready: it answers requests.
        reason: the server's own words when it is not ready, empty otherwise.
        code: the matching key of `tritongen.errors.CODES`, empty when ready.
    """

    name: str
    ready: bool
    reason: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What the state file holds, enough to find the server again from another shell.

    Attributes:
        runtime: who started it.
        label: the project's label.
        server: unique name of this start, found in the process's environment or container labels.
        pid: process of the embedded server; 0 for another runtime.
        start_ticks: start time of that process in clock ticks since boot (field 22 of its stat).
        boot_id: the kernel's boot on which that pid means something.
        container: id of the container, empty for another runtime.
        endpoints: where it listens.
        models: names that were to become ready.
        repository: absolute path of the served folder.
        log: absolute path of the log file.
        version: Triton's version, empty when not known yet.
        started: seconds since 1970.
        host: address that was asked for, empty when not known.
        image: of the container, empty for another runtime.
        key: of the restricted APIs that the tool asks, empty where none is known.
        flags: of tritonserver that were asked for, (without dashes, value).
        passed: names of the caller's variables that it got.
        explicit: its models can be loaded and unloaded, with the key.
    """

    runtime: RuntimeName
    label: str
    server: str
    pid: int
    start_ticks: int
    boot_id: str
    container: str
    endpoints: Endpoints
    models: tuple[str, ...]
    repository: str
    log: str
    version: str
    started: float
    host: str = ""
    image: str = ""
    key: str = field(default="", repr=False)
    flags: tuple[tuple[str, str], ...] = ()
    explicit: bool = False
    passed: tuple[str, ...] = ()

    def headers(self, *, grpc: bool = False) -> dict[str, str]:
        """What opens its restricted APIs to this tool."""
        return key_headers(self.key, grpc=grpc)
