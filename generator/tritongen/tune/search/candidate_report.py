"""What a tuning run has to show: every candidate with its prediction, its measurement, its fate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tritongen.probe.statistics.intervals import Interval
from tritongen.queueing import Loop
from tritongen.tune.search.arms import Status
from tritongen.tune.search.objective import Performance
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.standings import Measurement
from tritongen.tune.search.tuner import Tuner


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One candidate of a tuning run.

    Attributes:
        candidate: the configuration.
        load: under which it was measured or predicted.
        fate: ``best``, ``tied``, ``running``, ``behind``, ``infeasible``, ``failed``,
            ``baseline`` or ``predicted`` (not measured).
        predicted: expected outcome; a bound where it was not worth a simulation. None for the
            baseline.
        throughput: requests per second as measured, None when it was not.
        latency: seconds at the goal's percentile as measured, None when it was not.
        rounds: measurements behind the numbers.
        why: why it lost, empty for the best.
    """

    candidate: Candidate
    load: Loop
    fate: str
    predicted: Performance | None
    throughput: Interval | None = None
    latency: Interval | None = None
    rounds: int = 0
    why: str = ""


# Why a search ended before it was decided, by what ended it.
_ENDS = {
    "": "the time was up",
    "interrupted": "tuning was interrupted",
    "stopped": "tuning stopped early",
}


def evaluated(tuner: Tuner, ended: str = "") -> tuple[Evaluated, ...]:
    """Every candidate: the best, the others that raced, the baseline, those only predicted.

    Args:
        tuner: that searched.
        ended: ``interrupted`` or ``stopped``; empty when the search ended by itself.
    """
    race = tuner.race
    if race is None:
        return ()
    state, choice = race.settled(), tuner.best()
    rows = []
    for arm in state.arms.values():
        found = state.standings.measurement(arm.candidate)
        fate = arm.status.value
        if arm.candidate == choice.candidate:
            fate = "best"
        elif arm.candidate in choice.tied and arm.status in {Status.RUNNING, Status.BEHIND}:
            fate = "tied"
        predicted = race.predictor.under(arm.candidate, arm.load).outcome
        why = _why(arm.why, fate, choice.candidate, _ENDS[ended], measured=found is not None)
        rows.append(_row(arm.candidate, arm.load, fate, predicted, found, why))
    rows.sort(key=lambda row: (row.fate != "best", -state.standings.gain(row.candidate)))
    unraced = f"{_ENDS[ended]} before it raced" if ended else "no time to race"
    rows += [
        Evaluated(f.candidate, f.load, "predicted", f.outcome, why=f.reason or unraced)
        for f in race.forecasts
        if f.candidate not in state.arms
    ]
    baseline = tuner.baseline()
    if race.baseline is not None and baseline is not None:
        rows.append(_row(race.baseline, baseline.load, "baseline", None, baseline))
    return tuple(rows)


def _row(
    candidate: Candidate,
    load: Loop,
    fate: str,
    predicted: Performance | None,
    found: Measurement | None,
    why: str = "",
) -> Evaluated:
    if found is None:
        return Evaluated(candidate, load, fate, predicted, why=why)
    throughput, latency = found.throughput, found.latency_s
    return Evaluated(candidate, load, fate, predicted, throughput, latency, found.rounds, why)


def pareto(rows: Sequence[Evaluated]) -> tuple[Evaluated, ...]:
    """Measured candidates that none beats in throughput and latency at once, by latency."""
    points = [
        (row.latency.value, -row.throughput.value, index)
        for index, row in enumerate(rows)
        if row.latency is not None and row.throughput is not None and row.fate != "baseline"
    ]
    front, best = [], math.inf
    for _, throughput, index in sorted(points):
        if throughput < best:
            best = throughput
            front.append(rows[index])
    return tuple(front)


def _why(why: str, fate: str, best: Candidate, end: str, *, measured: bool) -> str:
    if fate == "best":
        return ""
    if fate == "tied":
        return f"no difference to {best.key} that matters, which is simpler"
    if why or fate != "running":
        return why
    return f"not separated when {end}" if measured else f"{end} before its turn"
