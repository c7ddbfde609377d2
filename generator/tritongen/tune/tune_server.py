"""The private server of a tuning run: loopback only, models loaded and reloaded on request.

Every configuration gets a model folder of its own beside the others, so that candidates stay
loaded and are measured in turn without the pause of a reload.
"""

import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem, TritongenError
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Severity
from tritongen.model.intent import WeightsMode
from tritongen.model.progress import Progress
from tritongen.repository.write_repository import RepositoryChange, WeightFile, apply_change
from tritongen.serving.protocol import ModelControl, Ports, ServerSpec
from tritongen.serving.runtimes import choose_runtime
from tritongen.serving.server_spec import UpOptions, bare_spec
from tritongen.system.own_files import check_folder
from tritongen.triton.address import Endpoint
from tritongen.triton.control import ServerControl
from tritongen.triton.http_client import HttpClient
from tritongen.triton.load_reasons import clean
from tritongen.triton.metrics import Metrics
from tritongen.triton.server import Endpoints, RuntimeName
from tritongen.triton.server_state import StateStore
from tritongen.triton.statistics import GpuUse
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tuned_model import Loadable

if TYPE_CHECKING:
    from tritongen.serving.running_server import RunningServer

# For the server to end by itself, to start, and to load one configuration with its warm-up; between
# looks whether it still lives. Chosen.
_GRACE_S = 1.0
_START_S = 120.0
_LOAD_S = 120.0
_LOOK_S = 1.0
# Room for the tensors of Python-based backends; nothing of it is taken before it is used.
_SHARED_MEMORY = 2 << 30


@dataclass(frozen=True, slots=True)
class Cores:
    """Who computes where.

    Attributes:
        server: CPUs of the server.
        generator: CPUs of the load generator; the same ones where there are no others.
    """

    server: tuple[int, ...]
    generator: tuple[int, ...]

    @property
    def shared(self) -> bool:
        """Whether the two take each other's time."""
        return bool(set(self.server) & set(self.generator))


def divide_cores(wanted: int, mine: Sequence[int]) -> Cores:
    """The first CPUs to the server, the others to the load generator.

    Args:
        wanted: by the server.
        mine: CPUs that this process may use.
    """
    cpus = sorted(mine)
    server = tuple(cpus[: max(1, wanted)])
    return Cores(server, tuple(cpus[len(server) :]) or server)


@dataclass(slots=True)
class PrivateServer:
    """One server at a time, started again when its cores or its environment must change.

    Attributes:
        store: of the project; repository and log lie in its folder, which the caller makes.
        root: the models folder.
        backends: that the models need.
        release: Triton release that is planned for.
        options: with runtime, image and wheel.
        protocol: of the requests that are measured.
        gpus: that the models need.
        progress: told of downloads and of the start.
    """

    store: StateStore
    root: Path
    backends: tuple[str, ...]
    release: str
    options: TuneOptions
    protocol: ClientProtocol = ClientProtocol.HTTP
    progress: Progress | None = None
    gpus: int = 0
    cores: Cores = field(default_factory=lambda: Cores((0,), (0,)))
    runtime: RuntimeName = RuntimeName.EMBEDDED
    version: str = ""
    starts: int = 0
    _running: "_Running | None" = None
    _environment: tuple[tuple[str, str], ...] = ()
    # Slot by what is loaded there, least recently used first, with the instances that it holds.
    _slots: OrderedDict[str, tuple[str, int]] = field(default_factory=OrderedDict)
    _made: int = 0

    @property
    def repository(self) -> Path:
        """Folder of the slots."""
        return self.store.folder / "tune/repository"

    @property
    def endpoint(self) -> Endpoint:
        """Where requests go; a server must run."""
        http, protocol = self.protocol is ClientProtocol.HTTP, self.protocol
        address = self.endpoints.http if http else self.endpoints.grpc
        return Endpoint.parse(address, protocol=protocol)

    @property
    def endpoints(self) -> Endpoints:
        """Where it listens; see `running`."""
        return self.running.server.endpoints

    @property
    def running(self) -> "_Running":
        """The server, and who speaks to it.

        Raises:
            EnvironmentProblem: TG812, it does not run.
        """
        if self._running is None:
            raise EnvironmentProblem("TG812", "the server for tuning does not run")
        return self._running

    def ensure(self, cores: Cores, environment: tuple[tuple[str, str], ...]) -> bool:
        """Have a server with these cores and variables; True when it was started now.

        Raises:
            EnvironmentProblem: it cannot be started.
        """
        same = (self.cores, self._environment) == (cores, environment)
        if same and self.alive():
            return False
        self.stop()
        self.cores, self._environment = cores, environment
        self._start()
        return True

    def alive(self) -> bool:
        """Whether the server runs."""
        return self._running is not None and self._running.server.alive()

    def gpu_use(self) -> GpuUse | None:
        """What the server's metrics say of its GPUs now."""
        metrics = self.endpoints.metrics
        return Metrics(Endpoint.parse(metrics)).use().gpus if metrics else None

    def last_words(self) -> str:
        """Why the server ended; empty while it runs, or when nobody knows."""
        if self._running is None:
            return ""
        try:
            self._running.server.statuses()
        except EnvironmentProblem as problem:
            told = [line for line in problem.details if "error" in line.lower()]
            return f"{problem.what}{': ' + told[-1] if told else ''}"
        return ""

    def stop(self) -> None:
        """End it and forget what was loaded; nothing happens when none runs."""
        running, self._running = self._running, None
        self._slots.clear()
        if running is not None:
            running.control.close()
            running.client.close()
            running.server.stop(_GRACE_S)
        shutil.rmtree(self.repository, ignore_errors=True)

    def load(self, wanted: Loadable, facts: ModelFacts, room: int) -> str:
        """The slot that holds a configuration, loaded now or before.

        Args:
            wanted: the configuration; its name becomes the slot's.
            facts: of its model.
            room: instances that may be loaded at once.

        Raises:
            EnvironmentProblem: TG815, the server refuses it; TG814, it does not answer.
        """
        if wanted.key in self._slots:
            self._slots.move_to_end(wanted.key)
            return self._slots[wanted.key][0]
        taken = sum(instances for _, instances in self._slots.values())
        while self._slots and taken + wanted.instances > room:
            taken -= self._unload_oldest()
        slot = f"{facts.name}-{self._made}"
        self._made += 1
        self._place(slot, facts)
        client = self.running.client
        try:
            self._watched(lambda: client.load(slot, {**wanted.config, "name": slot}))
        except EnvironmentProblem as problem:
            shutil.rmtree(self.repository / slot, ignore_errors=True)
            reason = clean(problem.what).replace(slot, facts.name)
            raise EnvironmentProblem(problem.code, reason, where=facts.name) from problem
        self._slots[wanted.key] = (slot, wanted.instances)
        return slot

    def _watched(self, ask: Callable[[], None]) -> None:
        """Waits for an answer for as long as the server lives.

        The processes of a dead server's instances hold its sockets open: nobody would answer.
        """
        problems: list[TritongenError] = []

        def run() -> None:
            try:
                ask()
            except TritongenError as problem:
                problems.append(problem)

        waiting = Thread(target=run, daemon=True)
        waiting.start()
        while waiting.is_alive():
            waiting.join(_LOOK_S)
            if waiting.is_alive() and not self.alive():
                raise EnvironmentProblem("TG812", self.last_words() or "the server ended")
        if problems:
            raise problems[0]

    def _unload_oldest(self) -> int:
        """Takes out what was used least recently, and tells how many instances it held."""
        slot, instances = self._slots.popitem(last=False)[1]
        self.running.client.unload(slot)
        shutil.rmtree(self.repository / slot, ignore_errors=True)
        return instances

    def _place(self, slot: str, facts: ModelFacts) -> None:
        mode = WeightsMode.HARDLINK
        apart = self.root.stat().st_dev != self.repository.stat().st_dev
        if apart and self.runtime is RuntimeName.EMBEDDED:
            # Another file system takes no hard link, and a copy a slot may be large.
            mode = WeightsMode.SYMLINK
        files = [
            WeightFile(
                f"{slot}/{version.number}/{ref.target}",
                self.root / ref.source,
                mode,
            )
            for version in facts.versions
            for ref in version.files
        ]
        apply_change(self.repository, RepositoryChange(weights=tuple(files)))

    def _start(self) -> None:
        # Not private by its own mode: a container's user reads it, by a mount of its own.
        self.repository.mkdir(exist_ok=True)
        check_folder(self.repository)
        spec = self._spec()
        chosen = choose_runtime(spec, self._up_options, self.progress)
        findings = chosen.preflight(spec)
        errors = [item for item in findings if item.severity is Severity.ERROR]
        if errors:
            details = [f"{item.message} [{item.code}] → {item.fix}" for item in errors[1:]]
            raise EnvironmentProblem(
                errors[0].code, errors[0].message, fix=errors[0].fix, details=details
            )
        self.runtime = chosen.name
        server = chosen.runtime.start(spec)
        try:
            server.wait_ready(_START_S, self.progress)
            address, headers = server.endpoints.http, server.state.headers()
            control = ServerControl(Endpoint.parse(address, headers=headers))
        except BaseException:
            server.stop(_GRACE_S)
            self.stop()
            raise
        self.starts += 1
        self.version = server.state.version
        self._running = _Running(server, control, HttpClient(address, _LOAD_S, headers=headers))

    @property
    def _up_options(self) -> UpOptions:
        wanted = self.options
        return UpOptions(runtime=wanted.runtime, image=wanted.image, wheel=wanted.wheel)

    def _spec(self) -> ServerSpec:
        return replace(
            bare_spec(self.store, self._up_options),
            repository=self.repository.resolve(),
            log=self.store.folder / "tune/server.log",
            backends=self.backends,
            environment=self._environment,
            ports=Ports(0, 0, 0),
            cores=len(self.cores.server),
            cpuset=self.cores.server if _same_numbers(self.options) else (),
            model_control=ModelControl.EXPLICIT,
            # Every configuration is complete; Triton would spend a second on each guess.
            auto_complete=False,
            release=self.release,
            shared_memory_bytes=_SHARED_MEMORY,
            gpus=self.gpus,
        )


@dataclass(frozen=True, slots=True)
class _Running:
    """A server that runs, with what asks it and what loads models into it."""

    server: "RunningServer"
    control: ServerControl
    client: HttpClient


def _same_numbers(options: TuneOptions) -> bool:
    """Whether the server's machine numbers its CPUs as this process does."""
    return options.runtime is not RuntimeName.DOCKER or not os.environ.get("DOCKER_HOST")
