"""Open loops along a schedule, and the due times of any open loop.

A schedule holds recorded time stamps, or a rate for each period. As a file it has one entry a line;
``#`` begins a comment:

======================  =====================================================================
``12.034``              a time stamp in seconds; an ISO 8601 date and time will do too
``60s 100``             60 seconds at 100 requests per second
``5m 100..500``         5 minutes, rising evenly from 100 to 500 requests per second
======================  =====================================================================

Due times are drawn in blocks, so that any number of requests takes little memory. Several processes
share one stream: each draws all of it and keeps every n-th request, so that together they send
exactly what one process would have sent.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tritongen.errors import InvalidInputError
from tritongen.queueing import LoadKind, OpenLoop, Pacing

_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PERIOD = re.compile(
    r"(?P<length>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>ms|s|min|m|h|d)\s+"
    r"(?P<rate>[0-9]+(?:\.[0-9]+)?)(?:\s*\.\.\s*(?P<to>[0-9]+(?:\.[0-9]+)?))?(?:/s)?"
)
# Time stamps of a schedule, which lie in memory; faulty lines that are listed. Chosen.
_MAX_STAMPS = 5_000_000
_MAX_FAULTS = 10


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time with a rate that is even or rises or falls evenly.

    Attributes:
        seconds: its length.
        rate: requests per second at its begin.
        to_rate: requests per second at its end.
    """

    seconds: float
    rate: float
    to_rate: float

    @property
    def requests(self) -> float:
        """Requests expected in it."""
        return self.seconds * (self.rate + self.to_rate) / 2.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """When requests are due.

    Attributes:
        name: of the file or pattern.
        stamps_ns: ascending nanoseconds from the begin; empty when periods are given.
        periods: rates over time; empty when stamps are given.
    """

    name: str
    stamps_ns: tuple[int, ...] = ()
    periods: tuple[Period, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds: of all periods, or up to the last stamp."""
        if self.periods:
            return math.fsum(period.seconds for period in self.periods)
        return self.stamps_ns[-1] / 1e9 if self.stamps_ns else 0.0

    @property
    def mean_rate(self) -> float:
        """Requests per second over its whole length."""
        requests = math.fsum(p.requests for p in self.periods) or float(len(self.stamps_ns))
        return requests / self.duration_s if self.duration_s else 0.0

    def sped_up(self, factor: float) -> "Schedule":
        """Time runs that many times faster.

        Stamps move closer together, so their rate grows; periods become shorter and keep their
        rates, so that a day can be replayed in a minute at the load of the day.
        """
        return Schedule(
            self.name,
            tuple(round(stamp / factor) for stamp in self.stamps_ns),
            tuple(Period(p.seconds / factor, p.rate, p.to_rate) for p in self.periods),
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """An open loop along a schedule.

    Attributes:
        schedule: when requests are due, already compressed.
        pacing: how the gaps within its periods are drawn; time stamps are kept as they are.
        max_outstanding: requests beyond this wait in the client, None for the engine's limit.
    """

    kind: ClassVar[LoadKind] = LoadKind.SCHEDULE

    schedule: Schedule
    pacing: Pacing = Pacing.POISSON
    max_outstanding: int | None = None

    @property
    def value(self) -> float:
        """Mean requests per second over the whole schedule."""
        return self.schedule.mean_rate


def parse_schedule(text: str, name: str) -> Schedule:
    """The schedule in a text; see the module for its form.

    Raises:
        InvalidInputError: TG905, with the first faulty lines, or an empty or descending schedule.
    """
    lines = [
        (number, line.split("#", 1)[0].strip())
        for number, line in enumerate(text.splitlines(), start=1)
    ]
    entries = [(number, line) for number, line in lines if line]
    if not entries:
        raise _fault(name, "the schedule has no entries")
    if _PERIOD.fullmatch(entries[0][1]):
        return Schedule(name, periods=_parse_periods(entries, name))
    return Schedule(name, stamps_ns=_parse_stamps(entries, name))


def _parse_periods(entries: Sequence[tuple[int, str]], name: str) -> tuple[Period, ...]:
    periods, faults = [], []
    for number, line in entries:
        match = _PERIOD.fullmatch(line)
        if match is None:
            faults.append(f"line {number}: {line[:60]!r} is not like `60s 100` or `5m 100..500`")
            continue
        rate = float(match["rate"])
        seconds = float(match["length"]) * _SECONDS[match["unit"]]
        periods.append(Period(seconds, rate, float(match["to"]) if match["to"] else rate))
    if faults:
        raise _fault(name, "not like a period", faults)
    if not math.fsum(period.requests for period in periods) > 0.0:
        raise _fault(name, "the schedule holds no requests")
    return tuple(period for period in periods if period.seconds > 0.0)


def _parse_stamps(entries: Sequence[tuple[int, str]], name: str) -> tuple[int, ...]:
    if len(entries) > _MAX_STAMPS:
        raise _fault(name, f"more than {_MAX_STAMPS:,} time stamps; use periods with rates")
    stamps, faults = [], []
    for number, line in entries:
        stamp = _stamp(line)
        if stamp is None:
            faults.append(f"line {number}: {line[:60]!r} is not a time stamp")
        else:
            stamps.append(stamp)
    if faults:
        raise _fault(name, "not like a time stamp", faults)
    late = next((i for i in range(1, len(stamps)) if stamps[i] < stamps[i - 1]), None)
    if late is not None:
        raise _fault(name, f"time stamps must ascend; line {entries[late][0]} is earlier")
    return tuple(round((stamp - stamps[0]) * 1e9) for stamp in stamps)


def _stamp(line: str) -> float | None:
    try:
        value = float(line)
    except ValueError:
        try:
            moment = datetime.fromisoformat(line)
        except ValueError:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.timestamp()
    return value if math.isfinite(value) else None


def _fault(name: str, what: str, faults: Sequence[str] = ()) -> InvalidInputError:
    if faults:
        what = f"{'one line is' if len(faults) == 1 else f'{len(faults)} lines are'} {what}"
    shown = list(faults[:_MAX_FAULTS])
    if len(faults) > _MAX_FAULTS:
        shown.append(f"… and {len(faults) - _MAX_FAULTS} more")
    return InvalidInputError(
        "TG905",
        what,
        where=name,
        fix="One entry a line: a time stamp in seconds, or a period such as `60s 100..500`.",
        details=shown,
    )


# Shares of the mean rate, one a period of equal length; each averages to about one.
_WORKDAY = (
    *(0.25, 0.2, 0.15, 0.15, 0.2, 0.35, 0.6, 1.0, 1.5, 1.8, 1.9, 1.8),
    *(1.6, 1.7, 1.8, 1.8, 1.7, 1.5, 1.3, 1.1, 0.9, 0.7, 0.5, 0.35),
)
_WEEKEND_DAY = tuple(share * 0.4 for share in _WORKDAY)
PATTERNS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "workday": _WORKDAY,
        "weekday-weekend": _WORKDAY * 5 + _WEEKEND_DAY * 2,
        "black-friday": (*_WORKDAY, *(share * 4.0 for share in _WORKDAY), *_WORKDAY),
        "ramp": tuple((index + 0.5) / 10.0 for index in range(20)),
        "bursts": (0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 5.5) * 4,
    }
)


def named_schedule(name: str, mean_rate: float, seconds: float) -> Schedule:
    """A pattern of `PATTERNS`, stretched to a length and scaled to a mean rate.

    Raises:
        InvalidInputError: TG905, there is no pattern of that name.
    """
    if name not in PATTERNS:
        raise InvalidInputError(
            "TG905",
            f"there is no file and no pattern named {name!r}",
            fix=f"Name a file, or one of: {', '.join(sorted(PATTERNS))}.",
        )
    shares = PATTERNS[name]
    scale = mean_rate * len(shares) / math.fsum(shares)
    length = seconds / len(shares)
    return Schedule(
        name, periods=tuple(Period(length, share * scale, share * scale) for share in shares)
    )


# Arrivals drawn at a time: chosen, some ten KiB that cost the generator next to nothing.
_BLOCK = 4096

Floats = NDArray[np.float64]


def arrivals(
    load: OpenLoop | Replay, seed: int, part: int = 0, parts: int = 1
) -> Iterator[list[int]]:
    """Blocks of due times in nanoseconds from the begin, ascending; without end for a rate.

    Args:
        load: an open loop.
        seed: of the gaps; the same seed gives the same times on every machine.
        part: which share of the stream, from 0.
        parts: number of shares.
    """
    stream = (
        _rate(load.rate_per_s, load.pacing, seed)
        if isinstance(load, OpenLoop)
        else _replay(load, seed)
    )
    index = 0
    for block in stream:
        first = (part - index) % parts
        index += len(block)
        mine = block[first::parts]
        if len(mine):
            yield mine.tolist()


def _rate(rate: float, pacing: Pacing, seed: int) -> Iterator[NDArray[np.int64]]:
    for units in _unit_arrivals(pacing, seed):
        yield np.round(units * (1e9 / rate)).astype(np.int64)


def _replay(load: Replay, seed: int) -> Iterator[NDArray[np.int64]]:
    schedule = load.schedule
    if not schedule.periods:
        stamps = np.asarray(schedule.stamps_ns, dtype=np.int64)
        for begin in range(0, len(stamps), _BLOCK):
            yield stamps[begin : begin + _BLOCK]
        return
    invert = _Inverse(schedule.periods)
    for units in _unit_arrivals(load.pacing, seed):
        inside = units[units < invert.requests]
        yield np.round(invert(inside) * 1e9).astype(np.int64)
        if len(inside) < len(units):
            return


def _unit_arrivals(pacing: Pacing, seed: int) -> Iterator[Floats]:
    """Arrivals at one a second: evenly from 0, or with exponential gaps from the first one on."""
    last = 0.0
    if pacing is Pacing.CONSTANT:
        while True:
            yield last + np.arange(_BLOCK, dtype=np.float64)
            last += _BLOCK
    digest = hashlib.sha256(f"{seed}\0arrivals".encode()).digest()
    bits = np.random.PCG64(int.from_bytes(digest[:16], "little"))
    while True:
        raw = np.asarray(bits.random_raw(_BLOCK), dtype=np.uint64)
        # 53 random bits in (0, 1]; the raw stream is the same in every version of numpy.
        uniform = ((raw >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53
        block = last + np.cumsum(-np.log(uniform))
        last = float(block[-1])
        yield block


class _Inverse:
    """From the number of requests so far to the time at which a schedule reaches it."""

    def __init__(self, periods: Sequence[Period]) -> None:
        self._rate = np.array([p.rate for p in periods])
        self._slope = np.array([(p.to_rate - p.rate) / p.seconds for p in periods])
        self._begin = np.concatenate([[0.0], np.cumsum([p.seconds for p in periods])])
        self._count = np.concatenate([[0.0], np.cumsum([p.requests for p in periods])])
        self.requests = float(self._count[-1])

    def __call__(self, units: Floats) -> Floats:
        where = np.searchsorted(self._count, units, side="right") - 1
        rest = units - self._count[where]
        rate = self._rate[where]
        # The root of rate·t + slope·t²/2 = rest, in the form that also holds for slope 0.
        root = np.sqrt(np.maximum(rate**2 + 2.0 * self._slope[where] * rest, 0.0))
        divisor = rate + root
        time = np.divide(2.0 * rest, divisor, out=np.zeros_like(rest), where=divisor > 0.0)
        result: Any = self._begin[where] + time
        return np.asarray(result, dtype=np.float64)


def picks(seed: int, shares: list[float]) -> Iterator[int]:
    """Which model each request of an open loop is for, by its share."""
    if len(shares) == 1:
        while True:
            yield 0
    edges = np.cumsum(shares) / sum(shares)
    bits = np.random.PCG64(seed ^ 0x5DEECE66D)
    while True:
        raw = np.asarray(bits.random_raw(4096), dtype=np.uint64) >> np.uint64(11)
        block = np.searchsorted(edges, raw.astype(np.float64) * 2.0**-53, side="right")
        yield from np.minimum(block, len(shares) - 1).tolist()
