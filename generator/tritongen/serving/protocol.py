"""What every runtime offers: a spec goes in, a running server comes out, and it can be stopped.

::

    ServerSpec ──Runtime.preflight──▶ findings
        └──────Runtime.start──▶ RunningServer ──wait_ready──▶ ModelStatus, one a model
                                     └──state──▶ ServerState ──Runtime.attach_to──▶ RunningServer

`embedded`, `docker` and `attached` implement the two protocols; callers know no others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tritongen.errors import InvalidInputError
from tritongen.model.findings import Finding
from tritongen.model.progress import Progress
from tritongen.triton.server import LOOPBACK, Endpoints, ModelStatus, RuntimeName, ServerState

if TYPE_CHECKING:
    from tritongen.serving.runtime_requirements import ModelNeeds

__all__ = ["ModelControl", "Ports", "RunningServer", "Runtime", "ServerSpec"]


_FLAG = re.compile(r"[a-z][a-z0-9-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODEL = re.compile(r"(?!\.\.?$)[A-Za-z0-9_.-]+")

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
        flags: (flag without dashes, value) of tritonserver beyond the runtime's own.
        ports: wanted ports.
        host: address to listen on.
        cores: CPUs that the server may use; None for all.
        cpuset: the CPUs' numbers; empty leaves the choice to the runtime.
        memory_bytes: memory limit; None for no limit. The embedded runtime only warns.
        gpus: number of GPUs the models need.
        model_control: none, or explicit for tuning.
        exit_on_error: whether one broken model ends the server.
        auto_complete: whether Triton may complete configurations.
        release: Triton release ``YY.MM`` that was planned for; empty when not known.
        shared_memory_bytes: room for the tensors of Python-based backends; None for the usual.
        needs: of the files of a repository that nobody planned, by which an image is chosen.

    Raises:
        InvalidInputError: TG106, TG304 or TG830, with every fault in `details`.
    """

    repository: Path
    models: tuple[str, ...]
    log: Path
    project: Path
    label: str
    backends: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    ports: Ports = field(default_factory=Ports)
    host: str = LOOPBACK
    cores: int | None = None
    cpuset: tuple[int, ...] = ()
    memory_bytes: int | None = None
    gpus: int = 0
    model_control: ModelControl = ModelControl.NONE
    exit_on_error: bool = False
    auto_complete: bool = True
    release: str = ""
    shared_memory_bytes: int | None = None
    needs: "tuple[ModelNeeds, ...]" = ()

    def __post_init__(self) -> None:
        faults = (*self._name_faults(), *self._option_faults(), *self._number_faults())
        if faults:
            code, what = faults[0]
            raise InvalidInputError(code, what, details=[text for _, text in faults[1:]])

    def _name_faults(self) -> list[tuple[str, str]]:
        faults = [
            ("TG106", f"model name {name!r} cannot be served")
            for name in self.models
            if not _MODEL.fullmatch(name)
        ]
        if not re.fullmatch(r"[0-9a-f]{6,64}", self.label):
            faults.append(("TG304", f"label {self.label!r} is not a project's label"))
        if not re.fullmatch(r"[0-9A-Za-z.:-]+", self.host):
            faults.append(("TG304", f"host {self.host!r} is not an address"))
        if self.release and not re.fullmatch(r"[0-9]{2}\.[0-9]{2}", self.release):
            faults.append(("TG304", f"release {self.release!r} is not YY.MM"))
        return faults

    def _option_faults(self) -> list[tuple[str, str]]:
        faults = []
        for flag, value in self.flags:
            if not _FLAG.fullmatch(flag) or "\0" in value:
                faults.append(("TG304", f"flag {flag!r} is not a flag of tritonserver"))
            elif flag in _OWN_FLAGS:
                faults.append(("TG830", f"flag --{flag} is set by tritongen itself"))
        for variable, value in self.environment:
            if not _VARIABLE.fullmatch(variable) or "\0" in value:
                faults.append(("TG304", f"variable {variable!r} is not a valid name or value"))
            elif variable in _OWN_VARIABLES:
                faults.append(("TG830", f"variable {variable} is set by tritongen itself"))
        return faults

    def _number_faults(self) -> list[tuple[str, str]]:
        faults = []
        ports = (self.ports.http, self.ports.grpc, self.ports.metrics)
        named = [port for port in ports if port]
        if any(not 0 <= port <= 65535 for port in ports):
            faults.append(("TG304", f"ports must lie within 0 to 65535, not {ports}"))
        if len(set(named)) < len(named):
            faults.append(("TG305", f"HTTP, gRPC and metrics need different ports, not {ports}"))
        if self.cores is not None and self.cores < 1:
            faults.append(("TG304", f"cores must be at least 1, not {self.cores}"))
        if any(cpu < 0 for cpu in self.cpuset):
            faults.append(("TG304", f"cpuset must hold CPU numbers, not {self.cpuset}"))
        return faults


class RunningServer(Protocol):
    """A server that was started, or found again."""

    @property
    def state(self) -> ServerState:
        """What to remember of it."""
        ...

    @property
    def endpoints(self) -> Endpoints:
        """Where it listens."""
        ...

    def alive(self) -> bool:
        """Whether its process or container still runs."""
        ...

    def wait_ready(
        self, timeout: float, progress: Progress | None = None
    ) -> tuple[ModelStatus, ...]:
        """Waits until every expected model is ready or has failed for good.

        Args:
            timeout: seconds.
            progress: told of the models that are decided.

        Raises:
            EnvironmentProblem: TG810 or a more precise code when the server ended, with the log's
                tail in `details`; TG811 when time ran out. The server is left as it is.
        """
        ...

    def statuses(self) -> tuple[ModelStatus, ...]:
        """The expected models as they are now.

        Raises:
            EnvironmentProblem: TG812 when the server ended, TG814 when it does not answer.
        """
        ...

    def logs(self, lines: int = 50) -> tuple[str, ...]:
        """The last lines of its log, without line ends."""
        ...

    def follow(self, lines: int = 50) -> Iterator[str]:
        """The last lines of its log, then every further one until the server ends.

        Raises:
            EnvironmentProblem: TG840, the Docker Engine went away.
        """
        ...

    def detach(self) -> None:
        """From now on the server outlives this process; until then it ends with it."""
        ...

    def stop(self, grace: float = 30.0) -> None:
        """Ends it and everything it started: SIGTERM, `grace` seconds, then SIGKILL. Idempotent.

        Raises:
            EnvironmentProblem: TG816 when it cannot be ended.
        """
        ...


class Runtime(Protocol):
    """A way to run Triton."""

    @property
    def name(self) -> RuntimeName:
        """Its name on the command line."""
        ...

    def preflight(self, spec: ServerSpec) -> tuple[Finding, ...]:
        """What stands in the way of `start`, without starting anything; errors forbid it."""
        ...

    def start(self, spec: ServerSpec) -> RunningServer:
        """Starts the server and returns without waiting for its models.

        Raises:
            EnvironmentProblem: it cannot be started; nothing is left running.
        """
        ...

    def attach_to(self, state: ServerState) -> RunningServer | None:
        """The server of a state file, None when it no longer runs."""
        ...
