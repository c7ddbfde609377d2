"""What one level of load gave: numbers with intervals, a verdict, and the reason for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from tritongen.model.codec import Digits
from tritongen.probe.arrivals.workload import Load
from tritongen.probe.statistics.attribution import Advice, Attribution
from tritongen.probe.statistics.histogram import Histogram
from tritongen.probe.statistics.intervals import Interval

PERCENTILES: tuple[float, ...] = (50.0, 90.0, 95.0, 99.0, 99.9)


class LevelVerdict(StrEnum):
    """How far the numbers can be trusted."""

    VALID = "VALID"
    UNSTABLE = "UNSTABLE"
    SATURATED = "SATURATED"
    TOO_FEW = "TOO FEW"
    GENERATOR_LATE = "GENERATOR LATE"


def percentile_key(percentile: float) -> str:
    """``p50``, ``p99``, and ``p999`` for 99.9: the names that the JSON uses."""
    return "p" + f"{percentile:g}".replace(".", "")


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """A distribution of durations, microseconds.

    Attributes:
        percentiles: by key (`percentile_key`); None below the sample floor of that percentile.
        mean: with its interval, None without requests.
        max_us: greatest duration, 0 without requests.
        histogram: all of them, nanoseconds.
    """

    percentiles: Mapping[str, Interval | None] = field(default_factory=dict)
    mean: Interval | None = None
    max_us: float = 0.0
    histogram: Histogram = field(default_factory=Histogram)


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """What became of the requests of the measured window.

    Attributes:
        sent: requests whose time to be sent lay in the window and that were sent.
        ok: answered and found right.
        failed: everything else, `unfinished` included.
        failures_by_code: ``HTTP 400``, ``GRPC UNAVAILABLE``, ``TIMEOUT``, ``CONNECTION``, …
        examples: the first message of each code.
        unfinished: still without an answer when waiting for them was given up.
        unsent: due in the window, never sent.
    """

    sent: int
    ok: int
    failed: int
    failures_by_code: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    unfinished: int = 0
    unsent: int = 0

    @property
    def failure_share(self) -> float:
        """Failed requests divided by all, 0 without requests."""
        whole = self.ok + self.failed
        return self.failed / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class ClientCost:
    """What the generator itself took.

    Attributes:
        cpu_us_per_request: its CPU time divided by its requests.
        busy_share: its CPU time divided by wall time and processes; 1.0 is a full core each.
        lateness: sent minus intended, microseconds; of an open loop only.
        processes: that made the load.
    """

    cpu_us_per_request: Annotated[float, Digits(3)]
    busy_share: Annotated[float, Digits(4)]
    lateness: LatencySummary = field(default_factory=LatencySummary)
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Moment:
    """One point of the timeline.

    Attributes:
        at_s: seconds from the begin of the load.
        seconds: length of the stretch.
        completed: answers in it.
        failed: failures in it.
        mean_us: mean latency of the requests that were due in it, None without any.
        p50_us: their median.
        p99_us: their 99th percentile.
        outstanding: greatest number of requests without an answer seen in it.
        warmup: the stretch lies before the measured window.
    """

    at_s: Annotated[float, Digits(3)]
    seconds: Annotated[float, Digits(3)]
    completed: int
    failed: int
    mean_us: Annotated[float | None, Digits(1)]
    p50_us: Annotated[float | None, Digits(1)]
    p99_us: Annotated[float | None, Digits(1)]
    outstanding: int
    warmup: bool


@dataclass(frozen=True, slots=True)
class LevelResult:
    """The result of one level for one model.

    Attributes:
        model: its name.
        load: what was asked for.
        verdict: how far to trust the numbers.
        reason: why that verdict, one sentence.
        duration_s: length of the measured window, seconds.
        warmup_s: what was left out before it, seconds.
        throughput: successful requests per second, None without any.
        latency: of successful requests: done minus intended in an open loop, done minus sent in
            a closed one.
        latency_all: of all requests, failures included.
        service: done minus sent; equal to `latency` in a closed loop.
        requests: what became of them.
        client: what the generator itself took.
        attribution: where the time went, None where the server gives no statistics.
        advice: what the numbers mean, with commands to try.
        timeline: from the begin of the load to its end.
        batch: rows of each request.
        version: of the model, empty for the server's choice.
        protocol: ``http`` or ``grpc``.
        engine: which client sent the requests.
        share: of the load, where several models are probed at once.
    """

    model: str
    load: Load
    verdict: LevelVerdict
    reason: str
    duration_s: Annotated[float, Digits(6)]
    warmup_s: Annotated[float, Digits(6)]
    throughput: Interval | None
    latency: LatencySummary
    latency_all: LatencySummary
    service: LatencySummary
    requests: RequestCounts
    client: ClientCost
    attribution: Attribution | None = None
    advice: tuple[Advice, ...] = ()
    timeline: tuple[Moment, ...] = ()
    batch: int = 1
    version: str = ""
    protocol: str = "http"
    engine: str = ""
    share: float = 1.0

    def percentile(self, percentile: float) -> Interval | None:
        """A latency percentile, microseconds, None below its sample floor."""
        return self.latency.percentiles.get(percentile_key(percentile))
