"""`probe`: makes requests for the server's models and measures every level asked for."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from tritongen.errors import EnvironmentProblem, InvalidInputError, TritongenError, told
from tritongen.intent import INTENT_FILE, raise_faults, read_intent
from tritongen.model.intent import Intent
from tritongen.probe.arrivals.schedule import Schedule, named_schedule, parse_schedule
from tritongen.probe.arrivals.workload import Closed, Load
from tritongen.probe.connection import Connection, connect, environment
from tritongen.probe.level import Update, signal_of
from tritongen.probe.load_job import Job, prepare_job
from tritongen.probe.probe_request import ModelChoice, ProbeReport, ProbeRequest, Tell
from tritongen.probe.prober import Outcome, Prober
from tritongen.probe.request_inputs import InputOptions
from tritongen.system.files import write_atomic

__all__ = [
    "Connection",
    "ModelChoice",
    "ProbeReport",
    "ProbeRequest",
    "Tell",
    "connect",
    "each_in_turn",
    "environment",
    "model_choices",
    "note_end",
    "open_prober",
    "prepare_jobs",
    "probe",
    "read_schedule",
    "teller",
    "write_result",
]

# Requests of an open loop that have a place in shared memory; more wait in the client.
_OPEN_SHARED_SLOTS = 64
_MOST_SCHEDULE = 256 * 1024 * 1024
# After these there is no point in asking for the next model.
_SERVER_GONE = frozenset({"TG901", "TG902", "TG908", "TG918"})

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
    with connect(project, request) as connection:
        report = ProbeReport(environment(connection, request))
        each_in_turn(
            report,
            _groups(model_choices(connection, request)),
            lambda group: _measure_group(project, request, connection, group, report, tell),
        )
    return report


def each_in_turn(
    report: ProbeReport, items: Iterable[Item], measure: Callable[[Item], None]
) -> None:
    """Measure one after the other; what ails one model does not keep the others from it.

    Args:
        report: filled by `measure`; the problems met end up in it.
        items: what to measure.
        measure: measures one of them.

    Raises:
        TritongenError: nothing could be measured at all.
        KeyboardInterrupt: likewise.
    """
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


def _joined(problems: Sequence[TritongenError]) -> TritongenError:
    """The first problem, with the others as its details."""
    first = problems[0]
    if len(problems) == 1:
        return first
    details = (*first.details, *(f"{other.code} {other}" for other in problems[1:]))
    return type(first)(first.code, first.what, where=first.where, fix=first.fix, details=details)


def model_choices(connection: Connection, request: ProbeRequest) -> tuple[ModelChoice, ...]:
    """The models asked for, or every ready one.

    Raises:
        EnvironmentProblem: TG916, none is ready.
    """
    if request.models:
        return request.models
    names = connection.control.ready_models()
    if not names:
        raise EnvironmentProblem(
            "TG916", "the server has no model that is ready", where=connection.endpoint.address
        )
    return tuple(map(ModelChoice, names))


def _groups(choices: Sequence[ModelChoice]) -> list[tuple[ModelChoice, ...]]:
    """Models with shares are probed at once, the others in turn."""
    together = tuple(choice for choice in choices if choice.share is not None)
    alone = [(choice,) for choice in choices if choice.share is None]
    return [together, *alone] if together else list(alone)


def _measure_group(
    project: Path,
    request: ProbeRequest,
    connection: Connection,
    group: Sequence[ModelChoice],
    report: ProbeReport,
    tell: Tell | None,
) -> None:
    jobs = prepare_jobs(project, request, connection, group)
    name = " + ".join(job.model for job in jobs)
    with open_prober(request, connection, jobs) as prober:
        prober.check()
        for load in request.loads:
            outcome = prober.run(load, request.conditions, teller(tell, name, load))
            report.levels += outcome.results
            note_end(report, outcome, connection)
            if report.interrupted or report.problem is not None:
                return


def teller(tell: Tell | None, name: str, load: Load) -> Callable[[Update], None] | None:
    """`tell` for one level."""
    if tell is None:
        return None
    return lambda update: tell(name, load, update)


def note_end(report: ProbeReport, outcome: Outcome, connection: Connection) -> None:
    """Take over how a level ended."""
    report.interrupted = report.interrupted or outcome.interrupted
    where = connection.endpoint.address
    if outcome.gone:
        report.problem = EnvironmentProblem("TG908", outcome.ended, where=where)
        return
    for result in outcome.results:
        if result.requests.ok or report.interrupted:
            continue
        if result.requests.failed:
            report.problem = EnvironmentProblem("TG919", result.reason, where=result.model)
        elif outcome.unanswered:
            report.problem = EnvironmentProblem("TG918", result.reason, where=where)


def prepare_jobs(
    project: Path, request: ProbeRequest, connection: Connection, group: Sequence[ModelChoice]
) -> list[Job]:
    """Jobs for models that are probed at once, with the inputs that `tritongen.yaml` declares."""
    intent = _intent(project, request)
    jobs = []
    for choice in group:
        declared = intent.of(choice.name).inputs
        inputs = InputOptions(
            batch=request.inputs.batch,
            shapes=request.inputs.shapes,
            values=request.inputs.values,
            declared=declared,
            data=request.inputs.data,
            seed=request.inputs.seed,
        )
        jobs.append(
            prepare_job(
                connection.control,
                choice.name,
                inputs,
                version=choice.version,
                share=choice.share or 1.0,
                sequence_length=request.sequence_length,
            )
        )
    return jobs


def open_prober(request: ProbeRequest, connection: Connection, jobs: Sequence[Job]) -> Prober:
    """A prober for jobs; close it."""
    return Prober(
        connection.endpoint,
        connection.control,
        jobs,
        options=request.options,
        processes=request.processes,
        metrics=connection.metrics,
        shared_slots=_shared_slots(request),
        replicas=connection.replicas,
    )


def _shared_slots(request: ProbeRequest) -> int:
    """Requests at a time that need a place in shared memory, 0 without it."""
    if not request.shared_memory:
        return 0
    closed = [load.concurrency for load in request.loads if isinstance(load, Closed)]
    return max([*closed, _OPEN_SHARED_SLOTS] if len(closed) < len(request.loads) else closed)


def _intent(project: Path, request: ProbeRequest) -> Intent:
    """The given `tritongen.yaml`, or the one in the project or its models folder."""
    places = [request.intent] if request.intent else [project, project / "models"]
    for place in places:
        path = place if place.suffix in {".yaml", ".yml"} else place / INTENT_FILE
        if path.is_file():
            document = read_intent(path)
            raise_faults(document.faults, str(path))
            return document.intent
    return Intent()


def read_schedule(text: str, rate: float, seconds: float) -> Schedule:
    """A schedule from a file, or a pattern by name with its mean rate and length.

    Raises:
        InvalidInputError: TG905, neither exists, or the file is not a schedule.
    """
    path = Path(text)
    if not path.is_file():
        return named_schedule(text, rate, seconds)
    if path.stat().st_size > _MOST_SCHEDULE:
        raise InvalidInputError("TG905", "the schedule is larger than 256 MiB", where=text)
    try:
        return parse_schedule(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as fault:
        raise InvalidInputError("TG003", f"cannot be read: {told(fault)}", where=text) from None


def write_result(path: Path, text: str) -> None:
    """Write a result in one step.

    Raises:
        EnvironmentProblem: TG004 or TG005, it cannot be written.
    """
    write_atomic(path, text.encode())
