"""What `tritongen tune` prints for people."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.cli.output import (
    bold,
    dim,
    good,
    print_findings,
    print_left_out,
    print_table,
    say,
    say_lines,
    suggest,
)
from tritongen.model.counting import counted
from tritongen.tune.tune_page import cells

if TYPE_CHECKING:
    from tritongen.tune.search.tuner import Evaluated
    from tritongen.tune.tune_result import TunedModel, TuneReport


def print_report(report: "TuneReport", models: Path, *, whole: bool, dry_run: bool) -> None:
    """The report for people."""
    brief = len(report.models) > 1 and not whole
    for number, model in enumerate(report.models):
        if brief:
            _print_brief(model)
            continue
        if number:
            say()
        _print_model(model, whole=whole)
    if brief:
        say(dim("--all shows every candidate, and what changes in each configuration"))
    if not report.models:
        say("interrupted before anything was measured")
    for note in report.notes:
        say(dim(f"note: {note}"))
    print_findings(report.left_out)
    print_left_out({item.model: [item.code] for item in report.left_out})
    build = f"tritongen build {quote(str(models))}"
    steps = [f"{build} --variant {wish}" for one in report.models for wish in _better(one)]
    if any(model.recorded for model in report.models) and not report.interrupted and not dry_run:
        steps.append(build)
    if steps:
        suggest(*steps)


def _print_head(model: "TunedModel") -> None:
    head = f"{model.name}: {model.goal_text} on {counted(model.cores, 'core')}"
    say(f"{bold(head)}  {good('met') if model.met else 'not met'}, {model.wall_s:.0f} s")


def _print_brief(model: "TunedModel") -> None:
    """One of several models: what was chosen, and why."""
    from tritongen.tune.tune_result import gain_sentence

    _print_head(model)
    say(f"  {model.sentence}")
    if gain := gain_sentence(model):
        say(f"  {gain}")
    for offer in model.offers:
        say(f"  {offer.sentence}")


def _better(model: "TunedModel") -> list[str]:
    """What asks for each variant that was measured to be better."""
    from tritongen.probe.questions.comparison import Change

    better = [offer.name for offer in model.offers if offer.change is Change.BETTER]
    return [quote(f"{model.name}={name}") for name in better]


def _print_model(model: "TunedModel", *, whole: bool) -> None:
    from tritongen.tune.tune_result import gain_sentence, gpu_sentence, rates_sentence

    _print_head(model)
    rows = [row for row in model.rows if whole or row.fate != "predicted"]
    left = len(model.rows) - len(rows)
    front = {row.candidate for row in model.front}
    if rows:
        tail = f"p{model.objective.percentile:g} ms"
        print_table(
            ("", "candidate", "load", "predicted/s", "measured/s", tail, "times", "why not"),
            [row_cells(row, on_front=row.candidate in front) for row in rows],
            drop=("predicted/s", "times", "load"),
        )
    if left:
        say(dim(f"  and {left} more by prediction only; --all lists them"))
    if front:
        say(dim("  * none is better in throughput and latency at once"))
    if rows:
        say(dim("  in brackets: an interval at 95 %; times: how often each was measured"))
        best = model.choice.candidate
        say(f"{best.key} is {best.words}")
    say(f"{model.sentence}")
    told = (gain_sentence(model), rates_sentence(model), gpu_sentence(model))
    for sentence in filter(None, told):
        say(sentence)
    for goal in model.choice.nearest:
        say(f"nearest goal that can be met: {goal.text}")
    for offer in model.offers:
        say(offer.sentence)
    for note in model.notes:
        say(dim(f"note: {note}"))
    if not model.new:
        say_lines("\n".join(model.diff))


def row_cells(row: "Evaluated", *, on_front: bool) -> tuple[str, ...]:
    """One candidate as cells of a table."""
    mark = {"best": "→", "baseline": "T"}.get(row.fate, "*" if on_front else "")
    *found, _, why = cells(row)
    return (mark, *found, why)
