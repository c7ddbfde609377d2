"""What `tritongen probe` prints and writes."""

import argparse
from collections.abc import Sequence
from typing import Any

from tritongen.api.probing import ProbedLoads, figure_text, miss_text, ratio_text
from tritongen.cli import output
from tritongen.cli.output import bold, say
from tritongen.errors import ExitCode, InvalidInputError
from tritongen.planner.context import show_rate
from tritongen.probe.questions.comparison import FigureComparison
from tritongen.probe.questions.goal_and_knee import SearchAnswer
from tritongen.probe.report.tables import (
    HEADERS,
    by_model,
    csv_text,
    details,
    latency_text,
    rate_text,
    row,
)

# Shells add the number of the signal that ended a command to this.
_SIGNALLED = 128


def deliver(args: argparse.Namespace, found: ProbedLoads) -> int:
    """Print or write everything, and tell the exit code.

    Args:
        args: format, and the file to write instead of printing.
        found: what there is to tell.
    """
    problem = found.problem
    if args.format == "json":
        _json(args, found.to_dict())
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


def _html(args: argparse.Namespace, found: ProbedLoads) -> None:
    if found.report is None:
        raise InvalidInputError("TG905", "--compare has no page", fix="Use --format text or json.")
    from tritongen.probe.report.html_page import html_page

    answers = [(answer.model, answer_text(answer)) for answer in found.answers]
    _text(args, html_page(found.report.environment, found.levels, answers))


def _table(found: ProbedLoads) -> None:
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
                for line in details(level):
                    say(line)
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
                figure_text(item.metric, item.before),
                figure_text(item.metric, item.after),
                ratio_text(item),
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
        return f"{answer.model}: {miss_text(answer)}"
    beyond = f"; {show_rate(answer.beyond)} does not" if answer.beyond is not None else ""
    p99 = latency_text(answer.best.percentile(99.0)) if answer.best else "unknown"
    unsure = f"; not sure beyond: {answer.undecided}" if answer.undecided else ""
    return (
        f"{answer.model}: {answer.goal} holds up to {show_rate(answer.value)} {unit} (p99 {p99})"
        f"{beyond}{unsure}"
    )
