"""The traffic to plan for: of each model, from its stated rates, its pattern or its past."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tritongen.errors import InvalidInputError
from tritongen.fleet.traffic.rate_profile import WEEK_S, RateProfile, scaled_shape
from tritongen.fleet.traffic.traffic_history import History, HistoryNote
from tritongen.model.business import STEP_S, Pattern, week_shape

# Days on which clocks differ by their winter's and by their summer's offsets.
_WINTER, _SUMMER = datetime(2026, 1, 5), datetime(2026, 7, 6)

_NOTHING = RateProfile(STEP_S, (0.0,) * round(WEEK_S / STEP_S))


@dataclass(frozen=True, slots=True)
class TrafficRequirement:
    """What is said of one model's traffic.

    Attributes:
        pattern: its shape.
        average: requests per second, None when not stated.
        peak: requests per second, None when not stated.
    """

    pattern: Pattern
    average: float | None
    peak: float | None


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
    notes: tuple[HistoryNote, ...] = ()


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name; empty is UTC.

    Raises:
        InvalidInputError: TG326, there is none of that name.
    """
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise InvalidInputError("TG326", f"there is no time zone {name!r}") from problem


def forecast_traffic(
    model: str, required: TrafficRequirement, clock: ZoneInfo, history: History | None
) -> TrafficForecast:
    """The traffic of one model.

    Stated rates win: a history then gives the shape alone.

    Args:
        model: its name.
        required: what is said of it.
        clock: the plan's.
        history: of its file, on the plan's clock; None when its pattern is none.

    Raises:
        InvalidInputError: TG322 a peak below the average, TG323 a history without this model.
    """
    stated = required.peak if required.average is None else required.average
    if history is not None:
        return _recorded(model, required, history)
    if not stated:
        return TrafficForecast(_NOTHING, "no rate")
    shape = week_shape(required.pattern)
    if required.average is None:
        top = max(shape)
        rates = tuple(level / top * stated for level in shape)
    else:
        rates = scaled_shape(shape, required.average, required.peak)
    own = zone_of(required.pattern.time_zone) if required.pattern.time_zone else clock
    rates, notes = _on_clock(rates, own, clock, model)
    return TrafficForecast(RateProfile(STEP_S, rates), required.pattern.kind.value, notes)


def _recorded(model: str, required: TrafficRequirement, history: History) -> TrafficForecast:
    where = required.pattern.file
    profile = history.profiles.get(model) or history.profiles.get("")
    if profile is None and required.average is None and required.peak is None:
        return TrafficForecast(_NOTHING, f"no requests in {where}")
    if profile is None:
        known = ", ".join(sorted(history.profiles))
        raise InvalidInputError("TG323", f"no traffic of {model}; it has {known}", where=where)
    if required.average is not None:
        rates = scaled_shape(profile.rates, required.average, required.peak)
    elif required.peak is not None and profile.peak > 0.0:
        rates = tuple(rate * required.peak / profile.peak for rate in profile.rates)
    else:
        rates = profile.rates
    days = profile.seconds / 86400.0
    text = f"{days:.3g} days of {where} in steps of {profile.step_s:g} s"
    return TrafficForecast(
        RateProfile(profile.step_s, tuple(rates), profile.phase_s, measured=True),
        text,
        history.notes,
    )


def _on_clock(
    rates: Sequence[float], own: ZoneInfo, clock: ZoneInfo, model: str
) -> tuple[tuple[float, ...], tuple[HistoryNote, ...]]:
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
    note = HistoryNote(
        "TG327",
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
