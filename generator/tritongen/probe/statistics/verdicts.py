"""How far the numbers of one level can be trusted, and why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tritongen.probe.statistics.intervals import CONFIDENCE, Interval, sample_floor
from tritongen.probe.statistics.measurement import LevelVerdict

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
        return (
            throughput is not None
            and latency is not None
            and throughput.relative_width <= self.width
            and latency.relative_width <= self.width
        )


@dataclass(frozen=True, slots=True)
class VerdictInputs:
    """What a verdict rests on.

    Attributes:
        ok: successful requests in the window.
        failed: failed requests in the window.
        commonest_failure: code and message of it, empty without failures.
        throughput: successful requests a second.
        latency: the deciding percentile, microseconds, None below its floor.
        median_us: latency, None without it.
        lateness_us: 99th percentile, None in a closed loop.
        busy_share: of a core, by each generator process.
        capped: requests that waited in the client for a free slot.
        due: requests due in the window; 0 in a closed loop.
        outstanding: greatest number without an answer, slot by slot.
        unanswered: requests that were given up at the end, those due before the window included.
        ended: why the level ended early, empty when it did not.
        closed: whether the loop was closed.
    """

    ok: int
    failed: int
    commonest_failure: str
    throughput: Interval | None
    latency: Interval | None
    median_us: float | None
    lateness_us: float | None
    busy_share: float
    capped: int
    due: int
    outstanding: Sequence[int]
    unanswered: int
    ended: str
    closed: bool


def judge(evidence: VerdictInputs, precision: WantedPrecision) -> tuple[LevelVerdict, str]:
    """The verdict and its reason, one sentence without a full stop."""
    if not evidence.ok:
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
    if evidence.closed:
        if evidence.busy_share < _BUSY:
            return ""
        return (
            f"the generator used {evidence.busy_share:.0%} of a core: it may be slower than the "
            "server"
        )
    late = evidence.lateness_us
    if late is None or evidence.capped or evidence.ok + evidence.failed < _MIN_REQUESTS_LATE:
        return ""
    if late <= max(_LATE_US, _LATE_SHARE * (evidence.median_us or 0.0)):
        return ""
    return f"1 % of the requests left {late / 1e3:.1f} ms or more after they were due"


def _nothing(evidence: VerdictInputs) -> str:
    """Why there is not one answer."""
    if evidence.failed:
        failed = f": {evidence.commonest_failure}" if evidence.commonest_failure else ""
        return f"all {evidence.failed} requests failed{failed}"
    if evidence.ended:
        return evidence.ended
    if evidence.unanswered:
        return f"no request was answered; {evidence.unanswered} still wait for an answer"
    return "no request was due in the measured window"


def _scarcity(evidence: VerdictInputs, precision: WantedPrecision) -> str:
    needed = sample_floor(precision.percentile / 100.0, precision.confidence)
    if evidence.latency is None or evidence.ok < needed:
        ended = f"; {evidence.ended}" if evidence.ended else ""
        return (
            f"p{precision.percentile:g} needs at least {needed} successful requests, there were "
            f"{evidence.ok}{ended}"
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
            known = f"only known within ±{width:.0%}" if width <= 1.0 else "not known within ±100%"
            found.append(f"{name} is {known}")
    if not found:
        return ""
    return f"{' and '.join(found)}, ±{precision.width:.0%} was wanted"


def _width_of(interval: Interval | None) -> float:
    return math.inf if interval is None else interval.relative_width
