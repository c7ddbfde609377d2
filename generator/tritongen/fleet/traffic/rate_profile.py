"""Rates over time: the traffic of one model, from what is stated or recorded of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tritongen.errors import InvalidInputError
from tritongen.model.business import STEP_S, Pattern, week_shape
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import Intent, ModelIntent

HOUR_S = 3600.0
DAY_S = 24.0 * HOUR_S
WEEK_S = 7.0 * DAY_S
HOURS_A_WEEK = 168
# Steps of a traffic; chosen: two days by the second, or four months by the minute.
_MAX_STEPS = 200_000
# The power that bends a shape to a stated peak stays below this; beyond, the top step is set.
_MAX_BEND = 40.0
# Days on which clocks differ by their winter's and by their summer's offsets.
_WINTER, _SUMMER = datetime(2026, 1, 5), datetime(2026, 7, 6)


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


def refuse_many(steps: int, step_s: float, where: str = "") -> None:
    """Refuses more steps than can be planned with.

    Raises:
        InvalidInputError: TG321.
    """
    if steps > _MAX_STEPS:
        raise InvalidInputError(
            "TG321",
            f"{steps:,} steps of {step_s:g} s are more than {_MAX_STEPS:,}",
            where=where,
            fix="Record fewer days, or in longer steps.",
        )


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


@dataclass(frozen=True, slots=True)
class History:
    """Profiles of a recording.

    Attributes:
        profiles: by model; the key is empty where the recording does not tell models apart.
        notes: what was mended.
    """

    profiles: Mapping[str, RateProfile]
    notes: tuple[Finding, ...] = ()


_NOTHING = RateProfile(STEP_S, (0.0,) * round(WEEK_S / STEP_S))


@dataclass(frozen=True, slots=True)
class TrafficForecast:
    """The traffic of one model.

    Attributes:
        profile: rates over time on the plan's clock.
        pattern: how its shape is known, for people.
        notes: what has to be said about it.
    """

    profile: RateProfile
    pattern: str
    notes: tuple[Finding, ...] = ()


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name; empty is UTC.

    Raises:
        InvalidInputError: TG326, there is none of that name.
    """
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise InvalidInputError("TG326", f"there is no time zone {name!r}") from problem


def pattern_of(intent: Intent, model: str) -> Pattern:
    """The shape of a model's traffic: its own, else that of all."""
    return intent.of(model).pattern or intent.business.pattern


def forecast_traffic(
    model: str, intent: Intent, clock: ZoneInfo, history: History | None
) -> TrafficForecast:
    """The traffic of one model.

    Stated rates win: a history then gives the shape alone.

    Args:
        model: its name.
        intent: its rates and its pattern.
        clock: the plan's.
        history: of its file, on the plan's clock; None when its pattern is none.

    Raises:
        InvalidInputError: TG322 a peak below the average, TG323 a history without this model.
    """
    stated, pattern = intent.of(model), pattern_of(intent, model)
    if history is not None:
        return _recorded(model, stated, pattern.file, history)
    rate = stated.peak_rate if stated.rate is None else stated.rate
    if not rate:
        return TrafficForecast(_NOTHING, "no rate")
    shape = week_shape(pattern)
    if stated.rate is None:
        top = max(shape)
        rates = tuple(level / top * rate for level in shape)
    else:
        rates = scaled_shape(shape, stated.rate, stated.peak_rate)
    own = zone_of(pattern.time_zone) if pattern.time_zone else clock
    rates, notes = _on_clock(rates, own, clock, model)
    return TrafficForecast(RateProfile(STEP_S, rates), pattern.kind.value, notes)


def _recorded(model: str, stated: ModelIntent, where: str, history: History) -> TrafficForecast:
    profile = history.profiles.get(model) or history.profiles.get("")
    if profile is None and stated.planning_rate is None:
        return TrafficForecast(_NOTHING, f"no requests in {where}")
    if profile is None:
        known = ", ".join(sorted(history.profiles))
        raise InvalidInputError("TG323", f"no traffic of {model}; it has {known}", where=where)
    if stated.rate is not None:
        rates = scaled_shape(profile.rates, stated.rate, stated.peak_rate)
    elif stated.peak_rate is not None and profile.peak > 0.0:
        rates = tuple(rate * stated.peak_rate / profile.peak for rate in profile.rates)
    else:
        rates = profile.rates
    days = profile.seconds / 86400.0
    text = f"{days:.3g} days of {where} in steps of {profile.step_s:g} s"
    return TrafficForecast(replace(profile, rates=rates), text, history.notes)


def _on_clock(
    rates: Sequence[float], own: ZoneInfo, clock: ZoneInfo, model: str
) -> tuple[tuple[float, ...], tuple[Finding, ...]]:
    """A week of one time zone on the clock of another.

    Where the two change their clocks on different days, each step gets the greater rate of the
    winter's and the summer's difference: a schedule then holds all year.
    """
    winter, summer = (_difference(own, clock, day) for day in (_WINTER, _SUMMER))
    shifted = _rotated(rates, winter)
    if winter == summer:
        return shifted, ()
    both = tuple(map(max, shifted, _rotated(rates, summer)))
    hours = (summer - winter) / timedelta(hours=1)
    note = finding(
        "TG327",
        Severity.WARNING,
        f"{model}: clocks of {own.key} and {clock.key} change at different times of the year; "
        f"busy hours are planned {abs(hours):g} h longer",
    )
    return both, (note,)


def _difference(own: ZoneInfo, clock: ZoneInfo, day: datetime) -> timedelta:
    """How far the plan's clock is ahead of the pattern's own."""
    zero = timedelta()
    return (clock.utcoffset(day) or zero) - (own.utcoffset(day) or zero)


def _rotated(rates: Sequence[float], ahead: timedelta) -> tuple[float, ...]:
    steps = round(ahead.total_seconds() / STEP_S) % len(rates)
    return (*rates[len(rates) - steps :], *rates[: len(rates) - steps]) if steps else tuple(rates)
