"""What one level of load gave: numbers with intervals, how far they can be trusted, and why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from tritongen.model.codec import Digits
from tritongen.probe.statistics.attribution import Advice, Attribution
from tritongen.probe.statistics.histogram import Histogram
from tritongen.probe.statistics.intervals import CONFIDENCE, Interval, sample_floor
from tritongen.probe.statistics.recording import Recording
from tritongen.probe.workload import Load

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
    """

    cpu_us_per_request: Annotated[float, Digits(3)]
    busy_share: Annotated[float, Digits(4)]
    lateness: LatencySummary = field(default_factory=LatencySummary)


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
class LevelLabels:
    """What a level measures.

    Attributes:
        model: its name.
        version: empty for the server's choice.
        batch: rows of each request.
        share: of the load, where several models are probed at once.
        payload_bytes: of one request and its response.
        protocol: ``http`` or ``grpc``.
        engine: how the requests are sent.
        client_name: ``fast`` or ``tritonclient``.
        processes: that make the load.
    """

    model: str
    version: str = ""
    batch: int = 1
    share: float = 1.0
    payload_bytes: int = 0
    protocol: str = "http"
    engine: str = ""
    client_name: str = "fast"
    processes: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelResult(LevelLabels):
    """The result of one level for one model. See `LevelLabels`, too.

    Attributes:
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
        recording: for merging, where the begin was set; None elsewhere.
    """

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
    recording: Recording | None = None

    def percentile(self, percentile: float) -> Interval | None:
        """A latency percentile, microseconds, None below its sample floor."""
        return self.latency.percentiles.get(percentile_key(percentile))


# Outstanding requests that come and go are no backlog.
_BACKLOG = 10
_BACKLOG_SHARE = 0.02
_GROWTH = 1.5
# A generator this late changes what is measured.
_LATE_US = 500.0
_LATE_SHARE = 0.1
# Of fewer requests the latest one says nothing about one in a hundred.
_MIN_REQUESTS_LATE = 100
_BUSY = 0.95


@dataclass(frozen=True, slots=True)
class WantedPrecision:
    """What the numbers must reach.

    Attributes:
        percentile: whose interval decides.
        width: half of the interval divided by the estimate, at most.
        confidence: of every interval.
    """

    percentile: float = 99.0
    width: float = 0.10
    confidence: float = CONFIDENCE

    def reached(self, throughput: Interval | None, latency: Interval | None) -> bool:
        """Whether both intervals are narrow enough."""
        return max(_width_of(throughput), _width_of(latency)) <= self.width


@dataclass(frozen=True, slots=True)
class VerdictInputs:
    """What a verdict rests on.

    Attributes:
        requests: what became of them.
        client: what the generator itself took.
        throughput: successful requests a second.
        latency: the deciding percentile, microseconds, None below its floor.
        median: latency, None without it.
        capped: requests that waited in the client for a free slot.
        due: requests due in the window; 0 in a closed loop.
        outstanding: greatest number without an answer, slot by slot.
        unanswered: requests that were given up at the end, those due before the window included.
        ended: why the level ended early, empty when it did not.
        closed: whether the loop was closed.
    """

    requests: RequestCounts
    client: ClientCost
    throughput: Interval | None
    latency: Interval | None
    median: Interval | None
    capped: int
    due: int
    outstanding: Sequence[int]
    unanswered: int
    ended: str
    closed: bool


def judge(evidence: VerdictInputs, precision: WantedPrecision) -> tuple[LevelVerdict, str]:
    """The verdict and its reason, one sentence without a full stop."""
    if not evidence.requests.ok:
        return LevelVerdict.TOO_FEW, _nothing(evidence)
    saturated = "" if evidence.closed else saturation(evidence.outstanding, evidence.due)
    if saturated:
        return LevelVerdict.SATURATED, saturated
    late = _lateness(evidence)
    if late:
        return LevelVerdict.GENERATOR_LATE, late
    few = _scarcity(evidence, precision)
    if few:
        return LevelVerdict.TOO_FEW, few
    if evidence.ended:
        return LevelVerdict.UNSTABLE, evidence.ended
    wide = _width(evidence, precision)
    if wide:
        return LevelVerdict.UNSTABLE, wide
    return LevelVerdict.VALID, (
        f"p{precision.percentile:g} within ±{_width_of(evidence.latency):.1%}, throughput within "
        f"±{_width_of(evidence.throughput):.1%} at {precision.confidence:.0%} confidence"
    )


def saturation(outstanding: Sequence[int], due: int) -> str:
    """Why an open loop is saturated: its backlog grew all the time; empty when it did not."""
    size = len(outstanding)
    if size < 3:
        return ""
    third = size // 3
    means = [
        math.fsum(part) / len(part)
        for part in (outstanding[:third], outstanding[third : 2 * third], outstanding[2 * third :])
    ]
    growth = outstanding[-1] - means[0]
    if growth <= max(_BACKLOG, _BACKLOG_SHARE * due):
        return ""
    if not means[0] < means[1] < means[2] or means[2] < _GROWTH * means[0]:
        return ""
    return (
        f"requests without an answer grew from {means[0]:.0f} to {outstanding[-1]}: the server "
        "does not keep up with the rate"
    )


def _lateness(evidence: VerdictInputs) -> str:
    requests, busy = evidence.requests, evidence.client.busy_share
    if evidence.closed:
        if busy < _BUSY:
            return ""
        return f"the generator used {busy:.0%} of a core: it may be slower than the server"
    late = evidence.client.lateness.percentiles.get("p99")
    if late is None or evidence.capped or requests.ok + requests.failed < _MIN_REQUESTS_LATE:
        return ""
    median_us = evidence.median.value if evidence.median else 0.0
    if late.value <= max(_LATE_US, _LATE_SHARE * median_us):
        return ""
    return f"1 % of the requests left {late.value / 1e3:.1f} ms or more after they were due"


def _nothing(evidence: VerdictInputs) -> str:
    """Why there is not one answer."""
    requests = evidence.requests
    if requests.failed:
        code = next(iter(requests.failures_by_code), "")
        failure = f"{code} {requests.examples.get(code, '')}".strip()
        return f"all {requests.failed} requests failed" + (f": {failure}" if failure else "")
    if evidence.ended:
        return evidence.ended
    if evidence.unanswered:
        return f"no request was answered; {evidence.unanswered} still wait for an answer"
    return "no request was due in the measured window"


def _scarcity(evidence: VerdictInputs, precision: WantedPrecision) -> str:
    needed = sample_floor(precision.percentile / 100.0, precision.confidence)
    ok = evidence.requests.ok
    if evidence.latency is None or ok < needed:
        ended = f"; {evidence.ended}" if evidence.ended else ""
        return (
            f"p{precision.percentile:g} needs at least {needed} successful requests, there were "
            f"{ok}{ended}"
        )
    return ""


def _width(evidence: VerdictInputs, precision: WantedPrecision) -> str:
    found = []
    for name, interval in (
        (f"p{precision.percentile:g}", evidence.latency),
        ("throughput", evidence.throughput),
    ):
        width = _width_of(interval)
        if width > precision.width:
            whole = math.ceil(width * 100)
            known = f"only known within ±{whole}%" if whole <= 100 else "not known within ±100%"
            found.append(f"{name} is {known}")
    if not found:
        return ""
    return f"{' and '.join(found)}, ±{precision.width:.0%} was wanted"


def _width_of(interval: Interval | None) -> float:
    return math.inf if interval is None else interval.relative_width
