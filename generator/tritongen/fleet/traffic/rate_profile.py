"""Rates over time, and how several of them are brought onto one clock."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tritongen.errors import InvalidInputError

HOUR_S = 3600.0
DAY_S = 24.0 * HOUR_S
WEEK_S = 7.0 * DAY_S
HOURS_A_WEEK = 168
# Steps of a traffic; chosen: two days by the second, or four months by the minute.
MAX_STEPS = 200_000
# The power that bends a shape to a stated peak stays below this; beyond, the top step is set.
_MAX_BEND = 40.0


def hour_of_week(at_s: float) -> int:
    """The hour of the week, from Monday 00:00, of so many seconds after a Monday 00:00."""
    return int(at_s // HOUR_S) % HOURS_A_WEEK


@dataclass(frozen=True, slots=True)
class RateProfile:
    """Requests per second, step by step.

    Attributes:
        step_s: length of each step, seconds.
        rates: mean requests per second of each step.
        phase_s: seconds from Monday 00:00 (plan's time) to the first step.
        measured: whether it was recorded; a pattern otherwise.
    """

    step_s: float
    rates: tuple[float, ...]
    phase_s: float = 0.0
    measured: bool = False

    def __post_init__(self) -> None:
        if not self.rates or not self.step_s > 0.0:
            raise InvalidInputError("TG321", "traffic needs at least one step")
        if any(not (rate >= 0.0 and math.isfinite(rate)) for rate in self.rates):
            raise InvalidInputError("TG321", "a rate must be a number of at least 0")

    @property
    def seconds(self) -> float:
        """Length of the whole."""
        return self.step_s * len(self.rates)

    @property
    def peak(self) -> float:
        """Requests per second of the busiest step."""
        return max(self.rates)

    def at(self, phase_s: float) -> float:
        """The rate at a time of the week, the profile being repeated without end."""
        index = int((phase_s - self.phase_s) // self.step_s + 1e-9) % len(self.rates)
        return self.rates[index]


@dataclass(frozen=True, slots=True)
class Aligned:
    """Several profiles on one clock.

    Attributes:
        step_s: length of each step, seconds.
        phase_s: seconds from Monday 00:00 to the first step.
        rates: of each profile, all of the same length.
    """

    step_s: float
    phase_s: float
    rates: tuple[tuple[float, ...], ...]

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.rates[0])

    @property
    def total(self) -> tuple[float, ...]:
        """Requests per second of all profiles together."""
        return tuple(math.fsum(values) for values in zip(*self.rates, strict=True))

    def coarser(self, step_s: float) -> "Aligned":
        """In steps of about that length, each with the greatest rate within it."""
        ratio = max(1, round(step_s / self.step_s))
        if ratio == 1:
            return self
        return Aligned(
            self.step_s * ratio,
            self.phase_s,
            tuple(
                tuple(max(rates[begin : begin + ratio]) for begin in range(0, len(rates), ratio))
                for rates in self.rates
            ),
        )


def align(profiles: Sequence[RateProfile]) -> Aligned:
    """Brings profiles onto the finest of their clocks.

    The longest recorded one gives begin and length; patterns, and shorter recordings, are
    repeated.

    Raises:
        InvalidInputError: TG321, none, or too many steps.
    """
    if not profiles:
        raise InvalidInputError("TG321", "there is no traffic to plan for")
    longest = max(profiles, key=lambda one: (one.measured, one.seconds))
    step = min(one.step_s for one in profiles)
    seconds = longest.seconds if longest.measured else max(longest.seconds, WEEK_S)
    count = max(1, round(seconds / step))
    if count > MAX_STEPS:
        raise InvalidInputError(
            "TG321",
            f"{count:,} steps of {step:g} s are more than {MAX_STEPS:,}",
            fix="Record fewer days, or in longer steps.",
        )
    phase = longest.phase_s
    middle = phase + 0.5 * step
    rates = tuple(
        tuple(one.at(middle + index * step) for index in range(count)) for one in profiles
    )
    return Aligned(step, phase, rates)


def scaled_shape(shape: Sequence[float], average: float, peak: float | None) -> tuple[float, ...]:
    """A shape brought to a mean rate and, where one is stated, to a peak.

    Levels are raised to one common power, which keeps their order and never makes a rate
    negative, until peak ÷ mean is what is stated.

    Raises:
        InvalidInputError: TG322, the peak is below the average.
    """
    if peak is not None and peak < average * (1.0 - 1e-9):
        raise InvalidInputError("TG322", f"a peak of {peak:g}/s is below the average {average:g}/s")
    top = max(shape)
    if not top > 0.0:
        raise InvalidInputError("TG321", "the traffic holds no requests")
    levels = [value / top for value in shape]
    if peak is None:
        mean = math.fsum(levels) / len(levels)
        return tuple(level * average / mean for level in levels)
    wanted = average / peak
    bent = _bent(levels, wanted)
    mean = math.fsum(bent) / len(bent)
    if mean > wanted * 1.001 or mean < wanted * 0.999:
        return _stretched(bent, average, peak)
    return tuple(level * peak for level in bent)


def _bent(levels: Sequence[float], mean: float) -> list[float]:
    """The levels to the power that brings their mean to `mean`, as far as a power can."""
    low, high = 0.0, _MAX_BEND
    for _ in range(50):
        power = 0.5 * (low + high)
        if math.fsum(level**power for level in levels) / len(levels) > mean:
            low = power
        else:
            high = power
    return [level**high for level in levels]


def _stretched(levels: Sequence[float], average: float, peak: float) -> tuple[float, ...]:
    """Where no power does it: the top steps at the peak, all others by one factor."""
    top = max(levels)
    peaks = [level >= top * (1.0 - 1e-6) for level in levels]
    share = sum(peaks) / len(levels)
    if share >= 1.0 or peak * share > average:
        # A flat shape, or a peak that even its top steps cannot all have: one step has it.
        rest = max(0.0, (average * len(levels) - peak) / max(1, len(levels) - 1))
        first = levels.index(top)
        return tuple(peak if index == first else rest for index in range(len(levels)))
    others = [level for level, at_top in zip(levels, peaks, strict=True) if not at_top]
    factor = (average - peak * share) * len(levels) / math.fsum(others)
    return tuple(
        peak if at_top else min(peak, level * factor)
        for level, at_top in zip(levels, peaks, strict=True)
    )
