"""What the search asks to be measured, and what came of it: its whole memory."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tritongen.queueing import ClosedLoop, Loop
from tritongen.triton.statistics import GpuUse
from tritongen.tune.search.search_space import Candidate

# A reading with more failed requests than this counts as a failure.
FAILED_SHARE = 0.01


class Purpose(StrEnum):
    """Why something is measured."""

    CALIBRATE = "calibrate"
    BASELINE = "baseline"
    RACE = "race"
    PAIR = "pair"
    SWEEP = "sweep"


@dataclass(frozen=True, slots=True)
class Task:
    """One measurement to take.

    Attributes:
        candidate: the configuration to load.
        load: how requests arrive.
        purpose: why.
        round: of the race, 0 outside it; tasks of one round are compared with each other.
        seconds: to measure, warm-up not included.
        min_requests: to wait for when `seconds` do not bring that many, within `max_seconds`.
        max_seconds: when to stop in any case.
        rows: rows of each request.
    """

    candidate: Candidate
    load: Loop
    purpose: Purpose
    round: int
    seconds: float
    min_requests: int = 0
    max_seconds: float = math.inf
    rows: int = 1

    @property
    def clients(self) -> int:
        """Clients that wait for their answers, 0 where requests come at a rate."""
        return self.load.concurrency if isinstance(self.load, ClosedLoop) else 0


@dataclass(frozen=True, slots=True)
class LoadReading:
    """What a load generator and the server's statistics say.

    Attributes:
        throughput_per_s: requests answered per second.
        latencies_s: (percentile, seconds), ascending.
        requests: answered.
        failures: not answered, or with an error.
        mean_batch: rows in one execution, by the server's statistics; 0 when unknown.
        execution_s: mean time of one execution, by the server's statistics; 0 when unknown.
        saturated: whether requests came faster than they were answered.
        gpus: use and memory of the server's GPUs at the end, None on CPUs.
    """

    throughput_per_s: float
    latencies_s: tuple[tuple[float, float], ...]
    requests: int
    failures: int = 0
    mean_batch: float = 0.0
    execution_s: float = 0.0
    saturated: bool = False
    gpus: GpuUse | None = None

    def latency_s(self, percentile: float) -> float:
        """Latency at a percentile, linear between those known; NaN without any."""
        known = self.latencies_s
        if not known:
            return math.nan
        for (low, first), (high, second) in itertools.pairwise(known):
            if low <= percentile <= high:
                return first + (second - first) * (percentile - low) / (high - low)
        return known[0][1] if percentile < known[0][0] else known[-1][1]

    @property
    def sound(self) -> bool:
        """Whether the numbers can be used."""
        asked = self.requests + self.failures
        return self.requests > 0 and self.failures <= FAILED_SHARE * asked


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task that was carried out.

    Attributes:
        task: what was asked.
        reading: what came of it, None when nothing did.
        started_s: seconds of tuning time when it began, loading included.
        ended_s: when it ended. Tuning time goes on after a restart where it stopped.
        error: why there is no reading.
    """

    task: Task
    reading: LoadReading | None
    started_s: float
    ended_s: float
    error: str = ""

    @property
    def sound(self) -> LoadReading | None:
        """The reading when it can be used."""
        reading = self.reading
        return reading if reading is not None and reading.sound and not self.error else None

    @property
    def overhead_s(self) -> float:
        """Time beyond the measurement itself: loading, warming up, stopping."""
        return max(0.0, self.ended_s - self.started_s - self.task.seconds)


History = tuple[TaskRecord, ...]


def elapsed_s(history: Iterable[TaskRecord]) -> float:
    """Tuning time so far."""
    return max((record.ended_s for record in history), default=0.0)
