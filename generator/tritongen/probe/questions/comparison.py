"""Is one measurement slower than another? A ratio with its interval, and a verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tritongen.probe.report.json_document import SavedLevel
from tritongen.probe.statistics.intervals import (
    CONFIDENCE,
    Interval,
    normal_quantile,
    student_quantile,
)

# A change within this share is none: what runs on different days differ by. Chosen.
TOLERANCE = 0.05
# Shares of failures differ when they do so by this much and by so many standard deviations: what
# makes requests fail often makes several of them fail.
_FAILURE_GAP = 0.001
_FAILURE_SPREADS = 4.0


class Change(StrEnum):
    """What became of a figure."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no measurable difference"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class FigureComparison:
    """One figure of one level, before and after.

    Attributes:
        model: its name.
        load: kind and value.
        metric: ``throughput``, ``p50``, …, or ``failures`` where there are any.
        before: as measured first; microseconds, requests per second, or a share of the requests.
        after: as measured second.
        ratio: after divided by before, None when one of them is not known.
        change: the verdict.
    """

    model: str
    load: str
    metric: str
    before: float | None
    after: float | None
    ratio: Interval | None
    change: Change


def compare_levels(
    before: Sequence[SavedLevel],
    after: Sequence[SavedLevel],
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
) -> tuple[FigureComparison, ...]:
    """Every figure of the levels that both results have, in the order of the first.

    Args:
        before: levels of the first result.
        after: levels of the second.
        tolerance: a change within this share is none, whatever its interval says: runs on
            different days differ by more than one run can tell.
        confidence: of the intervals in the results.
    """
    later = {(level.model, level.load): level for level in after}
    found: list[FigureComparison] = []
    for level in before:
        other = later.get((level.model, level.load))
        if other is None:
            continue
        pairs = [("throughput", level.throughput, other.throughput)]
        pairs += [
            (key, level.percentiles.get(key), other.percentiles.get(key))
            for key in ("p50", "p95", "p99")
        ]
        for metric, first, second in pairs:
            values = (first.value if first else None, second.value if second else None)
            ratio = ratio_of(first, second, confidence) if first and second else None
            found.append(compared(level.model, level.load, metric, values, ratio, tolerance))
        if level.failure_share or other.failure_share:
            found.append(_compare_failures(level, other))
    return tuple(found)


def _compare_failures(before: SavedLevel, after: SavedLevel) -> FigureComparison:
    """More failures are worse, however quick the rest is."""
    change = Change.UNKNOWN
    if before.requests and after.requests:
        failed = before.failure_share * before.requests + after.failure_share * after.requests
        common = failed / (before.requests + after.requests)
        spread = math.sqrt(common * (1.0 - common) * (1.0 / before.requests + 1.0 / after.requests))
        gap = after.failure_share - before.failure_share
        change = Change.SAME
        if abs(gap) > max(_FAILURE_GAP, _FAILURE_SPREADS * spread):
            change = Change.WORSE if gap > 0 else Change.BETTER
    return FigureComparison(
        after.model,
        after.load,
        "failures",
        before.failure_share,
        after.failure_share,
        None,
        change,
    )


def compared(
    model: str,
    load: str,
    metric: str,
    values: tuple[float | None, float | None],
    ratio: Interval | None,
    tolerance: float,
) -> FigureComparison:
    """A figure before and after, with the verdict on its ratio."""
    change = judge_ratio(ratio, tolerance, larger_is_better=metric == "throughput")
    return FigureComparison(model, load, metric, *values, ratio, change)


def ratio_of(before: Interval, after: Interval, confidence: float) -> Interval | None:
    """After divided by before, of independent estimates, by their spread in logarithms."""
    if min(before.low, after.low, before.value, after.value) <= 0.0:
        return None
    z = normal_quantile(0.5 + confidence / 2.0)
    spread = math.hypot(*(math.log(item.high / item.low) / 2.0 / z for item in (before, after)))
    return _around(math.log(after.value / before.value), z * spread)


def paired_ratio(ratios: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The mean ratio of interleaved pairs, by Student's t on logarithms; None below two pairs."""
    size = len(ratios)
    if size < 2 or min(ratios) <= 0.0:
        return None
    logs = [math.log(ratio) for ratio in ratios]
    mean = math.fsum(logs) / size
    variance = math.fsum((value - mean) ** 2 for value in logs) / (size - 1)
    reach = student_quantile(0.5 + confidence / 2.0, size - 1) * math.sqrt(variance / size)
    return _around(mean, reach)


def _around(log_ratio: float, reach: float) -> Interval:
    return Interval(math.exp(log_ratio), math.exp(log_ratio - reach), math.exp(log_ratio + reach))


def judge_ratio(ratio: Interval | None, tolerance: float, *, larger_is_better: bool) -> Change:
    """The verdict on a ratio: the whole interval must lie beyond the tolerance."""
    if ratio is None:
        return Change.UNKNOWN
    if ratio.low > 1.0 + tolerance:
        return Change.BETTER if larger_is_better else Change.WORSE
    if ratio.high < 1.0 / (1.0 + tolerance):
        return Change.WORSE if larger_is_better else Change.BETTER
    return Change.SAME
