"""What a live server does, held against intent, plan and measurements; and the new intent."""

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError, describe_error
from tritongen.fleet.observe.advice import ModelExpectation, RateChange, advise, shared_services
from tritongen.fleet.observe.expected import Expectations
from tritongen.fleet.observe.model_counters import (
    CounterReading,
    ModelCounters,
    Observed,
    merged,
    observed,
)
from tritongen.fleet.observe.scrape import (
    MAX_MODELS,
    counters_of_metrics,
    counters_of_statistics,
    prometheus_history,
)
from tritongen.fleet.stored_plan import stale_plan
from tritongen.intent import INTENT_FILE
from tritongen.intent.edit import with_rates
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.printable import spreadsheet_cell
from tritongen.system.files import write_atomic
from tritongen.system.paths import read_head
from tritongen.triton.access import Access
from tritongen.triton.address import Endpoint
from tritongen.triton.connect import ServerClient, client_for
from tritongen.triton.metrics import metrics_page

# A reading is taken so many times in the whole, within these bounds in seconds; chosen: shorter
# ones load the server, longer ones miss peaks.
_READINGS = 60
_MIN_INTERVAL_S, _MAX_INTERVAL_S = 0.5, 30.0
# Steps of a rate and of its peak: shorter ones show chance.
_STEPS = 30
# Readings may be so much closer than they should be.
_EVEN = 0.9
# Of tritongen.yaml.
_MAX_BYTES = 2**20
_PAGE_S = 5.0

# Statistics that do not come, or have another form.
_UNREADABLE = (
    EnvironmentProblem, ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip

# Why neither port would answer.
_TOLD = frozenset({"TG834", "TG861", "TG862"})

Progress = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class CounterSource:
    """Where counters come from.

    Attributes:
        addresses: of servers, HTTP or metrics port; their counters add up.
        prometheus: address of a Prometheus server instead.
        selector: further label matchers for it.
        seconds: how long to observe, or how far back to look.
        interval_s: between readings, None to choose by the length; the steps of rates are then
            as long.
        replicas: servers that share the traffic evenly, of which one is observed.
        access: how the servers are reached.
    """

    addresses: tuple[str, ...]
    prometheus: str
    selector: str
    seconds: float
    interval_s: float | None = None
    replicas: int = 1
    access: Access = field(default_factory=Access)

    @property
    def step_s(self) -> float:
        """Seconds between readings."""
        chosen = min(_MAX_INTERVAL_S, max(_MIN_INTERVAL_S, self.seconds / _READINGS))
        return self.interval_s if self.interval_s is not None else chosen


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen, what was expected, and what follows.

    Attributes:
        models: counters over time.
        expected: of each model.
        findings: what differs, what to do.
        changes: rates that tritongen.yaml should state.
    """

    models: tuple[Observed, ...]
    expected: Mapping[str, ModelExpectation]
    findings: tuple[Finding, ...]
    changes: tuple[RateChange, ...]


def observe(source: CounterSource, expected: Expectations, progress: Progress) -> Observation:
    """Read counters over time and say what should change.

    Args:
        source: a live server, or a Prometheus server's history.
        expected: what to compare with.
        progress: told of seconds done and of all.

    Raises:
        EnvironmentProblem: TG980, nothing answers, or no counters of Triton do.
    """
    if source.prometheus:
        now = time.time()
        seen = prometheus_history(
            source.prometheus, now - source.seconds, now, source.step_s, source.selector
        )
        configs: Mapping[str, Mapping[str, object]] = {}
    else:
        seen, configs = _live(source, progress)
    least = 0.0 if source.interval_s is not None else source.seconds / _STEPS
    models = tuple(
        one.coarser(max(source.step_s, least) * _EVEN).times(source.replicas)
        for one in seen.values()
        if one.steps
    )
    plan, lock = expected.plan, expected.lock
    findings: list[Finding] = [*(stale_plan(plan, lock) if plan is not None else ())]
    changes = []
    known = {}
    for one in models:
        wanted = expected.of(one, configs.get(one.model))
        known[one.model] = wanted
        advised = advise(one, wanted)
        findings += advised.findings
        if advised.change is not None and expected.known(one.model):
            changes.append(advised.change)
    once = "its counters were read fewer than twice in that time"
    findings += (
        finding("TG981", Severity.INFO, once, model=one.model)
        for one in seen.values()
        if not one.steps
    )
    findings += shared_services(plan, models, expected.costs([one.model for one in models]))
    return Observation(models, known, tuple(findings), tuple(changes))


def write_intent(models: Path, changes: Sequence[RateChange]) -> Path:
    """State the observed rates in tritongen.yaml, everything else left as it is.

    Raises:
        InvalidInputError: TG979, it cannot be changed safely; nothing was written.
        EnvironmentProblem: TG004, it cannot be written.
    """
    path = models / INTENT_FILE
    try:
        text = read_head(path, _MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG003", what, where=str(path)) from problem
    rates = {change.model: (change.average, change.peak) for change in changes}
    write_atomic(path, with_rates(text, rates, str(path)).encode())
    return path


def history_csv(models: Sequence[Observed], speedup: float = 1.0) -> str:
    """The observed rates as a history for ``pattern: {file: …}``.

    Args:
        models: over time.
        speedup: of a replay that began on a Monday at midnight; 1 for real traffic.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("time", "model", "rate"))
    first = min((one.steps[0].begin_s for one in models if one.steps), default=0.0)
    begin = datetime.fromtimestamp(first, UTC)
    if speedup != 1.0:
        begin = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        begin -= timedelta(days=begin.weekday())
    for one in models:
        name = spreadsheet_cell(one.model)
        # Readings are never quite even; the clock of a history is.
        usual = round(one.seconds / max(1, len(one.steps)), 3)
        rates = {round((step.begin_s - first) / usual): step.rate for step in one.steps}
        for place, rate in rates.items():
            moment = begin + timedelta(seconds=round(place * usual * speedup, 3))
            writer.writerow((moment.isoformat(timespec="milliseconds"), name, f"{rate:.6g}"))
    return text.getvalue()


@dataclass(slots=True)
class _Server:
    """One server that is read again and again."""

    endpoint: Endpoint
    client: ServerClient | None

    def counters(self) -> Mapping[str, ModelCounters] | None:
        """Counters by model, None when it does not answer now."""
        if self.client is None:
            page = metrics_page(self.endpoint, _PAGE_S)
            found = counters_of_metrics(page) if page is not None else None
        else:
            try:
                found = counters_of_statistics(self.client.statistics())
            except _UNREADABLE:
                return None
        return found if found is not None and len(found) <= MAX_MODELS else None


def _live(
    source: CounterSource, progress: Progress
) -> tuple[dict[str, Observed], dict[str, Mapping[str, object]]]:
    servers = [_server(source.access.endpoint(address)) for address in source.addresses]
    readings: list[dict[str, list[CounterReading]]] = [{} for _ in servers]
    # Rates need an even clock; the wall's may be set meanwhile.
    began_s, begin = time.time(), time.monotonic()
    while True:
        at_s = began_s + time.monotonic() - begin
        for server, known in zip(servers, readings, strict=True):
            for model, counters in (server.counters() or {}).items():
                known.setdefault(model, []).append(CounterReading(at_s, counters))
        done = time.monotonic() - begin
        progress(done, source.seconds)
        if done >= source.seconds:
            break
        try:
            due = (done // source.step_s + 1.0) * source.step_s
            time.sleep(max(0.0, min(due, source.seconds) - (time.monotonic() - begin)))
        except KeyboardInterrupt:
            break  # what was seen so far counts
    names = sorted({model for known in readings for model in known})
    seen = {
        model: merged(
            model, [observed(model, known[model]) for known in readings if model in known]
        )
        for model in names
    }
    if not any(one.steps for one in seen.values()):
        raise EnvironmentProblem(
            "TG980", "the server stopped answering", where=", ".join(source.addresses)
        )
    return seen, _configs(servers, names)


def _server(endpoint: Endpoint) -> _Server:
    """A server by whichever of its ports was named."""
    client = client_for(endpoint, timeout=10.0)
    try:
        client.statistics()
    except _UNREADABLE as problem:
        if isinstance(problem, EnvironmentProblem) and problem.code in _TOLD:
            raise
        page = metrics_page(endpoint, _PAGE_S)
        if page is None or not counters_of_metrics(page):
            why = f": {problem.what}" if isinstance(problem, EnvironmentProblem) else ""
            raise EnvironmentProblem(
                "TG980",
                f"neither Triton's statistics nor its metrics are there{why}"
                if page is None
                else f"its metrics hold no counter of an inference server{why}",
                where=endpoint.address,
            ) from None
        return _Server(endpoint, None)
    return _Server(endpoint, client)


def _configs(servers: Sequence[_Server], names: Sequence[str]) -> dict[str, Mapping[str, object]]:
    configs: dict[str, Mapping[str, object]] = {}
    client = next((server.client for server in servers if server.client is not None), None)
    if client is not None:
        for name in names:
            with suppress(EnvironmentProblem):
                configs[name] = client.model_config(name)
    return configs
