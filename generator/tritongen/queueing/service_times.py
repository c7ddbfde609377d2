"""Service times: how long one execution takes, by batch, threads and what else is running.

Measured points are reproduced as they are; between and beyond them the model is the simplest
that the data allow: linear in the batch (τ = αb + τ₀), Amdahl's law in the threads, and a
slow-down by the share of the cores that others keep busy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import exp, isfinite, log

from tritongen.errors import InvalidInputError
from tritongen.model.evidence import Trial

# Share of an execution that does not run in parallel, where only one thread count was measured.
DEFAULT_SERIAL_SHARE = 0.1
# Slow-down when all other cores are busy, by memory bandwidth, caches and clock: 1 + this.
DEFAULT_CONTENTION = 0.10
# Threads of one operator wait for each other: what preemption costs beyond the fair share. With
# it two teams of two threads on two cores take three times as long as one alone, not twice.
OVERSUBSCRIPTION = 1.0
# After a rest of this length caches are cold and the core sleeps: measured rests of 0.2 ms cost an
# execution nothing, rests of 3 ms the full price.
REST_S = 0.001
# The interquartile range of a normal distribution, 2 × 0.6745 standard deviations.
_IQR_DEVIATIONS = 1.35


class Spread(StrEnum):
    """How execution times scatter about their mean.

    Inference is nearly deterministic with a tail to the right: lognormal with the measured
    variation. Exponential is for comparison with queueing theory; it has a variation of 1.
    """

    LOGNORMAL = "lognormal"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True)
class ServicePoint:
    """The measured time of an execution that ran alone.

    Attributes:
        batch: rows in the execution.
        threads: threads of the instance.
        seconds: mean time of one execution.
        cv: coefficient of variation between executions.
    """

    batch: int
    threads: int
    seconds: float
    cv: float = 0.0

    def __post_init__(self) -> None:
        sound = self.batch >= 1 and self.threads >= 1 and self.cv >= 0.0
        if not (sound and isfinite(self.seconds) and self.seconds > 0.0):
            raise InvalidInputError("TG304", f"not a service time: {self}")


def trial_points(trial: Trial | None) -> tuple[ServicePoint, ...]:
    """What a trial measured with operators in sequence; nothing where the model did not run.

    A trial keeps the interquartile range by the median, which a disturbance does not move; the
    coefficient of variation is that of a normal distribution with the same range.
    """
    if trial is None or not trial.ok:
        return ()
    return tuple(
        ServicePoint(cost.batch, cost.threads, cost.ms / 1e3, cv=cost.spread / _IQR_DEVIATIONS)
        for cost in trial.costs
        if cost.inter_op == 1 and cost.ms > 0.0
    )


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """τ(batch, threads, busy) in seconds, from measured points.

    Attributes:
        points: measurements; at least one.
        cores: cores that all instances share; may be a fraction (a quota).
        contention: slow-down by others on an otherwise full machine, None for the default.
        serial_share: Amdahl's serial share where only one thread count was measured.
        spread: the distribution between executions.
        idle_penalty: how much longer the first execution after a rest takes, as a share.
    """

    points: tuple[ServicePoint, ...]
    cores: float
    contention: float | None = None
    serial_share: float = DEFAULT_SERIAL_SHARE
    spread: Spread = Spread.LOGNORMAL
    idle_penalty: float = 0.0
    _curves: dict[int, tuple[tuple[int, float], ...]] = field(init=False, repr=False, compare=False)
    _amdahl: tuple[float, float] = field(init=False, repr=False, compare=False)
    _shared: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.points or not self.cores > 0.0 or not self.idle_penalty >= 0.0:
            raise InvalidInputError(
                "TG304", "service times need a measured point, cores > 0, idle penalty >= 0"
            )
        put = object.__setattr__
        put(self, "_curves", _curves(self.points))
        put(self, "_amdahl", _fit_amdahl(self._curves, self.serial_share))
        put(self, "_shared", DEFAULT_CONTENTION if self.contention is None else self.contention)

    @property
    def cv(self) -> float:
        """Variation between executions: the median of the measured ones, 0 when none was."""
        known = sorted(point.cv for point in self.points if point.cv > 0.0)
        return known[len(known) // 2] if known else 0.0

    def alone(self, batch: int, threads: int) -> float:
        """Seconds of one execution with nothing else running."""
        own = self._curves.get(threads)
        shape = self._shape()
        if own is None:
            nearest = min(self._curves, key=lambda count: abs(log(count / threads)))
            scale = self._scaling(threads) / self._scaling(nearest)
            return self.alone(batch, nearest) * scale
        last = own[-1][0]
        if batch <= last or own is shape:
            return _along(own, batch)
        # Beyond its own measured batches a thread count follows the best measured one.
        return own[-1][1] * _along(shape, batch) / _along(shape, last)

    def slowdown(self, threads: int, busy: float = 1.0, foreign: float = 0.0) -> float:
        """How much longer an execution takes than alone: by shares, preemption and contention.

        Args:
            threads: of each instance of this model.
            busy: instances of this model that execute, this one included.
            foreign: threads of other models and of the front end that are busy.
        """
        total = busy * threads + foreign
        overload = max(1.0, total / self.cores)
        # A lone thread loses only its fair share; a team waits for its preempted members.
        waiting = OVERSUBSCRIPTION * (1.0 - 1.0 / threads) * (overload - 1.0)
        others = max(0.0, min(total, self.cores) - threads)
        return overload * (1.0 + waiting) * (1.0 + self._shared * others / self.cores)

    def seconds(self, batch: int, threads: int, busy: float = 1.0, foreign: float = 0.0) -> float:
        """Seconds of one execution among others; see `slowdown` for the arguments."""
        return self.alone(batch, threads) * self.slowdown(threads, busy, foreign)

    def idle_factor(self, rest_s: float) -> float:
        """How much longer an execution takes after the instances stood idle for that long."""
        return 1.0 + self.idle_penalty * (1.0 - exp(-((rest_s / REST_S) ** 2)))

    def scaled(self, factor: float) -> "ServiceTimes":
        """The same model on cores that take `factor` times as long."""
        points = tuple(replace(point, seconds=point.seconds * factor) for point in self.points)
        return replace(self, points=points)

    def on_cores(self, cores: float) -> "ServiceTimes":
        """The same model in a container of another size; contention is carried over."""
        return replace(self, cores=cores, contention=self._shared)

    def _shape(self) -> tuple[tuple[int, float], ...]:
        """The curve that knows most batches; among equals the one of fewest threads."""
        return min(self._curves.items(), key=lambda item: (-len(item[1]), item[0]))[1]

    def _scaling(self, threads: int) -> float:
        serial, parallel = self._amdahl
        return serial + parallel / threads


def _curves(points: Sequence[ServicePoint]) -> dict[int, tuple[tuple[int, float], ...]]:
    """By threads: (batch, mean seconds)."""
    grouped: dict[int, dict[int, list[float]]] = {}
    for point in points:
        grouped.setdefault(point.threads, {}).setdefault(point.batch, []).append(point.seconds)
    return {
        threads: tuple(
            (batch, sum(values) / len(values)) for batch, values in sorted(batches.items())
        )
        for threads, batches in grouped.items()
    }


def _along(curve: Sequence[tuple[int, float]], batch: int) -> float:
    """Piecewise linear through the points; beyond them along the last (or first) two.

    A single point scales with the batch: nothing is gained by batching until it is measured.
    """
    if len(curve) == 1:
        known, seconds = curve[0]
        return seconds * batch / known
    index = 1
    while index < len(curve) - 1 and batch > curve[index][0]:
        index += 1
    (left, low), (right, high) = curve[index - 1], curve[index]
    slope = (high - low) / (right - left)
    # Noise may tilt a line: before the first point a positive time must remain, and more rows
    # than the last point never take less time.
    floor = 0.05 * low if batch < left else min(low, high)
    return max(low + slope * (batch - left), floor)


def _fit_amdahl(
    curves: dict[int, tuple[tuple[int, float], ...]], serial_share: float
) -> tuple[float, float]:
    """(s, p) of the time s + p/threads, least squares on the smallest batch that all know."""
    common = set.intersection(*({batch for batch, _ in curve} for curve in curves.values()))
    if len(curves) < 2 or not common:
        return serial_share, 1.0 - serial_share
    batch = min(common)
    samples = [(1.0 / threads, dict(curve)[batch]) for threads, curve in curves.items()]
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread
    slope = max(0.0, slope)
    serial = mean_y - slope * mean_x
    return (serial, slope) if serial > 0.0 else (0.0, mean_y / mean_x)
