"""The sweep: the choice, measured at rates, for those who plan machines with it.

Closed loops decided the race. What traffic will meet is a rate, and a latency at a rate is best
predicted from the same configuration at rates nearby. Several short passes over all rates, in turn:
what disturbs a machine lasts for seconds, and then spoils a pass, not a rate. None is so short that
one hiccup more or less decides its p99.
"""

from collections import defaultdict
from statistics import fmean, median

from tritongen.model.evidence import ServedRate
from tritongen.queueing import ClosedLoop, Loop, OpenLoop
from tritongen.tune.search.measurement_records import History, LoadReading, Purpose, Task
from tritongen.tune.search.predict import Predictor
from tritongen.tune.search.search_space import Candidate

# Rates as shares of what the choice can do.
SHARES = (0.12, 0.28, 0.45, 0.65)
# Measurements of a rate at most, and the least length and answers of each where there are several.
_PASSES, _LONG_S, _ANSWERS = 6, 3.0, 500.0
# Warming up and reading statistics takes about so long beside each measurement.
_BESIDE_S = 0.5
_MIN_S = 0.4
# Where half of the requests wait so many times as long as at the lowest rate a backlog grows.
_BACKLOG = 8.0


def sweep_tasks(
    candidate: Candidate, most_per_s: float, rows: int, seconds: float, history: History
) -> tuple[Task, ...]:
    """The next pass over the rates, empty when all are done.

    Args:
        candidate: the choice.
        most_per_s: requests per second that it can do.
        rows: of each request.
        seconds: for everything.
        history: rates that it could not keep up with are left out of the next pass.
    """
    if not most_per_s > 0.0:
        return ()
    each = seconds / len(SHARES)
    rates = [share * most_per_s for share in SHARES]
    counts = [_passes(each, rate) for rate in rates]
    swept = [r for r in history if r.task.purpose is Purpose.SWEEP]
    done = {r.task for r in swept}
    too_much = {r.task.load for r in swept if r.sound is None or r.sound.saturated}
    for number in range(1, max(counts) + 1):
        tasks = (
            _task(candidate, rate, rows, max(_MIN_S, each / count - _BESIDE_S), number)
            for rate, count in zip(rates, counts, strict=True)
            if number <= count
        )
        missing = tuple(t for t in tasks if t not in done and t.load not in too_much)
        if missing:
            return missing
    return ()


def _passes(seconds: float, rate: float) -> int:
    """How often a rate is measured within that time: seldom where answers are few."""
    return max(
        1, min(_PASSES, int(seconds / (_LONG_S + _BESIDE_S)), int(seconds * rate / _ANSWERS))
    )


def _task(candidate: Candidate, rate: float, rows: int, seconds: float, number: int) -> Task:
    load = OpenLoop(float(f"{rate:.3g}"))
    return Task(candidate, load, Purpose.SWEEP, number, seconds, max_seconds=seconds, rows=rows)


def capacity(predictor: Predictor, candidate: Candidate, load: Loop, seen_per_s: float) -> float:
    """Requests per second that a candidate can do, by what was seen of it.

    Args:
        predictor: knows what many clients would bring.
        candidate: the choice.
        load: under which it was measured.
        seen_per_s: its throughput there.
    """
    full = predictor.under(candidate, ClosedLoop(predictor.full_load(candidate)))
    most = full.outcome.throughput_per_s
    if isinstance(load, OpenLoop):
        return max(most, seen_per_s)
    expected = predictor.under(candidate, load).outcome.throughput_per_s
    return max(most * seen_per_s / expected, seen_per_s) if expected > 0.0 else seen_per_s


def swept(history: History, candidate: Candidate) -> tuple[ServedRate, ...]:
    """What a candidate did at each rate that it kept up with, ascending; medians of the passes."""
    found: dict[float, list[LoadReading]] = defaultdict(list)
    rows = 1
    for record in history:
        task, reading = record.task, record.sound
        if task.purpose is not Purpose.SWEEP or task.candidate != candidate or reading is None:
            continue
        if isinstance(task.load, OpenLoop) and not reading.saturated:
            found[task.load.rate_per_s].append(reading)
            rows = task.rows
    over = [_over_passes(found[rate], rows) for rate in sorted(found)]
    usual = over[0].ms[0][1] if over and over[0].ms else 0.0
    return tuple(one for one in over if one.ms and one.ms[0][1] <= _BACKLOG * usual)


def _over_passes(readings: list[LoadReading], rows: int) -> ServedRate:
    known = [dict(one.latencies_s) for one in readings]
    percentiles = sorted(set.intersection(*(set(one) for one in known)))
    return ServedRate(
        fmean(one.throughput_per_s for one in readings),
        sum(one.requests for one in readings),
        tuple((p, 1e3 * median(one[p] for one in known)) for p in percentiles),
        rows,
    )
