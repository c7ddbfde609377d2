"""`probe` for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritongen.api.arguments import StrPath
from tritongen.api.documents import error_json
from tritongen.api.result import ApiResult
from tritongen.errors import ExitCode, GoalNotMetError, InvalidInputError, TritongenError
from tritongen.model.codec import shallow, view
from tritongen.model.counting import counted
from tritongen.model.progress import Progress
from tritongen.probe import probe_models as room
from tritongen.probe.level import Update
from tritongen.probe.probe_request import ProbeReport, ProbeRequest, Tell
from tritongen.probe.questions.comparison import (
    Change,
    FigureComparison,
    compare_against,
    compare_clients,
    compare_files,
)
from tritongen.probe.questions.goal_and_knee import LoadSearch, SearchAnswer, search
from tritongen.probe.report.json_document import document, interval_json
from tritongen.probe.report.tables import duration_text, live_line
from tritongen.probe.statistics.measurement import LevelResult
from tritongen.probe.workload import Load

# Of two that are compared, the second is to be no worse; of two clients it is what it is.
_IN_TIME = ("before", "after")


@dataclass(frozen=True, slots=True)
class ProbedLoads(ApiResult):
    """What was asked of a probe.

    Attributes:
        report: what was measured, None where only files were compared.
        answers: of a search.
        comparisons: of two results, configurations or clients.
        compared: names of the two.
    """

    report: ProbeReport | None
    answers: Sequence[SearchAnswer] = ()
    comparisons: Sequence[FigureComparison] = ()
    compared: tuple[str, str] = _IN_TIME

    @property
    def levels(self) -> Sequence[LevelResult]:
        """Every level that was measured."""
        return self.report.levels if self.report is not None else ()

    @property
    def interrupted(self) -> int:
        """The signal that ended it, 0 for none."""
        return self.report.interrupted if self.report is not None else 0

    @property
    def problem(self) -> TritongenError | None:
        """What makes the exit code other than 0."""
        if self.report is not None and self.report.problem is not None:
            return self.report.problem
        missed = [one for one in self.answers if one.question == "goal" and one.value is None]
        if missed and not self.interrupted:
            names = ", ".join(answer.model for answer in missed)
            fix = "Give each level the time it needs, or more load." if missed[0].undecided else ""
            return GoalNotMetError("TG910", miss_text(missed[0]), where=names, fix=fix)
        worse = [item for item in self.comparisons if item.change is Change.WORSE]
        if worse and self.compared == _IN_TIME:
            told = [_worse_text(item) for item in worse]
            return GoalNotMetError(
                "TG911", f"{counted(len(worse), 'figure')} became worse", details=told
            )
        return None

    @property
    def exit_code(self) -> ExitCode:
        """That of the problem; of one that a signal ended without a problem, 0."""
        return self.problem.exit_code if self.problem is not None else ExitCode.OK

    def _document(self) -> dict[str, Any]:
        told: dict[str, Any] = {"kind": "tritongen.probe", "levels": []}
        if self.report is not None:
            told = document(self.report.environment, self.levels)
        if self.answers:
            told["answers"] = [_answer_json(answer) for answer in self.answers]
        if self.comparisons:
            told["comparisons"] = [_comparison_json(item) for item in self.comparisons]
            if self.compared != _IN_TIME:
                told["compared"] = list(self.compared)
        if self.interrupted:
            told["interrupted"] = True
        if (problem := self.problem) is not None:
            told["error"] = error_json(problem)
        return told


def probe(
    request: ProbeRequest | None = None,
    *,
    find: LoadSearch | None = None,
    against: StrPath | None = None,
    both_clients: bool = False,
    tolerance: float = 0.05,
    progress: Progress | None = None,
) -> ProbedLoads:
    """Load with honest numbers; what was measured when something ended it early is never lost.

    Args:
        request: what to measure; every ready model of this project's server when None.
        find: the load to look for, instead of measuring those of the request.
        against: config.pbtxt to compare with what is served now.
        both_clients: compare the fast client with tritonclient.
        tolerance: a change within that share is none.
        progress: told about once a second what is known so far.

    Raises:
        InvalidInputError: TG905 what goes together with nothing else, or a model, input or address
            that cannot be used.
        EnvironmentProblem: nothing could be measured at all.
    """
    if sum((find is not None, against is not None, both_clients)) > 1:
        raise InvalidInputError("TG905", "find, against and both_clients are different questions")
    wanted, here, tell = request or ProbeRequest(), Path.cwd(), _live(progress)
    if against is not None:
        report, figures = compare_against(here, wanted, Path(against), tolerance, tell)
        return ProbedLoads(report, comparisons=figures)
    if both_clients:
        report, figures = compare_clients(here, wanted, tolerance, tell)
        return ProbedLoads(report, comparisons=figures, compared=("fast", "tritonclient"))
    if find is not None:
        return ProbedLoads(*search(here, wanted, find, tell))
    return ProbedLoads(room.probe(here, wanted, tell))


def compare_probes(before: StrPath, after: StrPath, *, tolerance: float = 0.05) -> ProbedLoads:
    """Compare two saved results.

    Args:
        before: file of one, as JSON.
        after: file of the other.
        tolerance: a change within that share is none.

    Raises:
        InvalidInputError: TG002 or TG912, a file is not a result, or no level is in both.
    """
    return ProbedLoads(None, comparisons=compare_files(Path(before), Path(after), tolerance))


def _live(progress: Progress | None) -> Tell | None:
    """Progress of a probe; None where nobody listens, which costs nothing."""
    if progress is None:
        return None

    def tell(model: str, load: Load, update: Update) -> None:
        progress(live_line(model, load, update), 0, 0)

    return tell


def _answer_json(answer: SearchAnswer) -> dict[str, Any]:
    best = answer.best
    return {
        **view(answer, "model", "question", "goal", "kind", "value", "beyond", "undecided"),
        "capacity_per_s": round(answer.capacity_per_s, 3),
        "throughput_per_s": interval_json(best.throughput, 3) if best else None,
        "p99_us": interval_json(best.percentile(99.0)) if best else None,
    }


def _comparison_json(item: FigureComparison) -> dict[str, Any]:
    return {**shallow(item, whole=True), "ratio": interval_json(item.ratio, 4)}


def miss_text(answer: SearchAnswer) -> str:
    """Why there is no load to name."""
    if answer.undecided:
        return f"whether any load holds {answer.goal} is not known: {answer.undecided}"
    return f"no load holds {answer.goal}"


def figure_text(metric: str, value: float | None) -> str:
    """A figure with its unit."""
    if value is None:
        return "too few"
    if metric == "failures":
        return f"{value:.2%}"
    return f"{value:,.0f}/s" if metric == "throughput" else duration_text(value)


def _worse_text(item: FigureComparison) -> str:
    change = ratio_text(item) or (
        f"{figure_text(item.metric, item.before)} → {figure_text(item.metric, item.after)}"
    )
    return f"{item.model}, {item.load}: {item.metric} {change}"


def ratio_text(item: FigureComparison) -> str:
    """How the second of two figures stands to the first, with its interval."""
    if item.metric == "failures":
        return ""
    if item.ratio is None:
        return "unknown"
    return f"{item.ratio.value:.2f} ({item.ratio.low:.2f} to {item.ratio.high:.2f})"
