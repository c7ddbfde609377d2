"""Due times of an open loop, drawn in blocks so that any number of requests takes little memory.

Several processes share one stream: each draws all of it and keeps every n-th request, so that
together they send exactly what one process would have sent.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritongen.probe.arrivals.schedule import Period
from tritongen.probe.arrivals.workload import Replay
from tritongen.queueing import OpenLoop, Pacing

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
    bits = np.random.PCG64(_seed_of(seed, "arrivals"))
    while True:
        raw = np.asarray(bits.random_raw(_BLOCK), dtype=np.uint64)
        # 53 random bits in (0, 1]; the raw stream is the same in every version of numpy.
        uniform = ((raw >> np.uint64(11)).astype(np.float64) + 1.0) * 2.0**-53
        block = last + np.cumsum(-np.log(uniform))
        last = float(block[-1])
        yield block


def _seed_of(seed: int, purpose: str) -> int:
    digest = hashlib.sha256(f"{seed}\0{purpose}".encode()).digest()
    return int.from_bytes(digest[:16], "little")


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
