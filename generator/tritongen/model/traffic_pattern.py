"""Patterns of a week, as a person describes them: constant, office hours, ramps and bursts.

A pattern is a shape in local time; average and peak rate come from the models. Time begins on
Monday at 00:00.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from tritongen.model.intent_key import Key, TextForm
from tritongen.model.quantities import duration_minutes, hours_of_day, iana_time_zone

LONG_DURATION = "a duration such as 90s, 5m or 2h"
STEP_S = 300.0
_STEPS_AN_HOUR = 12
_STEPS_A_DAY = 24 * _STEPS_AN_HOUR
_STEPS = 7 * _STEPS_A_DAY
# Hours in which a day rises to its busy level, and falls from it.
_RISE_H = 2.0
# The hour of the day at which a constant pattern shows a peak above its average.
_PEAK_HOUR = 10
_TRACE = 1e-5


class PatternKind(StrEnum):
    """Shapes that need no data, and recorded data."""

    CONSTANT = "constant"
    WEEKDAY_WEEKEND = "weekday-weekend"
    RAMP_BURST = "ramp-burst"
    BLACK_FRIDAY = "black-friday"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Burst:
    """Sudden surges, evenly spread over the busy hours."""

    factor: float = Key("times the level around it", minimum=1, maximum=1000).default(4.0)
    minutes: float = Key(
        "length of one burst", "length", text=TextForm(LONG_DURATION, read=duration_minutes)
    ).default(15.0)
    per_day: int = Key("bursts a day", minimum=0, maximum=288).default(2)


@dataclass(frozen=True, slots=True)
class Pattern:
    """The shape of traffic over a week.

    Attributes:
        busy: begin and end of a day's busy hours, local time, 0 ≤ begin < end ≤ 24.
        time_zone: empty for the plan's own.
        file: of a `history`.
    """

    kind: PatternKind = Key("shape of the week").default(PatternKind.CONSTANT)
    busy: tuple[float, float] = Key(
        "busy hours of a day", "hours", text=TextForm("busy hours such as 8-18", read=hours_of_day)
    ).default((8.0, 18.0))
    night: float = Key("level outside the busy hours, as a share", above=0, maximum=1).default(0.15)
    weekend: float = Key(
        "level of the weekend, as a share of weekdays", above=0, maximum=10
    ).default(0.4)
    burst: Burst = Key(
        "sudden surges of ramp-burst; the factor is Friday's for black-friday", bare="factor"
    ).default(Burst())
    time_zone: str = Key(
        "time zone of the hours and of the file",
        text=TextForm("an IANA time zone", read=iana_time_zone),
    ).default("")
    file: str = Key(
        "recorded traffic: CSV, or JSON of a Prometheus range query", text=TextForm("a path")
    ).default("")


def week_shape(pattern: Pattern) -> tuple[float, ...]:
    """Relative rates of a week in steps of `STEP_S`, positive; only their proportions count.

    A `constant` pattern comes with one hour a day that is higher by a trace, so that a peak above
    the average, where one is stated, has a time of the day.
    """
    if pattern.kind is PatternKind.CONSTANT:
        return tuple(
            1.0 if step // _STEPS_AN_HOUR % 24 == _PEAK_HOUR else 1.0 - _TRACE
            for step in range(_STEPS)
        )
    if pattern.kind is PatternKind.WEEKDAY_WEEKEND:
        return tuple(_day_level(pattern, step) * _weekend(pattern, step) for step in range(_STEPS))
    if pattern.kind is PatternKind.RAMP_BURST:
        return tuple(_ramp(pattern, step) * _surge(pattern, step) for step in range(_STEPS))
    if pattern.kind is PatternKind.BLACK_FRIDAY:
        return tuple(_black_friday(pattern, step) for step in range(_STEPS))
    raise ValueError("a history has no shape of its own")


def _hour(step: int) -> float:
    return (step % _STEPS_A_DAY + 0.5) / _STEPS_AN_HOUR


def _day_level(pattern: Pattern, step: int) -> float:
    """The level of a day: the night's, a smooth rise, the busy hours', a smooth fall."""
    begin, end = pattern.busy
    hour = _hour(step)
    inside = min(
        _smooth((hour - begin + _RISE_H) / _RISE_H), _smooth((end + _RISE_H - hour) / _RISE_H)
    )
    # Hours of an evening rise that reach past midnight belong to the day before or after.
    if begin < _RISE_H:
        inside = max(inside, _smooth((hour - 24.0 - begin + _RISE_H) / _RISE_H))
    if end > 24.0 - _RISE_H:
        inside = max(inside, _smooth((end + _RISE_H - hour - 24.0) / _RISE_H))
    # A shallow noon, so that the peak is a time of the day and not all of it.
    wave = 1.0 - 0.1 * math.cos(2.0 * math.pi * (hour - begin) / max(end - begin, 1.0)) ** 2
    return pattern.night + (1.0 - pattern.night) * inside * wave


def _smooth(share: float) -> float:
    x = min(1.0, max(0.0, share))
    return x * x * (3.0 - 2.0 * x)


def _weekend(pattern: Pattern, step: int) -> float:
    return pattern.weekend if step // _STEPS_A_DAY >= 5 else 1.0


def _ramp(pattern: Pattern, step: int) -> float:
    """From the night's level in the first busy hour straight up to the last one."""
    begin, end = pattern.busy
    share = (_hour(step) - begin) / (end - begin)
    level = min(1.0, share) if share >= 0.0 else 0.0
    if share > 1.0:
        level = max(0.0, 1.0 - (share - 1.0) * (end - begin) / _RISE_H)
    return pattern.night + (1.0 - pattern.night) * level


def _surge(pattern: Pattern, step: int) -> float:
    burst = pattern.burst
    if burst.per_day < 1:
        return 1.0
    begin, end = pattern.busy
    gap = (end - begin) / burst.per_day
    length = max(burst.minutes / 60.0, 1.0 / _STEPS_AN_HOUR)
    offset = (_hour(step) - begin) % gap - gap / 2.0
    inside = begin <= _hour(step) < end and 0.0 <= offset < length
    return burst.factor if inside else 1.0


def _black_friday(pattern: Pattern, step: int) -> float:
    level = _day_level(pattern, step)
    if step // _STEPS_A_DAY == 4:
        return level * pattern.burst.factor
    return level * (pattern.weekend if step // _STEPS_A_DAY >= 5 else 1.0)
