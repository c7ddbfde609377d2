"""`export`: a built repository and a plan of machines become deployment files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tritongen.errors import InvalidInputError, describe_error
from tritongen.fleet.export.deployment import Deployment
from tritongen.fleet.export.deployment_from_repository import (
    ExportMode,
    ExportRequest,
    make_deployment,
    repository_lock,
)
from tritongen.fleet.export.export_target import ExportFile
from tritongen.fleet.export.planned_deployment import on_azure_machine, planned_deployment
from tritongen.fleet.export.targets import TARGETS
from tritongen.fleet.plan_fleet import known_intent
from tritongen.model.findings import Finding, Severity, finding
from tritongen.repository.compare import (
    Difference,
    DifferenceKind,
    kept_names,
    kept_texts,
    kind_of_change,
    read_text,
    refuse_conflicts,
)
from tritongen.repository.render_repository import digest
from tritongen.repository.write_repository import (
    RepositoryChange,
    TextFile,
    apply_change,
    build_lock,
    recover,
    refuse_file_in_the_way,
)

MANIFEST = "tritongen-export.json"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What an export found and did.

    Attributes:
        deployment: what is deployed.
        files: every file.
        differences: between the folder on disk and these files.
        findings: on plan, repository and files.
        written: whether the folder was changed.
    """

    deployment: Deployment
    files: tuple[ExportFile, ...]
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]
    written: bool


def export(request: ExportRequest) -> ExportResult:
    """Render, check, compare, and write where the mode asks for it.

    Raises:
        InvalidInputError: TG751 unknown target, what `make_deployment` or the target refuses,
            TG702 or TG703 files that are not the tool's; nothing was written.
        EnvironmentProblem: TG004, TG005 the folder cannot be written, TG008 one writes it now.
    """
    if request.target not in TARGETS:
        raise InvalidInputError(
            "TG751", f"there is no target {request.target!r}; there are {', '.join(TARGETS)}"
        )
    output = request.output
    refuse_file_in_the_way(output)
    deployment, findings = _deployment(request)
    target = TARGETS[request.target]
    files = target.files(deployment)
    findings = (*findings, *target.findings(deployment))
    _refuse_broken(findings)
    with build_lock(output):
        recover(output)
        written = _manifest(output, request.target)
        differences = tuple(_differences(output, files, written, request.target))
        if request.mode is ExportMode.CHECK:
            findings = (*findings, *_drift(differences))
        done = False
        if request.mode is ExportMode.WRITE:
            refuse_conflicts(differences, request.force)
            done = _write(output, files, differences, request)
    return ExportResult(deployment, files, differences, findings, done)


def _deployment(request: ExportRequest) -> tuple[Deployment, tuple[Finding, ...]]:
    lock = repository_lock(request.repository)
    plan = planned_deployment(request.repository, request.plan, request.name, lock)
    if request.target == "azureml":
        plan = on_azure_machine(plan, lock)
    intent = known_intent(request.models)
    deployment, findings = make_deployment(intent, request, plan, lock)
    return deployment, (*plan.findings, *findings)


def _refuse_broken(findings: tuple[Finding, ...]) -> None:
    broken = [item for item in findings if item.severity is Severity.ERROR]
    if broken:
        first = broken[0]
        raise InvalidInputError(
            first.code,
            first.message,
            where=first.location.path or first.model,
            fix=first.fix,
            details=[
                f"{item.location.path or item.model}: {item.message} [{item.code}]"
                for item in broken[1:]
            ],
        )


def _manifest_text(target: str, files: tuple[ExportFile, ...]) -> str:
    document = {
        "schema_version": _SCHEMA,
        "target": target,
        "written": {item.path: digest(item.text.encode()) for item in files},
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _manifest(output: Path, target: str) -> dict[str, str]:
    """Digests of what was written here before, by path; empty when nothing was.

    Raises:
        InvalidInputError: TG704 it cannot be read or names files elsewhere, TG703 another target.
    """
    path = output / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        written = {str(name): str(sha) for name, sha in document["written"].items()}
        known, schema = document["target"], document["schema_version"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as problem:
        raise InvalidInputError(
            "TG704",
            f"no list of what `tritongen export` wrote: {describe_error(problem)}",
            where=str(path),
            fix="Restore it from version control, or export into another folder.",
        ) from problem
    if schema != _SCHEMA or any(_leaves(name) for name in written):
        raise InvalidInputError("TG704", "it names files elsewhere, or is newer", where=str(path))
    if known != target:
        raise InvalidInputError(
            "TG703",
            f"the folder holds an export for {known}",
            where=str(output),
            fix="Export into another folder.",
        )
    return written


def _leaves(name: str) -> bool:
    pure = PurePosixPath(name)
    return pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in name


def _differences(
    output: Path, files: tuple[ExportFile, ...], written: dict[str, str], target: str
) -> Iterator[Difference]:
    planned = {item.path: item.text for item in files}
    for path in sorted(planned.keys() | written.keys()):
        old, new = read_text(output / path), planned.get(path)
        if old is None:
            if new is not None:
                yield Difference(path, DifferenceKind.NEW, "", new)
        elif old != new:
            kind = kind_of_change(path, old, written)
            if new is None and kind is DifferenceKind.CHANGED:
                kind = DifferenceKind.REMOVED
            yield Difference(path, kind, old, new or "")
    old, new = read_text(output / MANIFEST), _manifest_text(target, files)
    if old != new:
        kind = DifferenceKind.NEW if old is None else DifferenceKind.CHANGED
        yield Difference(MANIFEST, kind, old or "", new)


def _drift(differences: tuple[Difference, ...]) -> Iterator[Finding]:
    if differences:
        first = differences[0]
        others = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
        message = f"{first.path}{others} would be written otherwise"
        fix = "Run `tritongen export` and commit the result."
        yield finding("TG701", Severity.ERROR, message, fix=fix, path=first.path)


def _write(
    output: Path,
    files: tuple[ExportFile, ...],
    differences: tuple[Difference, ...],
    request: ExportRequest,
) -> bool:
    if not differences:
        return False
    changed = {item.path for item in differences}
    edited = [item.path for item in differences if item.kind is DifferenceKind.HAND_EDIT]
    planned = {item.path for item in files}
    texts = [
        *kept_texts(output, kept_names(output, edited)),
        *(TextFile(item.path, item.text.encode()) for item in files if item.path in changed),
        # Last: a folder whose list is new is new as a whole.
        TextFile(MANIFEST, _manifest_text(request.target, files).encode()),
    ]
    gone = tuple(item.path for item in differences if item.path not in {*planned, MANIFEST})
    apply_change(output, RepositoryChange(texts=tuple(texts), removals=gone))
    return True
