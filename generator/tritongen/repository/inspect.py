"""Facts, findings and the verdict on the batch axis for every model of a folder."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.model.declared_tensors import with_observed
from tritongen.model.evidence import BatchVerdict, Evidence, Trial, with_refusal
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Finding
from tritongen.model.releases import Release
from tritongen.model.tensors import is_dynamic
from tritongen.model.variants import fixes_for
from tritongen.planner.trial_findings import trial_findings
from tritongen.repository.project import Project, load_project


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
    """

    facts: ModelFacts
    batchable: bool
    batch_reason: str
    findings: tuple[Finding, ...]
    fixes: tuple[ApplicableFix, ...] = ()


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
    progress: Callable[[Project], Callable[[str], None]] = lambda _project: lambda _name: None,
) -> InspectionResult:
    """Inspect a folder.

    Args:
        root: the models folder.
        repository: whose lock may hold evidence for the same bytes.
        trial: whether to run the models that have no evidence.
        code: whether models that are programs are among them.
        progress: from the project, what is told of each model that is run.

    Raises:
        InvalidInputError: the folder or its `tritongen.yaml` cannot be used.
    """
    project = load_project(root, repository)
    evidence = Evidence()
    if trial or project.lock is not None:
        from tritongen.repository.gather_evidence import gather_evidence, trial_policy

        policy = trial_policy(run=trial, code=code)
        evidence = gather_evidence(project, policy, progress(project)).evidence
    models = tuple(
        inspected(
            facts,
            evidence.models[facts.name].trial if facts.name in evidence.models else None,
            project.release,
            project.intent.target.gpus,
        )
        for facts in project.models
    )
    return InspectionResult(models, project.findings)


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
    refused = with_refusal(facts, trial, release, gpus)
    found = _verdict(refused, None if refused is not facts else trial)
    return replace(found, fixes=_fixes(facts, found.findings))


def _fixes(facts: ModelFacts, findings: tuple[Finding, ...]) -> tuple[ApplicableFix, ...]:
    if facts.format is not ModelFormat.ONNX:
        return ()
    codes = dict.fromkeys(item.code for item in findings)
    return tuple(
        ApplicableFix(code, item.fix, item.summary) for code in codes for item in fixes_for(code)
    )


def _verdict(facts: ModelFacts, trial: Trial | None) -> InspectedModel:
    remarks = trial_findings(facts.name, trial) if trial is not None else ()
    if trial is not None:
        facts = with_observed(facts, trial)
    findings = (*facts.findings, *remarks)
    if not facts.servable:
        return InspectedModel(facts, False, "the model cannot be served", findings)
    if trial is not None and trial.ok and trial.proof.verdict is not BatchVerdict.UNTESTED:
        proven = trial.proof.verdict is BatchVerdict.PROVEN
        return InspectedModel(facts, proven, f"run: {trial.proof.reason}", findings)
    fixed = next(
        (
            spec
            for spec in (*facts.inputs, *facts.outputs)
            if not spec.shape or not is_dynamic(spec.shape[0])
        ),
        None,
    )
    if fixed is not None:
        reason = f"by syntax: {fixed.name} has no dynamic first axis"
        return InspectedModel(facts, False, reason, findings)
    reason = "by syntax only: every first axis is dynamic; `--trial` proves whether it is the batch"
    return InspectedModel(facts, True, reason, findings)
