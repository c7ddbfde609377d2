"""One model: fixes first, then variants of what they made of it, then the choice among them."""

import os
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
from tritongen.optimize.accelerators import offer_accelerators
from tritongen.optimize.child_jobs import JobResult, Method, Stage
from tritongen.optimize.graph_execution import COMPUTES_IN, futile_step
from tritongen.optimize.optimization import Base, Optimization, do, try_base, variant_of
from tritongen.repository.stored_variants import (
    drop_variant,
    keep_variant,
    note_refused,
    variant_facts,
)

OPENVINO_IR = "openvino-ir"


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


def optimize_model(work: Optimization) -> OptimizedModel:
    """Fix, quantise, optimise and measure one ONNX model, as far as asked for.

    Raises:
        InvalidInputError: the samples or the metric cannot be used.
        EnvironmentProblem: a package is missing, or the disk is full.
    """
    if not work.facts.versions:
        work.note("TG213", Severity.ERROR, "there is no version that can be read")
        return OptimizedModel(work.name, findings=tuple(work.findings))
    asked = work.options
    base = _fixed(work, try_base(work, work.facts))
    if base.trial.ok:
        if asked.quantize:
            _quantise(work, base)
        if asked.graph:
            _optimise_graph(work, base)
        if asked.openvino:
            convert_to_openvino(work, base)
        _parallel(work, base)
    elif asked.quantize or asked.graph or asked.openvino:
        work.note("TG212", Severity.WARNING, f"the model does not run: {base.trial.error}")
    offer_accelerators(work, base)
    missed = gate_missed(work.variants)
    if missed:
        work.note("TG230", Severity.WARNING, work.variants[-1].reason)
    return OptimizedModel(
        name=work.name,
        steps=tuple(work.steps),
        variants=tuple(work.variants),
        chosen=choose(work.variants),
        findings=tuple(work.findings),
        gate_missed=missed,
    )


def _fixed(work: Optimization, base: Base) -> Base:
    """The model with every proven fix; the model as it is when there is none or none is wanted.

    Where further work is asked for, the result is tried.
    """
    asked = work.options
    result = do(work, base, Stage.FIX, FIXED, "trying fixes")
    if result.code:
        work.note(result.code, Severity.WARNING, result.error)
        return base
    for remark in result.details:
        work.note("TG221", Severity.INFO, remark)
    for step in result.steps:
        if not step.applied:
            work.note("TG210", Severity.WARNING, f"{step.name}: {step.reason}")
    if not asked.fix or not result.model:
        work.steps += [_offered(step) for step in result.steps]
        return base
    work.steps += result.steps
    applied = ", ".join(step.name for step in result.steps if step.applied)
    reason = f"proven equal to the original: {applied}"
    whole = Step(FIXED, StepKind.FIX, True, reason)
    made = variant_of(work, replace(base, made=result), result, whole, Verdict.ACCEPTED)
    variant = replace(made, steps=result.steps)
    kept = keep_variant(work.root, Path(result.folder), result.files, variant)
    work.variants.append(kept)
    if not (asked.quantize or asked.graph or asked.openvino or asked.accelerate):
        return base
    facts = variant_facts(work.project, work.facts, kept.path)
    return replace(try_base(work, facts), made=result)


def _offered(step: Step) -> Step:
    """A proven fix that was not asked for."""
    if not step.applied:
        return step
    return replace(step, applied=False, reason=f"{step.reason} (proven; kept with --fix)")


def _quantise(work: Optimization, base: Base) -> None:
    if work.job.data is None:
        message = "without samples only the similarity of outputs can be shown"
        work.note("TG222", Severity.WARNING, message)
    methods = list(_methods(base.facts))
    if not methods:
        reason = "no operator of this model has an 8-bit form"
        work.steps.append(Step("int8", StepKind.QUANTIZE, False, reason))
        work.note("TG231", Severity.INFO, reason)
    for method in methods:
        name = f"int8-{method.value}"
        what = f"quantising, {method.value}"
        result = do(work, base, Stage.QUANTIZE, name, what, method)
        _add(work, base, name, StepKind.QUANTIZE, result)
    if work.job.gpu:
        result = do(work, base, Stage.HALF, "fp16", "converting to half precision")
        _add(work, base, "fp16", StepKind.HALF, result, device="a GPU")


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
    work: Optimization, base: Base, name: str, kind: StepKind, result: JobResult, device: str = ""
) -> None:
    """Judge a quantised variant, and keep it unless it failed."""
    if result.code:
        drop_variant(work.root, work.name, name)
        work.failed(name, kind, result)
        return
    speed = result.speedups[0] if result.speedups else None
    coupled = result.rows_equal is False and base.batched
    verdict, reason = judge(
        result.accuracy,
        speed,
        data=work.job.data is not None,
        device=device,
        forfeit=base.batch_gain if coupled else 1.0,
    )
    reason = f"{reason}; {work.job.isa}"
    if work.options.elsewhere and speed is not None:
        reason += "; its speed was measured on this machine's CPU, which is another one"
    if coupled:
        reason += "; its rows change with their neighbours: serve it without dynamic batching"
    step = Step(name, kind, verdict is Verdict.ACCEPTED, reason, result.proof)
    _keep(work, base, result, step, verdict)
    if verdict in {Verdict.SLOWER, Verdict.NO_GAIN}:
        work.note("TG232", Severity.INFO, f"{name}: {reason}")


def _keep(work: Optimization, base: Base, result: JobResult, step: Step, verdict: Verdict) -> None:
    work.steps.append(step)
    folder = Path(result.folder)
    size = sum((folder / item).stat().st_size for item in result.files)
    variant = replace(variant_of(work, base, result, step, verdict), size_bytes=size)
    if verdict in {Verdict.REFUSED, Verdict.SLOWER}:
        drop_variant(work.root, work.name, variant.name)
        note_refused(work.root, variant)
    else:
        variant = keep_variant(work.root, folder, result.files, variant)
    work.variants.append(variant)


def _optimise_graph(work: Optimization, base: Base) -> None:
    result = do(work, base, Stage.GRAPH, "graph", "optimising the graph")
    if result.code:
        work.failed("graph", StepKind.GRAPH, result)
        return
    (step,) = result.steps
    if not result.model:
        work.steps.append(step)
        return
    speed = result.speedups[0]
    verdict = Verdict.NO_GAIN
    if speed.low > 1.0:
        verdict = Verdict.ACCEPTED
    elif speed.high < 1.0:
        verdict = Verdict.SLOWER
    step = replace(step, name="graph", applied=verdict is not Verdict.SLOWER)
    _keep(work, base, result, step, verdict)


def _parallel(work: Optimization, base: Base) -> None:
    graph = base.facts.graph
    futile = futile_step(graph.parallelism if graph is not None else 1.0, work.job.threads)
    if futile is not None:
        work.steps.append(futile)
        return
    result = do(work, base, Stage.PARALLEL, "parallel", "trying operators side by side")
    if result.code:
        work.steps.append(Step("inter_op", StepKind.PARALLEL, False, result.error))
        return
    work.steps += result.steps


def convert_to_openvino(work: Optimization, base: Base) -> None:
    """Convert the model to OpenVINO IR, proven equal; proposed when it is faster.

    Raises:
        EnvironmentProblem: TG006 openvino is missing; TG004 or TG005, the disk.
    """
    result = do(work, base, Stage.OPENVINO, OPENVINO_IR, "converting to OpenVINO IR")
    drop_variant(work.root, work.name, OPENVINO_IR)
    if result.code:
        work.failed(OPENVINO_IR, StepKind.CONVERT, result)
        return
    step = replace(result.steps[0], name=OPENVINO_IR)
    if not result.model:
        work.steps.append(step)
        return
    folder = Path(result.folder)
    refusal = _refusal(work, folder / result.model)
    if refusal:
        work.steps.append(replace(step, applied=False, reason=f"{step.reason}; {refusal}"))
        return
    verdict, more = judge_backend(
        result.speedups[0], base.batch_gain, coarser=COMPUTES_IN in result.recipe
    )
    step = replace(
        step, applied=verdict is Verdict.ACCEPTED, reason=f"{step.reason}{more}; {work.job.isa}"
    )
    work.steps.append(step)
    variant = variant_of(work, base, result, step, verdict)
    work.variants.append(keep_variant(work.root, folder, result.files, variant))


def _refusal(work: Optimization, model: Path) -> str:
    """Why the backend could not serve the result, empty when it can."""
    path = os.path.relpath(model, work.root.resolve())
    facts = variant_facts(work.project, work.facts, path)
    faults = [item.message for item in facts.findings if item.severity is Severity.ERROR]
    return f"its backend would refuse it: {faults[0]}" if faults else ""


def judge_backend(
    speed: Speedup, batch_gain: float, *, coarser: bool = False
) -> tuple[Verdict, str]:
    """The verdict on an equal model for a backend that merges no requests, and why.

    Args:
        speed: at the point that counts.
        batch_gain: what merging gains the original; 1 when nothing.
        coarser: whether it is computed with fewer digits than the original, and thus equal within
            their tolerance only.
    """
    if coarser:
        return Verdict.UNGATED, (
            "; OpenVINO computes in BF16 on this CPU, and Triton's backend has no switch against "
            "it: compare the accuracy on your data before it is served"
        )
    if speed.high < 1.0:
        return Verdict.SLOWER, ", which is slower"
    if speed.low <= 1.0:
        return Verdict.NO_GAIN, ", no measurable difference"
    if speed.low <= batch_gain:
        return Verdict.NO_GAIN, (
            ", but its backend merges no requests, and merging alone gives the original "
            f"×{batch_gain:.2f}"
        )
    return Verdict.ACCEPTED, ""
