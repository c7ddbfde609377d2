"""What tuning leaves in `tritongen.lock`, and what that changes in the repository."""

from collections.abc import Sequence
from dataclasses import replace

from tritongen.errors import InvalidInputError
from tritongen.model.evidence import Evidence, ModelEvidence, Served
from tritongen.model.lock import LOCK_FILE, Lock, LockedModel, lock_text
from tritongen.planner import plan_serving
from tritongen.repository.build import BuildMode, BuildOptions, build
from tritongen.repository.compare import DifferenceKind
from tritongen.repository.gather_evidence import trial_policy
from tritongen.repository.project import Project
from tritongen.repository.render_repository import CONFIG_FILE, make_lock, outline, render_models
from tritongen.repository.write_repository import build_lock, recover
from tritongen.system.files import translated, write_atomic
from tritongen.system.machine import read_cpus
from tritongen.tune.tune_result import TunedModel


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
        if known.evidence.files != gathered.files:
            known = fresh.models[result.name]
        entry = tuned_evidence(gathered, known.evidence.served, result, cpu)
        models[result.name] = replace(known, evidence=entry)
        changed.append(result.name)
    server = base.server
    if any(_shapes(models[name]) != _shapes(base.models.get(name)) for name in changed):
        # Other shapes take other room; the next build finds out how much.
        server = replace(server, shared_memory_bytes=None)
    lock = replace(base, models=models, server=server)
    return replace(project, lock=lock, lock_text=lock_text(lock)), tuple(changed)


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
        after, changed = with_results(project, evidence, results)
        return _with_diffs(after, results, changed, recorded=False)
    with build_lock(project.repository, timeout=10.0):
        recover(project.repository)
        current = project.refreshed()
        after, changed = with_results(current, evidence, results)
        if changed and after.lock_text != current.lock_text:
            with translated(project.repository):
                project.repository.mkdir(parents=True, exist_ok=True)
            write_atomic(project.repository / LOCK_FILE, (after.lock_text or "").encode())
    return _with_diffs(after, results, changed, recorded=True)


def _with_diffs(
    project: Project, results: Sequence[TunedModel], changed: Sequence[str], *, recorded: bool
) -> tuple[TunedModel, ...]:
    """Results with what `build` would write otherwise; nothing where it would refuse to."""
    options = BuildOptions(BuildMode.DRY_RUN, trial_policy(run=False))
    try:
        differences = build(project, options, lambda _: None).differences
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
                recorded=recorded and result.name in changed,
            )
        )
    return tuple(told)
