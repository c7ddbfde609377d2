"""`build` for programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from tritongen.api import arguments
from tritongen.api.arguments import DEFAULT_REPOSITORY, StrPath
from tritongen.api.code_notice import Notice, log_notice, telling
from tritongen.api.documents import findings_json, left_out_json
from tritongen.api.result import ApiResult
from tritongen.errors import ExitCode, InvalidInputError
from tritongen.model.codec import view
from tritongen.model.findings import Finding
from tritongen.model.intent import WeightsMode
from tritongen.model.progress import Progress, silent
from tritongen.repository import build as room
from tritongen.repository.gather_evidence import trial_policy
from tritongen.repository.lock_file import CONFIG_FILE, note_linted, note_placed
from tritongen.repository.project import Project, load_project, remember_models

_Mode = Literal["write", "check", "diff", "dry-run"]
_Weights = Literal["copy", "hardlink", "symlink", "none"]


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """How to build.

    Attributes:
        repository: to write.
        mode: ``write``; or, without writing, ``check`` for drift, ``diff`` to compare, or
            ``dry-run`` to plan.
        weights: how weights get into the repository: ``copy``, ``hardlink``, ``symlink`` or
            ``none``; what tritongen.yaml says when None.
        fix: make what cannot be served servable first.
        variants: to serve, by model; those of the lock where nothing is said.
        cpus: cores to plan for, over tritongen.yaml.
        trial: run the models that have no evidence; False plans them from syntax.
        untrusted: run no code of the folder.
        remeasure: run every model and read this machine anew.
        trial_timeout_s: of each model.
        trial_memory_bytes: of each model; by its size when None.
        strict: write nothing and raise where a model is left out.
        force: overwrite hand edits; they are kept as ``*.orig``.
    """

    repository: Path = DEFAULT_REPOSITORY
    mode: _Mode = "write"
    weights: _Weights | None = None
    fix: bool = False
    variants: Mapping[str, str] = field(default_factory=dict)
    cpus: float | None = None
    trial: bool = True
    untrusted: bool = False
    remeasure: bool = False
    trial_timeout_s: float = 60.0
    trial_memory_bytes: int | None = None
    strict: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class BuiltRepository(ApiResult):
    """What a build found and did.

    Attributes:
        result: plan, lock, differences and findings.
        mode: of the request.
    """

    result: room.BuildResult
    mode: _Mode = "write"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """On models, plan and files."""
        return self.result.findings

    @property
    def exit_code(self) -> ExitCode:
        """Whether a model is left out, or a check found drift."""
        found = (self.mode == "check" and self.result.drift) or self.result.left_out
        return ExitCode.FINDINGS if found else ExitCode.OK

    def _document(self) -> dict[str, object]:
        return _json(self.result)


def build(
    models: StrPath | None = None,
    request: BuildRequest | None = None,
    *,
    progress: Progress = silent,
    notice: Notice = log_notice,
) -> BuiltRepository:
    """Write the model repository.

    Args:
        models: folder of models, or one model file; what the repository was built from when None.
        request: how to build; as the command does without options when None.
        progress: told of each model that is run or fixed, and of the download of a runtime.
        notice: told once that code of the folder runs; logged by default.

    Raises:
        InvalidInputError: TG002 no such folder, TG009 the request, TG101 nothing can be served,
            TG150 something is left out under `strict`, TG240 no such variant, TG30x what
            tritongen.yaml says or where the repository lies, TG702 or TG703 files
            that are not the tool's; nothing was written.
        EnvironmentProblem: TG008 another build of this repository is at work; or the repository
            cannot be written, and is as it was.
    """
    request = request or BuildRequest()
    _check(request)
    root = arguments.models_path(models, request.repository)
    project = load_project(
        root,
        request.repository,
        cpus=request.cpus,
        weights=request.weights,
        without_files=request.mode in {"check", "diff"},
    )
    # In this order, so that what is fixed is told before what is tried.
    known, fixes = _fixed(project, request, progress) if request.fix else ({}, ())
    options = replace(_options(request, progress), variants={**known, **request.variants})
    result = room.build(project, options, telling(project, progress, notice))
    findings = tuple(dict.fromkeys((*fixes, *result.findings))) if request.fix else result.findings
    if request.mode == "write":
        remember_models(request.repository, root)
        note_linted(request.repository, result.lock, tuple(result.lock.folders))
        note_placed(request.repository, result.lock)
    return BuiltRepository(replace(result, findings=findings), request.mode)


def _check(request: BuildRequest) -> None:
    arguments.refuse_other("mode", request.mode, get_args(_Mode))
    arguments.refuse_other("weights", request.weights or "copy", list(WeightsMode))
    arguments.refuse_unless_positive(
        cpus=request.cpus,
        trial_timeout_s=request.trial_timeout_s,
        trial_memory_bytes=request.trial_memory_bytes,
    )
    if request.fix and request.mode != "write":
        raise InvalidInputError(
            "TG009",
            "--fix writes variants beside the models: it goes with none of --check, --diff and "
            "--dry-run",
            fix="Leave one out.",
        )


def _fixed(
    project: Project, request: BuildRequest, progress: Progress
) -> tuple[Mapping[str, str], tuple[Finding, ...]]:
    """Variants that fixes have made, and what is to be said of them."""
    from tritongen.optimize.child_jobs import ChildLimits
    from tritongen.optimize.optimize_models import OptimizeOptions, fix_models

    fixed = fix_models(
        project,
        OptimizeOptions(limits=ChildLimits(memory_bytes=request.trial_memory_bytes)),
        lambda text: progress(text, 0, 0),
        request.variants,
    )
    return fixed.variants, fixed.findings


def _options(request: BuildRequest, progress: Progress) -> room.BuildOptions:
    mode = room.BuildMode("dry-run" if request.mode == "diff" else request.mode)
    return room.BuildOptions(
        mode=mode,
        trial=trial_policy(
            run=request.trial and request.mode != "check",
            remeasure=request.remeasure,
            timeout_s=request.trial_timeout_s,
            memory_bytes=request.trial_memory_bytes,
            code=mode is room.BuildMode.WRITE and not request.untrusted,
            progress=progress,
        ),
        remeasure=request.remeasure,
        force=request.force,
        strict=request.strict,
    )


def _json(result: room.BuildResult) -> dict[str, object]:
    return {
        "written": result.written,
        "drift": result.drift and not result.written,
        "cores": result.plan.server.cores.value,
        "threads": result.threads,
        "models": [
            {
                "name": item.plan.name,
                "config": f"{item.plan.name}/{CONFIG_FILE}",
                "max_batch_size": item.max_batch_size,
                **view(item, "instances", "threads"),
                "dynamic_batching": item.batching,
                "variant": item.variant or None,
            }
            for item in result.models
        ],
        "refused": [{"name": name, "codes": codes} for name, codes in result.plan.refused],
        "left_out": left_out_json(result.left_out),
        "differences": [view(item, "path", "kind") for item in result.differences],
        "kept": [{"path": path, "as": name} for path, name in result.kept.items()],
        "findings": findings_json(result.findings),
    }
