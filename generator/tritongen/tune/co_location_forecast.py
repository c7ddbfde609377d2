"""What the chosen configurations are expected to do side by side in one container."""

from collections.abc import Mapping, Sequence

from tritongen.planner.context import show_figure
from tritongen.tune.search.co_location import CoLocation, CoLocationForecast
from tritongen.tune.search.objective import show_duration
from tritongen.tune.search.tuner import Tuner
from tritongen.tune.tuned_model import Subject


def side_by_side(
    subjects: Sequence[Subject], tuners: Mapping[str, Tuner], cores: int, seed: int
) -> tuple[CoLocationForecast | None, tuple[str, ...]]:
    """The prediction for all models at their rates, and what there is to say about it.

    Args:
        subjects: of one container.
        tuners: by model, with what was measured of each, alone on the server.
        cores: of the container.
        seed: of the simulations.

    Returns:
        None where fewer than two models have a rate and measurements.
    """
    measured = {name: tuner for name, tuner in tuners.items() if tuner.history}
    rates = {
        subject.name: rate
        for subject in subjects
        if subject.name in measured and (rate := _rate(subject)) is not None
    }
    if len(rates) < 2:
        return None, ()
    models = CoLocation(measured, rates, cores, seed)
    found = models.forecast()
    percentiles = {name: tuner.objective.percentile for name, tuner in measured.items()}
    parts = [
        f"{name} {show_figure(outcome.throughput_per_s)}/s at p{percentiles[name]:g} "
        f"{show_duration(float(f'{outcome.latency_s:.3g}'))}"
        for name, outcome in found.outcomes.items()
    ]
    notes = [f"side by side at their rates, by simulation: {', '.join(parts)}"]
    if not found.feasible:
        notes.append(f"side by side {found.worst} is expected to miss its goal")
        notes.append(_other_shares(models.moved(found)))
    return found, tuple(notes)


def _rate(subject: Subject) -> float | None:
    stated = subject.intent.of(subject.name).planning_rate
    return subject.objective.rate_per_s if subject.objective.rate_per_s is not None else stated


def _other_shares(moved: Mapping[str, int] | None) -> str:
    if moved is None:
        return "no other split of the cores is expected to help: give the target more"
    listed = ", ".join(f"{name} {cores}" for name, cores in sorted(moved.items()))
    return (
        f"other shares of the cores are expected to help ({listed}): state them by "
        "`instances` and `threads` in tritongen.yaml and tune again"
    )
