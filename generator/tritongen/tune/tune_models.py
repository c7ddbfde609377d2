"""`tune`: the best configuration for the user's goal, measured on a private Triton."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.planner import model_inputs
from tritongen.repository.gather_evidence import Gathered, gather_evidence, trial_policy
from tritongen.repository.project import Project
from tritongen.system.machine import read_cpus
from tritongen.tune.co_location_forecast import side_by_side
from tritongen.tune.record import record
from tritongen.tune.search.objective import parse_goal
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tune_progress import Listener
from tritongen.tune.tune_result import TunedModel, TuneReport
from tritongen.tune.tuned_model import Subject, make_subject
from tritongen.tune.tuning_run import MIN_BUDGET_S, TuningRun

# Fields of ModelConfig that candidates differ in.
_SEARCHED = frozenset({"instance_group", "max_batch_size", "dynamic_batching", "parameters"})


def tune(
    folder: Path, project: Project, options: TuneOptions, listener: Listener | None = None
) -> TuneReport:
    """Tune models, keep what was found, and report it.

    Args:
        folder: of the project, where journals lie.
        project: models, intent and lock.
        options: how.
        listener: told of every step.

    Raises:
        InvalidInputError: TG304, TG306, TG305, TG951: goal, model, cores or budget cannot be.
        EnvironmentProblem: the server cannot be started, or another run tunes here (TG008).
    """
    told, begun = listener or Listener(), time.monotonic()
    _check(project, options)
    # What each model may be given: its space, today's configuration, and Triton's own.
    gathered = _evidence(project, options, told)
    subjects, notes = make_subjects(project, gathered, options)
    # Calibration, prediction, race, and the choice at rates; one model after the other.
    run = TuningRun(folder, project, options, told, subjects)
    with run.lock():
        results = run.run()
    # What was measured goes into the lock, which `build` reads.
    if any(result.best is not None for result in results):
        results = record(project, gathered.evidence, results, dry_run=options.dry_run)
    elif not run.interrupted:
        raise _nothing(results)
    cores = _cores(project, options)
    together, remarks = side_by_side(subjects, run.tuners, cores, options.seed)
    return TuneReport(
        models=results,
        wall_s=time.monotonic() - begun,
        runtime=run.runtime,
        server=run.version,
        machine=_machine(),
        cores=cores,
        notes=(*notes, *run.notes(), *remarks),
        together=together,
        interrupted=run.interrupted,
        seed=options.seed,
    )


def _check(project: Project, options: TuneOptions) -> None:
    if options.goal:
        parse_goal(options.goal)
    if options.budget_s < MIN_BUDGET_S:
        raise InvalidInputError(
            "TG951",
            f"{options.budget_s:g} s are not enough to start a server and measure anything on it",
        )
    names = [facts.name for facts in project.models]
    for name in options.models:
        if name not in names:
            raise InvalidInputError(
                "TG306",
                f"there is no model {name!r}; found: {', '.join(names)}",
                where=str(project.root),
            )


def _evidence(project: Project, options: TuneOptions, told: Listener) -> Gathered:
    """Evidence of the models to tune; of all where their shares of the cores depend on it."""
    if options.models and options.cpus is not None:
        chosen = tuple(facts for facts in project.models if facts.name in options.models)
        project = replace(project, models=chosen)
    policy = trial_policy(run=True, timeout_s=options.trial_timeout_s)
    return gather_evidence(project, policy, lambda name: told.note(f"trying {name}"))


def _cores(project: Project, options: TuneOptions) -> int:
    """Whole cores of the container."""
    if options.cpus is None:
        return project.target().cores.value
    return max(1, int(options.cpus))


def make_subjects(
    project: Project, gathered: Gathered, options: TuneOptions
) -> tuple[tuple[Subject, ...], tuple[str, ...]]:
    """The models to tune, the heaviest first, and what there is to say about their cores.

    Raises:
        InvalidInputError: TG306, none of them can be served; TG305.
    """
    known = tuple(facts for facts in project.models if facts.name in gathered.evidence.models)
    shares = model_inputs(known, project.intent, gathered.evidence, _cores(project, options))
    here = len(os.sched_getaffinity(0))
    notes = []
    found = []
    for model, share in shares:
        name = model.facts.name
        if options.models and name not in options.models:
            continue
        if model.gpus and "GPU" in model.backend.kinds:
            notes.append(f"{name} is served on a GPU; tune measures on CPUs only")
            continue
        if model.intent.sequence is not None:
            notes.append(f"{name} keeps state between requests; tune measures independent ones")
            continue
        fixed = sorted(_SEARCHED & set(model.intent.overlay))
        if fixed:
            notes.append(
                f"{name}'s overlay fixes {', '.join(fixed)}: candidates differ only in the rest"
            )
        if share > here:
            notes.append(
                f"{name} has {share} cores on the target and was tuned on the {here} that are here"
            )
        evidence = gathered.evidence.models[name]
        found.append(make_subject(model, project.intent, evidence, min(share, here), options))
    missing = [name for name in options.models if name not in {item.name for item in found}]
    if missing or not found:
        raise InvalidInputError(
            "TG306",
            f"{missing[0] if missing else 'no model of the folder'} cannot be served, so there is "
            "nothing to tune",
            where=str(project.root),
            fix=f"See `tritongen inspect {project.root}`.",
            details=notes,
        )
    found.sort(key=lambda subject: (-subject.cores, subject.name))
    return tuple(found), tuple(notes)


def _nothing(results: Sequence[TunedModel]) -> EnvironmentProblem:
    """The error of a run in which nothing could be measured."""
    causes = [f"{result.name}: {note}" for result in results for note in result.notes]
    return EnvironmentProblem(
        "TG952",
        causes[0] if causes else "nothing was measured within the budget",
        details=causes[1:],
    )


def _machine() -> dict[str, object]:
    reading = read_cpus()
    return {
        "cpu": reading.model,
        "cores": reading.affinity,
        "system": f"{platform.system()} {platform.release()}",
    }
