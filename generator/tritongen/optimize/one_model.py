"""One model: fixes first, then variants of what they made of it, then the choice among them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.variants import (
    FIXED,
    Speedup,
    Step,
    StepKind,
    Variant,
    Verdict,
    choose,
    gate_missed,
    judge,
)
from tritongen.optimize.accelerate import offer_accelerators
from tritongen.optimize.optimization import Base, Bench, Work, do, make_job, try_base
from tritongen.optimize.child_jobs import Job, Method, Outcome, Stage
from tritongen.optimize.convert import convert_to_openvino
from tritongen.optimize.parallel_operators import futile_step
from tritongen.repository.stored_variants import (
    drop_variant,
    keep_variant,
    note_refused,
    source_hashes,
    variant_facts,
)


@dataclass(frozen=True, slots=True)
class OptimizedModel:
    """What was done to one model.

    Attributes:
        name: of the model.
        steps: everything that was done or looked at, in order.
        variants: every variant that was made, kept or not.
        chosen: the variant that the tool proposes, None for the original.
        findings: what the user should know.
        gate_missed: variants were held against the accuracy gate and none passed.
    """

    name: str
    steps: tuple[Step, ...] = ()
    variants: tuple[Variant, ...] = ()
    chosen: str | None = None
    findings: tuple[Finding, ...] = ()
    gate_missed: bool = False


def optimize_model(bench: Bench, work: Work) -> OptimizedModel:
    """Fix, quantise, optimise and measure one ONNX model, as far as asked for.

    Raises:
        InvalidInputError: the samples or the metric cannot be used.
        EnvironmentProblem: a package is missing, or the disk is full.
    """
    if not bench.facts.versions:
        bench.note("TG213", Severity.ERROR, "there is no version that can be read")
        return OptimizedModel(bench.facts.name, findings=tuple(bench.findings))
    base = try_base(bench, bench.facts)
    further = work.quantize or work.graph or work.openvino or work.accelerate
    base = _fixed(bench, base, keep=work.fix, further=further)
    if base.trial.ok:
        if work.quantize:
            _quantise(bench, base)
        if work.graph:
            _optimise_graph(bench, base)
        if work.openvino:
            convert_to_openvino(bench, base)
        _parallel(bench, base)
    elif work.quantize or work.graph or work.openvino:
        bench.note("TG212", Severity.WARNING, f"the model does not run: {base.trial.error}")
    offer_accelerators(bench, base, keep=work.accelerate)
    missed = gate_missed(bench.variants)
    if missed:
        bench.note("TG230", Severity.WARNING, bench.variants[-1].reason)
    return OptimizedModel(
        name=bench.facts.name,
        steps=tuple(bench.steps),
        variants=tuple(bench.variants),
        chosen=choose(bench.variants),
        findings=tuple(bench.findings),
        gate_missed=missed,
    )


def _fixed(bench: Bench, base: Base, *, keep: bool, further: bool) -> Base:
    """The model with every proven fix; the model as it is when there is none or none is wanted.

    With `further` work to be done on the result, it is tried.
    """
    job = make_job(bench, base, Stage.FIX, FIXED)
    outcome = do(bench, job, "trying fixes")
    if outcome.code:
        bench.note(outcome.code, Severity.WARNING, outcome.error)
        return base
    for remark in outcome.details:
        bench.note("TG221", Severity.INFO, remark)
    for step in outcome.steps:
        if not step.applied:
            bench.note("TG210", Severity.WARNING, f"{step.name}: {step.reason}")
    if not keep or not outcome.model:
        bench.steps += [_offered(step) for step in outcome.steps]
        return base
    bench.steps += outcome.steps
    variant = Variant(
        name=FIXED,
        model=bench.facts.name,
        path="",
        sources=source_hashes(bench.project.root, bench.facts),
        steps=outcome.steps,
        recipe=outcome.recipe,
        verdict=Verdict.ACCEPTED,
        reason="proven equal to the original: "
        + ", ".join(step.name for step in outcome.steps if step.applied),
        rows_equal=outcome.rows_equal,
        labels=outcome.labels,
        labels_of=outcome.labels_of,
    )
    kept = keep_variant(bench.project.root, Path(job.work), outcome.files, variant)
    bench.variants.append(kept)
    if not further:
        return base
    facts = variant_facts(bench.project, bench.facts, kept.path)
    renamed = {old: new for step in outcome.steps for old, new in step.renamed.items()}
    return replace(
        try_base(bench, facts),
        steps=outcome.steps,
        renamed=renamed,
        labels=outcome.labels,
        labels_of=outcome.labels_of,
    )


def _offered(step: Step) -> Step:
    """A proven fix that was not asked for."""
    if not step.applied:
        return step
    return replace(step, applied=False, reason=f"{step.reason} (proven; kept with --fix)")


def _quantise(bench: Bench, base: Base) -> None:
    if bench.data is None:
        message = "without samples only the likeness of outputs can be shown"
        bench.note("TG222", Severity.WARNING, message)
    methods = list(_methods(base.facts))
    if not methods:
        reason = "no operator of this model has an 8-bit form"
        bench.steps.append(Step("int8", StepKind.QUANTIZE, False, reason))
        bench.note("TG231", Severity.INFO, reason)
    for method in methods:
        name = f"int8-{method.value}"
        job = replace(make_job(bench, base, Stage.QUANTIZE, name), method=method)
        outcome = do(bench, job, f"quantising, {method.value}")
        _add(bench, base, name, StepKind.QUANTIZE, job, outcome)
    if bench.project.intent.target.gpus:
        job = make_job(bench, base, Stage.HALF, "fp16")
        outcome = do(bench, job, "converting to half precision")
        _add(bench, base, "fp16", StepKind.HALF, job, outcome, device="a GPU")


def _methods(facts: ModelFacts) -> Iterator[Method]:
    """The methods that suit a graph, the likeliest first."""
    if facts.onnx is not None and facts.onnx.quantized_operators:
        if facts.onnx.dynamic_quantization:
            yield Method.FIXED_SCALES
        return
    counts = dict(facts.graph.counts) if facts.graph is not None else {}
    convolutions = counts.get("Conv", 0) + counts.get("ConvTranspose", 0)
    products = counts.get("MatMul", 0) + counts.get("Gemm", 0)
    recurrent = counts.get("LSTM", 0) > 0
    if recurrent or (products and products >= convolutions):
        yield Method.DYNAMIC
    # There is no static form of an LSTM; what stands around one is not worth it.
    if convolutions or (products and not recurrent):
        yield Method.STATIC


def _add(
    bench: Bench,
    base: Base,
    name: str,
    kind: StepKind,
    job: Job,
    outcome: Outcome,
    device: str = "",
) -> None:
    """Judge a quantised variant, and keep it unless it failed."""
    if outcome.code:
        drop_variant(bench.project.root, bench.facts.name, name)
        bench.steps.append(Step(name, kind, False, outcome.error))
        bench.note(outcome.code, Severity.WARNING, f"{name}: {outcome.error}")
        return
    speed = outcome.speedups[0] if outcome.speedups else None
    coupled = outcome.rows_equal is False and base.batched
    verdict, reason = judge(
        outcome.accuracy,
        speed,
        data=bench.data is not None,
        device=device,
        forfeit=base.batch_gain if coupled else 1.0,
    )
    reason = f"{reason}; {bench.isa}"
    if bench.elsewhere and speed is not None:
        reason += "; its speed was measured on this machine's CPU, which is another one"
    if coupled:
        reason += "; its rows change with their neighbours: serve it without dynamic batching"
    step = Step(name, kind, verdict is Verdict.ACCEPTED, reason, outcome.proof)
    _keep(bench, base, job, outcome, step, verdict, speed)
    if verdict in {Verdict.SLOWER, Verdict.NO_GAIN}:
        bench.note("TG232", Severity.INFO, f"{name}: {reason}")


def _keep(
    bench: Bench,
    base: Base,
    job: Job,
    outcome: Outcome,
    step: Step,
    verdict: Verdict,
    speed: Speedup | None,
) -> None:
    bench.steps.append(step)
    work = Path(job.work)
    variant = Variant(
        name=step.name,
        model=bench.facts.name,
        path="",
        sources=source_hashes(bench.project.root, bench.facts),
        size_bytes=sum((work / item).stat().st_size for item in outcome.files),
        steps=(*base.steps, step),
        recipe=outcome.recipe,
        verdict=verdict,
        reason=step.reason,
        accuracy=outcome.accuracy,
        speedup=speed,
        speedups=outcome.speedups,
        rows_equal=outcome.rows_equal,
        labels=base.labels,
        labels_of=base.labels_of,
    )
    if verdict in {Verdict.REFUSED, Verdict.SLOWER}:
        drop_variant(bench.project.root, bench.facts.name, variant.name)
        note_refused(bench.project.root, variant)
    else:
        variant = keep_variant(bench.project.root, work, outcome.files, variant)
    bench.variants.append(variant)


def _optimise_graph(bench: Bench, base: Base) -> None:
    job = make_job(bench, base, Stage.GRAPH, "graph")
    outcome = do(bench, job, "optimising the graph")
    if outcome.code:
        bench.steps.append(Step("graph", StepKind.GRAPH, False, outcome.error))
        bench.note(outcome.code, Severity.WARNING, f"graph: {outcome.error}")
        return
    (step,) = outcome.steps
    if not outcome.model:
        bench.steps.append(step)
        return
    speed = outcome.speedups[0]
    verdict = Verdict.NO_GAIN
    if speed.low > 1.0:
        verdict = Verdict.ACCEPTED
    elif speed.high < 1.0:
        verdict = Verdict.SLOWER
    step = replace(step, name="graph", applied=verdict is not Verdict.SLOWER)
    _keep(bench, base, job, outcome, step, verdict, speed)


def _parallel(bench: Bench, base: Base) -> None:
    graph = base.facts.graph
    futile = futile_step(graph.parallelism if graph is not None else 1.0, bench.threads)
    if futile is not None:
        bench.steps.append(futile)
        return
    job = make_job(bench, base, Stage.PARALLEL, "parallel")
    outcome = do(bench, job, "trying operators side by side")
    if outcome.code:
        bench.steps.append(Step("inter_op", StepKind.PARALLEL, False, outcome.error))
        return
    bench.steps += outcome.steps
