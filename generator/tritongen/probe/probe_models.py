"""`probe`: makes requests for the server's models and measures every level asked for."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from tritongen.errors import (
    EnvironmentProblem,
    InvalidInputError,
    TritongenError,
    describe_error,
)
from tritongen.intent import INTENT_FILE, raise_faults, read_intent
from tritongen.model.intent import Intent
from tritongen.probe.language_models import refuse_language_model
from tritongen.probe.level import Conditions, Run, signal_of
from tritongen.probe.load_engine import FailureCode, LoadClient
from tritongen.probe.load_job import LoadJob, prepare_job
from tritongen.probe.probe_request import ModelChoice, ProbeReport, ProbeRequest, Tell
from tritongen.probe.probed_server import ProbedServer, connect, environment
from tritongen.probe.prober import Prober
from tritongen.probe.schedule import Schedule, named_schedule, parse_schedule
from tritongen.probe.workload import Load
from tritongen.queueing import ClosedLoop
from tritongen.system.sample_files import find_samples

# Requests of an open loop that have a place in shared memory; more wait in the client.
_OPEN_SHARED_SLOTS = 64
_MAX_SCHEDULE_BYTES = 256 * 1024 * 1024
# Of failures that no answer of a server's names.
_OWN_CODES = frozenset(FailureCode)
# After these there is no point in asking for the next model.
_SERVER_GONE = frozenset({"TG834", "TG861", "TG901", "TG902", "TG908", "TG918"})

Item = TypeVar("Item")


def probe(project: Path, request: ProbeRequest, tell: Tell | None = None) -> ProbeReport:
    """Measure every level for every model; what was measured is never lost.

    Args:
        project: folder whose running server and `tritongen.yaml` are used.
        request: what to measure.
        tell: called about once a second with the model, the load and what is known so far.

    Raises:
        TritongenError: nothing could be measured at all.
    """
    with ProbeRun.on_server(project, request, tell) as run:
        run.each_in_turn(_groups(run.choices()), run.measure_loads)
        return run.report


class ProbeRun:
    """One run against one server: its models, what is measured of them, and how that ended.

    Attributes:
        request: what to measure.
        server: that is measured.
        report: what was measured so far.
    """

    def __init__(
        self, project: Path, request: ProbeRequest, server: ProbedServer, tell: Tell | None
    ) -> None:
        self.request, self.server = request, server
        self.report = ProbeReport(environment(server, request))
        self._project, self._tell = project, tell
        self._begun = 0

    @classmethod
    @contextlib.contextmanager
    def on_server(
        cls, project: Path, request: ProbeRequest, tell: Tell | None
    ) -> "Iterator[ProbeRun]":
        """A run against the server that the request names, or the project's own.

        Raises:
            EnvironmentProblem: TG901 nothing listens there, TG902 it is no Triton.
        """
        with connect(project, request) as server:
            yield cls(project, request, server, tell)

    def choices(self) -> tuple[ModelChoice, ...]:
        """The models asked for, or every ready one.

        Raises:
            EnvironmentProblem: TG916, none is ready.
        """
        if self.request.models:
            return self.request.models
        names = self.server.control.ready_models()
        if not names:
            where = self.server.endpoint.address
            raise EnvironmentProblem("TG916", "the server has no model that is ready", where=where)
        return tuple(map(ModelChoice, names))

    def each_in_turn(self, items: Iterable[Item], measure: Callable[[Item], object]) -> None:
        """Measure one after the other; what ails one model does not keep the others from it.

        Args:
            items: what to measure.
            measure: measures one of them; the problems met end up in the report.

        Raises:
            TritongenError: nothing could be measured at all.
            KeyboardInterrupt: likewise.
        """
        report = self.report
        problems: list[TritongenError] = []
        for item in items:
            try:
                measure(item)
            except TritongenError as problem:
                problems.append(problem)
            except KeyboardInterrupt as interrupt:
                if not report.levels:
                    raise
                report.interrupted = signal_of(interrupt)
            if report.problem is not None:
                problems.append(report.problem)
                report.problem = None
            if report.interrupted or (problems and problems[-1].code in _SERVER_GONE):
                break
        if problems:
            report.problem = _joined(problems)
            if not report.levels:
                raise report.problem

    def measure_loads(self, choices: Sequence[ModelChoice]) -> None:
        """Measure every load for models that are probed at once."""
        with self.prober(choices) as prober:
            prober.check()
            for load in self.request.loads:
                self.measure(prober, load, self.request.conditions)
                if self.over:
                    return

    def prober(self, choices: Sequence[ModelChoice], client: LoadClient | None = None) -> Prober:
        """A prober for models that are probed at once, each with its inputs; close it.

        Args:
            choices: the models.
            client: what sends the requests; None for what was asked for.
        """
        request, server = self.request, self.server
        options = request.options
        return Prober(
            server.endpoint,
            server.control,
            [self._job(choice) for choice in choices],
            options=options if client is None else replace(options, client=client),
            processes=request.processes,
            metrics=server.metrics,
            shared_slots=_shared_slots(request),
            replicas=server.replicas,
        )

    def measure(self, prober: Prober, load: Load, conditions: Conditions) -> Run:
        """Measure one level, and take what it gave and how it ended into the report."""
        name = " + ".join(job.model for job in prober.jobs)
        tell = self._tell
        if conditions.begin_at is not None:
            begin_at = conditions.begin_at + self._begun * conditions.period_s
            conditions = replace(conditions, begin_at=begin_at)
            self._begun += 1
        outcome = prober.run(
            load, conditions, None if tell is None else lambda update: tell(name, load, update)
        )
        self.report.levels += outcome.results
        self.report.interrupted = self.report.interrupted or outcome.interrupted
        self.report.problem = self._problem(outcome) or self.report.problem
        return outcome

    @property
    def over(self) -> bool:
        """Whether there is no point in going on with this model."""
        return bool(self.report.interrupted) or self.report.problem is not None

    def _problem(self, outcome: Run) -> EnvironmentProblem | None:
        where = self.server.endpoint.address
        answered = any(set(one.requests.failures_by_code) - _OWN_CODES for one in outcome.results)
        if outcome.gone and (not answered or any(one.requests.ok for one in outcome.results)):
            return EnvironmentProblem("TG908", outcome.ended, where=where)
        found = None
        for result in outcome.results:
            if result.requests.ok or self.report.interrupted:
                continue
            if result.requests.failed:
                found = EnvironmentProblem("TG919", result.reason, where=result.model)
            elif outcome.records.unfinished:
                found = EnvironmentProblem("TG918", result.reason, where=where)
        return found

    def _job(self, choice: ModelChoice) -> LoadJob:
        """A model with its requests; `tritongen.yaml` declares what its metadata leave open."""
        refuse_language_model(self.server, choice.name, self.request.loads)
        folder, whole = self._intent
        intent, given = whole.of(choice.name), self.request.inputs
        named = whole.samples_of(choice.name)
        if named and not (given.data or given.shapes or given.values):
            given = replace(given, samples=find_samples(folder, named))
        return prepare_job(
            self.server.control,
            choice.name,
            replace(given, declared=intent.inputs),
            version=choice.version,
            share=choice.share or 1.0,
            sequence_length=self.request.sequence_length,
        )

    @cached_property
    def _intent(self) -> tuple[Path, Intent]:
        """The given `tritongen.yaml`, or that of the project or its models, and its folder."""
        given, project = self.request.intent, self._project
        for place in [given] if given else [project, project / "models"]:
            path = place if place.suffix in {".yaml", ".yml"} else place / INTENT_FILE
            if path.is_file():
                document = read_intent(path)
                raise_faults(document.faults, str(path))
                return path.parent, document.intent
        return project, Intent()


def _groups(choices: Sequence[ModelChoice]) -> list[tuple[ModelChoice, ...]]:
    """Models with shares are probed at once, the others in turn."""
    together = tuple(choice for choice in choices if choice.share is not None)
    alone = [(choice,) for choice in choices if choice.share is None]
    return [together, *alone] if together else list(alone)


def _joined(problems: Sequence[TritongenError]) -> TritongenError:
    """The first problem, with the others as its details."""
    first = problems[0]
    if len(problems) == 1:
        return first
    details = (*first.details, *(f"{other.code} {other}" for other in problems[1:]))
    return type(first)(first.code, first.what, where=first.where, fix=first.fix, details=details)


def _shared_slots(request: ProbeRequest) -> int:
    """Requests at a time that need a place in shared memory, 0 without it."""
    if not request.shared_memory:
        return 0
    closed = [load.concurrency for load in request.loads if isinstance(load, ClosedLoop)]
    return max([*closed, _OPEN_SHARED_SLOTS] if len(closed) < len(request.loads) else closed)


def read_schedule(text: str, rate: float, seconds: float) -> Schedule:
    """A schedule from a file, or a pattern by name with its mean rate and length.

    Raises:
        InvalidInputError: TG905, neither exists, or the file is not a schedule.
    """
    path = Path(text)
    if not path.is_file():
        return named_schedule(text, rate, seconds)
    if path.stat().st_size > _MAX_SCHEDULE_BYTES:
        raise InvalidInputError("TG905", "the schedule is larger than 256 MiB", where=text)
    try:
        return parse_schedule(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as fault:
        raise InvalidInputError(
            "TG003", f"cannot be read: {describe_error(fault)}", where=text
        ) from None
