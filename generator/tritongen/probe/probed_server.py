"""The server that `probe` measures: found, seen to be a Triton, described, and read."""

import contextlib
import hashlib
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritongen import __version__
from tritongen.errors import EnvironmentProblem, InvalidInputError, TritongenError
from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.level import ServerReading
from tritongen.probe.probe_request import ProbeRequest
from tritongen.probe.report.json_document import Environment
from tritongen.system.machine import read_cpus
from tritongen.system.process_usage import cpu_seconds, process_tree, resident_bytes
from tritongen.triton.address import Endpoint
from tritongen.triton.control import ServerControl
from tritongen.triton.metrics import Metrics
from tritongen.triton.server import own_implementation
from tritongen.triton.server_state import StateStore
from tritongen.triton.statistics import (
    GpuUse,
    ModelStatistics,
    ServedConfig,
    ServerUse,
    served_config,
)


@dataclass(frozen=True, slots=True)
class ProbedServer:
    """A server that answers.

    Attributes:
        endpoint: where requests go.
        control: its side channel.
        server: its name and version.
        metrics: its metrics endpoint, None when it is not known.
        replicas: further servers of the same models.
        runtime: where it runs, empty when that is not known.
    """

    endpoint: Endpoint
    control: ServerControl
    server: str
    metrics: Metrics | None
    replicas: tuple[Endpoint, ...] = ()
    runtime: str = ""


@contextlib.contextmanager
def connect(project: Path, request: ProbeRequest) -> Iterator[ProbedServer]:
    """Find the server and see that it is a Triton.

    Raises:
        EnvironmentProblem: TG901 nothing listens there, TG902 it is no Triton.
    """
    (endpoint, *replicas), metrics = _locate(project, request)
    with contextlib.closing(ServerControl(endpoint, *replicas)) as control:
        info = control.server()
        if "binary_tensor_data" not in info.extensions:
            what = f"{info.name or 'the server'} lacks the binary tensor data extension"
            raise EnvironmentProblem("TG902", what, where=endpoint.address)
        server = f"{info.name} {info.version}".strip()
        state = StateStore(project).read()
        ends = (state.endpoints.http, state.endpoints.grpc) if state is not None else ()
        runtime = state.runtime if state is not None and endpoint.address in ends else ""
        yield ProbedServer(endpoint, control, server, metrics, tuple(replicas), runtime)


def _locate(project: Path, request: ProbeRequest) -> tuple[list[Endpoint], Metrics | None]:
    """Servers to ask, one or more, and the metrics endpoint of the project's own."""
    url, metrics = request.url, None
    if not url:
        state = StateStore(project).read()
        if state is None:
            raise EnvironmentProblem("TG901", "no server runs for this project", where=str(project))
        ends = state.endpoints
        url = ends.grpc if request.protocol is ClientProtocol.GRPC else ends.http
        if ends.metrics:
            metrics = Metrics(Endpoint.parse(ends.metrics))
    found = [
        replace(
            request.access.endpoint(text, request.protocol, project), streaming=request.streaming
        )
        for text in url.split(",")
    ]
    # What is sent is made once: to all replicas the same.
    if len({(one.protocol, one.path, one.tls is None) for one in found}) > 1:
        raise InvalidInputError("TG304", "replicas differ in protocol or path", where=url)
    return found, metrics


def environment(connection: ProbedServer, request: ProbeRequest) -> Environment:
    """Where and how this runs."""
    reading = read_cpus()
    endpoint = connection.endpoint
    servers = [one.place for one in (endpoint, *connection.replicas)]
    secured = "s" if endpoint.tls is not None else ""
    configs = _configs(connection, request)
    return Environment(
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        tool=f"tritongen {__version__}",
        server=connection.server,
        endpoint=f"{endpoint.protocol}{secured} {','.join(servers)}",
        headers=tuple(sorted(endpoint.headers)),
        machine={
            "cpu": reading.model,
            "cores": reading.affinity,
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
        },
        seed=request.inputs.seed,
        configurations={name: _hash(config) for name, config in configs.items()},
        command=request.command,
        measured_on=own_implementation(
            connection.runtime, (str(config.get("backend")) for config in configs.values())
        ),
    )


def _configs(connection: ProbedServer, request: ProbeRequest) -> dict[str, Any]:
    """Each model's configuration in force; models that have none are left out."""
    found = {}
    names = [choice.name for choice in request.models]
    for name in names or connection.control.ready_models():
        try:
            found[name] = connection.control.config(name)
        except TritongenError:
            continue
    return found


def _hash(config: Any) -> str:  # noqa: ANN401  (a configuration in JSON's terms)
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(slots=True)
class Observer:
    """Reads what the server tells about some models, those of their ensembles included.

    Attributes:
        control: of the server.
        configs: of the models, by name; those of ensembles' steps are added.
        pid: of a local server, None when it is not known.
        metrics: its metrics endpoint, None when it is not known.
    """

    control: ServerControl
    configs: dict[str, ServedConfig]
    pid: int | None = None
    metrics: Metrics | None = None
    # Whether its metrics may tell of GPUs: they did, or were not asked yet.
    _gpus: bool = True

    def __post_init__(self) -> None:
        for config in list(self.configs.values()):
            self._add_steps(config)

    def _add_steps(self, config: ServedConfig) -> None:
        for step in config.steps:
            if step and step not in self.configs:
                try:
                    found = served_config(step, self.control.config(step))
                except TritongenError:
                    found = ServedConfig(step)
                self.configs[step] = found
                self._add_steps(found)

    def read(self) -> ServerReading | None:
        """The server's state now, None when it does not answer."""
        statistics: dict[str, ModelStatistics] = {}
        try:
            for name in self.configs:
                statistics[name] = self.control.statistics(name)
        except TritongenError:
            # The load goes on, and its numbers are good without the server's own.
            return None
        cpu_s, use = self._resources()
        return ServerReading(statistics, dict(self.configs), cpu_s, use)

    def _resources(self) -> tuple[float | None, ServerUse]:
        if self.pid is not None:
            pids = process_tree(self.pid)
            memory = sum(map(resident_bytes, pids))
            if pids:
                return cpu_seconds(*pids), ServerUse(None, memory, "process", self._gpu_use())
        if self.metrics is not None:
            return None, self.metrics.use()
        return None, ServerUse()

    def _gpu_use(self) -> GpuUse | None:
        """Of a server whose memory and CPU are read from its processes."""
        if self.metrics is None or not self._gpus:
            return None
        found = self.metrics.use().gpus
        self._gpus = found is not None
        return found
