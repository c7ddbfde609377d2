"""`probe --compare` and `probe --against`: is one slower than the other?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.model.findings import Severity
from tritongen.probe.arrivals.workload import Load
from tritongen.probe.level import Conditions
from tritongen.probe.probe_models import (
    Connection,
    ModelChoice,
    ProbeReport,
    ProbeRequest,
    Tell,
    connect,
    environment,
    model_choices,
    note_end,
    open_prober,
    prepare_jobs,
    teller,
)
from tritongen.probe.prober import Prober
from tritongen.probe.questions.comparison import (
    Change,
    Comparison,
    compare_levels,
    judge_ratio,
    paired_ratio,
)
from tritongen.probe.report.json_document import read_saved
from tritongen.probe.statistics.measurement import LevelResult

_LEAST_PAIRS = 3
_MOST_BLOCK_S = 2.0
_METRICS = ("throughput", "p50", "p99")


def compare_files(before: Path, after: Path, tolerance: float) -> tuple[Comparison, ...]:
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
class _Side:
    """One of the two configurations, and its prober once it was loaded."""

    config: Mapping[str, Any]
    prober: Prober | None = None
    levels: list[LevelResult] = field(default_factory=list)


def compare_against(
    project: Path,
    request: ProbeRequest,
    config_file: Path,
    tolerance: float,
    tell: Tell | None = None,
) -> tuple[ProbeReport, tuple[Comparison, ...]]:
    """Measure one model as it is served and with another configuration, in interleaved pairs.

    The server must have explicit model control. The first configuration is loaded again at the
    end, whatever happens.

    Raises:
        EnvironmentProblem: TG913, the server does not load models or refuses the configuration.
        InvalidInputError: the configuration cannot be read, or not exactly one model is meant.
    """
    with connect(project, request) as connection:
        choices = model_choices(connection, request)
        if len(choices) != 1:
            raise InvalidInputError(
                "TG905", "--against compares one model", fix="Name it with -m NAME."
            )
        other = read_config(config_file)
        report = ProbeReport(environment(connection, request))
        return report, _Duel(project, request, connection, choices[0], report, tell).fight(
            other, tolerance
        )


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


class _Duel:
    """Two configurations of one model, measured in turn: A B B A, again and again."""

    def __init__(
        self,
        project: Path,
        request: ProbeRequest,
        connection: Connection,
        choice: ModelChoice,
        report: ProbeReport,
        tell: Tell | None,
    ) -> None:
        self._project, self._request, self._connection = project, request, connection
        self._choice, self._report, self._tell = choice, report, tell

    def fight(self, other: Mapping[str, Any], tolerance: float) -> tuple[Comparison, ...]:
        """Measure pairs until the difference is known or the time is up."""
        control = self._connection.control
        served = dict(control.config(self._choice.name))
        sides = (_Side(served), _Side({**other, "name": self._choice.name}))
        load = self._request.loads[0]
        found: tuple[Comparison, ...] = ()
        try:
            for index in range(self._pairs()):
                order = sides if index % 2 == 0 else (sides[1], sides[0])
                for position, side in enumerate(order):
                    # The second block of a pair and the first of the next one share a side.
                    if not self._block(side, load, reload=position == 1 or not side.levels):
                        return found
                found = self._verdicts(sides, load, tolerance)
                if index + 1 >= _LEAST_PAIRS and _is_decided(found, tolerance):
                    break
        finally:
            for side in sides:
                if side.prober is not None:
                    side.prober.close()
            control.load(self._choice.name, served)
        return found

    def _pairs(self) -> int:
        budget = self._request.conditions.budget_s
        return max(_LEAST_PAIRS, round(4.0 * budget / (2.0 * self._block_s())))

    def _block_s(self) -> float:
        return min(_MOST_BLOCK_S, self._request.conditions.budget_s)

    def _block(self, side: _Side, load: Load, *, reload: bool) -> bool:
        """Measure one side for a block; False once there is no point in going on."""
        if reload:
            self._connection.control.load(self._choice.name, side.config)
        if side.prober is None:
            jobs = prepare_jobs(self._project, self._request, self._connection, (self._choice,))
            side.prober = open_prober(self._request, self._connection, jobs)
            side.prober.check()
        block = Conditions(
            budget_s=self._block_s(),
            fixed=True,
            precision=self._request.conditions.precision,
            warmup_s=min(1.0, self._block_s() / 2.0),
            seed=self._request.conditions.seed + len(side.levels),
        )
        outcome = side.prober.run(load, block, teller(self._tell, self._choice.name, load))
        note_end(self._report, outcome, self._connection)
        self._report.levels += outcome.results
        if outcome.interrupted or outcome.gone:
            return False
        side.levels += outcome.results
        return True

    def _verdicts(
        self, sides: Sequence[_Side], load: Load, tolerance: float
    ) -> tuple[Comparison, ...]:
        return tuple(self._verdict(sides, load, metric, tolerance) for metric in _METRICS)

    def _verdict(
        self, sides: Sequence[_Side], load: Load, metric: str, tolerance: float
    ) -> Comparison:
        before, after = ([_figure(level, metric) for level in side.levels] for side in sides)
        pairs = [(a, b) for a, b in zip(before, after, strict=False) if a > 0 and b > 0]
        ratio = paired_ratio(
            [b / a for a, b in pairs], self._request.conditions.precision.confidence
        )
        return Comparison(
            self._choice.name,
            f"{load.kind} {load.value:g}",
            metric,
            _geometric_mean([a for a, _ in pairs]),
            _geometric_mean([b for _, b in pairs]),
            ratio,
            judge_ratio(ratio, tolerance, larger_is_better=metric == "throughput"),
        )


def _figure(level: LevelResult, metric: str) -> float:
    """A figure of one block, 0 where there is none; below its floor a percentile is a guess."""
    if metric == "throughput":
        return level.throughput.value if level.throughput else 0.0
    if not level.latency.histogram.total:
        return 0.0
    return level.latency.histogram.quantile(float(metric[1:]) / 100.0) / 1e3


def _geometric_mean(values: Sequence[float]) -> float | None:
    if not values:
        return None
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def _is_decided(found: Sequence[Comparison], tolerance: float) -> bool:
    """Whether throughput and median are known to differ, or to be the same within tolerance."""
    for item in found[:2]:
        if item.ratio is None:
            return False
        inside = item.ratio.low > 1.0 / (1.0 + tolerance) and item.ratio.high < 1.0 + tolerance
        if item.change is Change.SAME and not inside:
            return False
    return True
