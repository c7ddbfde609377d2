"""Steppers for the questions of a probe: history in, next level or None out.

The greatest load that holds a goal is found by doubling, then by bisection. The knee is where
throughput divided by latency is greatest (Kleinrock's power): less load leaves capacity unused,
more load only lengthens the queue.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from tritongen.probe.statistics.intervals import Interval, sample_floor
from tritongen.probe.statistics.measurement import LevelResult, LevelVerdict
from tritongen.probe.workload import GoalMetric, LevelGoal

# A goal counts as missed where what was seen would come about less often than this if it held.
_STRANGE = 0.01


class Held(StrEnum):
    """Whether a level holds the goal."""

    YES = "yes"
    NO = "no"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class LadderStep:
    """One level of a search.

    Attributes:
        value: rate or concurrency.
        held: whether it held the goal; a search for the knee does not ask.
        power: throughput divided by mean latency, for the knee.
        throughput: requests per second.
    """

    value: float
    held: Held = Held.YES
    power: float = 0.0
    throughput: float = 0.0


def holds(result: LevelResult, goals: Sequence[LevelGoal]) -> Held:
    """Whether a level holds every goal, as far as its intervals tell."""
    if result.verdict is LevelVerdict.SATURATED:
        return Held.NO
    found = {_holds_one(result, goal) for goal in goals}
    return next((held for held in (Held.NO, Held.UNDECIDED) if held in found), Held.YES)


def _holds_one(result: LevelResult, goal: LevelGoal) -> Held:
    if goal.metric is GoalMetric.FAILURES:
        return Held.YES if result.requests.failure_share < goal.limit else Held.NO
    interval = measured(result, goal)
    if interval is None:
        return Held.NO if _surely_exceeds(result, goal) else Held.UNDECIDED
    if interval.high < goal.limit:
        return Held.YES
    return Held.NO if interval.low >= goal.limit else Held.UNDECIDED


def _surely_exceeds(result: LevelResult, goal: LevelGoal) -> bool:
    """Whether so many of a few requests exceed the limit as would be strange if the goal held."""
    histogram, allowed = result.latency.histogram, 1.0 - goal.percentile / 100.0
    slow = math.floor(histogram.count_above(goal.limit * 1e3))
    if goal.metric is not GoalMetric.LATENCY or not slow:
        return False
    return 1.0 - math.fsum(_binomial(histogram.total, allowed, k) for k in range(slow)) < _STRANGE


def _binomial(size: int, share: float, count: int) -> float:
    """Probability of exactly `count` among `size`, each with the probability `share`."""
    ways = math.lgamma(size + 1) - math.lgamma(count + 1) - math.lgamma(size - count + 1)
    return math.exp(ways + count * math.log(share) + (size - count) * math.log1p(-share))


def requests_needed(goals: Sequence[LevelGoal], confidence: float) -> int:
    """The fewest successful requests that can show that every goal is held."""
    floors = [
        sample_floor(goal.percentile / 100.0, confidence)
        for goal in goals
        if goal.metric is GoalMetric.LATENCY
    ]
    return max(floors, default=1)


def holds_by_estimate(result: LevelResult, goals: Sequence[LevelGoal]) -> Held:
    """The same by the estimates alone, once more time did not decide.

    A percentile is not guessed from fewer requests than it speaks of: p99 needs a hundred.
    """
    if result.verdict is LevelVerdict.SATURATED:
        return Held.NO
    histogram = result.latency.histogram
    for goal in goals:
        interval = measured(result, goal)
        if goal.metric is GoalMetric.FAILURES:
            value = result.requests.failure_share
        elif not histogram.total:
            return Held.NO
        elif interval is not None:
            value = interval.value
        elif goal.metric is GoalMetric.MEAN:
            value = histogram.mean_ns / 1e3
        elif histogram.total * (1.0 - goal.percentile / 100.0) < 1.0 - 1e-9:
            return Held.UNDECIDED
        else:
            value = histogram.quantile(goal.percentile / 100.0) / 1e3
        if not value < goal.limit:
            return Held.NO
    return Held.YES


def measured(result: LevelResult, goal: LevelGoal) -> Interval | None:
    """The latency that a goal is about, microseconds."""
    if goal.metric is GoalMetric.MEAN:
        return result.latency.mean
    return result.percentile(goal.percentile)


def bounds(history: Sequence[LadderStep]) -> tuple[float | None, float | None]:
    """The greatest load that held and the least that did not, None where there is none."""
    return (
        max((step.value for step in history if step.held is Held.YES), default=None),
        min((step.value for step in history if step.held is Held.NO), default=None),
    )


def next_rate(
    history: Sequence[LadderStep], first: float, most: float, resolution: float
) -> float | None:
    """The next rate of a search for the greatest one that holds; None when it is found.

    Args:
        history: steps so far, decided.
        first: rate to begin with.
        most: greatest rate to try.
        resolution: the search ends when the least failing rate is no more than this share above
            the greatest holding one.
    """
    good, bad = bounds(history)
    if bad is None:
        if good is None:
            return min(first, most)
        return None if good >= most else min(good * 2.0, most)
    if good is None:
        lower = bad / 4.0
        return lower if lower >= first / 256.0 else None
    if bad <= good or bad / good <= 1.0 + resolution:
        return None
    return math.sqrt(good * bad)


def next_concurrency(history: Sequence[LadderStep], first: int, most: int) -> int | None:
    """The same for whole numbers."""
    good, bad = (round(value or 0) for value in bounds(history))
    if not bad:
        if not good:
            return min(first, most)
        return None if good >= most else min(good * 2, most)
    if bad - good <= 1:
        return None
    return max((good + bad) // 2, 1)


# Throughput grows while a doubling brings more than this; no step is finer than that. Chosen.
_GAIN = 1.05
_FINE = 1.25


def next_for_knee(history: Sequence[LadderStep], most: int) -> int | None:
    """The next concurrency of a search for the knee; None when it is found."""
    tried = sorted((round(step.value), step) for step in history)
    if not tried:
        return 1
    last = tried[-1][0]
    if not _has_flattened([step for _, step in tried]) and last < most:
        return min(last * 2, most)
    values = [value for value, _ in tried]
    place = values.index(round(knee_of(history).value))
    for low, high in reversed(list(pairwise(values[max(place - 1, 0) : place + 2]))):
        if high - low > 1 and high / low > _FINE:
            return round(math.sqrt(high * low))
    return None


def _has_flattened(steps: Sequence[LadderStep]) -> bool:
    """Whether power fell twice in a row and throughput hardly grew at the end."""
    if len(steps) < 3:
        return False
    before, middle, last = steps[-3:]
    falling = last.power < middle.power < before.power
    return falling and last.throughput < _GAIN * middle.throughput


def knee_of(history: Sequence[LadderStep]) -> LadderStep:
    """The step of the greatest power."""
    return max(history, key=lambda step: step.power)


def step_of(result: LevelResult) -> LadderStep:
    """A level as a step of the search for the knee."""
    throughput = result.throughput.value if result.throughput else 0.0
    mean = result.latency.mean
    power = throughput / mean.value if mean and mean.value > 0 else 0.0
    return LadderStep(result.load.value, Held.YES, power, throughput)
