"""What the chosen configurations are expected to do side by side in one container."""

from collections.abc import Mapping, Sequence

from tritongen.planner.context import show_figure
from tritongen.tune.search.co_location import JointTuner, Member, Together
from tritongen.tune.search.measurement_records import History
from tritongen.tune.search.objective import show_duration
from tritongen.tune.search.search_settings import TuneSettings
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tuned_model import Subject


def side_by_side(
    subjects: Sequence[Subject],
    histories: Mapping[str, History],
    options: TuneOptions,
    cores: int,
) -> tuple[Together | None, tuple[str, ...]]:
    """The prediction for all models at their rates, and what there is to say about it.

    Args:
        subjects: of one container.
        histories: what was measured of each, alone on the server.
        options: of the run.
        cores: of the container.

    Returns:
        None where fewer than two models have a rate and measurements.
    """
    measured = [subject for subject in subjects if histories.get(subject.name)]
    with_rates = [subject for subject in measured if _rate(subject) is not None]
    if len(with_rates) < 2:
        return None, ()
    shares = {subject.name: subject.cores for subject in measured}
    settings = TuneSettings(
        measured[0].objective,
        float(cores),
        budget_s=options.budget_s * len(measured),
        seed=options.seed,
    )
    joint = JointTuner(
        [_member(subject) for subject in measured],
        cores,
        settings,
        shares if sum(shares.values()) <= cores else None,
    )
    found = joint.together(histories)
    return found, tuple(_notes(found, joint, measured, histories))


def _rate(subject: Subject) -> float | None:
    stated = subject.intent.of(subject.name).planning_rate
    return subject.objective.rate_per_s if subject.objective.rate_per_s is not None else stated


def _member(subject: Subject) -> Member:
    return Member(
        subject.name,
        subject.objective,
        subject.space,
        _rate(subject),
        subject.prior,
        subject.incumbent,
        subject.baseline,
    )


def _notes(
    found: Together,
    joint: JointTuner,
    subjects: Sequence[Subject],
    histories: Mapping[str, History],
) -> list[str]:
    percentiles = {subject.name: subject.objective.percentile for subject in subjects}
    parts = [
        f"{name} {show_figure(outcome.throughput_per_s)}/s at p{percentiles[name]:g} "
        f"{show_duration(float(f'{outcome.latency_s:.3g}'))}"
        for name, outcome in found.outcomes.items()
    ]
    notes = [f"side by side at their rates, by simulation: {', '.join(parts)}"]
    if found.feasible:
        return notes
    notes.append(f"side by side {found.worst} is expected to miss its goal")
    moved = joint.moved(histories)
    if moved is not None:
        listed = ", ".join(f"{name} {cores}" for name, cores in sorted(moved.items()))
        notes.append(
            f"other shares of the cores are expected to help ({listed}): state them by "
            "`instances` and `threads` in tritongen.yaml and tune again"
        )
    else:
        notes.append("no other split of the cores is expected to help: give the target more")
    return notes
