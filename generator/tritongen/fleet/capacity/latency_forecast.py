"""What clients will see over a whole traffic: the share of late requests, and a latency percentile.

While no replica is overloaded the order of the steps does not matter, and steps of the same load
are counted together. Where a backlog forms, the steps are followed in their order.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tritongen.queueing import OperatingCurve, RateStep, simulate_rates
from tritongen.queueing.rate_profiles import CELLS

# Loads are told apart in so many steps of the capacity.
_LEVELS = 200
# Above this share of the capacity a backlog may form.
_CALM = 0.97
_SEARCH = 40
_MASSES = tuple(accumulate((mass for _, mass in CELLS), initial=0.0))


@dataclass(frozen=True, slots=True)
class LatencyForecast:
    """Latency over a whole traffic.

    Attributes:
        latency_s: at the percentile.
        late_share: share of requests later than the limit.
    """

    latency_s: float
    late_share: float


def forecast_latency(
    curve: OperatingCurve,
    rates: Sequence[float],
    serving: Sequence[int],
    step_s: float,
    percentile: float,
    limit_s: float,
) -> LatencyForecast:
    """Latency of one model over a traffic.

    Args:
        curve: of one replica.
        rates: requests per second over all replicas, step by step.
        serving: replicas of each step.
        step_s: length of the steps.
        percentile: that is wanted.
        limit_s: requests later than this are counted.
    """
    scale = _LEVELS / curve.capacity_per_s
    weights = [0.0] * (_LEVELS + 1)
    calm = int(_CALM * _LEVELS)
    for rate, replicas in zip(rates, serving, strict=True):
        level = math.ceil(rate / replicas * scale)
        if level > calm:
            return _followed(curve, rates, serving, step_s, percentile, limit_s)
        weights[level] += rate
    total = math.fsum(weights)
    if total <= 0.0:
        return LatencyForecast(curve.points[0].cells_s[0], 0.0)
    levels = [
        (weight / total, curve.cells_s(level / scale))
        for level, weight in enumerate(weights)
        if weight
    ]
    return LatencyForecast(_percentile(levels, percentile / 100.0), _late(_within(levels, limit_s)))


def _followed(
    curve: OperatingCurve,
    rates: Iterable[float],
    serving: Iterable[int],
    step_s: float,
    percentile: float,
    limit_s: float,
) -> LatencyForecast:
    steps = [RateStep(step_s, rate, n) for rate, n in zip(rates, serving, strict=True)]
    figures = simulate_rates(curve, steps, percentile=percentile)
    return LatencyForecast(figures.latency_s(percentile), _late(figures.share_within(limit_s)))


def _late(within: float) -> float:
    """The rest of a share; what rounding leaves is none."""
    return max(0.0, 1.0 - within) if within < 1.0 - 1e-12 else 0.0


def _within(levels: Sequence[tuple[float, tuple[float, ...]]], limit_s: float) -> float:
    """Share of all requests that take at most that long."""
    return math.fsum(weight * _MASSES[bisect_right(cells, limit_s)] for weight, cells in levels)


def _percentile(levels: Sequence[tuple[float, tuple[float, ...]]], share: float) -> float:
    """The latency that a share of all requests does not exceed, by bisection."""
    low = min(cells[0] for _, cells in levels)
    high = max(cells[-1] for _, cells in levels)
    for _ in range(_SEARCH):
        if high - low <= 1e-4 * high:
            break
        middle = 0.5 * (low + high)
        if _within(levels, middle) >= share:
            high = middle
        else:
            low = middle
    return high
