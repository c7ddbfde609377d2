"""`tune` for programs."""

from dataclasses import dataclass
from pathlib import Path

from tritongen.api.arguments import DEFAULT_REPOSITORY, StrPath, models_path
from tritongen.api.code_notice import Notice, code_notice, log_notice, programs
from tritongen.api.documents import left_out_json
from tritongen.api.result import ApiResult
from tritongen.errors import ExitCode, InvalidInputError
from tritongen.model.codec import significant, view
from tritongen.model.evidence import ServedRate
from tritongen.model.progress import Progress, silent
from tritongen.planner.context import show_figure
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import percentile_key
from tritongen.repository.project import load_project
from tritongen.repository.stored_variants import with_selection
from tritongen.tune import tune_models as room
from tritongen.tune.search.co_location import CoLocationForecast
from tritongen.tune.search.objective import Performance
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.standings import Measurement
from tritongen.tune.search.tuner import Evaluated
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tune_page import load_text
from tritongen.tune.tune_result import TunedModel, TuneReport
from tritongen.tune.tuning_run import Listener, TuneProgress
from tritongen.tune.variant_comparison import VariantComparison


@dataclass(frozen=True, slots=True)
class TunedRepository(ApiResult):
    """The best configuration of each model, and what was measured.

    Attributes:
        report: every candidate, what was chosen, and how surely.
    """

    report: TuneReport

    @property
    def exit_code(self) -> ExitCode:
        """Whether a goal is not met, or a model is left out."""
        if not self.report.met:
            return ExitCode.GOAL_NOT_MET
        return ExitCode.FINDINGS if self.report.left_out else ExitCode.OK

    def _document(self) -> dict[str, object]:
        return document(self.report)


def tune(
    models: StrPath | None = None,
    options: TuneOptions | None = None,
    *,
    repository: StrPath = DEFAULT_REPOSITORY,
    untrusted: bool = False,
    progress: Progress = silent,
    notice: Notice = log_notice,
) -> TunedRepository:
    """Find the best configuration on a private Triton; the lock takes the evidence for `build`.

    A `KeyboardInterrupt` ends the search and keeps what is known: `report.interrupted` says so.

    Args:
        models: folder of models, or one model file; what the repository was built from when None.
        options: how to tune; as the command does without options when None.
        repository: whose lock takes the evidence.
        untrusted: refuse, since a server runs the code of the models that it serves.
        progress: told of each model that is run, of the download of a runtime, and of each step of
            the search in seconds of the whole budget.
        notice: told once that code of the folder runs; logged by default.

    Raises:
        InvalidInputError: TG002 no such folder, TG149 `untrusted`, TG304 the goal, TG305 or TG306
            cores or models cannot be tuned, TG951 the budget is too small.
        EnvironmentProblem: TG008 another run is at work here; the server cannot be started or
            reached, or the lock cannot be written, and is as it was.
    """
    if untrusted:
        raise InvalidInputError("TG149", "a server runs the code of the models that it serves")
    place = Path(repository)
    project = with_selection(load_project(models_path(models, place), place))
    if text := code_notice(project.root, programs(project), served=True):
        notice(text)
    listener = Listener(
        step=lambda now: progress(progress_line(now), *_seconds(now)),
        note=lambda what: progress(what, 0, 0),
        download=progress,
    )
    return TunedRepository(room.tune(Path.cwd(), project, options or TuneOptions(), listener))


def _seconds(now: TuneProgress) -> tuple[int, int]:
    """How much of the budget of all models is spent, and how much there is."""
    total = now.models * now.budget_s
    return int(max(0.0, total - now.left_s)), max(1, int(total))


def progress_line(progress: TuneProgress) -> str:
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


def document(report: TuneReport) -> dict[str, object]:
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


def _together_json(together: CoLocationForecast) -> dict[str, object]:
    outcomes = together.outcomes.items()
    return {
        "feasible": together.feasible,
        "models": {name: _outcome_json(outcome) for name, outcome in outcomes},
    }


def _outcome_json(outcome: Performance) -> dict[str, object]:
    return {
        "throughput_per_s": significant(outcome.throughput_per_s),
        "latency_us": significant(outcome.latency_s * 1e6),
    }


def _model_json(model: TunedModel) -> dict[str, object]:
    return {
        "name": model.name,
        "goal": model.objective.text,
        **view(model, "protocol", "met", "cores"),
        "default": {**_candidate_json(model.default_candidate), **_measurement_json(model.default)},
        "best": {
            **_candidate_json(model.choice.candidate),
            **_measurement_json(model.best),
            **_use_json(model, model.choice.candidate),
        },
        "before": _candidate_json(model.incumbent),
        "evaluated": [_row_json(row) | _use_json(model, row.candidate) for row in model.rows],
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


def _use_json(model: TunedModel, candidate: Candidate) -> dict[str, object]:
    """Use and memory of GPUs; nothing of a model on CPUs."""
    use = model.gpu_use.get(candidate)
    return view(use, "utilization", "memory_bytes", "total_bytes") if use is not None else {}


def _offer_json(offer: VariantComparison) -> dict[str, object]:
    return {
        **view(offer, "name", "change"),
        "throughput_ratio": _interval_json(offer.throughput, 1.0),
        "latency_ratio": _interval_json(offer.latency, 1.0),
        "reason": offer.reason,
    }


def _candidate_json(candidate: Candidate) -> dict[str, object]:
    settings = ("instances", "threads", "max_batch_size", "queue_delay_us", "inter_op")
    return {**view(candidate, "key", *settings), "memory_arena": candidate.arena}


def _measurement_json(found: Measurement | None) -> dict[str, object]:
    if found is None:
        return {"throughput_per_s": None, "p99_us": None, "load": None, "rounds": 0}
    return {
        "throughput_per_s": _interval_json(found.throughput, 1.0),
        "p99_us": _interval_json(found.latency_s, 1e6),
        "load": load_text(found.load),
        "rounds": found.rounds,
    }


def _row_json(row: Evaluated) -> dict[str, object]:
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


def _rate_json(rate: ServedRate) -> dict[str, object]:
    return {
        "rate_per_s": significant(rate.per_s),
        "requests": rate.requests,
        "latency_us": {percentile_key(at): significant(ms * 1e3) for at, ms in rate.ms},
    }


def _interval_json(interval: Interval | None, scale: float) -> dict[str, object] | None:
    if interval is None:
        return None
    return {
        "value": significant(interval.value * scale),
        "low": significant(interval.low * scale),
        "high": significant(interval.high * scale),
    }
