"""What `tritongen tune` prints: progress, tables and JSON."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.api.documents import left_out_json
from tritongen.cli.output import (
    bold,
    dim,
    good,
    print_findings,
    print_left_out,
    print_table,
    say,
    suggest,
)
from tritongen.model.codec import significant, view
from tritongen.planner.context import show_figure
from tritongen.probe.statistics.measurement import percentile_key
from tritongen.tune.tune_page import cells, load_text

if TYPE_CHECKING:
    from tritongen.model.evidence import ServedRate
    from tritongen.probe.statistics.intervals import Interval
    from tritongen.tune.search.co_location import CoLocationForecast
    from tritongen.tune.search.objective import Performance
    from tritongen.tune.search.search_space import Candidate
    from tritongen.tune.search.standings import Measurement
    from tritongen.tune.search.tuner import Evaluated
    from tritongen.tune.tune_result import TunedModel, TuneReport
    from tritongen.tune.tuning_run import TuneProgress
    from tritongen.tune.variant_comparison import VariantComparison


def progress_line(progress: "TuneProgress") -> str:
    """The model, what is measured, the time that is left, the best so far."""
    head = f"{progress.model}: "
    if progress.models > 1:
        head = f"[{progress.index + 1}/{progress.models}] {head}"
    line = f"{head}{progress.doing} · at most {progress.left_s:.0f} s left"
    best = progress.best
    if best is None:
        return line
    known, figure, tail = best.measured, "", ""
    if known is not None:
        figure = f" {show_figure(known.throughput.value)}/s"
        tail = f", {show_figure(known.latency_s.value * 1e3)} ms"
    return f"{line} · best so far {best.candidate.key}{figure}{tail}"


def document(report: "TuneReport") -> dict[str, object]:
    """The report as JSON."""
    return {
        "models": [_model_json(model) for model in report.models],
        "wall_s": round(report.wall_s, 3),
        **view(report, "runtime", "server", "machine", "cores", "seed"),
        "together": _together_json(report.together) if report.together is not None else None,
        "notes": report.notes,
        "interrupted": report.interrupted or None,
        "met": report.met,
        "left_out": left_out_json(report.left_out),
    }


def _together_json(together: "CoLocationForecast") -> dict[str, object]:
    outcomes = together.outcomes.items()
    return {
        "feasible": together.feasible,
        "models": {name: _outcome_json(outcome) for name, outcome in outcomes},
    }


def _outcome_json(outcome: "Performance") -> dict[str, object]:
    return {
        "throughput_per_s": significant(outcome.throughput_per_s),
        "latency_us": significant(outcome.latency_s * 1e6),
    }


def _model_json(model: "TunedModel") -> dict[str, object]:
    return {
        "name": model.name,
        "goal": model.objective.text,
        **view(model, "protocol", "met", "cores"),
        "default": {**_candidate_json(model.default_candidate), **_measurement_json(model.default)},
        "best": {**_candidate_json(model.choice.candidate), **_measurement_json(model.best)},
        "before": _candidate_json(model.incumbent),
        "evaluated": [_row_json(row) for row in model.rows],
        "rates": [_rate_json(rate) for rate in model.sweep],
        "pareto": [row.candidate.key for row in model.front],
        "nearest": [goal.text for goal in model.choice.nearest],
        "verdict": model.verdict,
        "reason": model.sentence,
        "notes": model.notes,
        "variants": [_offer_json(offer) for offer in model.offers],
        **view(model, "kept", "recorded", "measured_on", "diff"),
        "wall_s": round(model.wall_s, 3),
    }


def _offer_json(offer: "VariantComparison") -> dict[str, object]:
    return {
        **view(offer, "name", "change"),
        "throughput_ratio": _interval_json(offer.throughput, 1.0),
        "latency_ratio": _interval_json(offer.latency, 1.0),
        "reason": offer.reason,
    }


def _candidate_json(candidate: "Candidate") -> dict[str, object]:
    settings = ("instances", "threads", "max_batch_size", "queue_delay_us", "inter_op")
    return {**view(candidate, "key", *settings), "memory_arena": candidate.arena}


def _measurement_json(found: "Measurement | None") -> dict[str, object]:
    if found is None:
        return {"throughput_per_s": None, "p99_us": None, "load": None, "rounds": 0}
    return {
        "throughput_per_s": _interval_json(found.throughput, 1.0),
        "p99_us": _interval_json(found.latency_s, 1e6),
        "load": load_text(found.load),
        "rounds": found.rounds,
    }


def _row_json(row: "Evaluated") -> dict[str, object]:
    found = row.measured
    return {
        **_candidate_json(row.candidate),
        "load": load_text(row.load),
        "fate": row.fate,
        "predicted": _outcome_json(row.predicted) if row.predicted is not None else None,
        "throughput_per_s": _interval_json(found.throughput, 1.0) if found is not None else None,
        "latency_us": _interval_json(found.latency_s, 1e6) if found is not None else None,
        "rounds": found.rounds if found is not None else 0,
        "why": row.why,
    }


def _rate_json(rate: "ServedRate") -> dict[str, object]:
    return {
        "rate_per_s": significant(rate.per_s),
        "requests": rate.requests,
        "latency_us": {percentile_key(at): significant(ms * 1e3) for at, ms in rate.ms},
    }


def _interval_json(interval: "Interval | None", scale: float) -> dict[str, object] | None:
    if interval is None:
        return None
    return {
        "value": significant(interval.value * scale),
        "low": significant(interval.low * scale),
        "high": significant(interval.high * scale),
    }


def print_report(report: "TuneReport", models: Path, *, whole: bool, dry_run: bool) -> None:
    """The report for people."""
    brief = len(report.models) > 1 and not whole
    for model in report.models:
        if brief:
            _print_brief(model, models)
        else:
            _print_model(model, models, whole=whole)
    if brief:
        say(dim("--all shows every candidate, and what changes in each configuration"))
    if not report.models:
        say("interrupted before anything was measured")
    for note in report.notes:
        say(dim(f"note: {note}"))
    print_findings(report.left_out)
    print_left_out({item.model: [item.code] for item in report.left_out})
    if report.interrupted or dry_run:
        return
    if any(model.recorded for model in report.models):
        suggest(f"tritongen build {quote(str(models))}")


def _print_head(model: "TunedModel") -> None:
    unit = "core" if model.cores == 1 else "cores"
    head = f"{model.name}: {model.goal_text} on {model.cores} {unit}"
    say(f"{bold(head)}  {good('met') if model.met else 'not met'}, {model.wall_s:.0f} s")


def _print_brief(model: "TunedModel", models: Path) -> None:
    """One of several models: what was chosen, and why."""
    from tritongen.tune.tune_result import gain_sentence

    _print_head(model)
    say(f"  {model.sentence}")
    if gain := gain_sentence(model):
        say(f"  {gain}")
    _print_offers(model, models)


def _print_offers(model: "TunedModel", models: Path) -> None:
    from tritongen.probe.questions.comparison import Change

    for offer in model.offers:
        say(offer.sentence)
        if offer.change is Change.BETTER:
            variant = quote(f"{model.name}={offer.name}")
            suggest(f"tritongen build {quote(str(models))} --variant {variant}")


def _print_model(model: "TunedModel", models: Path, *, whole: bool) -> None:
    from tritongen.tune.tune_result import gain_sentence, rates_sentence

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
    for sentence in filter(None, (gain_sentence(model), rates_sentence(model))):
        say(sentence)
    for goal in model.choice.nearest:
        say(f"nearest goal that can be met: {goal.text}")
    _print_offers(model, models)
    for note in model.notes:
        say(dim(f"note: {note}"))
    if not model.new:
        for line in model.diff:
            say(line)
    say()


def row_cells(row: "Evaluated", *, on_front: bool) -> tuple[str, ...]:
    """One candidate as cells of a table."""
    mark = {"best": "→", "baseline": "T"}.get(row.fate, "*" if on_front else "")
    *found, _, why = cells(row)
    return (mark, *found, why)
