"""Long stretches of time: latency over a profile of rates, without simulating every request.

A server's steady state is simulated once for a handful of rates. A profile then looks its
percentiles up; where the rate exceeds the capacity a fluid backlog grows, and later drains.
A step should be long against the latencies (seconds and more): within it the state is steady.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tritongen.errors import InvalidInputError

# Cells of a latency distribution: (mid percentile, share of the requests), fine in the tail.
CELLS: tuple[tuple[float, float], ...] = (
    *((cell + 0.5, 0.01) for cell in range(99)),
    *((99.0 + (cell + 0.5) * 0.05, 0.0005) for cell in range(18)),
    *((99.9 + (cell + 0.5) * 0.01, 0.0001) for cell in range(10)),
)
# Steps of the load at which a profile looks the curve up.
_LEVELS = 500
# Pieces of a step in which a backlog grows or drains.
_PIECES = 8


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The steady state at one rate.

    Attributes:
        rate_per_s: requests per second.
        cells_s: latency in the middle of each of `CELLS`.
    """

    rate_per_s: float
    cells_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class OperatingCurve:
    """How latency depends on the rate, for one model of one server.

    Attributes:
        capacity_per_s: rate that the model can sustain at most.
        points: by ascending rate, up to 98 % of the capacity.
    """

    capacity_per_s: float
    points: tuple[OperatingPoint, ...]

    def cells_s(self, rate_per_s: float) -> tuple[float, ...]:
        """The latency distribution at a rate; the last point's above its rate."""
        low, high, share = self._between(rate_per_s)
        return tuple(a + (b - a) * share for a, b in zip(low.cells_s, high.cells_s, strict=True))

    def latency_s(self, rate_per_s: float, percentile: float) -> float:
        """Latency at a rate; infinite where the backlog would grow without end."""
        if rate_per_s >= self.capacity_per_s:
            return math.inf
        low, high, share = self._between(rate_per_s)
        first, second = _cell_at(low.cells_s, percentile), _cell_at(high.cells_s, percentile)
        return first + (second - first) * share

    def greatest_rate(self, percentile: float, limit_s: float) -> float:
        """The greatest rate whose latency percentile holds the limit; 0 when none does.

        Latency may fall with the rate at first, where a queue delay waits for company; the
        greatest rate counts.
        """
        best, previous = 0.0, None
        for point in self.points:
            value = _cell_at(point.cells_s, percentile)
            if value <= limit_s:
                best = point.rate_per_s
            elif previous is not None and previous[1] <= limit_s:
                share = (limit_s - previous[1]) / (value - previous[1])
                best = previous[0] + (point.rate_per_s - previous[0]) * share
            previous = (point.rate_per_s, value)
        return best

    def scaled(self, factor: float) -> "OperatingCurve":
        """The curve where everything takes `factor` times as long."""
        return OperatingCurve(
            self.capacity_per_s / factor,
            tuple(
                replace(
                    point,
                    rate_per_s=point.rate_per_s / factor,
                    cells_s=tuple(cell * factor for cell in point.cells_s),
                )
                for point in self.points
            ),
        )

    def _between(self, rate_per_s: float) -> tuple[OperatingPoint, OperatingPoint, float]:
        rates = [point.rate_per_s for point in self.points]
        right = min(max(1, bisect_right(rates, rate_per_s)), len(rates) - 1)
        low, high = self.points[right - 1], self.points[right]
        share = (rate_per_s - low.rate_per_s) / (high.rate_per_s - low.rate_per_s)
        return low, high, min(1.0, max(0.0, share))


@dataclass(frozen=True, slots=True)
class RateStep:
    """A stretch of constant rate.

    Attributes:
        seconds: its length.
        rate_per_s: requests per second over all replicas.
        replicas: servers that share them evenly.
    """

    seconds: float
    rate_per_s: float
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class ProfileFigures:
    """Latency over a whole profile, every request weighted alike.

    Attributes:
        requests: number of requests, a mean.
        spread: (latency in seconds, requests) by ascending latency.
    """

    requests: float
    spread: tuple[tuple[float, float], ...]

    def latency_s(self, percentile: float) -> float:
        """Latency that `percentile` per cent of all requests do not exceed; NaN without any."""
        wanted = self.requests * percentile / 100.0
        passed = 0.0
        for latency, weight in self.spread:
            passed += weight
            if passed >= wanted * (1.0 - 1e-12):
                return latency
        return math.nan

    def share_within(self, limit_s: float) -> float:
        """Share of all requests answered within that time; 1 without any."""
        if self.requests <= 0.0:
            return 1.0
        return sum(weight for latency, weight in self.spread if latency <= limit_s) / self.requests


def simulate_rates(
    curve: OperatingCurve, profile: Iterable[RateStep], *, percentile: float = 99.0
) -> ProfileFigures:
    """Latency over a profile of rates.

    Args:
        curve: of one replica.
        profile: stretches of constant rate, in order.
        percentile: that is of interest: the longer it takes, the coarser are the pieces in which a
            backlog grows and drains.

    A week at 100 requests per second, in minutes, takes a fraction of a second.
    """
    return _Profile(curve, percentile).run(profile)


class _Profile:
    """The backlog and the weights while a profile is passed."""

    def __init__(self, curve: OperatingCurve, percentile: float) -> None:
        self._curve = curve
        # Latency where the instances are never idle.
        self._full_s = _cell_at(curve.cells_s(curve.capacity_per_s), percentile)
        self._levels: dict[int, float] = {}
        self._late: dict[int, tuple[float, float]] = {}
        self._backlog = 0.0

    def run(self, profile: Iterable[RateStep]) -> ProfileFigures:
        requests = 0.0
        for step in profile:
            if step.seconds < 0.0 or step.rate_per_s < 0.0 or step.replicas < 1:
                raise InvalidInputError("TG304", f"not a step of a profile: {step}")
            requests += step.seconds * step.rate_per_s
            share = step.rate_per_s / step.replicas
            if self._backlog <= 0.0 and share < self._curve.capacity_per_s:
                level = min(_LEVELS, math.ceil(share / self._curve.capacity_per_s * _LEVELS))
                before = self._levels.get(level, 0.0)
                self._levels[level] = before + step.seconds * step.rate_per_s
            else:
                self._flooded(step)
        return ProfileFigures(requests, tuple(sorted(self._spread())))

    def _flooded(self, step: RateStep) -> None:
        """A step with a backlog: in pieces, each with the delay of its middle.

        While it lasts the instances are never idle, whatever the rate: the state is that of the
        full load, shifted by the delay.
        """
        capacity = self._curve.capacity_per_s * step.replicas
        change = (step.rate_per_s - capacity) * step.seconds
        coarse = abs(change) / capacity / (0.1 * (self._full_s + self._backlog / capacity))
        pieces = min(_PIECES, 1 + int(coarse))
        for _ in range(pieces):
            after = max(0.0, self._backlog + change / pieces)
            delay = 0.5 * (self._backlog + after) / capacity
            self._delay(delay, step.rate_per_s * step.seconds / pieces)
            self._backlog = after

    def _delay(self, delay_s: float, requests: float) -> None:
        """Counts requests that met a delay, by delays that differ by at most 2 %."""
        bucket = math.ceil(50.0 * math.log(delay_s)) if delay_s > 0.0 else -(10**9)
        weight, moment = self._late.get(bucket, (0.0, 0.0))
        self._late[bucket] = (weight + requests, moment + requests * delay_s)

    def _spread(self) -> list[tuple[float, float]]:
        capacity = self._curve.capacity_per_s
        parts = [
            (capacity * level / _LEVELS, 0.0, weight) for level, weight in self._levels.items()
        ]
        parts += [
            (capacity, moment / weight, weight)
            for weight, moment in self._late.values()
            if weight > 0.0
        ]
        return [
            (cell + delay, mass * weight)
            for rate, delay, weight in parts
            for cell, (_, mass) in zip(self._curve.cells_s(rate), CELLS, strict=True)
        ]


def _cell_at(cells: tuple[float, ...], percentile: float) -> float:
    """Latency at a percentile, linear between the middles of the cells."""
    middles = _MIDDLES
    right = min(max(1, bisect_right(middles, percentile)), len(middles) - 1)
    left = right - 1
    share = (percentile - middles[left]) / (middles[right] - middles[left])
    return cells[left] + (cells[right] - cells[left]) * min(1.0, max(0.0, share))


_MIDDLES: tuple[float, ...] = tuple(middle for middle, _ in CELLS)
