"""The traffic of every model on one clock, and the load that it puts on a container."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tritongen.fleet.capacity.container_capacity import NETWORK_SHARE, Fit
from tritongen.fleet.capacity.replicas import LoadTrace
from tritongen.fleet.traffic.rate_profile import HOUR_S, HOURS_A_WEEK, Aligned, hour_of_week


@dataclass(frozen=True, slots=True)
class TrafficDemand:
    """Rates of models over time.

    Attributes:
        names: of models, in the order of `aligned.rates`.
        aligned: their rates on one clock.
        known: whether the pattern is known beforehand; False for a recording.
    """

    names: tuple[str, ...]
    aligned: Aligned
    known: bool

    def rates_of(self, names: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """Rates of some models, in that order."""
        return tuple(self.aligned.rates[self.names.index(name)] for name in names)

    def mean(self, name: str) -> float:
        """Mean requests per second of a model."""
        rates = self.aligned.rates[self.names.index(name)]
        return math.fsum(rates) / len(rates)

    def peak(self, name: str) -> float:
        """Requests per second of a model's busiest step."""
        return max(self.aligned.rates[self.names.index(name)])

    def hourly(self) -> "TrafficDemand":
        """In steps of an hour: the greatest rate of a known pattern, the mean of a recording."""
        if self.known:
            return TrafficDemand(self.names, self.aligned.coarser(HOUR_S), self.known)
        ratio = max(1, round(HOUR_S / self.aligned.step_s))
        rates = tuple(
            tuple(
                math.fsum(one[at : at + ratio]) / len(one[at : at + ratio])
                for at in range(0, len(one), ratio)
            )
            for one in self.aligned.rates
        )
        step = self.aligned.step_s * ratio
        return TrafficDemand(self.names, Aligned(step, self.aligned.phase_s, rates), self.known)

    def finer(self, step_s: float) -> "TrafficDemand":
        """In steps of about that length, rates going straight from middle to middle.

        A recording in steps of seconds stays as it is.
        """
        ratio = max(1, round(self.aligned.step_s / step_s))
        if ratio == 1:
            return self
        rates = tuple(_interpolated(one, ratio, around=self.known) for one in self.aligned.rates)
        aligned = Aligned(self.aligned.step_s / ratio, self.aligned.phase_s, rates)
        return TrafficDemand(self.names, aligned, self.known)

    def load(self, fit: Fit) -> LoadTrace:
        """The load that a container's models put on it, in replicas at their goals."""
        rates = self.rates_of(fit.names)
        shares = [
            [rate / model.rate_per_s for rate in series]
            for series, model in zip(rates, fit.models, strict=True)
        ]
        combine = sum if fit.placement.limited else max
        cpu = [combine(values) for values in zip(*shares, strict=True)]
        capacity = fit.bytes_per_s * NETWORK_SHARE
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
        return LoadTrace(self.aligned.step_s, self.aligned.phase_s, tuple(cpu), self.known)

    def busiest(self, fit: Fit) -> tuple[float, ...]:
        """Rates of a container's models at the time of its greatest load."""
        load = self.load(fit).load
        at = max(range(len(load)), key=load.__getitem__)
        return tuple(series[at] for series in self.rates_of(fit.names))

    def total_by_hour(self) -> tuple[float, ...]:
        """Mean requests per second of all models by hour of the week; 0 for hours not covered."""
        sums = [0.0] * HOURS_A_WEEK
        counts = [0] * HOURS_A_WEEK
        for index, rate in enumerate(self.aligned.total):
            at = self.aligned.phase_s + (index + 0.5) * self.aligned.step_s
            hour = hour_of_week(at)
            sums[hour] += rate
            counts[hour] += 1
        return tuple(
            total / count if count else 0.0 for total, count in zip(sums, counts, strict=True)
        )


def _interpolated(rates: Sequence[float], ratio: int, *, around: bool) -> tuple[float, ...]:
    """Every step in `ratio` parts; a known pattern repeats, so its ends are neighbours."""
    ends = (rates[-1], rates[0]) if around else (rates[0], rates[-1])
    whole = (ends[0], *rates, ends[1])
    fine: list[float] = []
    for index in range(1, len(whole) - 1):
        before, here, after = whole[index - 1 : index + 2]
        for part in range(ratio):
            place = (part + 0.5) / ratio - 0.5
            fine.append(here + ((before if place < 0.0 else after) - here) * abs(place))
    return tuple(fine)
