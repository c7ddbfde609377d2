"""The same model for another backend of Triton, kept as a variant when it is worth comparing."""

import os
from dataclasses import replace
from pathlib import Path

from tritongen.model.findings import Severity
from tritongen.model.variants import Speedup, StepKind, Verdict
from tritongen.optimize.child_jobs import Stage
from tritongen.optimize.openvino_stage import COMPUTES_IN
from tritongen.optimize.optimization import Base, Optimization, do, variant_of
from tritongen.repository.stored_variants import drop_variant, keep_variant, variant_facts

NAME = "openvino-ir"


def convert_to_openvino(work: Optimization, base: Base) -> None:
    """Convert the model to OpenVINO IR, proven equal; proposed when it is faster.

    Raises:
        EnvironmentProblem: TG006 openvino is missing; TG004 or TG005, the disk.
    """
    result = do(work, base, Stage.OPENVINO, NAME, "converting to OpenVINO IR")
    drop_variant(work.root, work.name, NAME)
    if result.code:
        work.failed(NAME, StepKind.CONVERT, result)
        return
    step = replace(result.steps[0], name=NAME)
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
