"""What a configuration is tuned for, how outcomes are ranked by it, and how a run looks for it."""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from tritongen.errors import InvalidInputError
from tritongen.model.intent import ModelIntent

EXAMPLES: tuple[str, ...] = (
    "throughput",
    "throughput@16",
    "p99<20ms",
    "p99<50ms@300/s",
    "latency@300/s",
    "p95@300/s",
    "cores@300/s,p99<50ms",
    "rate=300,p99<50ms",
)
# Of a goal that names none: what service-level objectives usually state.
DEFAULT_PERCENTILE = 99.0
# A rate counts as served from this share on: short probes of a random arrival process scatter.
SERVED_SHARE = 0.9

_NUMBER = r"\d+(?:\.\d+)?"
_LIMIT = rf"p(?P<percentile>{_NUMBER})<(?P<limit>{_NUMBER})(?P<unit>us|µs|μs|ms|s)"
_RATE = rf"(?P<rate>{_NUMBER})/s"
_GRAMMAR: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<throughput>throughput)(?:@(?P<concurrency>\d+))?",
        _LIMIT,
        rf"{_LIMIT}@{_RATE}",
        rf"(?:latency|p(?P<percentile>{_NUMBER}))@{_RATE}",
        rf"(?P<cores>cores)@{_RATE},{_LIMIT}",
        rf"(?P<cores>cores)@{_LIMIT}@{_RATE}",
        rf"(?P<cores>rate)=(?P<rate>{_NUMBER})(?:/s)?,{_LIMIT}",
        rf"rate=(?P<rate>{_NUMBER})(?:/s)?",
    )
)
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
# Requests for a throughput, and at most for any percentile.
THROUGHPUT_SAMPLES = 200
_MAX_SAMPLES = 5_000
# A measurement takes at most so many times the least length, however slow the model is.
_MAX_LENGTHS = 10.0


class GoalKind(StrEnum):
    """What is to be made best."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"
    CORES = "cores"


@dataclass(frozen=True, slots=True)
class Performance:
    """What a configuration does, measured or predicted.

    Attributes:
        throughput_per_s: requests answered per second.
        latency_s: at the objective's percentile.
        cores: cores that the configuration's instances take at most (instances × threads).
        saturated: requests came faster than they were served.
    """

    throughput_per_s: float
    latency_s: float
    cores: int
    saturated: bool = False


@dataclass(frozen=True, slots=True)
class Objective:
    """A goal: what is made best, under which conditions.

    Attributes:
        kind: highest throughput, lowest latency, or fewest cores.
        percentile: of the latency.
        limit_s: latency that must not be exceeded, None for no limit.
        rate_per_s: requests per second that arrive, None for clients that wait (a closed loop).
        concurrency: clients that wait, None for as many as serve the goal best.
    """

    kind: GoalKind
    percentile: float = DEFAULT_PERCENTILE
    limit_s: float | None = None
    rate_per_s: float | None = None
    concurrency: int | None = None

    @property
    def open_loop(self) -> bool:
        """Whether requests arrive at a rate, whatever the server does."""
        return self.rate_per_s is not None

    @property
    def text(self) -> str:
        """The goal in the form that `parse_goal` reads."""
        rate = f"@{self.rate_per_s:g}/s" if self.rate_per_s is not None else ""
        quantile = f"p{self.percentile:g}"
        limit = f"{quantile}<{show_duration(self.limit_s)}" if self.limit_s is not None else ""
        if self.kind is GoalKind.CORES:
            return f"cores{rate},{limit}"
        if limit:
            return limit + rate
        if self.kind is GoalKind.LATENCY:
            return quantile + rate
        return "throughput" + (f"@{self.concurrency}" if self.concurrency else "")

    def shortfall(self, outcome: Performance) -> float:
        """How far from feasible, as a share: 0 when the goal's conditions hold, 0.5 for half over.

        A rate that is not served counts by the missing rate, and at least as 100 %.
        """
        missing = 0.0
        if self.limit_s is not None:
            excess = outcome.latency_s / self.limit_s - 1.0
            missing = math.inf if math.isnan(excess) else max(0.0, excess)
        if self.rate_per_s is not None:
            served = outcome.throughput_per_s / self.rate_per_s
            if outcome.saturated or served < SERVED_SHARE:
                missing = max(missing, 1.0 / max(served, 1e-9), 1.0)
        return missing

    def feasible(self, outcome: Performance) -> bool:
        """Whether the goal's conditions hold."""
        return self.shortfall(outcome) <= 0.0

    def gain(self, outcome: Performance) -> float:
        """What is made best, as a logarithm: a difference of 0.01 is about one per cent."""
        if self.kind is GoalKind.THROUGHPUT:
            return math.log(max(outcome.throughput_per_s, 1e-12))
        if self.kind is GoalKind.CORES:
            return -math.log(outcome.cores)
        return -math.log(outcome.latency_s) if outcome.latency_s > 0.0 else -math.inf

    def rank(
        self, outcome: Performance, simplicity: tuple[int, ...] = ()
    ) -> tuple[float, float, float, tuple[int, ...]]:
        """A sort key, best first: feasible, then value, then (for cores) latency, then simpler."""
        second = outcome.latency_s if self.kind is GoalKind.CORES else 0.0
        return (self.shortfall(outcome), -self.gain(outcome), second, simplicity)


def parse_goal(text: str) -> Objective:
    """Reads a goal.

    ====================== =====================================================================
    ``throughput``         highest throughput, by clients that wait for their answers
    ``throughput@16``      the same with 16 of them
    ``p99<20ms``           highest throughput while the 99th percentile stays below 20 ms
    ``p99<50ms@300/s``     lowest 99th percentile at 300 requests per second, 50 ms at most
    ``latency@300/s``      lowest 99th percentile at 300 requests per second
    ``p95@300/s``          the same for the 95th percentile
    ``cores@300/s,p99<50ms``  fewest cores that hold 50 ms at 300 requests per second
    ``rate=300,p99<50ms``  the same; ``rate=300`` alone is ``latency@300/s``
    ====================== =====================================================================

    Units are ``us`` or ``µs``, ``ms`` and ``s``.

    Raises:
        InvalidInputError: TG304 with examples when the text is not a goal.
    """
    plain = "".join(text.lower().split())
    for pattern in _GRAMMAR:
        match = pattern.fullmatch(plain)
        if match is not None:
            return _objective(text, match.groupdict())
    raise _nonsense(text, "is not a goal")


def goal_of_intent(intent: ModelIntent) -> Objective:
    """The goal that follows from a model's entry in `tritongen.yaml`.

    With a rate: lowest latency at that rate, under the latency goal where one is stated. Without:
    highest throughput, under the latency goal where one is stated.
    """
    rate = intent.planning_rate
    limit = intent.latency_ms / 1e3 if intent.latency_ms is not None else None
    kind = GoalKind.THROUGHPUT if rate is None else GoalKind.LATENCY
    return Objective(kind, intent.percentile, limit, rate)


def show_duration(seconds: float) -> str:
    """A time for people, in the unit that keeps it readable: ``20ms``, ``500us``, ``1.5s``."""
    if seconds >= 1.0:
        return f"{seconds:g}s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:g}ms"
    return f"{seconds * 1e6:g}us"


def _objective(text: str, parts: dict[str, str | None]) -> Objective:
    percentile = float(parts.get("percentile") or DEFAULT_PERCENTILE)
    if not 0.0 < percentile < 100.0:
        raise _nonsense(text, f"asks for p{percentile:g}, which is not between p0 and p100")
    limit = _limit(parts)
    rate = float(parts["rate"] or 0.0) if parts.get("rate") else None
    concurrency = int(parts["concurrency"] or 0) if parts.get("concurrency") else None
    for name, value in (("limit", limit), ("rate", rate), ("number of clients", concurrency)):
        if value is not None and not 0.0 < value < math.inf:
            raise _nonsense(text, f"has a {name} of {value:g}; it must be positive")
    if parts.get("cores"):
        kind = GoalKind.CORES
    else:
        kind = GoalKind.THROUGHPUT if rate is None else GoalKind.LATENCY
    return Objective(kind, percentile, limit, rate, concurrency)


def _limit(parts: dict[str, str | None]) -> float | None:
    number, unit = parts.get("limit"), parts.get("unit")
    if number is None or unit is None:
        return None
    return float(number) * _SECONDS[unit]


def _nonsense(text: str, why: str) -> InvalidInputError:
    return InvalidInputError(
        "TG304",
        f"goal `{text}` {why}",
        where="goal",
        fix="Write a goal such as " + ", ".join(f"`{example}`" for example in EXAMPLES) + ".",
    )


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How a model is tuned.

    Attributes:
        objective: the goal.
        cores: that all instances share; a fraction where a quota is one.
        budget_s: tuning time, everything included.
        sweep_s: part of it in which the choice is measured at rates; none when 0.
        pairs_s: part of it in which the choice is held against what is there.
        seed: of the order of measurements and of the simulations.
        immaterial: differences up to this share do not matter; the simpler configuration wins.
        margin: error of predictions as a share; candidates predicted this far behind still race.
        noise: expected scatter of one measurement as a share; the data soon overrule it.
        confidence: standard errors to either side of a difference before it counts. More than
            the usual two, since many candidates are compared many times.
        measure_s: least length of one measurement. Many short ones, taken in turns, say more
            than few long ones: what disturbs a machine lasts for seconds.
        switch_s: expected time to load another configuration, until it is known.
        max_arms: candidates that race at first.
        max_rounds: rounds of the race.
        max_concurrency: clients of a closed loop at most.
    """

    objective: Objective
    cores: float
    budget_s: float = 120.0
    sweep_s: float = 0.0
    pairs_s: float = 0.0
    seed: int = 0
    immaterial: float = 0.03
    margin: float = 0.25
    noise: float = 0.06
    confidence: float = 2.5
    measure_s: float = 0.8
    switch_s: float = 0.5
    max_arms: int = 10
    max_rounds: int = 60
    max_concurrency: int = 64

    def __post_init__(self) -> None:
        positive = (self.cores, self.race_s, self.measure_s, self.immaterial, self.confidence)
        if min(positive) <= 0.0 or min(self.max_arms, self.max_concurrency) < 1:
            raise InvalidInputError("TG304", "budget, cores and measurements must be positive")

    @property
    def race_s(self) -> float:
        """Tuning time until the choice stands."""
        return self.budget_s - self.sweep_s - self.pairs_s

    @property
    def samples(self) -> int:
        """Requests that one measurement needs: five beyond the percentile where latency counts."""
        objective = self.objective
        if objective.limit_s is None and not objective.open_loop:
            return THROUGHPUT_SAMPLES
        return min(_MAX_SAMPLES, round(5.0 / (1.0 - objective.percentile / 100.0)))

    def seconds(self, expected_rate_per_s: float) -> float:
        """Length of a measurement at a rate, long enough for the samples but bounded."""
        needed = self.samples / max(expected_rate_per_s, 1e-9)
        return min(max(self.measure_s, needed), _MAX_LENGTHS * self.measure_s)
