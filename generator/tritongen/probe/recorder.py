"""Memory of a measurement: of constant size, however many requests are recorded.

Time is divided into slots. When the slots are used up, neighbours are joined and each becomes
twice as long. A slot holds a histogram, so that any percentile of any stretch, and its spread
from stretch to stretch, can be told afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritongen.probe.load_engine import Log
from tritongen.probe.statistics.histogram import BUCKETS, Histogram, bucket_bounds, buckets_of
from tritongen.probe.statistics.intervals import (
    BATCHES,
    CONFIDENCE,
    Interval,
    batch_quantile_interval,
    effective_batches,
    effective_size,
    mean_interval,
    quantile_ranks,
    sample_floor,
    tells_batch_quantiles,
    warmup_end,
)
from tritongen.probe.statistics.measurement import PERCENTILES, LatencySummary, percentile_key
from tritongen.probe.statistics.recording import FIRST_SLOT_NS, SLOTS

# Ending a run on the very fewest requests would prefer those whose tail happened to be short.
_ENOUGH = 2.0
_ENOUGH_BATCHES = 8.0
_CALM = 0.03
# Effective ranks by which the upper end lies beyond the binomial law's: how far requests depend on
# each other is only estimated. In 1,000 runs of 5,000 requests at a lag-1 autocorrelation of 0.9
# the interval of p99 held the truth in 95 % with it and in 93 % without.
_RANKS_BEYOND = 1.0

Integers = NDArray[np.int64]
_PER_SLOT = ("counts", "sums", "completed", "failed", "outstanding")


@dataclass(slots=True, eq=False)
class Durations:
    """A dense histogram with exact sum and ends."""

    counts: Integers = field(default_factory=lambda: np.zeros(BUCKETS, dtype=np.int64))
    total_ns: int = 0
    least: int = (1 << 62) - 1
    most: int = 0

    def add(self, values: Integers) -> None:
        """Count these durations, nanoseconds."""
        if len(values):
            self.counts += np.bincount(buckets_of(values), minlength=BUCKETS)
            self.total_ns += int(values.sum())
            self.least = min(self.least, int(values.min()))
            self.most = max(self.most, int(values.max()))

    def merge(self, other: "Durations") -> None:
        """Count what the other one counted."""
        self.counts += other.counts
        self.total_ns += other.total_ns
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)

    def quantile(self, fraction: float) -> float:
        """About the value below which that fraction lies, nanoseconds; quick."""
        running = np.cumsum(self.counts)
        bucket = int(np.searchsorted(running, fraction * running[-1]))
        return float(bucket_bounds(min(bucket, BUCKETS - 1))[0])

    def histogram(self) -> Histogram:
        """The same as plain data."""
        return _histogram(self.counts, self.total_ns, self.least, self.most)


def _histogram(counts: Integers, total_ns: int, least: int, most: int) -> Histogram:
    used = np.flatnonzero(counts)
    pairs = tuple(zip(used.tolist(), counts[used].tolist(), strict=True))
    total = int(counts.sum())
    return Histogram(pairs, total, total_ns, least if total else 0, most if total else 0)


class Recorder:
    """What one window of one model's load gave.

    Attributes:
        begin_ns: begin of the window; requests are put where they were due.
        slot_ns: length of a slot.
        latencies: of successful requests by slot and bucket, shape (SLOTS, BUCKETS).
        counts: successful requests due in each slot.
        sums: of their latencies, nanoseconds.
        completed: successful answers that came in each slot.
        failed: failures that came in each slot.
        outstanding: greatest number seen in each slot, -1 where nobody looked.
        everything: latencies of all requests, failures included.
        service: done minus sent of successful requests.
        lateness: sent minus due of all requests.
        ends: least and greatest latency of successful requests.
        codes: failures by code.
        examples: first message of each code.
    """

    def __init__(self, begin_ns: int) -> None:
        self.begin_ns = begin_ns
        self.slot_ns = FIRST_SLOT_NS
        self.latencies = np.zeros((SLOTS, BUCKETS), dtype=np.int32)
        self.counts = np.zeros(SLOTS, dtype=np.int64)
        self.sums = np.zeros(SLOTS, dtype=np.int64)
        self.completed = np.zeros(SLOTS, dtype=np.int64)
        self.failed = np.zeros(SLOTS, dtype=np.int64)
        self.outstanding = np.full(SLOTS, -1, dtype=np.int64)
        self.everything = Durations()
        self.service = Durations()
        self.lateness = Durations()
        self.least = (1 << 62) - 1
        self.most = 0
        self.codes: dict[str, int] = {}
        self.examples: dict[str, str] = {}

    def take(self, log: Log, *, closed: bool, window: "tuple[int, int]") -> None:
        """Record what a log holds of requests that were due in a window of time.

        Args:
            log: of one target; it is left as it is.
            closed: requests were due when they were sent.
            window: first moment and the one behind the last, nanoseconds.
        """
        sent = np.frombuffer(log.sent, dtype=np.int64)
        done = np.frombuffer(log.done, dtype=np.int64)
        due = sent if closed else np.frombuffer(log.intended, dtype=np.int64)
        inside = (due >= window[0]) & (due < window[1])
        if not inside.all():
            sent_in, done_in, due_in = sent[inside], done[inside], due[inside]
        else:
            sent_in, done_in, due_in = sent, done, due
        if len(sent_in):
            self._successes(due_in, sent_in, done_in, closed=closed)
        # What came in the window counts for throughput, whenever it was due.
        came = done[(done >= window[0]) & (done < window[1])]
        if len(came):
            self.completed += np.bincount(self._slots(came), minlength=SLOTS)
        self._failures(log, window)

    def _successes(self, due: Integers, sent: Integers, done: Integers, *, closed: bool) -> None:
        latency = done - due
        slots = self._slots(due)
        flat = slots * BUCKETS + buckets_of(latency)
        np.add.at(self.latencies.reshape(-1), flat, 1)
        self.counts += np.bincount(slots, minlength=SLOTS)
        np.add.at(self.sums, slots, latency)
        self.least = min(self.least, int(latency.min()))
        self.most = max(self.most, int(latency.max()))
        self.everything.add(latency)
        if not closed:
            self.service.add(done - sent)
            self.lateness.add(sent - due)

    def _failures(self, log: Log, window: "tuple[int, int]") -> None:
        inside = [entry for entry in log.failures if window[0] <= entry[0] < window[1]]
        if not inside:
            return
        times = np.array([entry[:3] for entry in inside], dtype=np.int64)
        self.failed += np.bincount(
            self._slots(np.minimum(times[:, 2], window[1] - 1)), minlength=SLOTS
        )
        self.everything.add(times[:, 2] - times[:, 0])
        self.lateness.add(times[:, 1] - times[:, 0])
        for *_, code in inside:
            self.codes[code] = self.codes.get(code, 0) + 1
            self.examples.setdefault(code, log.examples.get(code, ""))

    def see_outstanding(self, now_ns: int, outstanding: int) -> None:
        """Note how many requests are without an answer."""
        slot = int(self._slots(np.array([now_ns]))[0])
        self.outstanding[slot] = max(int(self.outstanding[slot]), outstanding)

    def _slots(self, times: Integers) -> Integers:
        """The slot of each moment; slots are joined until all of them fit."""
        last = int(times.max()) - self.begin_ns
        while last >= self.slot_ns * SLOTS:
            self.join()
        return np.clip((times - self.begin_ns) // self.slot_ns, 0, SLOTS - 1)

    def join(self) -> None:
        """Join neighbouring slots: half as many, twice as long."""
        half = SLOTS // 2
        self.latencies[:half] = self.latencies[0::2] + self.latencies[1::2]
        self.latencies[half:] = 0
        for name in _PER_SLOT:
            array: Integers = getattr(self, name)
            pairs = array.reshape(half, 2)
            array[:half] = pairs.max(axis=1) if name == "outstanding" else pairs.sum(axis=1)
            array[half:] = -1 if name == "outstanding" else 0
        self.slot_ns *= 2

    def merge(self, other: "Recorder") -> None:
        """Add what another process recorded of the same window."""
        while self.slot_ns < other.slot_ns:
            self.join()
        while other.slot_ns < self.slot_ns:
            other.join()
        self.latencies += other.latencies
        for name in ("counts", "sums", "completed", "failed"):
            mine: Integers = getattr(self, name)
            mine += getattr(other, name)
        both = np.maximum(self.outstanding, 0) + np.maximum(other.outstanding, 0)
        unseen = (self.outstanding < 0) & (other.outstanding < 0)
        self.outstanding = np.where(unseen, -1, both)
        self.service.merge(other.service)
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.take_failures_of(other)

    def take_failures_of(self, other: "Recorder") -> None:
        """Add the failures of another window, and what concerns all requests."""
        self.everything.merge(other.everything)
        self.lateness.merge(other.lateness)
        for code, count in other.codes.items():
            self.codes[code] = self.codes.get(code, 0) + count
            self.examples.setdefault(code, other.examples.get(code, ""))

    @property
    def successes(self) -> int:
        """Successful requests so far."""
        return int(self.counts.sum())

    def used_slots(self, end_ns: int) -> int:
        """How many slots lie before a moment, the one that it divides included."""
        return min(max(-(-(end_ns - self.begin_ns) // self.slot_ns), 1), SLOTS)

    def warmup_slots(self, end_ns: int) -> int:
        """Leading slots to leave out of a window that ended then; see `warmup_end`."""
        used = self.used_slots(end_ns)
        return warmup_end(self.counts[:used].tolist(), (self.sums[:used] / 1e3).tolist())

    def stretch(self, first: int, end_ns: int) -> "Stretch":
        """Successful requests from a slot on, up to a moment."""
        used = self.used_slots(end_ns)
        sums = self.sums[first:used].tolist()
        return Stretch(self.latencies[first:used], sums, (self.least, self.most))

    def slot_histogram(self, slot: int) -> Histogram:
        """Latencies of the successful requests that were due in one slot."""
        counts = self.latencies[slot].astype(np.int64)
        ends = _clip_ends(counts, (self.least, self.most))
        return _histogram(counts, int(self.sums[slot]), *ends)


class Stretch:
    """Histograms of consecutive slots: percentiles and mean with their intervals.

    Args:
        slots: counts, shape (slots, BUCKETS).
        sums: of the durations in each slot, nanoseconds.
        ends: least and greatest duration, nanoseconds.
    """

    def __init__(
        self, slots: NDArray[np.int32], sums: Sequence[int], ends: tuple[int, int]
    ) -> None:
        whole = slots.sum(axis=0, dtype=np.int64)
        used = np.flatnonzero(whole)
        # Most buckets are empty in every slot; what is computed next leaves them out.
        self._first = int(used[0]) if len(used) else 0
        self._slots = slots[:, self._first : int(used[-1]) + 1 if len(used) else 0]
        self._sums = sums
        self._histogram = _histogram(whole, int(sum(sums)), *_clip_ends(whole, ends))
        self._counts = self._slots.sum(axis=1, dtype=np.int64).tolist()

    def summary(self, confidence: float = CONFIDENCE) -> LatencySummary:
        """The distribution, microseconds."""
        histogram = self._histogram
        percentiles = {percentile_key(p): self.quantile(p / 100.0, confidence) for p in PERCENTILES}
        mean = mean_interval(self._counts, self._sums, confidence) if histogram.total else None
        return LatencySummary(
            percentiles, mean.scaled(1e-3) if mean else None, histogram.max_ns / 1e3, histogram
        )

    def quantile(self, fraction: float, confidence: float = CONFIDENCE) -> Interval | None:
        """One quantile, microseconds; None below its sample floor."""
        total = self._histogram.total
        if total < sample_floor(fraction, confidence):
            return None
        value = self._histogram.quantile(fraction)
        batches = self._batch_quantiles(fraction)
        if batches is not None:
            return batch_quantile_interval(value, *batches, confidence).scaled(1e-3)
        size = self._effective_size(fraction, value, confidence)
        low, high = quantile_ranks(fraction, size, confidence)
        scale = total / size
        return Interval(
            value,
            self._histogram.value_at_rank((low - 0.5) * scale + 0.5),
            self._histogram.value_at_rank((high + _RANKS_BEYOND - 0.5) * scale + 0.5),
        ).scaled(1e-3)

    def tells_enough(self, fraction: float, confidence: float = CONFIDENCE) -> bool:
        """Whether enough of it is independent for the width of an interval to be believed.

        With fewer requests than twice the fewest independent ones an interval may look narrow only
        because its upper end is beyond the data; with few independent batches because their
        spread was small by chance. Autocorrelation that hardly moves the mean does not count.
        """
        batches = self._batch_quantiles(fraction)
        if batches is not None:
            return effective_batches(*batches) >= _ENOUGH_BATCHES
        total = self._histogram.total
        if not total:
            return False
        size = self._effective_size(fraction, self._histogram.quantile(fraction), confidence)
        needed = _ENOUGH * sample_floor(fraction, confidence)
        if size < needed <= total:
            mean = mean_interval(self._counts, self._sums, confidence, autocorrelated=True)
            return mean is not None and mean.relative_width <= _CALM
        return size >= needed

    def _effective_size(self, fraction: float, value: float, confidence: float) -> float:
        below = self._below(value)
        return effective_size(fraction, self._counts, below, confidence, self._sums)

    def _below(self, value_ns: float) -> list[float]:
        """Entries of each slot at or below a value; the bucket that it divides counts in part."""
        bucket = int(buckets_of(np.array([int(value_ns)]))[0])
        low, high = bucket_bounds(bucket)
        part, place = (value_ns - low) / (high - low), bucket - self._first
        if place < 0:
            return [0.0] * len(self._slots)
        found: Any = self._slots[:, :place].sum(axis=1, dtype=np.int64)
        if place < self._slots.shape[1]:
            found = found + part * self._slots[:, place]
        return [float(count) for count in found]

    def _batch_quantiles(self, fraction: float) -> tuple[list[float], list[float]] | None:
        """Quantile and mean of each batch of slots, nanoseconds; None where they tell little."""
        slots = self._slots
        if len(slots) < BATCHES or not tells_batch_quantiles(fraction, self._histogram.total):
            return None
        edges = np.round(np.linspace(0, len(slots), BATCHES + 1)).astype(int)[:-1]
        running = np.cumsum(np.add.reduceat(slots, edges, axis=0, dtype=np.int64), axis=1)
        totals = running[:, -1]
        # A batch without requests says nothing: a server that fell silent, or an open loop's pause.
        if not totals.all():
            return None
        quantiles = []
        for row, rank in zip(running, fraction * totals, strict=True):
            bucket = int(np.searchsorted(row, rank))
            before = int(row[bucket - 1]) if bucket else 0
            low, high = bucket_bounds(self._first + bucket)
            part = (rank - before) / max(int(row[bucket]) - before, 1)
            quantiles.append(low + (high - low) * float(part))
        means = np.add.reduceat(np.asarray(self._sums, dtype=np.float64), edges) / totals
        return quantiles, [float(mean) for mean in means]


def _clip_ends(whole: Integers, ends: tuple[int, int]) -> tuple[int, int]:
    """Ends of what is left after a warm-up was cut off: exact, or those of its buckets."""
    used = np.flatnonzero(whole)
    if not len(used):
        return 0, 0
    low, high = bucket_bounds(int(used[0])), bucket_bounds(int(used[-1]))
    return max(ends[0], low[0]), min(ends[1], high[1])
