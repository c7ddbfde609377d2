"""What is known of one server: who started it, where it listens, which models it serves."""

from dataclasses import dataclass, field
from enum import StrEnum

from tritongen.triton.api_keys import key_headers

__all__ = ["LOOPBACK", "Endpoints", "ModelStatus", "RuntimeName", "ServerState"]

LOOPBACK = "127.0.0.1"


class RuntimeName(StrEnum):
    """Where a server runs."""

    EMBEDDED = "embedded"
    DOCKER = "docker"
    ATTACHED = "attached"


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

    def headers(self, *, grpc: bool = False) -> dict[str, str]:
        """What opens its restricted APIs to this tool."""
        return key_headers(self.key, grpc=grpc)
