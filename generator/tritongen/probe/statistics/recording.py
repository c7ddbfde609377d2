"""What a level keeps so that results of several probes can be merged exactly.

Its size is bounded: 128 slots of 3,840 buckets, of which it holds those that are not empty.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tritongen.probe.statistics.histogram import BUCKETS
from tritongen.triton.statistics import ModelStatistics, ServedConfig, ServerUse

# Slots of a window and the length of the first ones: chosen, four for each of 30 batches, and 2 MB.
SLOTS = 128
FIRST_SLOT_NS = 20_000_000
# The slots of a window of years, and a moment in the year 2262. Chosen.
_MAX_JOINS = 32
_MAX_NS = 1 << 63
_PAIR = re.compile(r"([0-9]{1,4}):([0-9]{1,10})")


@dataclass(frozen=True, slots=True)
class RecordedSlot:
    """One slot of the measured window.

    Attributes:
        completed: successful answers that came in it.
        failed: failures that came in it.
        outstanding: greatest number of requests without an answer, -1 where nobody looked.
        sum_ns: of the latencies of successful requests that were due in it.
        latencies: these, as ``bucket:count`` with spaces between them.
    """

    completed: int
    failed: int
    outstanding: int
    sum_ns: int
    latencies: str = ""

    def counts(self) -> Iterator[tuple[int, int]]:
        """(bucket, how many) of the latencies.

        Raises:
            ValueError: they are none.
        """
        for pair in self.latencies.split():
            found = _PAIR.fullmatch(pair)
            if found is None or int(found[1]) >= BUCKETS:
                raise ValueError(f"{pair!r} is no bucket:count")
            yield int(found[1]), int(found[2])


@dataclass(frozen=True, slots=True)
class RecordedServer:
    """What the server did in the window, all clients' requests together.

    Attributes:
        statistics: by model, those of composing models included.
        configs: by model.
        cpu_s: CPU time of its processes, None when not readable.
        use: its memory, and CPU where only metrics tell it.
    """

    statistics: Mapping[str, ModelStatistics] = field(default_factory=dict)
    configs: Mapping[str, ServedConfig] = field(default_factory=dict)
    cpu_s: float | None = None
    use: ServerUse = field(default_factory=ServerUse)


@dataclass(frozen=True, slots=True)
class Recording:
    """The measured window of one model's load.

    Attributes:
        begin_ns: of the window, nanoseconds since 1970.
        end_ns: of the window.
        slot_ns: length of a slot.
        left_out: leading slots that still are warm-up.
        slots: up to the window's end.
        cpu_ns: CPU time of the client.
        request_ns: of that, spent on requests.
        finished: requests that ended.
        capped: requests that waited in the client for a free slot.
        due: requests of an open loop that were due.
        unanswered: requests that were given up at the end.
        percentile: whose interval decides about the verdict.
        width: wanted of it.
        confidence: of the intervals.
        server: None where it gave no statistics.

    Raises:
        ValueError: no level can have recorded this.
    """

    begin_ns: int
    end_ns: int
    slot_ns: int
    left_out: int
    slots: tuple[RecordedSlot, ...]
    cpu_ns: int
    request_ns: int
    finished: int
    capped: int
    due: int
    unanswered: int
    percentile: float
    width: float
    confidence: float
    server: RecordedServer | None = None

    def __post_init__(self) -> None:
        joined = [FIRST_SLOT_NS << joins for joins in range(_MAX_JOINS)]
        if not 0 < self.begin_ns < self.end_ns < _MAX_NS:
            raise ValueError("the window has no place in time")
        if self.slot_ns not in joined or self.length_ns > SLOTS * self.slot_ns:
            raise ValueError("the window and its slots contradict each other")
        if not 0 <= self.left_out < len(self.slots) <= SLOTS:
            raise ValueError("the number of slots is out of range")
        if not (0.0 < self.percentile < 100.0 and 0.0 < self.confidence < 1.0):
            raise ValueError("a percentile or a confidence is out of range")

    @property
    def length_ns(self) -> int:
        """Of the window."""
        return self.end_ns - self.begin_ns
