"""`probe --compare`, `--against` and `--client both`: is one measurement slower than another?

A ratio with its interval, and a verdict: of two saved results, or of two configurations or two
clients in turn.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.model.findings import Severity
from tritongen.probe.level import Conditions
from tritongen.probe.load_engine import LoadClient
from tritongen.probe.probe_models import ProbeRun
from tritongen.probe.probe_request import ModelChoice, ProbeReport, ProbeRequest, Tell
from tritongen.probe.prober import Prober
from tritongen.probe.report.json_document import SavedLevel, read_saved
from tritongen.probe.statistics.intervals import (
    CONFIDENCE,
    Interval,
    log_interval,
    normal_quantile,
    paired_ratio,
)
from tritongen.probe.statistics.measurement import LevelResult
from tritongen.probe.workload import Load

# A change within this share is none: what runs on different days differ by. Chosen.
TOLERANCE = 0.05
# Shares of failures differ when they do so by this much and by so many standard deviations: what
# makes requests fail often makes several of them fail.
_FAILURE_GAP = 0.001
_FAILURE_SPREADS = 4.0


class Change(StrEnum):
    """What became of a figure."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no measurable difference"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class FigureComparison:
    """One figure of one level, before and after.

    Attributes:
        model: its name.
        load: kind and value.
        metric: ``throughput``, ``p50``, …, ``failures`` where there are any, or ``client CPU``, a
            request's.
        before: as measured first; microseconds, requests per second, or a share of the requests.
        after: as measured second.
        ratio: after divided by before, None when one of them is not known.
        change: the verdict.
    """

    model: str
    load: str
    metric: str
    before: float | None
    after: float | None
    ratio: Interval | None
    change: Change


def compare_levels(
    before: Sequence[SavedLevel],
    after: Sequence[SavedLevel],
    tolerance: float = TOLERANCE,
    confidence: float = CONFIDENCE,
) -> tuple[FigureComparison, ...]:
    """Every figure of the levels that both results have, in the order of the first.

    Args:
        before: levels of the first result.
        after: levels of the second.
        tolerance: a change within this share is none, whatever its interval says: runs on
            different days differ by more than one run can tell.
        confidence: of the intervals in the results.
    """
    later = {(level.model, level.load): level for level in after}
    found: list[FigureComparison] = []
    for level in before:
        other = later.get((level.model, level.load))
        if other is None:
            continue
        pairs = [("throughput", level.throughput, other.throughput)]
        pairs += [
            (key, level.percentiles.get(key), other.percentiles.get(key))
            for key in ("p50", "p95", "p99")
        ]
        for metric, first, second in pairs:
            values = (first.value if first else None, second.value if second else None)
            ratio = ratio_of(first, second, confidence) if first and second else None
            change = judge_ratio(ratio, tolerance, larger_is_better=metric == "throughput")
            found.append(FigureComparison(level.model, level.load, metric, *values, ratio, change))
        if level.failure_share or other.failure_share:
            found.append(_compare_failures(level, other))
    return tuple(found)


def _compare_failures(before: SavedLevel, after: SavedLevel) -> FigureComparison:
    """More failures are worse, however quick the rest is."""
    change = Change.UNKNOWN
    if before.requests and after.requests:
        failed = before.failure_share * before.requests + after.failure_share * after.requests
        common = failed / (before.requests + after.requests)
        spread = math.sqrt(common * (1.0 - common) * (1.0 / before.requests + 1.0 / after.requests))
        gap = after.failure_share - before.failure_share
        change = Change.SAME
        if abs(gap) > max(_FAILURE_GAP, _FAILURE_SPREADS * spread):
            change = Change.WORSE if gap > 0 else Change.BETTER
    shares = (before.failure_share, after.failure_share)
    return FigureComparison(after.model, after.load, "failures", *shares, None, change)


def ratio_of(before: Interval, after: Interval, confidence: float) -> Interval | None:
    """After divided by before, of independent estimates, by their spread in logarithms."""
    if min(before.low, after.low, before.value, after.value) <= 0.0:
        return None
    z = normal_quantile(0.5 + confidence / 2.0)
    spread = math.hypot(*(math.log(item.high / item.low) / 2.0 / z for item in (before, after)))
    return log_interval(math.log(after.value / before.value), z * spread)


def judge_ratio(ratio: Interval | None, tolerance: float, *, larger_is_better: bool) -> Change:
    """The verdict on a ratio: the whole interval must lie beyond the tolerance."""
    if ratio is None:
        return Change.UNKNOWN
    if ratio.low > 1.0 + tolerance:
        return Change.BETTER if larger_is_better else Change.WORSE
    if ratio.high < 1.0 / (1.0 + tolerance):
        return Change.WORSE if larger_is_better else Change.BETTER
    return Change.SAME


# Pairs below which no difference is believed, and the length of one block: chosen, short enough
# that what disturbs a machine for seconds spoils a pair and not a configuration.
_MIN_PAIRS = 3
_MAX_BLOCK_S = 2.0
# Figures that are compared; those of clients have one more.
_METRICS = ("throughput", "p50", "p99")
_CLIENT_CPU = "client CPU"
_QUANTILES = {"p50": 0.5, "p99": 0.99}


def compare_files(before: Path, after: Path, tolerance: float) -> tuple[FigureComparison, ...]:
    """Compare two saved results.

    Raises:
        InvalidInputError: TG002 or TG912, a file is not a result, or no level is in both.
    """
    found = compare_levels(read_saved(before), read_saved(after), tolerance)
    if not found:
        raise InvalidInputError(
            "TG912",
            "the two results have no level in common",
            where=f"{before}, {after}",
            fix="Measure the same models with the same loads.",
        )
    return found


@dataclass(slots=True)
class _ComparedArm:
    """One of the two that are compared, and its prober once it was needed.

    Attributes:
        make_prober: for its first block.
        enter: called before a block where the one before was the other's.
        levels: its blocks.
    """

    make_prober: Callable[[], Prober]
    enter: Callable[[], None] = lambda: None
    prober: Prober | None = None
    levels: list[LevelResult] = field(default_factory=list)


def compare_against(
    project: Path,
    request: ProbeRequest,
    config_file: Path,
    tolerance: float,
    tell: Tell | None = None,
) -> tuple[ProbeReport, tuple[FigureComparison, ...]]:
    """Measure one model as it is served and with another configuration, in interleaved pairs.

    The server must have explicit model control. The first configuration is loaded again at the
    end, whatever happens.

    Raises:
        EnvironmentProblem: TG913, the server does not load models or refuses the configuration.
        InvalidInputError: the configuration cannot be read, or not exactly one model is meant.
    """
    with ProbeRun.on_server(project, request, tell) as run:
        choices = run.choices()
        if len(choices) != 1:
            raise InvalidInputError(
                "TG905", "--against compares one model", fix="Name it with -m NAME."
            )
        name, control = choices[0].name, run.server.control
        other = read_config(config_file)
        served = dict(control.config(name))
        arms = [
            _ComparedArm(partial(run.prober, choices), partial(control.load, name, config))
            for config in (served, {**other, "name": name})
        ]
        try:
            pairs = _PairedComparison(run, name, request.loads[0], _METRICS)
            return run.report, pairs.run(arms, tolerance)
        finally:
            control.load(name, served)


def compare_clients(
    project: Path, request: ProbeRequest, tolerance: float, tell: Tell | None = None
) -> tuple[ProbeReport, tuple[FigureComparison, ...]]:
    """Measure every load of every model with the fast client and with tritonclient, in pairs.

    Raises:
        InvalidInputError: TG914, one of them cannot send this; TG905, models are probed at once.
        TritongenError: nothing could be measured at all.
    """
    if any(choice.share is not None for choice in request.models):
        raise InvalidInputError("TG905", "--client both measures models in turn, without shares")
    found: list[FigureComparison] = []
    with ProbeRun.on_server(project, request, tell) as run:

        def measure(choice: ModelChoice) -> None:
            for load in request.loads:
                with contextlib.ExitStack() as stack:
                    # Both at once: what one cannot send is told before anything is measured.
                    arms = [
                        _ComparedArm(stack.enter_context(run.prober((choice,), client)).__enter__)
                        for client in (LoadClient.FAST, LoadClient.TRITONCLIENT)
                    ]
                    pairs = _PairedComparison(run, choice.name, load, (*_METRICS, _CLIENT_CPU))
                    found.extend(pairs.run(arms, tolerance))
                if run.over:
                    return

        run.each_in_turn(run.choices(), measure)
        return run.report, tuple(found)


def read_config(path: Path) -> dict[str, Any]:
    """A `config.pbtxt` as the JSON that the server's load request takes.

    Raises:
        InvalidInputError: TG002, or what is wrong in the text, with its line.
    """
    from google.protobuf import json_format  # only this question needs it

    from tritongen.config.pbtxt import parse_config

    if not path.is_file():
        raise InvalidInputError("TG002", "there is no such file", where=str(path))
    parsed = parse_config(path.read_text(encoding="utf-8", errors="replace"), str(path))
    faults = [item for item in parsed.findings if item.severity is Severity.ERROR]
    if faults:
        first = faults[0]
        raise InvalidInputError(
            first.code,
            first.message,
            where=f"{path}:{first.location.line}",
            details=[item.message for item in faults[1:]],
        )
    found: dict[str, Any] = json_format.MessageToDict(
        parsed.message, preserving_proto_field_name=True
    )
    return found


class _PairedComparison:
    """Two arms of one model and load, measured in turn: A B B A, again and again."""

    def __init__(self, run: ProbeRun, model: str, load: Load, metrics: Sequence[str]) -> None:
        self._run, self._model, self._load, self._metrics = run, model, load, metrics
        self._conditions = run.request.conditions
        self._block_s = min(_MAX_BLOCK_S, self._conditions.budget_s)

    def run(self, arms: Sequence[_ComparedArm], tolerance: float) -> tuple[FigureComparison, ...]:
        """Measure pairs until the difference is known or the time is up."""
        pairs = max(_MIN_PAIRS, round(2.0 * self._conditions.budget_s / self._block_s))
        found: tuple[FigureComparison, ...] = ()
        try:
            for index in range(pairs):
                order = arms if index % 2 == 0 else arms[::-1]
                for position, arm in enumerate(order):
                    # The second block of a pair and the first of the next one share one arm.
                    if not self._block(arm, enter=position == 1 or not arm.levels):
                        return found
                found = tuple(self._verdict(arms, one, tolerance) for one in self._metrics)
                if index + 1 >= _MIN_PAIRS and _is_decided(found, tolerance):
                    break
        finally:
            for arm in arms:
                if arm.prober is not None:
                    arm.prober.close()
        return found

    def _block(self, arm: _ComparedArm, *, enter: bool) -> bool:
        """Measure one arm for a block; False once there is no point in going on."""
        if enter:
            arm.enter()
        if arm.prober is None:
            arm.prober = arm.make_prober()
            arm.prober.check()
        block = Conditions(
            budget_s=self._block_s,
            fixed=True,
            precision=self._conditions.precision,
            warmup_s=min(1.0, self._block_s / 2.0),
            seed=self._conditions.seed + len(arm.levels),
        )
        outcome = self._run.measure(arm.prober, self._load, block)
        if outcome.interrupted or outcome.gone:
            return False
        arm.levels += outcome.results
        return True

    def _verdict(
        self, arms: Sequence[_ComparedArm], metric: str, tolerance: float
    ) -> FigureComparison:
        before, after = ([_figure(level, metric) for level in arm.levels] for arm in arms)
        pairs = [(a, b) for a, b in zip(before, after, strict=False) if a > 0 and b > 0]
        ratio = paired_ratio([b / a for a, b in pairs], self._conditions.precision.confidence)
        values: tuple[float | None, float | None] = (None, None)
        if pairs:
            values = (geometric_mean([a for a, _ in pairs]), geometric_mean([b for _, b in pairs]))
        shown = f"{self._load.kind} {self._load.value:g}"
        change = judge_ratio(ratio, tolerance, larger_is_better=metric == "throughput")
        return FigureComparison(self._model, shown, metric, *values, ratio, change)


def _figure(level: LevelResult, metric: str) -> float:
    """A figure of one block, 0 where there is none; below its floor a percentile is a guess."""
    if metric == _CLIENT_CPU:
        return level.client.cpu_us_per_request
    if metric == "throughput":
        return level.throughput.value if level.throughput else 0.0
    if not level.latency.histogram.total:
        return 0.0
    return level.latency.histogram.quantile(_QUANTILES[metric]) / 1e3


def _is_decided(found: Sequence[FigureComparison], tolerance: float) -> bool:
    """Whether throughput and median are known to differ, or to be the same within tolerance."""
    for item in found[:2]:
        if item.ratio is None:
            return False
        inside = item.ratio.low > 1.0 / (1.0 + tolerance) and item.ratio.high < 1.0 + tolerance
        if item.change is Change.SAME and not inside:
            return False
    return True
