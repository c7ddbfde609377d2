"""Makes models servable, batchable and cheaper, each step proven or measured."""

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.cores import budget_of
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Severity, finding
from tritongen.model.intent import DEFAULT_MAX_DROP, AccuracyIntent, Metric, ModelIntent
from tritongen.optimize.child_jobs import ChildJob, DataSource, Gate, TargetRuntime
from tritongen.optimize.isa import Isa, named_isa, parse_cpuinfo
from tritongen.optimize.libraries import FIX
from tritongen.optimize.one_model import OptimizedModel, optimize_model
from tritongen.optimize.optimization import Optimization
from tritongen.optimize.optimize_options import OptimizeOptions
from tritongen.repository.project import Project
from tritongen.repository.stored_variants import new_staging
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
                        progress,
                    )
                )
                if facts.format is ModelFormat.ONNX
                else _foreign(facts)
                for facts, intent in _wanted(project)
            )
    finally:
        _remove(staging)


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
        if not intent.skip:
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
    if data:
        path = Path.cwd() / data
        return DataSource(str(path), labels=accuracy.labels)
    if not accuracy.data:
        return None
    path = (project.root / accuracy.data).resolve()
    if ":" in accuracy.data and not path.exists():
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
