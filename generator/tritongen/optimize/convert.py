"""The same model for another backend of Triton, kept as a variant when it is worth comparing."""

import os
from dataclasses import replace
from pathlib import Path

from tritongen.model.findings import Severity
from tritongen.model.variants import Speedup, Step, StepKind, Variant, Verdict
from tritongen.optimize.optimization import Base, Bench, do, make_job
from tritongen.optimize.child_jobs import Outcome, Stage
from tritongen.optimize.openvino_stage import COMPUTES_IN
from tritongen.repository.stored_variants import (
    drop_variant,
    keep_variant,
    source_hashes,
    variant_facts,
)

NAME = "openvino-ir"


def convert_to_openvino(bench: Bench, base: Base) -> None:
    """Convert the model to OpenVINO IR, proven equal; proposed when it is faster.

    Raises:
        EnvironmentProblem: TG006 openvino is missing; TG004 or TG005, the disk.
    """
    job = make_job(bench, base, Stage.OPENVINO, NAME)
    outcome = do(bench, job, "converting to OpenVINO IR")
    drop_variant(bench.project.root, bench.facts.name, NAME)
    if outcome.code:
        bench.steps.append(Step(NAME, StepKind.CONVERT, False, outcome.error))
        bench.note(outcome.code, Severity.WARNING, f"{NAME}: {outcome.error}")
        return
    step = replace(outcome.steps[0], name=NAME)
    if not outcome.model:
        bench.steps.append(step)
        return
    work = Path(job.work)
    refusal = _refusal(bench, work / outcome.model)
    if refusal:
        bench.steps.append(replace(step, applied=False, reason=f"{step.reason}; {refusal}"))
        return
    verdict, more = judge_backend(
        outcome.speedups[0], base.batch_gain, coarser=COMPUTES_IN in outcome.recipe
    )
    step = replace(
        step, applied=verdict is Verdict.ACCEPTED, reason=f"{step.reason}{more}; {bench.isa}"
    )
    bench.steps.append(step)
    variant = _record(bench, base, outcome, step, verdict)
    bench.variants.append(keep_variant(bench.project.root, work, outcome.files, variant))


def _refusal(bench: Bench, result: Path) -> str:
    """Why the backend could not serve the result, empty when it can."""
    path = os.path.relpath(result, bench.project.root.resolve())
    facts = variant_facts(bench.project, bench.facts, path)
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


def _record(bench: Bench, base: Base, outcome: Outcome, step: Step, verdict: Verdict) -> Variant:
    return Variant(
        name=NAME,
        model=bench.facts.name,
        path="",
        sources=source_hashes(bench.project.root, bench.facts),
        steps=(*base.steps, step),
        recipe=outcome.recipe,
        verdict=verdict,
        reason=step.reason,
        speedup=outcome.speedups[0],
        speedups=outcome.speedups,
        rows_equal=outcome.rows_equal,
        labels=base.labels,
        labels_of=base.labels_of,
    )
