"""Latency over load: the steady state of one model, and what clients see over a whole traffic.

Three engines tell latencies, each of them what the others cannot. This one makes the curve of a
model for thousands of pairs of machine and model. `queueing.simulate` knows a whole server (shared
cores, front end, rate limiter, several models), request by request, and checks the final plan.
`queueing.simulate_rates` follows a curve through weeks of changing rates and replicas, where a
backlog outlasts its step.

Time is counted in executions of one request, so that one curve serves every machine and every
model with the same proportions: instances, how a batch's time grows, variation. The recursion is
that of a first-come, first-served queue whose free instance takes what waits, up to the greatest
batch; `queueing.simulate` is the reference.

Over a traffic, while no replica is overloaded the order of the steps does not matter, and steps of
the same load are counted together. Where a backlog forms, the steps are followed in their order.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from heapq import heapreplace
from itertools import accumulate

from tritongen.queueing import (
    OpenLoop,
    OperatingCurve,
    RateStep,
    ServiceTimes,
    Stream,
    simulate_rates,
)
from tritongen.queueing.rate_profiles import CELLS, OperatingPoint
from tritongen.queueing.simulated_server import nearest_rank

# Loads as shares of the capacity, and requests simulated at each; tails need more near the limit.
LOADS: tuple[tuple[float, int], ...] = (
    (0.05, 1_500),
    (0.25, 2_500),
    (0.45, 3_500),
    (0.6, 5_000),
    (0.7, 7_000),
    (0.8, 10_000),
    (0.87, 14_000),
    (0.93, 18_000),
    (0.97, 18_000),
)
_MAX_REQUESTS = max(requests for _, requests in LOADS)
_WARMUP = 0.15
_SEED = 20_260_701
# Instance counts with curves of their own; between them the curves are interpolated.
COUNTS: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 16, 32, 64, 128)
_SLOPE_STEP = 0.05
_CVS: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 1.0)
# Loads are told apart in so many steps of the capacity.
_LEVELS = 200
# Above this share of the capacity a backlog may form.
_CALM = 0.97
_SEARCH = 40
_MASSES = tuple(accumulate((mass for _, mass in CELLS), initial=0.0))


@dataclass(frozen=True, slots=True)
class QueueParameters:
    """Proportions of a queue; times in executions of one request.

    Attributes:
        instances: that share the queue.
        batch: requests in one execution at most.
        slope: what a further request adds to an execution, 0 to 1.
        delay: how long a request may wait for company.
        cv: variation of execution times.
        arrival_cv: variation of the gaps between requests.
    """

    instances: int
    batch: int = 1
    slope: float = 1.0
    delay: float = 0.0
    cv: float = 0.0
    arrival_cv: float = 1.0

    @property
    def capacity(self) -> float:
        """Requests in the time of one execution, all instances in full batches."""
        return self.instances * self.batch / (1.0 + self.slope * (self.batch - 1))

    def rounded(self) -> "QueueParameters":
        """The parameters whose curve stands for these: a few proportions serve all models."""
        batch = 1 << (max(1, self.batch).bit_length() - 1)
        slope = min(1.0, math.ceil(self.slope / _SLOPE_STEP - 1e-9) * _SLOPE_STEP)
        if batch == 1 or slope >= 0.95:
            batch, slope = 1, 1.0
        delay = 0.0 if batch == 1 else float(f"{self.delay:.1g}")
        cv = next((known for known in _CVS if known >= self.cv - 0.05), _CVS[-1])
        return QueueParameters(self.instances, batch, slope, delay, cv, round(self.arrival_cv, 1))


def steady_curve(queue: QueueParameters) -> OperatingCurve:
    """Latency over rate in units of one execution; rates reach up to 97 % of the capacity.

    The capacity is the queue's own; the curve's form that of its rounded parameters.
    """
    known = _form(queue.rounded())
    factor = queue.capacity / known.capacity_per_s
    if abs(factor - 1.0) < 1e-9:
        return known
    points = tuple(replace(point, rate_per_s=point.rate_per_s * factor) for point in known.points)
    return OperatingCurve(queue.capacity, points)


@cache  # a curve depends on nothing but its queue
def _form(form: QueueParameters) -> OperatingCurve:
    upper = next((count for count in COUNTS if count >= form.instances), None)
    return _simulated(form) if upper == form.instances else _between(form, upper)


def _between(form: QueueParameters, upper: int | None) -> OperatingCurve:
    """By the curves of the nearest counts, at equal shares of the capacity."""
    lower = max(count for count in COUNTS if count < form.instances)
    low = _form(replace(form, instances=lower))
    high = _form(replace(form, instances=upper)) if upper is not None else low
    share = math.log(form.instances / lower) / math.log((upper or 2 * lower) / lower)
    points = tuple(
        OperatingPoint(
            load * form.capacity,
            tuple(a + (b - a) * share for a, b in zip(one.cells_s, other.cells_s, strict=True)),
        )
        for (load, _), one, other in zip(LOADS, low.points, high.points, strict=True)
    )
    return OperatingCurve(form.capacity, points)


def _simulated(form: QueueParameters) -> OperatingCurve:
    points = []
    for load, requests in LOADS:
        rate = load * form.capacity
        latencies = sorted(_run(form, rate, requests))
        points.append(
            OperatingPoint(
                rate,
                tuple(nearest_rank(latencies, percentile) for percentile, _ in CELLS),
            )
        )
    return OperatingCurve(form.capacity, tuple(_rising(points)))


def _run(form: QueueParameters, rate: float, requests: int) -> list[float]:
    """Latencies after the warm-up."""
    arrivals = [at / rate for at in _arrivals(form.arrival_cv)[:requests]]
    run = _run_singly if form.batch == 1 else _run_batches
    return run(form, arrivals, _services(form.cv))[int(requests * _WARMUP) :]


def _run_singly(
    form: QueueParameters, arrivals: Sequence[float], draws: Sequence[float]
) -> list[float]:
    """Latencies where every request is an execution; the innermost loop of all plans."""
    free = [0.0] * form.instances
    latencies = []
    for arrival, work in zip(arrivals, draws, strict=False):
        finish = max(free[0], arrival) + work
        heapreplace(free, finish)
        latencies.append(finish - arrival)
    return latencies


def _run_batches(
    form: QueueParameters, arrivals: Sequence[float], draws: Sequence[float]
) -> list[float]:
    """Latencies where a free instance takes what waits, up to the greatest batch."""
    free = [0.0] * form.instances
    most, slope, delay = form.batch, form.slope, form.delay
    requests = len(arrivals)
    latencies: list[float] = []
    begin = executions = 0
    while begin < requests:
        first = arrivals[begin]
        start, last = free[0], begin + most - 1
        due = first + delay
        if delay > 0.0 and last < requests and arrivals[last] < due:
            due = arrivals[last]
        start = max(start, due)
        end = bisect_right(arrivals, start, begin + 1, min(requests, begin + most))
        finish = start + (1.0 + slope * (end - begin - 1)) * draws[executions]
        heapreplace(free, finish)
        if end - begin == 1:
            latencies.append(finish - first)
        else:
            latencies += [finish - at for at in arrivals[begin:end]]
        executions += 1
        begin = end
    return latencies


@cache
def _arrivals(cv: float) -> list[float]:
    """Arrival times at one request in a unit of time."""
    times = OpenLoop(1.0, cv).times(Stream(_SEED).child("arrivals"))
    return [next(times) for _ in range(_MAX_REQUESTS)]


@cache
def _services(cv: float) -> list[float]:
    factor = Stream(_SEED).child("service").lognormals(cv)
    return [factor() for _ in range(_MAX_REQUESTS)]


def _rising(points: list[OperatingPoint]) -> list[OperatingPoint]:
    """Latencies that do not fall with the load, where chance made them."""
    result = [points[0]]
    for point in points[1:]:
        before = result[-1].cells_s
        cells = tuple(accumulate(map(max, point.cells_s, before), max))
        result.append(replace(point, cells_s=cells))
    return result


def after_rests(
    curve: OperatingCurve, service: ServiceTimes, added_s: float, wake_s: float = 0.0
) -> OperatingCurve:
    """A curve of one model, whose executions take longer where all its instances rested before.

    The fewer requests, the longer and the likelier the rests; the capacity knows none. Every
    percentile grows alike, as if one instance rested whenever it is not busy: of several some work
    on, so this errs on the safe side, and the final plan is held against the full simulation.

    Args:
        curve: in seconds.
        service: knows what a rest costs.
        added_s: latency that every request has beside its queue and execution.
        wake_s: what a request takes longer that finds everything asleep.
    """
    if service.idle_penalty <= 0.0 and wake_s <= 0.0:
        return curve

    def rested(point: OperatingPoint) -> OperatingPoint:
        idle = max(0.0, 1.0 - point.rate_per_s / curve.capacity_per_s)
        factor = 1.0 + (service.idle_factor(idle / point.rate_per_s) - 1.0) * idle
        always = added_s + wake_s * idle
        cells = tuple((cell - added_s) * factor + always for cell in point.cells_s)
        return replace(point, cells_s=cells)

    return replace(curve, points=tuple(rested(point) for point in curve.points))


def in_seconds(curve: OperatingCurve, execution_s: float, added_s: float) -> OperatingCurve:
    """A curve of units as one of seconds.

    Args:
        curve: in units of one execution.
        execution_s: of one request.
        added_s: latency that every request has beside it.
    """
    return with_latencies(curve.scaled(execution_s), lambda cell: cell + added_s)


def with_latencies(curve: OperatingCurve, change: Callable[[float], float]) -> OperatingCurve:
    """The same rates with other latencies."""
    points = tuple(
        replace(point, cells_s=tuple(map(change, point.cells_s))) for point in curve.points
    )
    return replace(curve, points=points)


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
            steps = [RateStep(step_s, rate, n) for rate, n in zip(rates, serving, strict=True)]
            followed = simulate_rates(curve, steps, percentile=percentile)
            late = _late(followed.share_within(limit_s))
            return LatencyForecast(followed.latency_s(percentile), late)
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
