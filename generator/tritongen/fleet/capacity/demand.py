"""The traffic of every model on one clock, and the load that it puts on a container."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tritongen.fleet.capacity.container_capacity import NETWORK_SHARE, Fit
from tritongen.fleet.capacity.replicas import LoadTrace
from tritongen.fleet.traffic.rate_profile import (
    HOUR_S,
    HOURS_A_WEEK,
    WEEK_S,
    RateProfile,
    hour_of_week,
    refuse_many,
)


@dataclass(frozen=True, slots=True)
class TrafficDemand:
    """Rates of models over time, on one clock.

    Attributes:
        step_s: length of each step, seconds.
        phase_s: seconds from Monday 00:00 to the first step.
        rates: requests per second step by step, by model, all of the same length.
        known: whether the pattern is known beforehand; False for a recording.
    """

    step_s: float
    phase_s: float
    rates: Mapping[str, tuple[float, ...]]
    known: bool

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(next(iter(self.rates.values())))

    def rates_of(self, names: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """Rates of some models, in that order."""
        return tuple(self.rates[name] for name in names)

    def mean(self, name: str) -> float:
        """Mean requests per second of a model."""
        return _mean(self.rates[name])

    def peak(self, name: str) -> float:
        """Requests per second of a model's busiest step."""
        return max(self.rates[name])

    def scaled(self, factor: float) -> "TrafficDemand":
        """The same traffic with every rate multiplied."""
        return self._with(self.step_s, lambda one: (rate * factor for rate in one))

    def hourly(self) -> "TrafficDemand":
        """In steps of an hour: the greatest rate of a known pattern, the mean of a recording."""
        ratio = max(1, round(HOUR_S / self.step_s))
        combine: Callable[[Sequence[float]], float] = max if self.known else _mean
        return self._with(
            self.step_s * ratio,
            lambda one: (combine(one[at : at + ratio]) for at in range(0, len(one), ratio)),
        )

    def finer(self, step_s: float) -> "TrafficDemand":
        """In steps of about that length, rates going straight from middle to middle.

        A recording in steps of seconds stays as it is.
        """
        ratio = max(1, round(self.step_s / step_s))
        if ratio == 1:
            return self
        return self._with(
            self.step_s / ratio, lambda one: _interpolated(one, ratio, around=self.known)
        )

    def _with(
        self, step_s: float, change: Callable[[Sequence[float]], Iterable[float]]
    ) -> "TrafficDemand":
        """With other rates of each model, in other steps."""
        rates = {name: tuple(change(series)) for name, series in self.rates.items()}
        return replace(self, step_s=step_s, rates=rates)

    def load(self, fit: Fit) -> LoadTrace:
        """The load that a container's models put on it, in replicas at their goals."""
        rates = self.rates_of(fit.names)
        shares = [
            [rate / model.rate_per_s for rate in series]
            for series, model in zip(rates, fit.models, strict=True)
        ]
        combine = sum if fit.placement.limited else max
        cpu = [combine(values) for values in zip(*shares, strict=True)]
        capacity = fit.machine.bytes_per_s * NETWORK_SHARE
        sizes = [max(m.profile.request_bytes, m.profile.response_bytes) for m in fit.models]
        if any(
            self.peak(name) * size > 0.01 * capacity
            for name, size in zip(fit.names, sizes, strict=True)
        ):
            sent = (
                sum(rate * size for rate, size in zip(values, sizes, strict=True)) / capacity
                for values in zip(*rates, strict=True)
            )
            cpu = [max(pair) for pair in zip(cpu, sent, strict=True)]
        return LoadTrace(self.step_s, self.phase_s, tuple(cpu), self.known)

    def busiest(self, fit: Fit) -> tuple[float, ...]:
        """Rates of a container's models at the time of its greatest load."""
        load = self.load(fit).load
        at = max(range(len(load)), key=load.__getitem__)
        return tuple(series[at] for series in self.rates_of(fit.names))

    def total_by_hour(self) -> tuple[float, ...]:
        """Mean requests per second of all models by hour of the week; 0 for hours not covered."""
        sums = [0.0] * HOURS_A_WEEK
        counts = [0] * HOURS_A_WEEK
        for index, values in enumerate(zip(*self.rates.values(), strict=True)):
            at = self.phase_s + (index + 0.5) * self.step_s
            hour = hour_of_week(at)
            sums[hour] += math.fsum(values)
            counts[hour] += 1
        return tuple(
            total / count if count else 0.0 for total, count in zip(sums, counts, strict=True)
        )


def demand_of(profiles: Mapping[str, RateProfile]) -> TrafficDemand:
    """Brings the profiles of models onto the finest of their clocks.

    The longest recorded one gives begin and length; patterns, and shorter recordings, are
    repeated.

    Raises:
        InvalidInputError: TG321, too many steps.
    """
    longest = max(profiles.values(), key=lambda one: (one.measured, one.seconds))
    step = min(one.step_s for one in profiles.values())
    seconds = longest.seconds if longest.measured else max(longest.seconds, WEEK_S)
    count = max(1, round(seconds / step))
    refuse_many(count, step)
    middle = longest.phase_s + 0.5 * step
    rates = {
        name: tuple(one.at(middle + index * step) for index in range(count))
        for name, one in profiles.items()
    }
    return TrafficDemand(step, longest.phase_s, rates, known=not longest.measured)


def _mean(rates: Sequence[float]) -> float:
    return math.fsum(rates) / len(rates)


def _interpolated(rates: Sequence[float], ratio: int, *, around: bool) -> list[float]:
    """Every step in `ratio` parts; a known pattern repeats, so its ends are neighbours."""
    ends = (rates[-1], rates[0]) if around else (rates[0], rates[-1])
    whole = (ends[0], *rates, ends[1])
    fine: list[float] = []
    for index in range(1, len(whole) - 1):
        before, here, after = whole[index - 1 : index + 2]
        for part in range(ratio):
            place = (part + 0.5) / ratio - 0.5
            fine.append(here + ((before if place < 0.0 else after) - here) * abs(place))
    return fine
