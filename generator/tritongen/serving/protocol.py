"""What every runtime offers: a spec goes in, a running server comes out, and it can be stopped.

::

    ServerSpec ──ServerRuntime.preflight──▶ findings
        └──────ServerRuntime.start──▶ RunningServer ──wait_ready──▶ ModelStatus, one a model
                            └──state──▶ ServerState ──ServerRuntime.attach_to──▶ RunningServer

`embedded` and `docker` implement both; callers know no others. What a spec means for the arguments
of tritonserver is the same for both.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tritongen.errors import InvalidInputError
from tritongen.model.findings import Finding
from tritongen.model.server_flags import flag_fault
from tritongen.triton.server import LOOPBACK, ApiKeys, Endpoints, RuntimeName, ServerState

if TYPE_CHECKING:
    from tritongen.serving.running_server import RunningServer
    from tritongen.serving.runtime_requirements import ModelNeeds

# The triton-server user of official images. A number holds in every image.
DEFAULT_USER = "1000:1000"


_FLAG = re.compile(r"[a-z][a-z0-9-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODEL = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]+")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?")

# Set by the runtimes themselves, from fields of the spec.
_OWN_FLAGS = frozenset(
    {
        "model-repository", "model-store", "model-control-mode", "load-model", "exit-on-error",
        "disable-auto-complete-config", "strict-model-config", "backend-directory", "log-file",
        "http-address", "http-port", "grpc-address", "grpc-port", "metrics-address",
        "metrics-port", "allow-http", "reuse-http-port", "reuse-grpc-port",
    }
)  # fmt: skip
_OWN_VARIABLES = frozenset(
    {
        "PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHOME", "PYTHONPATH",
        "TRITONGEN_LABEL", "TRITONGEN_SERVER", "TRITONGEN_PROJECT",
    }
)  # fmt: skip


# Memory that Triton takes for copies to and from GPUs: of the machine, and of each GPU.
PINNED_POOL, CUDA_POOL = "pinned-memory-pool-byte-size", "cuda-memory-pool-byte-size"
_WITHOUT_GPU = (("allow-gpu-metrics", "false"), (PINNED_POOL, "0"))
# Of those that a user adds: they replace the keys by which these APIs are closed.
_CLOSING_FLAGS = frozenset({"http-restricted-api", "grpc-restricted-protocol"})


class ModelControl(StrEnum):
    """Who may load and unload models: nobody, or anyone who reaches the server's API."""

    NONE = "none"
    EXPLICIT = "explicit"


@dataclass(frozen=True, slots=True)
class Ports:
    """Wanted ports; 0 takes a free one."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """Everything that a runtime needs to start a server. Checked at construction.

    Attributes:
        repository: folder of models.
        models: names that must become ready; with explicit control, those loaded at the start.
        log: file that takes the server's output; its folder must exist.
        project: folder of the project, by which `status` and `down` find the server.
        label: short name of the project, see `state.project_label`.
        backends: Triton backends that the models need, for the preflight.
        environment: (variable, value) for the server and its models.
        flags: (flag without dashes, value) of tritonserver beyond the runtime's own, as planned.
        user_flags: likewise, as the user asks for them; they replace planned ones of the same name.
        ports: wanted ports.
        host: address to listen on.
        cores: CPUs that the server may use; None for all.
        cpuset: the CPUs' numbers; empty leaves the choice to the runtime.
        memory_bytes: memory limit; None for no limit. The embedded runtime only warns.
        gpus: number of GPUs the models need.
        gpu_bytes: of memory that they need on each; empty where that is not known.
        gpu_name: the card that was planned for, empty for any.
        model_control: none, or explicit for tuning and for comparing configurations.
        auto_complete: whether Triton may complete configurations.
        release: Triton release ``YY.MM`` that was planned for; empty when not known.
        shared_memory_bytes: room for the tensors of Python-based backends; None for the usual.
        needs: of the files of a repository that nobody planned, by which an image is chosen.
        image: of the container; empty takes the official one that fits.
        user: ``uid:gid`` in the container.
        read_only: keep the container's root file system read-only; None where it is known to work.
        kept: (folder of the project, place in a container) of what models make or fetch when they
            load, and which outlives the container.
        passed: variables of the caller's that the server gets, such as HF_TOKEN; only their names
            are kept.

    Raises:
        InvalidInputError: TG106, TG304, TG830 or TG863, with every fault in `details`.
    """

    repository: Path
    models: tuple[str, ...]
    log: Path
    project: Path
    label: str
    backends: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    user_flags: tuple[tuple[str, str], ...] = ()
    ports: Ports = field(default_factory=Ports)
    host: str = LOOPBACK
    cores: int | None = None
    cpuset: tuple[int, ...] = ()
    memory_bytes: int | None = None
    gpus: int = 0
    gpu_bytes: tuple[int, ...] = ()
    gpu_name: str = ""
    model_control: ModelControl = ModelControl.NONE
    auto_complete: bool = True
    release: str = ""
    shared_memory_bytes: int | None = None
    needs: "tuple[ModelNeeds, ...]" = ()
    image: str = ""
    user: str = DEFAULT_USER
    read_only: bool | None = None
    kept: tuple[tuple[Path, str], ...] = ()
    passed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        faults = [*self._name_faults(), *self._option_faults(), *self._variable_faults()]
        faults += self._number_faults()
        if faults:
            code, what = faults[0]
            raise InvalidInputError(code, what, details=[text for _, text in faults[1:]])

    def _name_faults(self) -> Iterator[tuple[str, str]]:
        for name in self.models:
            if not _MODEL.fullmatch(name):
                yield "TG106", f"model name {name!r} cannot be served"
        if not re.fullmatch(r"[0-9a-f]{6,64}", self.label):
            yield "TG304", f"label {self.label!r} is not a project's label"
        if not re.fullmatch(r"[0-9A-Za-z.:-]+", self.host):
            yield "TG304", f"host {self.host!r} is not an address"
        if self.release and not re.fullmatch(r"[0-9]{2}\.[0-9]{2}", self.release):
            yield "TG304", f"release {self.release!r} is not YY.MM"
        if not _USER.fullmatch(self.user):
            yield "TG304", f"user {self.user!r} is not UID:GID"

    def _option_faults(self) -> Iterator[tuple[str, str]]:
        for flag, value in self.user_flags:
            if flag in _OWN_FLAGS | _CLOSING_FLAGS:
                yield "TG830", f"flag --{flag} is set by tritongen itself"
            elif fault := flag_fault(flag, value):
                yield "TG863", fault
        for flag, value in self.flags:
            if not _FLAG.fullmatch(flag) or "\0" in value:
                yield "TG304", f"flag {flag!r} is not a flag of tritonserver"
            elif flag in _OWN_FLAGS:
                yield "TG830", f"flag --{flag} is set by tritongen itself"

    def _variable_faults(self) -> Iterator[tuple[str, str]]:
        for variable, value in self.environment:
            if not _VARIABLE.fullmatch(variable) or "\0" in value:
                yield "TG304", f"variable {variable!r} is not a valid name or value"
            elif variable in _OWN_VARIABLES:
                yield "TG830", f"variable {variable} is set by tritongen itself"
        for variable in self.passed:
            if not _VARIABLE.fullmatch(variable):
                yield "TG304", f"variable {variable!r} is not a valid name"
            elif variable in _OWN_VARIABLES | set(dict(self.environment)):
                yield "TG830", f"variable {variable} is set by tritongen itself"

    @property
    def passed_values(self) -> dict[str, str]:
        """The caller's values of the variables that are passed, as far as they are set."""
        return {name: os.environ[name] for name in self.passed if name in os.environ}

    def _number_faults(self) -> Iterator[tuple[str, str]]:
        ports = (self.ports.http, self.ports.grpc, self.ports.metrics)
        named = [port for port in ports if port]
        if any(not 0 <= port <= 65535 for port in ports):
            yield "TG304", f"ports must lie within 0 to 65535, not {ports}"
        if len(set(named)) < len(named):
            yield "TG305", f"HTTP, gRPC and metrics need different ports, not {ports}"
        if self.cores is not None and self.cores < 1:
            yield "TG304", f"cores must be at least 1, not {self.cores}"
        if any(cpu < 0 for cpu in self.cpuset):
            yield "TG304", f"cpuset must hold CPU numbers, not {self.cpuset}"


class ServerRuntime(Protocol):
    """A way to run Triton."""

    @property
    def name(self) -> RuntimeName:
        """Its name on the command line."""

    def preflight(self, spec: ServerSpec) -> tuple[Finding, ...]:
        """What stands in the way of `start`, without starting anything; errors forbid it."""

    def make_room(self, label: str) -> None:
        """Removes what a project's servers that have ended left behind.

        Raises:
            EnvironmentProblem: TG808, one of them still runs and no state file names it.
        """

    def start(self, spec: ServerSpec) -> "RunningServer":
        """Starts the server and returns without waiting for its models.

        Raises:
            EnvironmentProblem: it cannot be started; nothing is left running.
        """

    def attach_to(self, state: ServerState) -> "RunningServer | None":
        """The server of a state file, None when it no longer runs."""


def server_arguments(spec: ServerSpec, own: Iterable[tuple[str, str]], keys: ApiKeys) -> list[str]:
    """Everything that stands behind ``tritonserver``.

    Args:
        spec: of the server.
        own: (flag without dashes, value) that the runtime adds.
        keys: of its restricted APIs.
    """
    options = [
        *own,
        ("exit-on-error", "false"),
        ("model-control-mode", spec.model_control.value),
        *_closed_apis(spec, keys),
        # What spares a server without GPUs its search for them.
        *(() if spec.gpus else _WITHOUT_GPU),
        *(item for item in spec.flags if item[0] not in dict(spec.user_flags)),
        *spec.user_flags,
    ]
    if spec.model_control is ModelControl.EXPLICIT:
        options += [("load-model", name) for name in spec.models]
    arguments = [f"--{flag}={value}" for flag, value in options]
    if not spec.auto_complete:
        arguments.append("--disable-auto-complete-config")
    return arguments


def _closed_apis(spec: ServerSpec, keys: ApiKeys) -> Iterator[tuple[str, str]]:
    """Flags that close what is not for everybody, unless the spec closes something itself."""
    given = {flag for flag, _ in spec.flags}
    for flag in ("http-restricted-api", "grpc-restricted-protocol"):
        if flag not in given:
            yield from ((flag, group) for group in keys.groups)


def new_state(
    spec: ServerSpec,
    runtime: RuntimeName,
    endpoints: Endpoints,
    server: str,
    keys: ApiKeys,
    version: str,
) -> ServerState:
    """What to remember of a server that has just been started; its runtime adds how it is found.

    Args:
        spec: of the server.
        runtime: that started it.
        endpoints: where it listens.
        server: unique name of the start.
        keys: of its restricted APIs.
        version: of Triton.
    """
    return ServerState(
        runtime=runtime,
        label=spec.label,
        server=server,
        pid=0,
        start_ticks=0,
        boot_id="",
        container="",
        endpoints=endpoints,
        models=spec.models,
        repository=str(spec.repository.resolve()),
        log=str(spec.log.resolve()),
        version=version,
        started=time.time(),
        host=spec.host,
        key=keys.tool,
        flags=spec.user_flags,
        passed=spec.passed,
        explicit=spec.model_control is ModelControl.EXPLICIT,
    )
