"""What is known of the models of a folder or of a repository: facts, findings, the batch axis."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.formats import CandidateVersion, ModelCandidate, inspect_folder, inspect_model
from tritongen.model.declared_tensors import with_observed
from tritongen.model.evidence import (
    AxisProof,
    BatchVerdict,
    Evidence,
    Trial,
    runtime_version,
    with_refusal,
)
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Finding, Severity
from tritongen.model.lock import Lock, LockedModel
from tritongen.model.progress import Progress, silent
from tritongen.model.releases import Release
from tritongen.model.tensors import is_dynamic
from tritongen.model.variants import fixes_for
from tritongen.planner.trial_findings import trial_findings
from tritongen.repository.compare import file_digest
from tritongen.repository.project import Project, load_project

# Formats whose files leave inputs, outputs and batches to the backend.
_TOLD_LATER = frozenset(
    {ModelFormat.VLLM, ModelFormat.DALI, ModelFormat.DALI_PYTHON, ModelFormat.TEMPLATE}
)


@dataclass(frozen=True, slots=True)
class ApplicableFix:
    """A fix that `tritongen optimize --fix` tries for a finding.

    Attributes:
        code: of the finding.
        fix: its name.
        summary: what it does.
    """

    code: str
    fix: str
    summary: str


@dataclass(frozen=True, slots=True)
class InspectedModel:
    """One model as inspection reports it.

    Attributes:
        facts: from the file.
        batchable: whether axis 0 is taken for the batch axis.
        batch_reason: on what that rests.
        findings: on the file and from the trial.
        fixes: fixes of `tritongen optimize` for them, each once.
        trial: that all of it rests on, None where it was not run.
        target_runtime: version of what runs it in the target's release, empty where not known.
        wanted: False where tritongen.yaml leaves it out.
    """

    facts: ModelFacts
    batchable: bool
    batch_reason: str
    findings: tuple[Finding, ...]
    fixes: tuple[ApplicableFix, ...] = ()
    trial: Trial | None = None
    target_runtime: str = ""
    wanted: bool = True

    @property
    def axes(self) -> tuple[AxisProof, ...]:
        """Every dynamic axis of the inputs but the batch's; untested without a trial."""
        known = {(item.input, item.axis): item for item in self.trial.axes} if self.trial else {}
        coupled = self.trial is not None and self.trial.proof.verdict is BatchVerdict.COUPLED
        return tuple(
            known.get((spec.name, axis)) or AxisProof(spec.name, axis, str(dim or ""))
            for spec in self.facts.inputs
            for axis, dim in enumerate(spec.shape or ())
            if is_dynamic(dim) and not (axis == 0 and (self.batchable or coupled))
        )

    @property
    def evidence(self) -> dict[str, object] | None:
        """What the trial was run on, for JSON."""
        if self.trial is None:
            return None
        runtime, _, version = self.trial.runtime.rpartition(" ")
        return {
            "runtime": runtime,
            "runtime_version": version,
            "target_runtime_version": self.target_runtime,
            "device": "cpu",
            "samples": "declared" if self.trial.on_samples else "made-up",
            "rows_tried": self.trial.proof.rows,
        }


@dataclass(frozen=True, slots=True)
class InspectionResult:
    """Every model, and what is to say of the folder."""

    models: tuple[InspectedModel, ...]
    findings: tuple[Finding, ...]


def inspect_models(
    root: Path,
    repository: Path,
    *,
    trial: bool,
    code: bool = True,
    progress: Callable[[Project], Progress] = lambda _project: silent,
    download: Progress = silent,
) -> InspectionResult:
    """Inspect a folder.

    Args:
        root: the models folder.
        repository: whose lock may hold evidence for the same bytes.
        trial: whether to run the models that have no evidence.
        code: whether models that are programs are among them.
        progress: from the project, what is told of each model that is run.
        download: told of the download of a runtime.

    Raises:
        InvalidInputError: the folder or its `tritongen.yaml` cannot be used.
    """
    project = load_project(root, repository)
    evidence, faults = Evidence(), tuple[Finding, ...]()
    if trial or project.lock is not None:
        from tritongen.repository.gather_evidence import gather_evidence, trial_policy

        policy = trial_policy(run=trial, code=code, progress=download)
        gathered = gather_evidence(project, policy, progress(project))
        evidence, faults = gathered.evidence, (*gathered.runtimes, *gathered.faults)
    models = (
        inspected(
            facts,
            evidence.models[facts.name].trial if facts.name in evidence.models else None,
            project.release,
            project.intent.target.gpus,
        )
        for facts in project.models
    )
    told = tuple(
        item if project.intent.of(item.facts.name).serve else _unwanted(item) for item in models
    )
    return InspectionResult(told, (*project.findings, *faults))


def _unwanted(item: InspectedModel) -> InspectedModel:
    """A model that is left out on purpose: nothing about it is at fault."""
    findings = tuple(replace(one, severity=Severity.INFO) for one in item.findings)
    return replace(item, findings=findings, fixes=(), wanted=False)


def inspected(
    facts: ModelFacts, trial: Trial | None, release: Release, gpus: int = 0
) -> InspectedModel:
    """The verdict of one model: by proof where it was run, else by syntax, and it says which.

    Args:
        facts: from the file.
        trial: None when it was not run.
        release: the target Triton.
        gpus: number of GPUs of the target.
    """
    told = with_refusal(facts, trial, release, gpus)
    seen = trial if told is facts else None
    findings = told.findings
    if seen is not None:
        told = with_observed(told, seen)
        findings = (*told.findings, *trial_findings(facts.name, seen))
    target = runtime_version(release, facts.format)
    axis, fixes = _batch_axis(told, seen), _fixes(facts, findings)
    return InspectedModel(told, *axis, findings, fixes, trial, target)


def _fixes(facts: ModelFacts, findings: tuple[Finding, ...]) -> tuple[ApplicableFix, ...]:
    if facts.format is not ModelFormat.ONNX:
        return ()
    codes = dict.fromkeys(item.code for item in findings)
    return tuple(
        ApplicableFix(code, item.fix, item.summary) for code in codes for item in fixes_for(code)
    )


def _batch_axis(facts: ModelFacts, trial: Trial | None) -> tuple[bool, str]:
    """Whether axis 0 is taken for the batch axis, and on what that rests."""
    if not facts.servable:
        return False, "the model cannot be served"
    if trial is not None and trial.ok and trial.proof.verdict is not BatchVerdict.UNTESTED:
        return trial.proof.verdict is BatchVerdict.PROVEN, f"run: {trial.proof.reason}"
    if facts.format in _TOLD_LATER and not facts.inputs:
        return False, "its backend tells inputs and batches when it loads"
    for spec in (*facts.inputs, *facts.outputs):
        if not spec.shape or not is_dynamic(spec.shape[0]):
            return False, f"by syntax: {spec.name} has no dynamic first axis"
    why = "every first axis is dynamic; `--trial` proves whether it is the batch"
    return True, f"by syntax only: {why}"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model of a repository.

    Attributes:
        facts: their paths are relative to `root`.
        root: the repository, or the folder that the model's links lead to.
        folder: the model's, in the repository.
    """

    facts: ModelFacts
    root: Path
    folder: Path

    @property
    def mains(self) -> Mapping[int, Path]:
        """Main file of every version that can be read, ascending."""
        return {
            version.number: self.root / version.files[0].source
            for version in self.facts.versions
            if version.files
        }


def stored_models(
    repository: Path, lock: Lock | None, release: Release
) -> Mapping[str, StoredModel]:
    """Every model in a repository that inspection knows, by name.

    A link that leaves the repository is followed only where the lock names the file and its bytes
    are those that the lock names: `tritongen build --weights symlink` made it.

    Raises:
        InvalidInputError: the repository cannot be read.
    """
    try:
        inspection = inspect_folder(repository, release)
    except InvalidInputError as problem:
        if problem.code != "TG101":
            raise
        return {}
    return {facts.name: _stored(facts, repository, lock, release) for facts in inspection.models}


def _stored(
    facts: ModelFacts, repository: Path, lock: Lock | None, release: Release
) -> StoredModel:
    locked = lock.models.get(facts.name) if lock is not None else None
    outside = any(item.code == "TG107" for item in facts.findings)
    if locked is not None and outside and _as_locked(repository / facts.name, locked):
        return _linked(repository / facts.name, locked, release)
    return StoredModel(facts, repository, repository / facts.name)


def _as_locked(folder: Path, locked: LockedModel) -> bool:
    files = locked.evidence.files
    return bool(files) and all(
        (folder / relative).is_file() and file_digest(folder / relative) == sha
        for relative, sha in files
    )


def _linked(folder: Path, locked: LockedModel, release: Release) -> StoredModel:
    """The model behind its links; the main file of a version is the first that the lock names."""
    mains: dict[int, Path] = {}
    for relative, _ in locked.evidence.files:
        version = relative.partition("/")[0]
        if version.isdecimal():  # else it lies beside the versions
            mains.setdefault(int(version), (folder / relative).resolve())
    root = Path(os.path.commonpath([path.parent for path in mains.values()]))
    versions = tuple(
        CandidateVersion(number, path.relative_to(root).as_posix(), locked.format)
        for number, path in sorted(mains.items())
    )
    candidate = ModelCandidate(folder.name, folder.name, locked.format, versions)
    facts = inspect_model(root, candidate, release)
    return StoredModel(replace(facts, path=folder.name), root, folder)
