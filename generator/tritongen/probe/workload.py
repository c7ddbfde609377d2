"""What load to put on a server, a schedule included, and the goals that it is to hold."""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from tritongen.errors import InvalidInputError
from tritongen.probe.schedule import Replay
from tritongen.queueing import ClosedLoop, OpenLoop

# Levels of one run, requests outstanding, requests per second: chosen, beyond what one client
# machine can make.
_MAX_LEVELS = 64
_MAX_CONCURRENCY = 16_384
_MAX_RATE_PER_S = 1_000_000.0


Load = ClosedLoop | OpenLoop | Replay


def describe(load: Load) -> str:
    """The load for people: ``concurrency 8``, ``100/s poisson``."""
    if isinstance(load, ClosedLoop):
        return f"concurrency {load.concurrency}"
    cap = f", at most {load.max_outstanding} outstanding" if load.max_outstanding else ""
    if isinstance(load, OpenLoop):
        return f"{load.rate_per_s:g}/s {load.pacing}{cap}"
    return f"schedule {load.schedule.name}, {load.schedule.duration_s:g} s{cap}"


class GoalMetric(StrEnum):
    """What a goal is about."""

    LATENCY = "latency"
    MEAN = "mean"
    FAILURES = "failures"


@dataclass(frozen=True, slots=True)
class LevelGoal:
    """One condition that a level must hold.

    Attributes:
        metric: what it is about.
        limit: the value must stay below this: microseconds, or a share of requests for failures.
        percentile: of a latency goal, 0 < percentile < 100.
        text: as the user wrote it.
    """

    metric: GoalMetric
    limit: float
    percentile: float = 0.0
    text: str = ""


_UNITS_US = {"ns": 1e-3, "us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}
_GOAL = re.compile(
    r"(?:p(?P<percentile>[0-9]{1,2}(?:\.[0-9]{1,3})?)|(?P<word>mean|failures|errors))"
    r"\s*<=?\s*(?P<value>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>ns|us|µs|ms|s|%)?",
)


def parse_goals(text: str) -> tuple[LevelGoal, ...]:
    """Conditions such as ``p99<5ms`` or ``p99<5ms,failures<0.1%``, comma-separated.

    Raises:
        InvalidInputError: TG905, a part is not a condition.
    """
    return tuple(_parse_goal(part.strip()) for part in text.split(","))


def _parse_goal(text: str) -> LevelGoal:
    match = _GOAL.fullmatch(text)
    if match is None:
        raise _unreadable("--goal", text, "Write it like p99<5ms, mean<800us or failures<0.1%.")
    value, unit = float(match["value"]), match["unit"]
    if match["word"] in {"failures", "errors"}:
        if unit != "%":
            raise _unreadable("--goal", text, "Failures are a share: failures<0.1%.")
        return LevelGoal(GoalMetric.FAILURES, value / 100.0, text=text)
    if unit not in _UNITS_US:
        raise _unreadable("--goal", text, "Give the unit of time: us, ms or s.")
    limit = value * _UNITS_US[unit]
    if not limit > 0.0:
        raise _unreadable("--goal", text, "A latency goal is above zero.")
    if match["word"]:
        return LevelGoal(GoalMetric.MEAN, limit, text=text)
    percentile = float(match["percentile"])
    if not 0.0 < percentile < 100.0:
        raise _unreadable("--goal", text, "A percentile lies between 0 and 100.")
    return LevelGoal(GoalMetric.LATENCY, limit, percentile, text)


def parse_concurrency(text: str) -> tuple[int, ...]:
    """Levels from ``8``, ``1,2,4``, ``1:64`` (doubling) or ``1:64:8`` (steps of 8).

    Raises:
        InvalidInputError: TG905, not of this form, out of range, or more than 64 levels.
    """
    levels = [round(value) for value in _levels("--concurrency", text, whole=True)]
    if any(not 1 <= level <= _MAX_CONCURRENCY for level in levels):
        raise _unreadable("--concurrency", text, f"Levels go from 1 to {_MAX_CONCURRENCY}.")
    return tuple(levels)


def parse_rates(text: str) -> tuple[float, ...]:
    """Requests per second from ``100``, ``50,100.5``, ``50:800`` or ``50:800:50``.

    Raises:
        InvalidInputError: TG905, not of this form, out of range, or more than 64 levels.
    """
    rates = _levels("--rate", text, whole=False)
    if any(not 0.0 < rate <= _MAX_RATE_PER_S for rate in rates):
        raise _unreadable("--rate", text, f"Rates lie above 0 and up to {_MAX_RATE_PER_S:,.0f}.")
    return tuple(rates)


def _levels(flag: str, text: str, *, whole: bool) -> list[float]:
    number = r"[0-9]{1,7}" if whole else r"[0-9]{1,7}(?:\.[0-9]{1,6})?"
    span = re.fullmatch(rf"({number}):({number})(?::({number}))?", text.strip())
    if span is not None:
        step = float(span[3]) if span[3] else None
        levels = _spread(flag, text, float(span[1]), float(span[2]), step)
    elif re.fullmatch(rf"{number}(?:\s*,\s*{number})*", text.strip()):
        levels = [float(part) for part in text.split(",")]
    else:
        raise _unreadable(
            flag,
            text,
            f"Write it like {flag} 8, {flag} 1,2,4 or {flag} 1:64, with at most 7 digits.",
        )
    if len(levels) > _MAX_LEVELS:
        raise _unreadable(flag, text, f"At most {_MAX_LEVELS} levels in one run.")
    return levels


def _spread(flag: str, text: str, first: float, last: float, step: float | None) -> list[float]:
    if first <= 0 or last < first or step == 0:
        raise _unreadable(flag, text, "A range goes upwards from at least 1, in steps above 0.")
    if step is None:
        count = math.floor(math.log2(last / first) + 1e-9)
        levels = [first * 2**index for index in range(count + 1)]
        return levels if levels[-1] == last else [*levels, last]
    count = math.floor((last - first) / step + 1e-9)
    if count >= _MAX_LEVELS:
        raise _unreadable(flag, text, f"At most {_MAX_LEVELS} levels in one run.")
    return [first + step * index for index in range(count + 1)]


def _unreadable(flag: str, text: str, fix: str) -> InvalidInputError:
    shown = text if len(text) <= 60 else text[:57] + "…"
    return InvalidInputError("TG905", f"{flag} {shown!r} cannot be understood", fix=fix)
