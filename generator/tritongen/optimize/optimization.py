"""The work on one model: what is asked for, inputs that it accepts, and the way to a child."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.evidence import BatchVerdict, Trial
from tritongen.model.facts import ModelFacts, precision_of
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import ModelIntent
from tritongen.model.tensors import DType, TensorKind
from tritongen.model.variants import Step, StepKind, Variant, Verdict
from tritongen.optimize.child_jobs import (
    ChildJob,
    ChildLimits,
    JobInput,
    JobResult,
    Method,
    Stage,
    run_job,
)
from tritongen.repository.project import Project
from tritongen.repository.stored_variants import source_hashes
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.run_trial import run_trial

_TRIAL_S = 3.0
# Failures of the user's own input, or of the machine: they end the run, not one variant.
_INPUT_CODES = {"TG220", "TG221", "TG223", "TG224", "TG225"}
_MACHINE_CODES = {"TG004", "TG005", "TG006"}


@dataclass(frozen=True, slots=True)
class OptimizeOptions:
    """What to do.

    Attributes:
        fix: keep the fixes; otherwise they are tried and shown.
        quantize: make 8-bit variants, and half precision ones for a target with a GPU.
        graph: save the graph optimised offline.
        openvino: convert to OpenVINO IR, which Triton serves by another backend.
        accelerate: keep variants with the accelerators of the target in their configuration.
        data: samples, over `accuracy.data` of tritongen.yaml; relative to the current folder.
        metric: over `accuracy.metric`.
        max_drop: over `accuracy.max_drop`.
        string_labels: serve text labels as texts; False makes them indices.
        isa: instruction sets of the target's CPU; ``auto`` takes this machine's.
        limits: of each piece of work.
        budget_s: seconds for the searches and measurements of each piece.
        code: whether functions that tritongen.yaml names may run.
    """

    fix: bool = False
    quantize: bool = False
    graph: bool = False
    openvino: bool = False
    accelerate: bool = False
    data: str = ""
    metric: str = ""
    max_drop: float | None = None
    string_labels: bool = True
    isa: str = "auto"
    limits: ChildLimits = field(default_factory=ChildLimits)
    budget_s: float = 60.0
    code: bool = True

    @property
    def elsewhere(self) -> bool:
        """Whether the target's CPU may be another one than this machine's."""
        return self.isa != "auto"


@dataclass(slots=True)
class Optimization:
    """The work on one model, and what came of it so far.

    Attributes:
        project: that the model belongs to.
        facts: of the original.
        intent: what the user wants of it.
        options: what is asked for.
        staging: folder for what is being made.
        job: what holds for every piece of work on the model.
        progress: told of each piece.
        steps: what was done or looked at, in order.
        variants: that were made, kept or not.
        findings: what the user should know.
    """

    project: Project
    facts: ModelFacts
    intent: ModelIntent
    options: OptimizeOptions
    staging: Path
    job: ChildJob
    progress: Callable[[str], None]
    steps: list[Step] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The models folder."""
        return self.project.root

    @property
    def name(self) -> str:
        """Of the model."""
        return self.facts.name

    def note(self, code: str, severity: Severity, message: str) -> None:
        """Add a finding on this model."""
        self.findings.append(finding(code, severity, message, model=self.name))

    def failed(self, name: str, kind: StepKind, result: JobResult) -> None:
        """Say that a piece of work could not be done."""
        self.steps.append(Step(name, kind, False, result.error))
        self.note(result.code, Severity.WARNING, f"{name}: {result.error}")


@dataclass(frozen=True, slots=True)
class Base:
    """The model that variants are made of: the original, or what the fixes made of it.

    Attributes:
        facts: of it.
        trial: of it.
        inputs: that it accepts.
        made: how the fixes made it; empty for the original.
    """

    facts: ModelFacts
    trial: Trial
    inputs: tuple[JobInput, ...]
    made: JobResult = field(default_factory=JobResult)

    @property
    def renamed(self) -> dict[str, str]:
        """New name by old name of inputs and outputs, where a fix changed them."""
        return {old: new for step in self.made.steps for old, new in step.renamed.items()}

    @property
    def batched(self) -> bool:
        """Whether axis 0 is a proven batch axis."""
        return self.trial.proof.verdict is BatchVerdict.PROVEN

    @property
    def batch_gain(self) -> float:
        """Time of 8 single rows divided by the time of 8 rows together, 1 where not measured."""
        one, many = self.trial.cost_ms(1, 1), self.trial.cost_ms(8, 1)
        return 8 * one / many if one and many and self.batched else 1.0


def try_base(work: Optimization, facts: ModelFacts) -> Base:
    """Inputs that the model accepts, from a trial of it."""
    work.progress(f"{work.name}: trying its inputs")
    options = TrialOptions(
        cores=1, timeout_s=min(60.0, work.options.limits.timeout_s), time_budget_s=_TRIAL_S
    )
    try:
        trial = run_trial(facts, work.root, work.intent, options)
    except InvalidInputError:
        if facts is work.facts:
            raise
        # What the user declares is meant for the original; a fix may have renamed or moved it.
        plain = replace(work.intent, inputs={}, outputs={})
        trial = run_trial(facts, work.root, plain, options)
    return Base(facts, trial, tuple(_inputs(facts, trial)))


def _inputs(facts: ModelFacts, trial: Trial) -> Iterator[JobInput]:
    seen = {item.name: item for item in trial.inputs}
    for spec in facts.inputs:
        if spec.optional or spec.kind is not TensorKind.TENSOR:
            continue
        found = JobInput.declared(spec.name, spec.dtype or DType.FP32, spec.shape or ())
        if (known := seen.get(spec.name)) is not None:
            found = replace(found, dtype=known.dtype, shape=known.shape, values=known.values)
        yield found


def do(
    work: Optimization,
    base: Base,
    stage: Stage,
    label: str,
    what: str,
    method: Method = Method.DYNAMIC,
) -> JobResult:
    """Do one piece of work on a model; failures of the user's input and the machine end the run.

    Args:
        work: on the original.
        base: what it is done to.
        stage: the piece.
        label: of its folder.
        what: it is, for the user.
        method: of quantising.

    Raises:
        InvalidInputError, EnvironmentProblem: those failures, with their codes.
    """
    folder = work.staging / f"{work.name}-{label}"
    folder.mkdir()
    source = base.facts.versions[-1].files[0].source
    graph = base.facts.graph
    job = replace(
        work.job,
        stage=stage,
        method=method,
        path=os.fspath((work.root / source).resolve()),
        work=os.fspath(folder.resolve()),
        inputs=base.inputs,
        precision=precision_of(base.facts),
        batched=base.batched,
        parallelism=graph.parallelism if graph is not None else 1.0,
        renamed=base.renamed,
    )
    work.progress(f"{work.name}: {what}")
    result = run_job(job, work.options.limits)
    if result.code in _INPUT_CODES | _MACHINE_CODES:
        failure = InvalidInputError if result.code in _INPUT_CODES else EnvironmentProblem
        raise failure(result.code, result.error, where=work.name, details=result.details)
    return replace(result, folder=job.work)


def variant_of(
    work: Optimization, base: Base, result: JobResult, step: Step, verdict: Verdict
) -> Variant:
    """The record of a variant that was made of `base`, without what only its files tell."""
    return Variant(
        name=step.name,
        model=work.name,
        path="",
        sources=source_hashes(work.root, work.facts),
        steps=(*base.made.steps, step),
        recipe=result.recipe,
        verdict=verdict,
        reason=step.reason,
        accuracy=result.accuracy,
        speedup=result.speedups[0] if result.speedups else None,
        speedups=result.speedups,
        rows_equal=result.rows_equal,
        labels=base.made.labels,
        labels_of=base.made.labels_of,
    )
