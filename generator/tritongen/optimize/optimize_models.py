"""Makes models servable, batchable and cheaper, each step proven or measured."""

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.cores import budget_of
from tritongen.model.evidence import Evidence, ModelEvidence
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import DEFAULT_MAX_DROP, AccuracyIntent, Metric, ModelIntent
from tritongen.model.variants import FIXED, Variant, fixes_for
from tritongen.optimize.child_jobs import ChildJob, DataSource, Gate, TargetRuntime
from tritongen.optimize.isa import Isa, named_isa, parse_cpuinfo
from tritongen.optimize.libraries import FIX
from tritongen.optimize.one_model import OptimizedModel, optimize_model
from tritongen.optimize.optimization import Optimization, OptimizeOptions
from tritongen.planner.trial_findings import trial_findings
from tritongen.repository.project import Project
from tritongen.repository.stored_variants import find_variant, layout_question, new_staging
from tritongen.system.machine import cpu_info, read_cpus
from tritongen.system.user_cache import folder_lock

__all__ = ["OptimizeOptions", "OptimizedModel", "optimize"]

Progress = Callable[[str], None]


def optimize(
    project: Project, options: OptimizeOptions, progress: Progress
) -> tuple[OptimizedModel, ...]:
    """Optimise every model of the project that is ONNX; the originals are never changed.

    Args:
        project: with the models that are wanted.
        options: what to do.
        progress: told of each piece of work.

    Raises:
        InvalidInputError: the samples, the metric or an option cannot be used; nothing was kept of
            that model. TG149, tritongen.yaml names functions, which may not run.
        EnvironmentProblem: TG006 a package is missing; TG004, TG005 the models folder cannot be
            written; TG008 another run is at work.
    """
    _require_packages()
    if not options.code and (code := named_code(project, options.data)):
        where = ", ".join(sorted(code))
        raise InvalidInputError("TG149", "optimising calls functions of the folder", where=where)
    isa = named_isa(options.isa, parse_cpuinfo(cpu_info()))
    wanted = tuple(_wanted(project))
    staging = new_staging(project.root, "run")
    try:
        with folder_lock(project.root, "optimising the models of this folder"):
            return tuple(
                optimize_model(
                    Optimization(
                        project,
                        facts,
                        intent,
                        options,
                        staging,
                        _job(project, options, intent, isa),
                        _counted(progress, number, len(wanted)),
                    )
                )
                if facts.format is ModelFormat.ONNX
                else _foreign(facts)
                for number, (facts, intent) in enumerate(wanted, 1)
            )
    finally:
        _remove(staging)


def _counted(progress: Progress, number: int, total: int) -> Progress:
    return progress if total == 1 else lambda text: progress(f"[{number}/{total}] {text}")


def _job(project: Project, options: OptimizeOptions, intent: ModelIntent, isa: Isa) -> ChildJob:
    """What holds for every piece of work on one model."""
    return ChildJob(
        runtime=_runtime(project),
        isa=isa,
        threads=min(project.target().cores.value, budget_of(read_cpus()).value),
        gpu=project.intent.target.gpus > 0,
        string_labels=options.string_labels,
        batch=intent.batch,
        gate=_gate(project, options, intent),
        data=_data_source(project, options.data, intent.accuracy),
        time_budget_s=options.budget_s,
    )


def _require_packages() -> None:
    for name in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            raise EnvironmentProblem("TG006", f"optimising needs the package {name}", fix=FIX)


def _wanted(project: Project) -> Iterator[tuple[ModelFacts, ModelIntent]]:
    for facts in project.models:
        intent = project.intent.of(facts.name)
        if intent.serve:
            yield facts, intent


def _foreign(facts: ModelFacts) -> OptimizedModel:
    message = f"the format {facts.format.value} cannot be rewritten"
    item = finding("TG211", Severity.INFO, message, model=facts.name, path=facts.path)
    return OptimizedModel(facts.name, findings=(item,))


def _runtime(project: Project) -> TargetRuntime:
    release = project.release
    own = importlib.metadata.version("onnxruntime")
    return TargetRuntime(
        name=f"ONNX Runtime {release.onnxruntime} of Triton {release.tag}",
        ir=release.onnx_ir,
        opset=release.onnx_opset,
        ml_opset=release.onnx_ml_opset,
        older=_numbers(release.onnxruntime) < _numbers(own),
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def named_code(project: Project, data: str) -> frozenset[str]:
    """Functions that tritongen.yaml names and that optimising calls.

    Args:
        project: with the models that are wanted.
        data: samples that stand in for `accuracy.data`; empty without.
    """
    found = set()
    for _, intent in _wanted(project):
        found.add(intent.accuracy.function)
        source = _data_source(project, data, intent.accuracy)
        found.add(source.function if source is not None else "")
    return frozenset(found - {""})


def _gate(project: Project, options: OptimizeOptions, intent: ModelIntent) -> Gate:
    if options.metric and options.metric not in set(Metric):
        raise InvalidInputError("TG304", f"{options.metric!r} is no metric", where="--metric")
    drops = (options.max_drop, intent.accuracy_drop, DEFAULT_MAX_DROP)
    return Gate(
        metric=options.metric or intent.accuracy.metric,
        function="" if options.metric else intent.accuracy.function,
        folders=_folders(project),
        max_drop=next(drop for drop in drops if drop is not None),
        output=intent.accuracy.output,
    )


def _data_source(project: Project, data: str, accuracy: AccuracyIntent) -> DataSource | None:
    """Where the samples are: the option's path, else what tritongen.yaml names."""
    path = Path.cwd() / data if data else (project.root / accuracy.data).resolve()
    if not data and not accuracy.data:
        return None
    if not data and ":" in accuracy.data and not path.exists():
        folders = _folders(project)
        return DataSource(function=accuracy.data, folders=folders, labels=accuracy.labels)
    return DataSource(str(path), labels=accuracy.labels)


def _folders(project: Project) -> tuple[str, ...]:
    """Where callables of tritongen.yaml are looked for: beside it, then in the current folder."""
    return (str(project.root.resolve()), str(Path.cwd()))


def _remove(staging: Path) -> None:
    shutil.rmtree(staging, ignore_errors=True)
    base = staging.parent
    if base.is_dir() and not any(base.iterdir()):
        base.rmdir()


@dataclass(frozen=True, slots=True)
class FixedModels:
    """What came of the fixes.

    Attributes:
        variants: to serve, by model.
        findings: on models that could not be fixed, or only in part.
    """

    variants: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def fix_models(
    project: Project, options: OptimizeOptions, progress: Progress, decided: Collection[str] = ()
) -> FixedModels:
    """Fix the ONNX models with findings that a fix may remove; those fixed before stay as they are.

    Args:
        project: with the originals.
        options: limits, and how text labels are served.
        progress: told of each piece of work.
        decided: models whose variant the user named.

    Raises:
        InvalidInputError, EnvironmentProblem: as `optimize`.
    """
    known = project.lock.evidence if project.lock is not None else Evidence()
    done: dict[str, Variant] = {}
    todo: list[ModelFacts] = []
    for facts in project.models:
        if facts.format is not ModelFormat.ONNX or not project.intent.of(facts.name).serve:
            continue
        if (variant := _fixed(project, facts)) is not None:
            done[facts.name] = variant
        elif _needs_fixing(facts, known.models.get(facts.name)):
            todo.append(facts)
    findings: list[Finding] = []
    if todo:
        chosen = replace(options, fix=True, quantize=False, graph=False, accelerate=False)
        fixed = optimize(replace(project, models=tuple(todo)), chosen, progress)
        done |= {item.name: one for item in fixed for one in item.variants if one.name == FIXED}
        findings += (entry for item in fixed for entry in item.findings)
    questions = _questions(project, done, {*decided, *_moved_before(known)})
    taken = {name: FIXED for name in done if name not in questions}
    return FixedModels(taken, (*findings, *questions.values()))


def _questions(
    project: Project, fixed: Mapping[str, Variant], decided: Collection[str]
) -> dict[str, Finding]:
    """The fixes that wait for the user's word, by model."""
    found = {
        name: layout_question(project, variant)
        for name, variant in fixed.items()
        if name not in decided
    }
    return {name: question for name, question in found.items() if question is not None}


def _moved_before(known: Evidence) -> set[str]:
    """Models that the lock serves with another layout."""
    variants = {name: one.variant for name, one in known.models.items()}
    return {name for name, variant in variants.items() if variant is not None and variant.moved}


def _fixed(project: Project, facts: ModelFacts) -> Variant | None:
    """The fixed variant of this very original, where one is at hand."""
    try:
        return find_variant(project, facts, FIXED)
    except InvalidInputError:
        return None


def _needs_fixing(facts: ModelFacts, known: ModelEvidence | None) -> bool:
    """Whether a finding on the file, or of its trial, may be fixed; true while it is untried."""
    if known is None or known.trial is None:
        return True
    remarks = trial_findings(facts.name, known.trial) if known.variant is None else ()
    return any(fixes_for(item.code) for item in (*facts.findings, *remarks))
