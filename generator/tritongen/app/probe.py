"""`probe`: finds the server, makes requests for its models, measures every level asked for."""

import contextlib
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritongen import __version__
from tritongen.domain.intent import Intent
from tritongen.domain.measurement import LevelResult
from tritongen.domain.schedule import Schedule, named_schedule, parse_schedule
from tritongen.domain.workload import Closed, Load
from tritongen.errors import EnvironmentProblem, InvalidInputError, TritongenError
from tritongen.inspection.intent import INTENT_FILE, raise_faults, read_intent
from tritongen.inspection.machine import read_cpus
from tritongen.probe.control import Control
from tritongen.probe.dialer import tls_context
from tritongen.probe.endpoint import Endpoint, Protocol, parse_endpoint
from tritongen.probe.engine import EngineOptions
from tritongen.probe.grpc.control import GrpcControl
from tritongen.probe.http.control import HttpControl
from tritongen.probe.inputs import InputOptions
from tritongen.probe.jobs import Job, prepare_job
from tritongen.probe.level import Conditions, Update, signal_of
from tritongen.probe.metrics import Metrics
from tritongen.probe.prober import Outcome, Prober
from tritongen.probe.report.document import Environment
from tritongen.serving.files import write_atomic
from tritongen.serving.state import StateStore

# Requests of an open loop that have a place in shared memory; more wait in the client.
_OPEN_SHARED_SLOTS = 64
_MOST_SCHEDULE = 256 * 1024 * 1024

Tell = Callable[[str, Load, Update], None]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model to probe.

    Attributes:
        name: its name.
        version: empty for the server's choice.
        share: of the load, None where models are probed in turn.
    """

    name: str
    version: str = ""
    share: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What to measure.

    Attributes:
        models: in order; empty for every ready model in turn.
        url: ``HOST:PORT``, empty for the project's running server.
        protocol: how requests travel.
        loads: levels, in order.
        inputs: where inputs come from.
        conditions: how long and how precisely.
        processes: that make the load.
        sequence_length: steps of a sequence, 0 for independent requests.
        streaming: use bidirectional streams for models that are not decoupled, too.
        shared_memory: put inputs and outputs into system shared memory.
        options: of the engine.
        intent: `tritongen.yaml` with declared inputs; None looks for one.
        command: as typed, for the report.
    """

    models: tuple[ModelChoice, ...] = ()
    url: str = ""
    protocol: Protocol = Protocol.HTTP
    loads: tuple[Load, ...] = (Closed(8),)
    inputs: InputOptions = field(default_factory=InputOptions)
    conditions: Conditions = field(default_factory=Conditions)
    processes: int = 1
    sequence_length: int = 0
    streaming: bool = False
    shared_memory: bool = False
    options: EngineOptions = field(default_factory=EngineOptions)
    intent: Path | None = None
    command: str = ""


@dataclass(slots=True)
class ProbeReport:
    """What was measured, complete or not.

    Attributes:
        environment: where and how.
        levels: in order.
        problem: what ended the run early, None when nothing did.
        interrupted: number of the signal by which the user ended it, 0 for none.
    """

    environment: Environment
    levels: list[LevelResult] = field(default_factory=list)
    problem: TritongenError | None = None
    interrupted: int = 0


@dataclass(frozen=True, slots=True)
class Connection:
    """A server that answers.

    Attributes:
        endpoint: where requests go.
        control: its side channel.
        server: its name and version.
        metrics: its metrics endpoint, None when it is not known.
    """

    endpoint: Endpoint
    control: Control
    server: str
    metrics: Metrics | None


@contextlib.contextmanager
def connect(project: Path, request: ProbeRequest) -> Iterator[Connection]:
    """Find the server and see that it is a Triton.

    Raises:
        EnvironmentProblem: TG901 nothing listens there, TG902 it is no Triton.
    """
    endpoint, metrics = _locate(project, request)
    control = _control(endpoint)
    try:
        info = control.server()
        if "binary_tensor_data" not in info.extensions:
            raise EnvironmentProblem(
                "TG902",
                f"{info.name or 'the server'} lacks the binary tensor data extension",
                where=endpoint.address,
            )
        yield Connection(endpoint, control, f"{info.name} {info.version}".strip(), metrics)
    finally:
        control.close()


def _locate(project: Path, request: ProbeRequest) -> tuple[Endpoint, Metrics | None]:
    options = request.options
    url, metrics = request.url, None
    if not url:
        state = StateStore(project).read()
        if state is None:
            raise EnvironmentProblem("TG901", "no server runs for this project", where=str(project))
        ends = state.endpoints
        url = ends.http if request.protocol is Protocol.HTTP else ends.grpc
        if ends.metrics:
            metrics = Metrics(*parse_endpoint(ends.metrics, Protocol.HTTP))
    host, port = parse_endpoint(url, request.protocol)
    secure = options.tls or url.startswith(("https://", "grpcs://"))
    return (
        Endpoint(
            host,
            port,
            request.protocol,
            secure,
            options.ca_file,
            options.verify,
            request.streaming,
        ),
        metrics,
    )


def _control(endpoint: Endpoint) -> Control:
    if endpoint.protocol is Protocol.GRPC:
        return GrpcControl(endpoint)
    context = None
    if endpoint.tls:
        context = tls_context(
            EngineOptions(tls=True, ca_file=endpoint.ca_file, verify=endpoint.verify)
        )
    return HttpControl(endpoint.host, endpoint.port, context=context)


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
        try:
            for group in _groups(model_choices(connection, request)):
                _measure_group(project, request, connection, group, report, tell)
                if report.interrupted or report.problem is not None:
                    break
        except TritongenError as problem:
            if not report.levels:
                raise
            report.problem = problem
        except KeyboardInterrupt as interrupt:
            if not report.levels:
                raise
            report.interrupted = signal_of(interrupt)
    return report


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


def environment(connection: Connection, request: ProbeRequest) -> Environment:
    """Where and how this runs."""
    reading = read_cpus()
    endpoint = connection.endpoint
    return Environment(
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        tool=f"tritongen {__version__}",
        server=connection.server,
        endpoint=f"{endpoint.protocol} {endpoint.address}",
        machine={
            "cpu": reading.model,
            "cores": reading.affinity,
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
        },
        seed=request.inputs.seed,
        configurations=_hashes(connection, request),
        command=request.command,
    )


def _hashes(connection: Connection, request: ProbeRequest) -> dict[str, str]:
    """SHA-256 of each model's configuration in force; models that have none are left out."""
    found = {}
    names = [choice.name for choice in request.models]
    for name in names or connection.control.ready_models():
        try:
            config: Any = connection.control.config(name)
        except TritongenError:
            continue
        text = json.dumps(config, sort_keys=True, separators=(",", ":"))
        found[name] = hashlib.sha256(text.encode()).hexdigest()
    return found


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
        raise InvalidInputError("TG003", f"cannot be read: {fault}", where=text) from None


def write_result(path: Path, text: str) -> None:
    """Write a result in one step.

    Raises:
        EnvironmentProblem: TG004 or TG005, it cannot be written.
    """
    write_atomic(path, text.encode())
