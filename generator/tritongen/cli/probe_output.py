"""What `tritongen probe` prints and writes."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tritongen.cli import output
from tritongen.cli.output import bold, say
from tritongen.errors import ExitCode, GoalNotMetError, InvalidInputError, TritongenError
from tritongen.model.codec import shallow, view
from tritongen.model.printable import printable
from tritongen.planner.context import show_rate
from tritongen.probe.probe_request import ProbeReport
from tritongen.probe.questions.comparison import Change, FigureComparison
from tritongen.probe.questions.goal_and_knee import SearchAnswer
from tritongen.probe.report.json_document import document, interval_json
from tritongen.probe.report.tables import (
    HEADERS,
    by_model,
    csv_text,
    details,
    duration_text,
    latency_text,
    rate_text,
    row,
)
from tritongen.probe.statistics.measurement import LevelResult

# Shells add the number of the signal that ended a command to this.
_SIGNALLED = 128
# Of two that are compared, the second is to be no worse; of two clients it is what it is.
_IN_TIME = ("before", "after")


@dataclass(frozen=True, slots=True)
class ProbeResults:
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


def deliver(args: argparse.Namespace, found: ProbeResults) -> int:
    """Print or write everything, and tell the exit code.

    Args:
        args: format, and the file to write instead of printing.
        found: what there is to tell.
    """
    problem = _problem(found)
    if args.format == "json":
        _json(args, _document(found, problem))
    elif args.format == "csv":
        _text(args, csv_text(found.levels))
    elif args.format == "html":
        _html(args, found)
    else:
        _table(found)
    if found.interrupted:
        output.say_error("interrupted: these are the numbers so far")
    if problem is not None:
        output.report_error(problem, as_json=False)
        return int(problem.exit_code)
    return _SIGNALLED + found.interrupted if found.interrupted else int(ExitCode.OK)


def _problem(found: ProbeResults) -> TritongenError | None:
    """What makes the exit code other than 0."""
    if found.report is not None and found.report.problem is not None:
        return found.report.problem
    missed = [one for one in found.answers if one.question == "goal" and one.value is None]
    if missed and not found.interrupted:
        names = ", ".join(answer.model for answer in missed)
        fix = "Give each level the time it needs, or more load." if missed[0].undecided else ""
        return GoalNotMetError("TG910", _miss(missed[0]), where=names, fix=fix)
    worse = [item for item in found.comparisons if item.change is Change.WORSE]
    if worse and found.compared == _IN_TIME:
        told = [_worse_text(item) for item in worse]
        return GoalNotMetError("TG911", f"{len(worse)} figures became worse", details=told)
    return None


def _document(found: ProbeResults, problem: TritongenError | None) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": "tritongen.probe", "levels": []}
    if found.report is not None:
        told = document(found.report.environment, found.levels)
    if found.answers:
        told["answers"] = [_answer_json(answer) for answer in found.answers]
    if found.comparisons:
        told["comparisons"] = [_comparison_json(item) for item in found.comparisons]
        if found.compared != _IN_TIME:
            told["compared"] = list(found.compared)
    if found.interrupted:
        told["interrupted"] = True
    if problem is not None:
        told["error"] = output.error_json(problem)
    return told


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


def _json(args: argparse.Namespace, found: dict[str, Any]) -> None:
    if args.output is None:
        output.emit_json(found)
    else:
        _write(args, output.document_text(found) + "\n")


def _text(args: argparse.Namespace, text: str) -> None:
    if args.output is None:
        output.emit(text)
    else:
        _write(args, text)


def _write(args: argparse.Namespace, text: str) -> None:
    from tritongen.system.files import write_atomic

    write_atomic(args.output, text.encode())
    output.remark(f"wrote {args.output}")


def _html(args: argparse.Namespace, found: ProbeResults) -> None:
    if found.report is None:
        raise InvalidInputError("TG905", "--compare has no page", fix="Use --format text or json.")
    from tritongen.probe.report.html_page import html_page

    answers = [(answer.model, answer_text(answer)) for answer in found.answers]
    _text(args, html_page(found.report.environment, found.levels, answers))


def _table(found: ProbeResults) -> None:
    """Tables on stdout."""
    answers, comparisons = found.answers, found.comparisons
    for model, levels in by_model(found.levels).items():
        say(bold(model))
        headers: tuple[str, ...] = HEADERS
        rows = [row(level) for level in levels]
        if len({level.client_name for level in levels}) > 1:
            headers = ("client", *headers)
            rows = [(one.client_name, *cells) for one, cells in zip(levels, rows, strict=True)]
        output.print_table(headers, rows, drop=("p90", "p99.9", "p95"))
        best = [answer.best for answer in answers if answer.model == model]
        # A search measures many levels; where it ended is what matters.
        shown = [level for level in best if level is not None] if answers else levels
        if not comparisons:
            for level in shown:
                output.say_lines("\n".join(map(printable, details(level))))
        say()
    if found.report is not None and (whose := found.report.environment.measured_on):
        say(output.dim(f"measured on {whose}: times there are others"))
    for answer in answers:
        say(bold(answer_text(answer)))
    if comparisons:
        _comparison_table(comparisons, *found.compared)


def _comparison_table(comparisons: Sequence[FigureComparison], first: str, second: str) -> None:
    output.print_table(
        ("model", "load", "figure", first, second, f"{second} / {first}", "verdict"),
        [
            (
                item.model,
                item.load,
                item.metric,
                _figure(item.metric, item.before),
                _figure(item.metric, item.after),
                _ratio(item),
                str(item.change),
            )
            for item in comparisons
        ],
        drop=(first, second),
    )


def answer_text(answer: SearchAnswer) -> str:
    """The answer in a sentence."""
    unit = "requests/s" if answer.kind == "rate" else "concurrency"
    if answer.question == "knee":
        if answer.best is None or answer.value is None:
            return f"{answer.model}: no knee was found"
        best = answer.best
        return (
            f"{answer.model}: the knee is at concurrency {answer.value:g}: "
            f"{rate_text(best.throughput)} requests/s, p99 {latency_text(best.percentile(99.0))}; "
            f"capacity {answer.capacity_per_s:,.0f} requests/s"
        )
    if answer.value is None:
        return f"{answer.model}: {_miss(answer)}"
    beyond = f"; {show_rate(answer.beyond)} does not" if answer.beyond is not None else ""
    p99 = latency_text(answer.best.percentile(99.0)) if answer.best else "unknown"
    unsure = f"; not sure beyond: {answer.undecided}" if answer.undecided else ""
    return (
        f"{answer.model}: {answer.goal} holds up to {show_rate(answer.value)} {unit} (p99 {p99})"
        f"{beyond}{unsure}"
    )


def _miss(answer: SearchAnswer) -> str:
    """Why there is no load to name."""
    if answer.undecided:
        return f"whether any load holds {answer.goal} is not known: {answer.undecided}"
    return f"no load holds {answer.goal}"


def _figure(metric: str, value: float | None) -> str:
    if value is None:
        return "too few"
    if metric == "failures":
        return f"{value:.2%}"
    return f"{value:,.0f}/s" if metric == "throughput" else duration_text(value)


def _worse_text(item: FigureComparison) -> str:
    change = _ratio(item) or (
        f"{_figure(item.metric, item.before)} → {_figure(item.metric, item.after)}"
    )
    return f"{item.model}, {item.load}: {item.metric} {change}"


def _ratio(item: FigureComparison) -> str:
    if item.metric == "failures":
        return ""
    if item.ratio is None:
        return "unknown"
    return f"{item.ratio.value:.2f} ({item.ratio.low:.2f} to {item.ratio.high:.2f})"
