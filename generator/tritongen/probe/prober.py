"""Measuring levels of load one after the other, over connections that stay open.

This is the probe as a library::

    with Prober(endpoint, control, [job]) as prober:
        prober.check()
        first = prober.run(ClosedLoop(8), Conditions(budget_s=2.0))
        second = prober.run(ClosedLoop(8), Conditions(budget_s=2.0))
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Self

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.engines.client_grpc import GrpcClientEngine, StreamClientEngine
from tritongen.probe.engines.client_http import HttpClientEngine
from tritongen.probe.engines.slot_engine import Engine
from tritongen.probe.generator import Generator
from tritongen.probe.level import Conditions, LoadSource, Run, Update, run_load
from tritongen.probe.load_engine import (
    EngineOptions,
    FailureCode,
    LoadClient,
    RequestPlan,
    clock_ns,
)
from tritongen.probe.load_job import LoadJob, chosen_client, make_plan
from tritongen.probe.load_processes import LoadProcesses
from tritongen.probe.probed_server import Observer
from tritongen.probe.results import level_results
from tritongen.probe.statistics.measurement import LevelLabels
from tritongen.probe.workload import Load
from tritongen.system.process_usage import local_server
from tritongen.triton.address import Endpoint
from tritongen.triton.control import ServerControl
from tritongen.triton.metrics import Metrics
from tritongen.triton.shared_memory import SharedTensors

# Between looks for the answer to a first request. Chosen.
_POLL_S = 0.05
# A server that fails now and then may fail the first request, too.
_ATTEMPTS = 4
_REFUSED = frozenset({"HTTP 400", "GRPC INVALID_ARGUMENT", "GRPC ERROR"})
_DENIED = frozenset({"HTTP 401", "HTTP 403", "GRPC UNAUTHENTICATED", "GRPC PERMISSION_DENIED"})
_CERTAIN = frozenset({*_REFUSED, *_DENIED, FailureCode.TIMEOUT, FailureCode.UNFINISHED})
# What Triton says where the model itself raises: at every attempt it is of the request.
_RAISED = frozenset({"HTTP 500", "GRPC INTERNAL"})


class Prober:
    """Measures one or several models of one server."""

    def __init__(
        self,
        endpoint: Endpoint,
        control: ServerControl,
        jobs: Sequence[LoadJob],
        *,
        options: EngineOptions | None = None,
        processes: int = 1,
        metrics: Metrics | None = None,
        shared_slots: int = 0,
        replicas: Sequence[Endpoint] = (),
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            endpoint: where requests go.
            control: the server's side channel.
            jobs: the models that are probed at once; usually one.
            options: of the engine.
            processes: that make the load.
            metrics: the server's metrics endpoint, where its process cannot be seen.
            shared_slots: greatest number of requests at a time whose tensors lie in system shared
                memory, once `check` has told their sizes; 0 sends tensors along.
            replicas: further servers of the same models; each has as many processes as the first.

        Raises:
            EnvironmentProblem: TG901, the host has no address.
            InvalidInputError: TG914, the protocol or the client cannot do what is needed.
        """
        self.endpoint = endpoint = _streaming_where_needed(endpoint, jobs)
        self._endpoints = (endpoint, *(_streaming_where_needed(one, jobs) for one in replicas))
        # The load is shared by processes: the same number for each server.
        processes = math.ceil(processes / len(self._endpoints)) * len(self._endpoints)
        self.jobs = tuple(jobs)
        self.processes = processes
        self._control = control
        self._shared_slots = shared_slots
        self._placements: list[SharedTensors] = []
        self._options = options or EngineOptions()
        self.client = _client(endpoint, self._options, processes)
        self._observer = self._make_observer(metrics)
        self._plans = [make_plan(job, endpoint, client=self.client) for job in jobs]
        self._engine = self._make_engine()

    def _make_observer(self, metrics: Metrics | None) -> Observer:
        """Reads the server; with several, none is the one whose CPU and memory would tell."""
        configs = {job.model: job.config for job in self.jobs}
        if len(self._endpoints) > 1:
            return Observer(self._control, configs)
        pid = local_server(self.endpoint.host, self.endpoint.port)
        return Observer(self._control, configs, pid=pid, metrics=metrics)

    def _make_engine(self, part: int = 0) -> Engine:
        """The engine of one process: its server is the one whose turn it is."""
        endpoint = self._endpoints[part % len(self._endpoints)]
        return make_engine(endpoint, self._plans, self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection, and free shared memory."""
        self._engine.close()
        for placement in self._placements:
            placement.close()
        self._placements.clear()

    def check(self) -> None:
        """Send one request to every model and look at its response.

        Raises:
            EnvironmentProblem: TG901 or TG918, the server does not answer; TG861, it wants a key;
                TG915, the response is not what the model's metadata say. Other failures may pass; a
                level counts them.
            InvalidInputError: TG904, the model refuses the request.
        """
        check_targets(self._engine, self._options.timeout_s)
        if self._shared_slots and not self._placements:
            self._share_memory()

    def _share_memory(self) -> None:
        """Move tensors into shared memory, and begin again with an engine for that."""
        # The responses of a stream would all go to the same place.
        streaming = self.endpoint.streaming
        sizes = [{} if streaming else dict(target.seen) for target in self._engine.targets]
        for job, seen in zip(self.jobs, sizes, strict=True):
            room = {name: _room(size, job, name) for name, size in seen.items()}
            self._placements.append(
                SharedTensors(self._control, job.messages, room, self._shared_slots)
            )
        self._engine.close()
        slots = self._shared_slots
        self._options = replace(
            self._options, max_outstanding=min(self._options.max_outstanding, slots)
        )
        self._plans = [
            make_plan(job, self.endpoint, placement, slots, self.client)
            for job, placement in zip(self.jobs, self._placements, strict=True)
        ]
        self._engine = self._make_engine()
        check_targets(self._engine, self._options.timeout_s)
        for target, seen in zip(self._engine.targets, sizes, strict=True):
            target.seen = seen

    def run(
        self,
        load: Load,
        conditions: Conditions | None = None,
        tell: Callable[[Update], None] | None = None,
    ) -> Run:
        """Measure one level.

        Args:
            load: what to put on the server.
            conditions: how long and how precisely.
            tell: called about once a second with what is known so far.

        Raises:
            EnvironmentProblem: TG901, the server cannot be reached at the begin.
        """
        wanted = conditions or Conditions()
        count = wanted.requests
        source: LoadSource = Generator(self._engine, load, wanted.seed, requests=count)
        if self.processes > 1:
            source = LoadProcesses(self._make_engine, load, wanted.seed, self.processes, count)
        run = run_load(source, load, wanted, self._observer.read, tell)
        run.results = level_results(run, self._subjects())
        return run

    def _subjects(self) -> list[LevelLabels]:
        return [
            LevelLabels(
                model=job.model,
                version=job.version,
                batch=job.batch,
                share=job.share / sum(other.share for other in self.jobs),
                payload_bytes=job.messages[0].payload_bytes + sum(target.seen.values()),
                protocol=str(self.endpoint.protocol),
                engine=self._engine.name,
                client_name=str(self.client),
                processes=self.processes,
            )
            for job, target in zip(self.jobs, self._engine.targets, strict=True)
        ]


def _room(size: int, job: LoadJob, name: str) -> int:
    """Bytes to keep free for an output: more than was seen where its size is not fixed."""
    output = next(output for output in job.meta.outputs if output.name == name)
    served = output.shape[1:] if job.batches else output.shape
    fixed = -1 not in served and output.datatype != "BYTES"
    return size if fixed else 2 * size + 1024


def _streaming_where_needed(endpoint: Endpoint, jobs: Sequence[LoadJob]) -> Endpoint:
    decoupled = [job.model for job in jobs if job.config.decoupled]
    if decoupled and endpoint.protocol is ClientProtocol.HTTP:
        raise InvalidInputError(
            "TG914",
            "the model is decoupled: it may answer a request any number of times",
            where=decoupled[0],
            fix="Probe it over gRPC: -u HOST:8001 --protocol grpc.",
        )
    return replace(endpoint, streaming=True) if decoupled else endpoint


def _client(endpoint: Endpoint, options: EngineOptions, processes: int) -> LoadClient:
    """What sends the requests, as far as it can."""
    client = chosen_client(endpoint, options.client, compressed=bool(options.compression))
    if client is LoadClient.TRITONCLIENT and processes > 1:
        # Neither gRPC nor gevent goes on in a process that was forked from theirs.
        raise InvalidInputError(
            "TG914",
            "tritonclient, which streams need too, sends from one process to one server",
            fix="Leave --processes out and name one server, or use --client fast.",
        )
    return client


def make_engine(endpoint: Endpoint, plans: Sequence[RequestPlan], options: EngineOptions) -> Engine:
    """The engine for an endpoint, and for the client that the plans were made for."""
    http = endpoint.protocol is ClientProtocol.HTTP
    if plans[0].client is LoadClient.FAST:
        # What they drive sockets by is Linux's.
        from tritongen.probe.engines.grpc_engine import GrpcEngine
        from tritongen.probe.engines.http_engine import HttpEngine

        return (HttpEngine if http else GrpcEngine)(endpoint, plans, options)
    if http:
        return HttpClientEngine(endpoint, plans, options)
    return (StreamClientEngine if endpoint.streaming else GrpcClientEngine)(
        endpoint, plans, options
    )


def check_targets(engine: Engine, timeout_s: float) -> None:
    """One request for each target, looked at in full; see `Prober.check`."""
    for _ in range(_ATTEMPTS):
        failures = _failures_of_first(engine, timeout_s)
        if not failures:
            return
        failures.sort(key=lambda failure: failure[1] not in _CERTAIN)
        refusals = [fault for one in failures if (fault := _refusal(*one)) is not None]
        if refusals and failures[0][1] in _CERTAIN:
            break
    if refusals:
        raise refusals[0]


def _failures_of_first(engine: Engine, timeout_s: float) -> list[tuple[str, str, str]]:
    """(model, code, message) of the targets whose one request failed."""
    engine.open(len(engine.targets), closed=False)
    for index in range(len(engine.targets)):
        engine.submit(index, clock_ns())
    limit = clock_ns() + round(timeout_s * 1e9)
    while engine.outstanding and clock_ns() < limit:
        engine.poll(_POLL_S)
        engine.check_timeouts(clock_ns())
    engine.cancel_outstanding()
    engine.stop_sending()
    found = []
    for target in engine.targets:
        if target.log.failures:
            found += [(target.plan.name, *item) for item in target.log.examples.items()]
        target.log.clear()
        target.log.codes.clear()
        target.log.examples.clear()
    return found


def _refusal(model: str, code: str, message: str) -> InvalidInputError | EnvironmentProblem | None:
    """The error of a failed first request; None where the level itself will tell better."""
    if code in {FailureCode.TIMEOUT, FailureCode.UNFINISHED}:
        return EnvironmentProblem(
            "TG918", f"no answer to the first request: {message}", where=model
        )
    if code in {FailureCode.WRONG_RESPONSE, FailureCode.WRONG_VALUES}:
        return EnvironmentProblem("TG915", message, where=model)
    if code in _DENIED:
        return EnvironmentProblem("TG861", message, where=model)
    if code in _REFUSED | _RAISED:
        return InvalidInputError("TG904", message, where=model)
    return None
