"""The server's fitted model, and what only requests at a rate show of it: sleep, rests, pauses.

Closed loops tell what a server can do at most: their clients wait for answers, send in bursts and
find every thread awake. Requests that come at a rate cost more. So the server is measured at a low
and at a high rate as well, and the values are taken with which the simulation comes nearest to
both: two rates, since what a request meets now and then and what a busy server makes of it look
alike at one.
"""

import functools
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TypeVar

from tritongen.queueing import (
    FrontEnd,
    Loop,
    OpenLoop,
    Pauses,
    ServedModel,
    Server,
    ServiceTimes,
    SimulatedModel,
    simulate,
)
from tritongen.tune.search.measurement_records import LoadReading, Task
from tritongen.tune.search.search_space import Candidate

T = TypeVar("T")

# Shorter executions are mostly the waking of threads: they rest always, and load speeds them.
SHORTEST_S = 0.0005
# A record with its reading, which can be used.
Usable = tuple[Task, LoadReading]

# Of the simulations: any will do, and the same one makes fits comparable.
SEED = 20_260_101
# Percentiles that tell the level, and the tail that pauses make.
_BODY, _TAIL = (50.0, 90.0), (99.0, 99.9)
# Answers beyond a percentile that make it worth a comparison.
_BEYOND = 4.0
# Standard error of a percentile beside its sample's: the machine is not the same every second.
_STANDARD_ERROR = 0.08
# The same of a mean execution, which tells of rests where executions are not all waking.
_EXECUTION_STANDARD_ERROR = 0.04
# How much a rest may slow the next execution, and what is expected of it.
_IDLE_PENALTIES = tuple(step / 40 for step in range(25))
_IDLE_PENALTY_SPREAD = 0.3
# CPU time of waking as shares of the overhead, and what is expected of it.
_WAKES = tuple(step / 6 for step in range(13))
_WAKE_SPREAD = 1.0
# The server's speed at rates relative to closed loops, and what is expected of it.
_LEVELS = tuple(1.0 + step / 40 for step in range(-8, 17))
_LEVEL_SPREAD = 0.15
# Lengths of pauses: a turn of the scheduler and more; and the shares of the time that they take.
_LENGTHS_S = (0.002, 0.004, 0.008, 0.016)
_PAUSED_SHARES = tuple(0.0005 * 10.0 ** (step / 6) for step in range(12))
# What a pause does is seen where they take so much of the time, in so many of them: more would
# bring a busy server to its limit.
_OFTEN, _PAUSES = 0.012, 25
_TAIL_REQUESTS = 20_000
# Without pauses a tail must be this much better explained before there are some.
_PROOF = 4.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted model of one model on one server.

    Attributes:
        service: times of executions.
        front_end_s: CPU seconds that each request costs outside its execution, on the same cores.
        transport_s: latency of each request outside queue and execution that costs no core.
        wake_s: CPU seconds more of a request that comes at a rate and finds the threads asleep.
        at_rates: how much longer everything on the cores takes at rates than in closed loops.
        pauses: in which nothing runs, None where none were seen.
        factors: by inter-op threads: how much longer an execution takes than in sequence; 1
            where it was not measured.
    """

    service: ServiceTimes
    front_end_s: float = 0.0
    transport_s: float = 0.0
    wake_s: float = 0.0
    at_rates: float = 1.0
    pauses: Pauses | None = None
    factors: Mapping[int, float] = field(default_factory=dict)

    def service_of(self, candidate: Candidate) -> ServiceTimes:
        """Service times under a candidate's execution mode."""
        factor = self.factors.get(candidate.inter_op, 1.0)
        return self.service if factor == 1.0 else self.service.scaled(factor)

    def server(self, candidate: Candidate, load: Loop, rows: int = 1) -> Server:
        """The server to simulate with a candidate under a load."""
        slower = self.at_rates if isinstance(load, OpenLoop) else 1.0
        service = self.service_of(candidate)
        model = ServedModel(
            name="model",
            service=service if slower == 1.0 else service.scaled(slower),
            load=load,
            instances=candidate.instances,
            threads=candidate.threads,
            max_batch_size=candidate.max_batch_size,
            queue_delay_s=candidate.queue_delay_s,
            rows=(rows,),
            transport_s=self.transport_s,
        )
        front = None
        if self.front_end_s > 0.0:
            front = FrontEnd(self.front_end_s * slower, wake_s=self.wake_s * slower)
        return Server((model,), self.service.cores, front, pauses=self.pauses)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is simulated for a fit.

    Attributes:
        low: requests at the lowest rate.
        high: at others, where requests wait for each other.
        stride: steps of a value that are passed over in a first look.
        pauses: whether they are looked for.
    """

    low: int
    high: int
    stride: int
    pauses: bool


# For a race, whose measurements correct it; and for what is kept and planned with.
QUICK, THOROUGH = Effort(400, 600, 6, pauses=False), Effort(800, 2_000, 4, pauses=True)


def at_rates(
    calibration: Calibration, measured: Iterable[Usable], effort: Effort = THOROUGH
) -> Calibration:
    """The calibration with what is seen at rates only.

    Args:
        calibration: from closed loops.
        measured: at rates; those that the server could not keep up with are left out.
        effort: of the fit.
    """
    rates = sorted(
        (one for one in measured if isinstance(one[0].load, OpenLoop) and not one[1].saturated),
        key=lambda one: one[1].throughput_per_s,
    )
    if not rates:
        return calibration
    found = _with_body(calibration, rates, effort)
    return _with_pauses(found, rates) if effort.pauses else found


def _with_body(calibration: Calibration, rates: Sequence[Usable], effort: Effort) -> Calibration:
    """What sleep costs, and the speed, with which the body of the latencies comes out.

    Where executions are long they tell of their rests; where they are short, waking is what counts.
    """
    overhead = calibration.front_end_s + calibration.transport_s
    rests = rates[0][1].execution_s >= SHORTEST_S
    sleeps, spread = (_IDLE_PENALTIES, _IDLE_PENALTY_SPREAD) if rests else (_WAKES, _WAKE_SPREAD)

    def trial(sleep: float, level: float) -> Calibration:
        found = replace(calibration, at_rates=level)
        if not rests:
            return replace(found, wake_s=sleep * overhead)
        return replace(found, service=replace(calibration.service, idle_penalty=sleep))

    def prior(pair: tuple[float, float]) -> float:
        return (pair[0] / spread) ** 2 + (math.log(pair[1]) / _LEVEL_SPREAD) ** 2

    @functools.cache
    def error(pair: tuple[float, float], rate: int) -> float:
        requests = effort.high if rate else effort.low
        return _squared_errors(trial(*pair), rates[rate], requests, executions=rests)

    def errors(pair: tuple[float, float]) -> Iterable[float]:
        return (error(pair, rate) for rate in range(len(rates)))

    # What sleeps and what is slower look alike at one rate: they are looked for together.
    sleep, level = least(
        product(sleeps[:: effort.stride], _LEVELS[:: effort.stride]), prior, errors
    )
    for reach in (effort.stride // 2, effort.stride // 2, 1, 1):
        near = product(_around(sleeps, sleep, reach), _around(_LEVELS, level, reach))
        sleep, level = least(near, prior, errors)
    return trial(sleep, level)


def least(
    trials: Iterable[T], prior: Callable[[T], float], errors: Callable[[T], Iterable[float]]
) -> T:
    """The trial with the smallest sum of squared errors.

    Args:
        trials: one or more.
        prior: how far from what is expected a trial lies, as a squared error; costs nothing.
        errors: the others, each found when it is asked for. A trial is given up as soon as it
            cannot be the best one.
    """
    best: list[T] = []
    fewest = math.inf
    for trial in sorted(trials, key=prior):
        total = prior(trial)
        if total >= fewest:
            break  # and so are those that follow
        for error in errors(trial):
            total += error
            if total >= fewest:
                break
        if not best or total < fewest:
            best, fewest = [trial], total
    return best[0]


def _with_pauses(calibration: Calibration, rates: Sequence[Usable]) -> Calibration:
    """The pauses that explain the tail at all rates, if any do."""
    tailed = [one for one in rates if _known(one[1], _TAIL)]
    if not tailed:
        return calibration
    calm = [_simulated(calibration, one, _TAIL_REQUESTS).latencies_s for one in tailed]
    without = _mixed_squared_errors(tailed, calm, calm, 0.0)
    if without < _PROOF:
        return calibration
    best = (without - _PROOF, calibration)
    for length in _LENGTHS_S:
        often = replace(calibration, pauses=_pauses(_OFTEN, length))
        shaken = [
            _simulated(often, one, _enough(one[1].throughput_per_s, length)).latencies_s
            for one in tailed
        ]
        # Pauses do not meet each other: half as many are met by half as many requests, and twice
        # as many by twice as many.
        for share in _PAUSED_SHARES:
            error = _mixed_squared_errors(tailed, calm, shaken, share / _OFTEN)
            if error < best[0]:
                best = (error, replace(calibration, pauses=_pauses(share, length)))
    return best[1]


def _enough(rate_per_s: float, length_s: float) -> int:
    """Requests between so many pauses as tell what one does, within what there is time for."""
    wanted = _PAUSES * rate_per_s * length_s / _OFTEN
    return round(min(max(wanted, THOROUGH.low), _TAIL_REQUESTS))


def _mixed_squared_errors(
    measured: Sequence[Usable],
    calm: Sequence[Sequence[float]],
    shaken: Sequence[Sequence[float]],
    share: float,
) -> float:
    """Squared standard errors of tails of which a share is as with many pauses."""
    return sum(
        (math.log(_mixed(one, other, share, percentile) / seconds) / error) ** 2
        for (_, reading), one, other in zip(measured, calm, shaken, strict=True)
        for percentile, seconds, error in _known(reading, _TAIL)
    )


def _mixed(
    calm: Sequence[float], shaken: Sequence[float], share: float, percentile: float
) -> float:
    """A percentile of two ascending samples, the second with a share of the weight, or more."""
    late = 1.0 - percentile / 100.0
    low, high = min(calm[0], shaken[0]), max(calm[-1], shaken[-1])
    for _ in range(30):
        middle = 0.5 * (low + high)
        beyond = (1.0 - share) * _beyond(calm, middle) + share * _beyond(shaken, middle)
        low, high = (middle, high) if beyond > late else (low, middle)
    return high


def _beyond(ascending: Sequence[float], value: float) -> float:
    return 1.0 - bisect_right(ascending, value) / len(ascending)


def _pauses(share: float, length_s: float) -> Pauses | None:
    """Those that take a share of the time."""
    return Pauses(share / (1.0 - share) / length_s, length_s) if share > 0.0 else None


def _simulated(calibration: Calibration, measured: Usable, requests: int) -> SimulatedModel:
    task, reading = measured
    # Chance sends a little more or less than was asked for.
    load = OpenLoop(reading.throughput_per_s)
    server = calibration.server(task.candidate, load, task.rows)
    return simulate(server, seed=SEED, requests=requests).of("model")


def _known(reading: LoadReading, percentiles: Iterable[float]) -> list[tuple[float, float, float]]:
    """(percentile, seconds, error as a share) of those with answers enough beyond them."""
    found = []
    for percentile in percentiles:
        seconds = reading.latency_s(percentile)
        beyond = reading.requests * (1.0 - percentile / 100.0)
        if seconds > 0.0 and beyond >= _BEYOND:
            # In a tail that falls by half in the time of a median, and in clusters.
            found.append(
                (percentile, seconds, math.hypot(_STANDARD_ERROR, 1.0 / math.sqrt(beyond)))
            )
    return found


def _squared_errors(
    calibration: Calibration, measured: Usable, requests: int, *, executions: bool
) -> float:
    """Squared standard errors of the body of the latencies, and of the execution where asked."""
    known = _known(measured[1], _BODY)
    if not known:
        return 0.0
    found = _simulated(calibration, measured, requests)
    errors = [math.log(found.latency_s(p) / seconds) / error for p, seconds, error in known]
    if executions:
        errors.append(
            math.log(found.mean_execution_s / measured[1].execution_s) / _EXECUTION_STANDARD_ERROR
        )
    return sum(error * error for error in errors)


def _around(steps: Sequence[float], now: float, reach: int) -> list[float]:
    """A step and those so far to its sides."""
    index = steps.index(now)
    return [steps[at] for at in (index - reach, index, index + reach) if 0 <= at < len(steps)]
