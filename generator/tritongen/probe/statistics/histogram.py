"""A histogram of durations: log-linear buckets, constant memory, exact counts, merged by adding.

The layout is that of HDR histograms: below 2¹³ ns the buckets are 64 ns wide, above that every
octave is divided into 128 of them, so that a bucket is never wider than 0.8 % of its values. The
whole range up to 73 minutes takes 3,840 buckets.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# 128 buckets an octave (0.8 %), the first ones of 64 ns, up to 2⁴² ns (73 minutes). Chosen.
_SUB_BITS = 7
_FIRST_SHIFT = 6
_TOP_BITS = 42
BUCKETS = ((_TOP_BITS - _SUB_BITS - 1 - _FIRST_SHIFT) << _SUB_BITS) + (2 << _SUB_BITS)
MAX_NS = (1 << _TOP_BITS) - 1


def buckets_of(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of each duration in nanoseconds; values outside of the range go to its ends."""
    clipped = np.clip(values, 0, MAX_NS)
    # frexp gives the bit length exactly: the values are far below 2⁵³.
    shift = np.maximum(np.frexp(clipped.astype(np.float64))[1].astype(np.int64) - 8, _FIRST_SHIFT)
    return ((shift - _FIRST_SHIFT) << _SUB_BITS) + (clipped >> shift)


def bucket_bounds(bucket: int) -> tuple[int, int]:
    """The first value of a bucket and the first one beyond it, in nanoseconds."""
    if bucket < 2 << _SUB_BITS:
        return bucket << _FIRST_SHIFT, (bucket + 1) << _FIRST_SHIFT
    octave, position = divmod(bucket, 1 << _SUB_BITS)
    shift = octave - 1 + _FIRST_SHIFT
    low = ((1 << _SUB_BITS) + position) << shift
    return low, low + (1 << shift)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of durations in nanoseconds.

    Attributes:
        counts: (bucket, how many), ascending by bucket, none of them zero.
        total: sum of the counts.
        sum_ns: exact sum of the values.
        min_ns: least value, 0 when empty.
        max_ns: greatest value, 0 when empty.
    """

    counts: tuple[tuple[int, int], ...] = ()
    total: int = 0
    sum_ns: int = 0
    min_ns: int = 0
    max_ns: int = 0

    @property
    def mean_ns(self) -> float:
        """Exact mean, NaN when empty."""
        return self.sum_ns / self.total if self.total else math.nan

    def value_at_rank(self, rank: float) -> float:
        """The value of the rank-th smallest entry (from 1), nanoseconds, NaN when empty.

        Ranks between two entries are interpolated; within a bucket the entries are taken to lie
        evenly. The result is never outside of the least and the greatest value seen.
        """
        if not self.total:
            return math.nan
        if rank >= self.total:
            return float(self.max_ns)
        if rank <= 1:
            return float(self.min_ns)
        before = 0
        for bucket, count in self.counts:
            if before + count >= rank:
                low, high = bucket_bounds(bucket)
                value = low + (high - low) * max(rank - before - 0.5, 0.0) / count
                return min(max(value, float(self.min_ns)), float(self.max_ns))
            before += count
        return float(self.max_ns)

    def quantile(self, fraction: float) -> float:
        """The value below which that fraction of the entries lies, by nearest rank; nanoseconds."""
        return self.value_at_rank(math.ceil(fraction * self.total - 1e-9))

    def count_above(self, value_ns: float) -> float:
        """How many entries exceed the value; a bucket that it divides counts in proportion."""
        above = 0.0
        for bucket, count in reversed(self.counts):
            low, high = bucket_bounds(bucket)
            if value_ns >= high:
                break
            above += count if value_ns < low else count * (high - value_ns) / (high - low)
        return above

    def spectrum(self) -> Iterator[tuple[float, float]]:
        """(fraction at or below, upper bound in nanoseconds) for every bucket, ascending."""
        running = 0
        for bucket, count in self.counts:
            running += count
            yield running / self.total, min(float(bucket_bounds(bucket)[1]), float(self.max_ns))

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``{"buckets": [[index, count], …], "sum_ns", "min_ns", "max_ns"}``."""
        return {
            "buckets": [list(pair) for pair in self.counts],
            "sum_ns": self.sum_ns,
            "min_ns": self.min_ns,
            "max_ns": self.max_ns,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Histogram":
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: the data is not such a histogram.
        """
        pairs = sorted((int(bucket), int(count)) for bucket, count in data["buckets"])
        if any(not 0 <= bucket < BUCKETS or count < 1 for bucket, count in pairs):
            raise ValueError("a bucket or a count is out of range")
        if len({bucket for bucket, _ in pairs}) != len(pairs):
            raise ValueError("a bucket stands twice")
        total = sum(count for _, count in pairs)
        low, high = int(data["min_ns"]), int(data["max_ns"])
        if low > high or low < 0:
            raise ValueError("min_ns and max_ns contradict each other")
        return cls(tuple(pairs), total, int(data["sum_ns"]), low, high)
