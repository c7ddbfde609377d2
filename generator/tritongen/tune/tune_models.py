"""`tune`: the best configuration for the user's goal, measured on a private Triton and recorded."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.evidence import Evidence, ModelEvidence, Served, Tuned
from tritongen.model.lock import Lock, LockedModel, server_of
from tritongen.model.progress import silent
from tritongen.planner import left_out, model_inputs, plan_serving
from tritongen.planner.context import ModelInput
from tritongen.planner.engine_models import has_engine
from tritongen.repository.build import BuildMode, BuildOptions, build
from tritongen.repository.compare import DifferenceKind
from tritongen.repository.gather_evidence import Gathered, gather_evidence, trial_policy
from tritongen.repository.lock_file import lock_change
from tritongen.repository.project import Project
from tritongen.repository.render_repository import CONFIG_FILE, make_lock, outline, render_models
from tritongen.repository.write_repository import apply_change, build_lock, recover
from tritongen.system.machine import own_cpus, read_cpus
from tritongen.triton.server import RuntimeName
from tritongen.tune.search.co_location import side_by_side
from tritongen.tune.search.objective import parse_goal
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tune_result import TunedModel, TuneReport
from tritongen.tune.tuned_model import Subject, make_subject
from tritongen.tune.tuning_run import MIN_BUDGET_S, Listener, TuningRun

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
    # What each model may be given: its space, today's configuration, and the auto-completed one.
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
    rates = {one.name: rate for one in subjects if (rate := one.rate_per_s) is not None}
    together, remarks = side_by_side(run.tuners, rates, cores, options.seed)
    return TuneReport(
        models=results,
        wall_s=time.monotonic() - begun,
        runtime=run.server.runtime.value,
        server=run.server.version,
        machine=_machine(),
        cores=cores,
        notes=(*notes, *run.notes(), *remarks),
        together=together,
        interrupted=run.interrupted,
        seed=options.seed,
        left_out=tuple(
            item
            for item in left_out(project.models, project.intent, gathered.evidence)
            if not options.models or item.model in options.models
        ),
    )


def _check(project: Project, options: TuneOptions) -> None:
    for goal in {options.goal, *options.goals.values()} - {""}:
        parse_goal(goal)
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
    return gather_evidence(
        project,
        policy,
        lambda name, done, all_of: told.note(f"trying {name}, {done + 1} of {all_of}"),
    )


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
    cores, here = _cores(project, options), len(own_cpus())
    shares = model_inputs(known, project.intent, gathered.evidence, cores)
    notes = []
    found = []
    for model, share in shares:
        name = model.facts.name
        if options.models and name not in options.models:
            continue
        if why := _not_measured(model, options):
            notes.append(f"{name} {why}")
            continue
        fixed = sorted(_SEARCHED & set(model.intent.overlay))
        if fixed:
            notes.append(
                f"{name}'s overlay fixes {', '.join(fixed)}: candidates differ only in the rest"
            )
        if share > here and not model.on_gpu:
            notes.append(
                f"{name} has {share} cores on the target and was tuned on the {here} that are here"
            )
        evidence = gathered.evidence.models[name]
        used = min(cores if model.on_gpu else share, here)
        found.append(make_subject(model, project.intent, evidence, used, options))
    missing = [name for name in options.models if name not in {item.name for item in found}]
    unwanted = (name for name in missing if not project.intent.of(name).serve)
    notes += [f"{name} is not tuned: tritongen.yaml leaves it out on purpose" for name in unwanted]
    if not found:
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


def _not_measured(model: ModelInput, options: TuneOptions) -> str:
    """Why a model is none to tune; empty where it is one."""
    if has_engine(model.facts):
        return "is served by an engine or a pipeline of its own, which has its own settings"
    if model.on_gpu and options.runtime is not RuntimeName.DOCKER:
        return "is served on a GPU; `tune --runtime docker`, on a machine with one, measures it"
    if model.intent.sequence is not None:
        return "keeps state between requests; tune measures independent ones"
    return ""


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


def with_results(
    project: Project, evidence: Evidence, results: Sequence[TunedModel]
) -> tuple[Project, tuple[str, ...]]:
    """The project with a lock that holds what was measured, not written yet.

    Args:
        project: with the lock as it is now.
        evidence: gathered for this run.
        results: only those that were measured count.

    Returns:
        The project and the names of the models whose evidence is new.
    """
    fresh = _fresh_lock(project, evidence)
    base = project.lock if project.lock is not None else replace(fresh, written={})
    models = dict(base.models)
    changed = []
    cpu = read_cpus().model
    for result in results:
        if result.best is None or result.name not in fresh.models:
            continue
        known = models.get(result.name, fresh.models[result.name])
        gathered = evidence.models[result.name]
        if result.kept and _same_domain(known.evidence.tuned, result.tuned):
            continue
        if known.evidence.files != gathered.files:
            known = fresh.models[result.name]
        entry = tuned_evidence(gathered, known.evidence.served, result, cpu)
        models[result.name] = replace(known, evidence=entry)
        changed.append(result.name)
    return replace(project, lock=_with_models(base, models, changed, fresh)), tuple(changed)


def _with_models(
    base: Lock, models: Mapping[str, LockedModel], changed: Sequence[str], fresh: Lock
) -> Lock:
    """A lock with other models; where their tensors have other shapes they take other room.

    Args:
        base: the lock as it is.
        models: all that it is to hold.
        changed: names of those that are not as in `base`.
        fresh: what a build would write.
    """
    known = base.models
    other = [name for name in changed if _shapes(models[name]) != _shapes(known.get(name))]
    if not base.in_parts:
        room = None if other else base.server.shared_memory_bytes
        return replace(base, models=models, server=replace(base.server, shared_memory_bytes=room))
    # The next build finds out how much.
    new = (name for name in changed if name not in base.shares)
    unknown = {name: replace(fresh.shares[name], room_bytes=None) for name in (*other, *new)}
    shares = {**base.shares, **unknown}
    server = server_of(base.target.cores, models, shares)
    return replace(base, models=models, shares=shares, server=server)


def _same_domain(known: Tuned | None, now: Tuned) -> bool:
    """Whether what the lock says of a choice that stays holds for what was asked for now."""
    return known is None or (known.wanted, known.cores) == (now.wanted, now.cores)


def tuned_evidence(
    gathered: ModelEvidence, before: Served | None, result: TunedModel, cpu: str
) -> ModelEvidence:
    """A model's evidence with what tuning found.

    Args:
        gathered: for this run.
        before: times on a server as they are known, kept where this run gave none; their latencies
            at rates are of the choice of before, and go with it.
        result: of this run.
        cpu: name of the processor.
    """
    served = result.served(cpu)
    if served is None and before is not None:
        served = replace(before, rates=())
    return replace(gathered, tuned=result.tuned, served=served)


def _shapes(model: LockedModel | None) -> tuple[tuple[int, ...], ...]:
    """Of every tensor of a model's trial run."""
    trial = model.evidence.trial if model is not None else None
    return () if trial is None else tuple(item.shape for item in (*trial.inputs, *trial.outputs))


def _fresh_lock(project: Project, evidence: Evidence) -> Lock:
    target = project.target()
    known = tuple(facts for facts in project.models if facts.name in evidence.models)
    intent = replace(project.intent, pipelines={})
    plan = plan_serving(known, intent, evidence, target.cores)
    return make_lock(
        plan, map(outline, render_models(plan, known)), evidence, target, project.intent
    )


def record(
    project: Project, evidence: Evidence, results: Sequence[TunedModel], *, dry_run: bool
) -> tuple[TunedModel, ...]:
    """Puts results into the lock, in one step, and says what `build` would change.

    Args:
        project: whose repository is meant.
        evidence: gathered for this run.
        results: of this run.
        dry_run: write nothing.

    Raises:
        EnvironmentProblem: TG008 a build is at work, TG004 or TG005 the lock cannot be written;
            it is as it was.
    """
    if dry_run:
        return _with_diffs(with_results(project, evidence, results)[0], results, ())
    with build_lock(project.repository, timeout=10.0):
        recover(project.repository)
        current = project.refreshed()
        after, changed = with_results(current, evidence, results)
        if changed and after.lock != current.lock and after.lock is not None:
            apply_change(project.repository, lock_change(current.lock_texts, after.lock))
    return _with_diffs(after, results, changed)


def _with_diffs(
    project: Project, results: Sequence[TunedModel], recorded: Sequence[str]
) -> tuple[TunedModel, ...]:
    """Results with what `build` would write otherwise; nothing where it would refuse to."""
    options = BuildOptions(BuildMode.DRY_RUN, trial_policy(run=False))
    try:
        differences = build(project, options, silent).differences
    except InvalidInputError:
        differences = ()
    found = {
        item.path: item
        for item in differences
        if item.kind is not DifferenceKind.FOREIGN and not item.removes
    }
    told = []
    for result in results:
        item = found.get(f"{result.name}/{CONFIG_FILE}")
        told.append(
            replace(
                result,
                diff=tuple(item.diff()) if item is not None else (),
                new=item is not None and item.kind is DifferenceKind.NEW,
                recorded=result.name in recorded,
            )
        )
    return tuple(told)
