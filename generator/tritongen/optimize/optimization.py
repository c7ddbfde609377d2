"""What the work on one model shares: the model, inputs that it accepts, and the way to a child."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.evidence import BatchVerdict, Trial
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import ModelIntent
from tritongen.model.precision import precision_of
from tritongen.model.tensors import DType, TensorKind
from tritongen.model.variants import Step, Variant
from tritongen.optimize.child_jobs import DataSource, Gate, Job, JobInput, Outcome, Runtime, Stage
from tritongen.optimize.isa import Isa
from tritongen.optimize.worker_process import ChildLimits, run_job
from tritongen.repository.project import Project
from tritongen.trial import TrialOptions, run_trial

_TRIAL_S = 3.0
# Failures of the user's own input, or of the machine: they end the run, not one variant.
_INPUT_CODES = {"TG220", "TG221", "TG223", "TG224", "TG225"}
_MACHINE_CODES = {"TG004", "TG005", "TG006"}


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked for; see `OptimizeOptions`."""

    fix: bool = False
    quantize: bool = False
    graph: bool = False
    openvino: bool = False
    accelerate: bool = False


@dataclass(slots=True)
class Bench:
    """What the work on one model needs; see `Job` for most of it."""

    project: Project
    facts: ModelFacts
    intent: ModelIntent
    staging: Path
    runtime: Runtime
    isa: Isa
    threads: int
    limits: ChildLimits
    budget_s: float
    gate: Gate
    data: DataSource | None
    string_labels: bool
    elsewhere: bool
    progress: Callable[[str], None]
    steps: list[Step] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def note(self, code: str, severity: Severity, message: str) -> None:
        """Add a finding on this model."""
        self.findings.append(finding(code, severity, message, model=self.facts.name))


@dataclass(frozen=True, slots=True)
class Base:
    """The model that variants are made of: the original, or what the fixes made of it."""

    facts: ModelFacts
    trial: Trial
    inputs: tuple[JobInput, ...]
    steps: tuple[Step, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    labels_of: str = ""

    @property
    def batched(self) -> bool:
        """Whether axis 0 is a proven batch axis."""
        return self.trial.proof.verdict is BatchVerdict.PROVEN

    @property
    def batch_gain(self) -> float:
        """Time of 8 single rows divided by the time of 8 rows together, 1 where not measured."""
        one, many = self.trial.cost_ms(1, 1), self.trial.cost_ms(8, 1)
        return 8 * one / many if one and many and self.batched else 1.0


def try_base(bench: Bench, facts: ModelFacts) -> Base:
    """Inputs that the model accepts, from a trial of it."""
    bench.progress(f"{bench.facts.name}: trying its inputs")
    options = TrialOptions(
        cores=1, timeout_s=min(60.0, bench.limits.timeout_s), time_budget_s=_TRIAL_S
    )
    try:
        trial = run_trial(facts, bench.project.root, bench.intent, options)
    except InvalidInputError:
        if facts is bench.facts:
            raise
        # What the user declares is meant for the original; a fix may have renamed or moved it.
        plain = replace(bench.intent, inputs={}, outputs={})
        trial = run_trial(facts, bench.project.root, plain, options)
    return Base(facts, trial, tuple(_inputs(facts, trial)))


def _inputs(facts: ModelFacts, trial: Trial) -> Iterator[JobInput]:
    seen = {item.name: item for item in trial.inputs}
    for spec in facts.inputs:
        if spec.optional or spec.kind is not TensorKind.TENSOR:
            continue
        dims = tuple(dim if isinstance(dim, int) and dim > 0 else -1 for dim in spec.shape or ())
        known = seen.get(spec.name)
        if known is not None:
            yield JobInput(spec.name, known.dtype, dims, known.shape, known.values)
        else:
            shape = tuple(max(1, dim) for dim in dims)
            yield JobInput(spec.name, spec.dtype or DType.FP32, dims, shape)


def make_job(bench: Bench, base: Base, stage: Stage, label: str) -> Job:
    """A job on a model, with a fresh folder of its own."""
    work = bench.staging / f"{bench.facts.name}-{label}"
    work.mkdir()
    source = base.facts.versions[-1].files[0].source
    graph = base.facts.graph
    return Job(
        stage=stage,
        path=os.fspath((bench.project.root / source).resolve()),
        work=os.fspath(work.resolve()),
        inputs=base.inputs,
        runtime=bench.runtime,
        precision=precision_of(base.facts),
        isa=bench.isa,
        threads=bench.threads,
        batched=base.batched,
        parallelism=graph.parallelism if graph is not None else 1.0,
        gpu=bench.project.intent.target.gpus > 0,
        string_labels=bench.string_labels,
        batch=bench.intent.batch,
        gate=bench.gate,
        data=bench.data,
        renamed=base.renamed,
        time_budget_s=bench.budget_s,
    )


def do(bench: Bench, job: Job, what: str) -> Outcome:
    """Do a job; failures of the user's input and of the machine end the run.

    Raises:
        InvalidInputError, EnvironmentProblem: those failures, with their codes.
    """
    bench.progress(f"{bench.facts.name}: {what}")
    outcome = run_job(job, bench.limits)
    if outcome.code in _INPUT_CODES:
        raise InvalidInputError(
            outcome.code, outcome.error, where=bench.facts.name, details=outcome.details
        )
    if outcome.code in _MACHINE_CODES:
        raise EnvironmentProblem(
            outcome.code, outcome.error, where=bench.facts.name, details=outcome.details
        )
    return outcome
