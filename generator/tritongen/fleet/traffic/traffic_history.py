"""Recorded traffic: from records with holes to profiles without."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise

from tritongen.errors import InvalidInputError
from tritongen.fleet.traffic.rate_profile import (
    DAY_S,
    HOUR_S,
    WEEK_S,
    History,
    RateProfile,
    refuse_many,
)
from tritongen.model.findings import Severity, finding

# A hole up to this long is bridged by a straight line where no other week or day can fill it.
BRIDGE_S = 2.0 * HOUR_S
# A time may be off its place on the clock by this share of a step.
_JITTER = 0.25
_MAX_SHOWN = 5
# Seconds since 1970 (UTC) at which a step begins, and its requests per second.
Sample = tuple[float, float]


def build_histories(
    records: Mapping[str, Sequence[Sample]],
    zone: tzinfo,
    where: str,
    step_s: float | None = None,
) -> History:
    """Puts records onto an even clock and fills their holes.

    Args:
        records: by model, in order of time.
        zone: the plan's local time, which decides what hour of the week a step is.
        where: the file, for messages.
        step_s: length of the steps, None to find it from the records.

    Raises:
        InvalidInputError: TG323 times that make no clock, TG324 a hole that nothing fills.
    """
    profiles, notes = {}, []
    for model, series in records.items():
        name = f"{where}, model {model}" if model else where
        step = step_s if step_s is not None else _step_of(series, name)
        values, first = _on_clock(series, step, name)
        filled, mended = _filled(values, first, step, zone, name)
        if mended:
            notes.append(finding("TG325", Severity.WARNING, f"{name}: {mended}"))
        profiles[model] = RateProfile(step, tuple(filled), week_phase(first, zone), measured=True)
    return History(profiles, tuple(notes))


def usual_gap(series: Sequence[Sample]) -> float:
    """The median distance between samples, seconds; 0 where there are not two."""
    gaps = sorted(later - earlier for (earlier, _), (later, _) in pairwise(series))
    return gaps[len(gaps) // 2] if gaps else 0.0


def _step_of(series: Sequence[Sample], where: str) -> float:
    """The usual distance between records."""
    if len(series) < 3:
        raise InvalidInputError(
            "TG323", f"{len(series)} records are too few to plan by", where=where
        )
    step = usual_gap(series)
    if not step > 0.0:
        raise InvalidInputError("TG323", "times must ascend", where=where)
    return step


def _on_clock(
    series: Sequence[Sample], step: float, where: str
) -> tuple[list[float | None], float]:
    """The value of each step, None in holes, and the time of the first one."""
    first = series[0][0]
    count = round((series[-1][0] - first) / step) + 1
    refuse_many(count, step, where)
    values: list[float | None] = [None] * count
    for at_s, rate in series:
        place = (at_s - first) / step
        index = round(place)
        if abs(place - index) > _JITTER:
            raise InvalidInputError(
                "TG323",
                f"{_show(at_s)} does not lie on steps of {step:g} s",
                where=where,
            )
        if values[index] is not None:
            raise InvalidInputError("TG323", f"{_show(at_s)} is recorded twice", where=where)
        values[index] = rate
    return values, first


def _filled(
    values: list[float | None], first: float, step: float, zone: tzinfo, where: str
) -> tuple[list[float], str]:
    """Without holes: from the same time of other weeks, of other days, or along a line."""
    holes = _holes(values)
    if not holes:
        return [value for value in values if value is not None], ""
    result = list(values)
    by_week, by_day = _typical(values, first, step, zone)
    failed = []
    for begin, end in holes:
        for index in range(begin, end):
            week = round(week_phase(first + index * step, zone) / step)
            result[index] = by_week.get(week, by_day.get(week % round(max(1.0, DAY_S / step))))
        if any(result[index] is None for index in range(begin, end)):
            if (end - begin) * step > BRIDGE_S:
                failed.append((begin, end))
                continue
            _bridge(result, begin, end)
    if failed:
        raise InvalidInputError(
            "TG324",
            f"nothing fills {len(failed)} of {len(holes)} holes",
            where=where,
            details=[_span(hole, first, step) for hole in failed[:_MAX_SHOWN]],
        )
    hours = sum(end - begin for begin, end in holes) * step / HOUR_S
    longest = max(holes, key=lambda hole: hole[1] - hole[0])
    text = (
        f"{len(holes)} holes, {hours:.3g} h in all, were filled from other weeks and days; the "
        f"longest is {_span(longest, first, step)}"
    )
    return [value if value is not None else 0.0 for value in result], text


def _holes(values: Sequence[float | None]) -> list[tuple[int, int]]:
    holes, begin = [], None
    for index, value in enumerate((*values, 0.0)):
        if value is None and begin is None:
            begin = index
        elif value is not None and begin is not None:
            holes.append((begin, index))
            begin = None
    return holes


def _typical(
    values: Sequence[float | None], first: float, step: float, zone: tzinfo
) -> tuple[dict[int, float], dict[int, float]]:
    """Mean of what is known, by step of the week and by step of the day."""
    week: dict[int, list[float]] = {}
    day: dict[int, list[float]] = {}
    steps_a_day = round(max(1.0, DAY_S / step))
    for index, value in enumerate(values):
        if value is not None:
            place = round(week_phase(first + index * step, zone) / step)
            week.setdefault(place, []).append(value)
            day.setdefault(place % steps_a_day, []).append(value)
    return (
        {place: math.fsum(known) / len(known) for place, known in week.items()},
        {place: math.fsum(known) / len(known) for place, known in day.items()},
    )


def _bridge(result: list[float | None], begin: int, end: int) -> None:
    left = result[begin - 1] or 0.0
    right = result[end] or 0.0
    for index in range(begin, end):
        share = (index - begin + 1) / (end - begin + 1)
        result[index] = left + (right - left) * share


def week_phase(at_s: float, zone: tzinfo) -> float:
    """Seconds from Monday 00:00 local time."""
    local = datetime.fromtimestamp(at_s, zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    seconds = (local.replace(tzinfo=None) - midnight).total_seconds()
    return (local.weekday() * DAY_S + seconds) % WEEK_S


def _span(hole: tuple[int, int], first: float, step: float) -> str:
    begin, end = hole
    return f"{_show(first + begin * step)} to {_show(first + end * step)}"


def _show(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def local_seconds(moment: datetime, zone: tzinfo, after: float | None) -> float | None:
    """Seconds since 1970 of a local time without an offset; None for one that never was.

    When clocks go back an hour occurs twice: the first unless that would go back in time.

    Args:
        moment: without an offset.
        zone: whose local time it is.
        after: the record before it.
    """
    first = moment.replace(tzinfo=zone, fold=0)
    back = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    if back != moment and abs(back - moment) >= timedelta(minutes=1):
        return None  # clocks went forward over it
    seconds = first.timestamp()
    if after is not None and seconds <= after:
        second = moment.replace(tzinfo=zone, fold=1).timestamp()
        if second > after:
            return second
    return seconds
