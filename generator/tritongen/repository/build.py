"""The main job: a models folder becomes a model repository."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.model.evidence import Evidence
from tritongen.model.findings import Finding, Location, Severity, finding
from tritongen.model.lock import Lock
from tritongen.model.progress import Progress
from tritongen.model.serving_plan import InstanceKind, ServingPlan
from tritongen.planner import left_out, plan_serving
from tritongen.repository.check import Survey, Texts, survey_texts
from tritongen.repository.compare import (
    Difference,
    DifferenceKind,
    compare,
    kept_before,
    kept_names,
    kept_texts,
    refuse_conflicts,
)
from tritongen.repository.gather_evidence import Gathered, TrialPolicy, gather_evidence
from tritongen.repository.lock_file import CONFIG_FILE, is_of_lock, lock_change
from tritongen.repository.project import CpuBudget, Project
from tritongen.repository.render_repository import Outline, make_lock
from tritongen.repository.stored_variants import with_selection
from tritongen.repository.write_repository import (
    RepositoryChange,
    TextFile,
    WeightFile,
    apply_change,
    build_lock,
    recover,
    refuse_file_in_the_way,
    tidy,
)

# That a lock in one file was moved into one a model.
LOCK_MOVED = "TG712"
_TEXTS = frozenset({DifferenceKind.NEW, DifferenceKind.CHANGED, DifferenceKind.HAND_EDIT})


class BuildMode(StrEnum):
    """What to do with the result."""

    WRITE = "write"
    CHECK = "check"
    DRY_RUN = "dry-run"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build.

    Attributes:
        mode: write, only compare, or only show.
        trial: when models are run.
        remeasure: read this machine's cores again.
        force: overwrite hand edits, keeping them beside as ``*.orig``.
        variants: to serve, by model; those of the lock where nothing is said.
        strict: raise where a model or pipeline is left out.
    """

    mode: BuildMode
    trial: TrialPolicy
    remeasure: bool = False
    force: bool = False
    variants: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build found and did.

    Attributes:
        plan: of the server.
        models: outlines of their configurations.
        lock: to be committed with it.
        differences: between the repository on disk and the plan.
        findings: on models, plan and files.
        written: whether the repository was changed.
        kept: names under which hand edits are kept, by path; as long as nothing is written, under
            which they would be.
        left_out: the first error of every model and pipeline that is not served, without those
            left out on purpose.
    """

    plan: ServingPlan
    models: tuple[Outline, ...]
    lock: Lock
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]
    written: bool
    kept: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[Finding, ...] = ()

    @property
    def threads(self) -> int:
        """Threads of all CPU instances together, as written."""
        on_cpu = (item for item in self.models if item.plan.kind.value is InstanceKind.CPU)
        return sum(item.instances * item.threads for item in on_cpu)

    @property
    def drift(self) -> bool:
        """Whether a committed file is not what would be written."""
        return bool(_drifted(self.differences))

    @property
    def dropped(self) -> tuple[str, ...]:
        """Models that the repository held and that can no longer be served; never in silence."""
        removed = {item.path for item in self.differences if item.removes}
        return tuple(name for name, _ in self.plan.refused if f"{name}/{CONFIG_FILE}" in removed)


def build(project: Project, options: BuildOptions, progress: Progress) -> BuildResult:
    """Plan, render, compare, and write where the mode asks for it.

    Raises:
        InvalidInputError: TG101 nothing can be served, TG002 the repository is a file or lies in
            one, TG305 it would hold the models folder, TG150 something is left out, TG702 or TG703
            files that are not the tool's, or a plan that Triton would refuse; nothing was written.
        EnvironmentProblem: TG008 another build of this repository is at work; or the repository
            cannot be written, and is as it was.
    """
    refuse_file_in_the_way(project.repository)
    _refuse_overlap(project)
    if options.mode is not BuildMode.WRITE:
        return _build(project, options, progress)
    # Held from the first trial on: two builds at once would disturb each other's measurements.
    with build_lock(project.repository):
        recover(project.repository)
        return _build(project.refreshed(), options, progress)


def _refuse_overlap(project: Project) -> None:
    """A repository that holds the models folder, or models that this build does not know."""
    if project.root.resolve().is_relative_to(project.repository.resolve()):
        raise InvalidInputError(
            "TG305",
            f"the models folder {project.root} would lie in the repository",
            where=str(project.repository),
            fix="Name another folder with -o, such as model_repository.",
        )
    held = project.lock.models if project.lock is not None and project.alone else {}
    others = sorted(set(held) - {facts.name for facts in project.models})
    if others:
        raise InvalidInputError(
            "TG305",
            f"it holds other models, which a build of one file would remove: {', '.join(others)}",
            where=str(project.repository),
            fix=f"Build {project.root} as a whole, or name another folder with -o.",
        )


def _build(project: Project, options: BuildOptions, progress: Progress) -> BuildResult:
    project = with_selection(project, options.variants)
    gathered = gather_evidence(project, options.trial, progress)
    target = project.target(remeasure=options.remeasure)
    planned = _planned(project, gathered, target)
    if options.strict:
        _refuse_left_out(project, planned.left_out)
    plan, found = planned.plan, planned.found
    lock = _lock(project, plan, found, gathered.evidence, target, options.mode)
    differences = compare(project, found.differences, lock)
    told = (*gathered.findings, *_findings(project, plan), *found.findings)
    # What inspection finds in the file of an engine, the linter finds as well.
    findings = tuple(dict.fromkeys(told))
    if _is_moved(project, lock):
        findings += (finding(LOCK_MOVED, Severity.INFO, "the lock is now one file a model"),)
    if options.mode is BuildMode.CHECK:
        findings += (*_drift_findings(differences), *gathered.lost)
    written, kept = False, _kept(project, lock, differences)
    if options.mode is BuildMode.WRITE:
        refuse_conflicts(differences, options.force, project.repository)
        written = _write(project, planned.texts, lock, differences, kept)
    return BuildResult(
        plan, found.models, lock, differences, findings, written, kept, planned.left_out
    )


@dataclass(frozen=True, slots=True)
class _PlannedTexts:
    """A plan without errors, its texts, what they hold, and what is left out of it."""

    plan: ServingPlan
    texts: Texts
    found: Survey
    left_out: tuple[Finding, ...]


def _planned(project: Project, gathered: Gathered, target: CpuBudget) -> _PlannedTexts:
    """The plan of all that can be served; a model or pipeline with an error is left out of it.

    Raises:
        InvalidInputError: nothing is left, or the fault lies in all of them together.
    """
    faults: tuple[Finding, ...] = ()
    while True:
        plan = plan_serving(project.models, project.intent, gathered.evidence, target.cores, faults)
        _refuse_unusable(project, plan, gathered.findings)
        texts = Texts(project, plan)
        found = survey_texts(project, plan, texts, gathered.evidence)
        errors = _errors(_findings(project, plan), found)
        models = {item.plan.name for item in found.models}
        # What is wrong with a pipeline may follow from one of its models.
        own = [item for item in errors if item.model in models]
        own = own or [item for item in errors if item.model]
        if not own:
            _refuse_broken(errors)
            lost = [item for item in plan.findings if item.model in project.intent.pipelines]
            unservable = left_out(project.models, project.intent, gathered.evidence)
            first = {item.model: item for item in reversed([*faults, *unservable, *lost])}
            return _PlannedTexts(plan, texts, found, tuple(first[name] for name in sorted(first)))
        # Without them the others have more cores, and may be planned otherwise. No text of theirs
        # is written that a line could be named of.
        faults += tuple(replace(item, location=Location(field=item.location.field)) for item in own)


def _refuse_left_out(project: Project, left: Sequence[Finding]) -> None:
    if left:
        names = ", ".join(item.model for item in left)
        raise InvalidInputError(
            "TG150",
            f"left out under --strict: {names}",
            where=str(project.root),
            details=[item.in_words for item in left],
        )


def _refuse_unusable(project: Project, plan: ServingPlan, held: Sequence[Finding]) -> None:
    if plan.models or not project.models:
        return
    errors = [
        item
        for model in project.models
        for item in (*model.findings, *(f for f in plan.findings if f.model == model.name))
        if item.severity is Severity.ERROR
    ]
    raise InvalidInputError(
        "TG101",
        "no model in the folder can be served",
        where=str(project.root),
        fix=errors[0].fix if len(errors) == 1 else "Follow the fix that stands beside each fault.",
        details=[item.in_words for item in (*held, *errors)],
    )


def _errors(known: tuple[Finding, ...], found: Survey) -> list[Finding]:
    """Errors of what would be written; those of refused models are only told."""
    planned = {"", *found.names}
    errors = [item for item in known if _is_error(item, planned)]
    # What is wrong with the text of a model whose plan is wrong follows from that.
    told = {item.model for item in errors}
    errors += [item for item in found.findings if _is_error(item, planned - told)]
    return [_of_the_overlay(item) if item.code == "TG531" else item for item in errors]


def _is_error(item: Finding, names: Collection[str]) -> bool:
    return item.severity is Severity.ERROR and item.model in names


def _of_the_overlay(item: Finding) -> Finding:
    """The planner obeys the thread rule by itself; only an overlay can break it."""
    return finding("TG313", item.severity, item.message, model=item.model)


def _refuse_broken(errors: Sequence[Finding]) -> None:
    """Errors that no single model is to blame for."""
    if not errors:
        return
    first, *others = errors
    details = [f"{item.message} [{item.code}]" for item in others]
    raise InvalidInputError(first.code, first.message, fix=first.fix, details=details)


def _findings(project: Project, plan: ServingPlan) -> tuple[Finding, ...]:
    return (
        *project.findings,
        *(
            replace(item, model=model.name)
            for model in project.models
            if project.intent.of(model.name).serve
            for item in model.findings
        ),
        *plan.findings,
        *(item for model in plan.models for item in model.findings),
    )


def _drifted(differences: tuple[Difference, ...]) -> list[Difference]:
    """Committed files that are not what would be written."""
    return [item for item in differences if item.kind.is_drift]


def _drift_findings(differences: tuple[Difference, ...]) -> Iterator[Finding]:
    """What `--check` has to say beyond the plan."""
    drifted = _drifted(differences)
    if drifted:
        others = f" and {len(drifted) - 1} more" if len(drifted) > 1 else ""
        message = f"{drifted[0].path}{others} would be written otherwise"
        yield finding("TG701", Severity.ERROR, message, path=drifted[0].path)


def _lock(
    project: Project,
    plan: ServingPlan,
    found: Survey,
    evidence: Evidence,
    target: CpuBudget,
    mode: BuildMode,
) -> Lock:
    lock = make_lock(plan, found.models, evidence, target, project.intent, found.ensembles)
    old = project.lock
    if old is None:
        return lock
    # A newer tool that decides the same leaves the committed lock as it is, but for its form.
    same = replace(lock, tool=old.tool)
    known = old == same or (old in same.as_older() and mode is not BuildMode.WRITE)
    return old if known else lock


def _is_moved(project: Project, lock: Lock) -> bool:
    """Whether a lock that lay in one file goes into one file a model."""
    return project.lock is not None and not project.lock.in_parts and lock.in_parts


def _kept(project: Project, lock: Lock, differences: tuple[Difference, ...]) -> dict[str, str]:
    """Names of hand edits, those of earlier builds included where their model is gone."""
    old = project.lock.written if project.lock is not None else {}
    models = [{path.partition("/")[0] for path in paths} for paths in (old, lock.written)]
    gone = models[0] - models[1]
    edits = [item.path for item in differences if item.kind is DifferenceKind.HAND_EDIT]
    return kept_names(
        project.repository, (*kept_before(project.repository, old, gone), *edits), gone
    )


def _write(
    project: Project,
    texts: Texts,
    lock: Lock,
    differences: tuple[Difference, ...],
    kept: Mapping[str, str],
) -> bool:
    tidy(project.repository)
    if not differences:
        return False
    planned = {item.path for item in differences if not item.removes}
    change = RepositoryChange(
        texts=chain(
            kept_texts(project.repository, kept),
            _changed_texts(project, texts, lock, differences),
        ),
        weights=tuple(_weights(project, differences)),
        removals=(
            *(item.path for item in differences if item.kind is DifferenceKind.REMOVED),
            *(path for path in kept if path not in planned),
        ),
    )
    apply_change(project.repository, change)
    return True


def _changed_texts(
    project: Project, texts: Texts, lock: Lock, differences: tuple[Difference, ...]
) -> Iterator[TextFile]:
    """What is to be written, rendered one after the other while it is written."""
    for item in differences:
        if item.kind in _TEXTS and not item.removes and not is_of_lock(item.path):
            yield TextFile(item.path, texts.of(item.path).encode())
    # The lock goes last: a repository whose lock is new is new as a whole.
    yield from lock_change(project.lock_texts, lock).texts


def _weights(project: Project, differences: tuple[Difference, ...]) -> list[WeightFile]:
    sources = {
        f"{model.name}/{version.number}/{ref.target}": project.root / ref.source
        for model in project.models
        for version in model.versions
        for ref in version.files
    } | {
        f"{model.name}/{ref.target}": project.root / ref.source
        for model in project.models
        for ref in model.beside
    }
    wanted = {
        DifferenceKind.WEIGHTS_ABSENT,
        DifferenceKind.WEIGHTS_OLD,
        DifferenceKind.WEIGHTS_FORM,
    }
    return [
        WeightFile(item.path, Path(sources[item.path]), project.intent.weights)
        for item in differences
        if item.kind in wanted
    ]
