"""Measuring levels of load one after the other, over connections that stay open.

This is the probe as a library::

    with Prober(endpoint, control, [job]) as prober:
        prober.check()
        first = prober.run(Closed(8), Conditions(budget_s=2.0))
        second = prober.run(Closed(8), Conditions(budget_s=2.0))
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tritongen.domain.measurement import LevelResult
from tritongen.domain.workload import Load
from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.probe.control import Control
from tritongen.probe.endpoint import Endpoint, Protocol
from tritongen.probe.engine import Engine, EngineOptions, FailureCode, Plan, clock_ns
from tritongen.probe.generator import Generator
from tritongen.probe.grpc.engine import GrpcEngine
from tritongen.probe.http.engine import HttpEngine
from tritongen.probe.jobs import Job, make_plan
from tritongen.probe.level import Conditions, Run, Update, run_load
from tritongen.probe.metrics import Metrics
from tritongen.probe.observer import Observer, local_server
from tritongen.probe.results import Subject, level_results

_POLL_S = 0.05


class Prober:
    """Measures one or several models of one server."""

    def __init__(
        self,
        endpoint: Endpoint,
        control: Control,
        jobs: Sequence[Job],
        *,
        options: EngineOptions | None = None,
        processes: int = 1,
        metrics: Metrics | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            endpoint: where requests go.
            control: the server's side channel.
            jobs: the models that are probed at once; usually one.
            options: of the engine.
            processes: that make the load.
            metrics: the server's metrics endpoint, where its process cannot be seen.

        Raises:
            EnvironmentProblem: TG901, the host has no address.
        """
        self.endpoint = endpoint
        self.jobs = tuple(jobs)
        self.processes = processes
        self._control = control
        self._options = options or EngineOptions(
            tls=endpoint.tls, ca_file=endpoint.ca_file, verify=endpoint.verify
        )
        self._observer = Observer(
            control,
            {job.model: job.config for job in jobs},
            pid=local_server(endpoint.host, endpoint.port),
            metrics=metrics,
        )
        self._engine = make_engine(
            endpoint, [make_plan(job, endpoint) for job in jobs], self._options
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._engine.close()

    def check(self) -> None:
        """Send one request to every model and look at its response.

        Raises:
            EnvironmentProblem: TG901 or TG918, the server does not answer; TG915, the response
                is not what the model's metadata say.
            InvalidInputError: TG904, the model refuses the request.
        """
        check_targets(self._engine, self._options.timeout_s)

    def run(
        self,
        load: Load,
        conditions: Conditions | None = None,
        tell: Callable[[Update], None] | None = None,
    ) -> "Outcome":
        """Measure one level.

        Args:
            load: what to put on the server.
            conditions: how long and how precisely.
            tell: called about once a second with what is known so far.

        Raises:
            EnvironmentProblem: TG901, the server cannot be reached at the begin.
        """
        wanted = conditions or Conditions()
        generator = Generator(self._engine, load, wanted.seed)
        run = run_load(generator, load, wanted, self._observer.read, tell)
        return Outcome(level_results(run, self._subjects()), run)

    def _subjects(self) -> list[Subject]:
        return [
            Subject(
                model=job.model,
                version=job.version,
                batch=job.batch,
                share=job.share / sum(other.share for other in self.jobs),
                payload_bytes=job.messages[0].payload_bytes + sum(target.seen.values()),
                protocol=str(self.endpoint.protocol),
                engine=self._engine.name,
                processes=self.processes,
            )
            for job, target in zip(self.jobs, self._engine.targets, strict=True)
        ]


class Outcome:
    """What a level gave.

    Attributes:
        results: one for each model.
        ended: why it ended early, empty when it did not.
        gone: the server cannot be reached any more, or answers nothing.
        interrupted: the user ended it.
    """

    def __init__(self, results: list[LevelResult], run: Run) -> None:
        self.results = results
        self.ended = run.ended
        self.gone = run.gone
        self.interrupted = run.interrupted


def make_engine(endpoint: Endpoint, plans: Sequence[Plan], options: EngineOptions) -> Engine:
    """The engine for an endpoint."""
    if endpoint.protocol is Protocol.HTTP:
        return HttpEngine(endpoint.host, endpoint.port, plans, options)
    return GrpcEngine(endpoint.host, endpoint.port, plans, options)


def run_level(prober: Prober, load: Load, conditions: Conditions | None = None) -> LevelResult:
    """Measure one level of a prober with one model."""
    return prober.run(load, conditions).results[0]


def check_targets(engine: Engine, timeout_s: float) -> None:
    """One request for each target, looked at in full; see `Prober.check`."""
    engine.open(len(engine.targets), closed=False)
    for index in range(len(engine.targets)):
        engine.submit(index, clock_ns())
    limit = clock_ns() + round(timeout_s * 1e9)
    while engine.outstanding and clock_ns() < limit:
        engine.poll(_POLL_S)
        engine.expire(clock_ns())
    engine.abandon()
    engine.settle()
    for target in engine.targets:
        failures = dict(target.log.examples) if target.log.failures else {}
        target.log.clear()
        target.log.codes.clear()
        target.log.examples.clear()
        for code, message in failures.items():
            raise _refusal(target.plan.name, code, message)


def _refusal(model: str, code: str, message: str) -> InvalidInputError | EnvironmentProblem:
    if code in {FailureCode.TIMEOUT, FailureCode.UNFINISHED}:
        return EnvironmentProblem(
            "TG918", f"no answer to the first request: {message}", where=model
        )
    if code in {FailureCode.CONNECTION, FailureCode.CUT_SHORT}:
        return EnvironmentProblem("TG901", f"the first request failed: {message}", where=model)
    if code in {FailureCode.MALFORMED, FailureCode.WRONG_RESPONSE, FailureCode.WRONG_VALUES}:
        return EnvironmentProblem("TG915", message, where=model)
    if code in {"HTTP 400", "GRPC INVALID_ARGUMENT"}:
        return InvalidInputError("TG904", message, where=model)
    return EnvironmentProblem("TG903", f"{code}: {message}", where=model)
