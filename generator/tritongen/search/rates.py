"""What only requests at a rate show: threads that sleep between them, rests, moments of standstill.

Closed loops tell what a server can do at most: their clients wait for answers, send in bursts and
find every thread awake. Requests that come at a rate cost more. So the server is measured at a low
and at a high rate as well, and the values are taken with which the simulation comes nearest to
both: two rates, since what a request meets now and then and what a busy server makes of it look
alike at one.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from tritongen.domain.queueing import OpenLoop, SimulatedModel, Stalls, simulate
from tritongen.search.calibrate import SHORTEST_S, Calibration
from tritongen.search.records import Reading, Task

# A record with its reading, which can be used.
Usable = tuple[Task, Reading]

_SEED = 20_260_101
_REQUESTS = 800
# Percentiles that tell the level, and the tail that stalls make.
_BODY, _TAIL = (50.0, 90.0), (99.0, 99.9)
# Answers beyond a percentile that make it worth a comparison.
_BEYOND = 4.0
# Doubt about a percentile beside that of its sample: the machine is not the same every second.
_DOUBT = 0.08
# The same of a mean execution, which tells of rests where executions are not all waking.
_EXECUTION_DOUBT = 0.04
# How much a rest may slow the next execution, and what is expected of it.
_COLDS = tuple(step / 40 for step in range(25))
_COLD_SPREAD = 0.3
# CPU time of waking as shares of the overhead, and what is expected of it.
_WAKES = tuple(step / 6 for step in range(13))
_WAKE_SPREAD = 1.0
# The server's speed at rates relative to closed loops, and what is expected of it.
_LEVELS = tuple(1.0 + step / 40 for step in range(-8, 17))
_LEVEL_SPREAD = 0.08
# Lengths of stalls: a turn of the scheduler and more; and the shares of the time that they take.
_LENGTHS_S = (0.002, 0.004, 0.008, 0.016)
_STALLED = (0.001, 0.003, 0.006, 0.012, 0.025)
_TAIL_REQUESTS = 2_500
# Every so many steps are looked at first.
_STRIDE = 4
# Without stalls a tail must be this much better explained before there are some.
_PROOF = 4.0


def at_rates(calibration: Calibration, measured: Iterable[Usable]) -> Calibration:
    """The calibration with what is seen at rates only.

    Args:
        calibration: from closed loops.
        measured: at rates; those that the server could not keep up with are left out.
    """
    rates = sorted(
        (one for one in measured if isinstance(one[0].load, OpenLoop) and not one[1].saturated),
        key=lambda one: one[1].throughput_per_s,
    )
    if not rates:
        return calibration
    return _with_stalls(_with_body(calibration, rates), rates)


def _with_body(calibration: Calibration, rates: Sequence[Usable]) -> Calibration:
    """What waking and rests cost, and the speed, with which the body of the latencies comes out."""
    overhead = calibration.front_end_s + calibration.transport_s
    rests = rates[0][1].execution_s >= SHORTEST_S

    def trial(cold: float, wake: float, level: float) -> Calibration:
        service = replace(calibration.service, cold=cold)
        return replace(calibration, service=service, at_rates=level, wake_s=wake * overhead)

    def mismatch(cold: float, wake: float, level: float) -> float:
        found = trial(cold, wake, level)
        doubts = (cold / _COLD_SPREAD, wake / _WAKE_SPREAD, math.log(level) / _LEVEL_SPREAD)
        misfits = [_misfit(found, one, _BODY, _REQUESTS, executions=rests) for one in rates]
        return sum(misfits) + sum(doubt * doubt for doubt in doubts)

    cold, wake, level = 0.0, 0.0, 1.0
    for search in (_least, _nearby, _nearby):
        wake = search(_WAKES, wake, partial(mismatch, cold, level=level))
        if rests:
            cold = search(_COLDS, cold, partial(mismatch, wake=wake, level=level))
        level = search(_LEVELS, level, partial(mismatch, cold, wake))
    return trial(cold, wake, level)


def _with_stalls(calibration: Calibration, rates: Sequence[Usable]) -> Calibration:
    """The stalls that explain the tail at all rates, if any do."""

    def mismatch(length_s: float, share: float) -> float:
        found = replace(calibration, stalls=_stalls(share, length_s))
        return sum(_misfit(found, one, _TAIL, _TAIL_REQUESTS) for one in rates)

    if not any(_known(reading, _TAIL) for _, reading in rates):
        return calibration
    without = mismatch(1.0, 0.0)
    if without < _PROOF:
        return calibration
    found = [(length, min(_STALLED, key=partial(mismatch, length))) for length in _LENGTHS_S]
    length, share = min(found, key=lambda pair: mismatch(*pair))
    if mismatch(length, share) > without - _PROOF:
        return calibration
    return replace(calibration, stalls=_stalls(share, length))


def _stalls(share: float, length_s: float) -> Stalls | None:
    """Those that take a share of the time."""
    return Stalls(share / (1.0 - share) / length_s, length_s) if share > 0.0 else None


def _simulated(calibration: Calibration, measured: Usable, requests: int) -> SimulatedModel:
    task, reading = measured
    # Chance sends a little more or less than was asked for.
    load = OpenLoop(reading.throughput_per_s)
    server = calibration.server(task.candidate, load, task.rows)
    return simulate(server, seed=_SEED, requests=requests).of("model")


def _known(reading: Reading, percentiles: Iterable[float]) -> list[tuple[float, float, float]]:
    """(percentile, seconds, doubt as a share) of those with answers enough beyond them."""
    found = []
    for percentile in percentiles:
        seconds = reading.latency_s(percentile)
        beyond = reading.requests * (1.0 - percentile / 100.0)
        if seconds > 0.0 and beyond >= _BEYOND:
            # In a tail that falls by half in the time of a median, and in clusters.
            found.append((percentile, seconds, math.hypot(_DOUBT, 1.0 / math.sqrt(beyond))))
    return found


def _misfit(
    calibration: Calibration,
    measured: Usable,
    percentiles: Sequence[float],
    requests: int,
    *,
    executions: bool = False,
) -> float:
    """Squared standard errors between simulated and measured percentiles, and execution times."""
    known = _known(measured[1], percentiles)
    if not known:
        return 0.0
    found = _simulated(calibration, measured, requests)
    errors = [math.log(found.latency_s(p) / seconds) / doubt for p, seconds, doubt in known]
    if executions:
        errors.append(math.log(found.mean_execution_s / measured[1].execution_s) / _EXECUTION_DOUBT)
    return sum(error * error for error in errors)


def _least(steps: Sequence[float], now: float, mismatch: Callable[[float], float]) -> float:
    """The step with the least mismatch: a coarse look at all of them, a fine one at the best."""
    rough = min((*steps[::_STRIDE], steps[-1], now), key=mismatch)
    return _nearby(steps, rough, mismatch, _STRIDE - 1)


def _nearby(
    steps: Sequence[float], now: float, mismatch: Callable[[float], float], reach: int = 2
) -> float:
    """The step with the least mismatch around one."""
    index = steps.index(now)
    return min(steps[max(0, index - reach) : index + reach + 1], key=mismatch)
