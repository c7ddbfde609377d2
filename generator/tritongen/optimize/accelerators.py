"""Execution accelerators of the target: variants by the configuration alone; none runs here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tritongen.model.variants import VARIANTS_FOLDER, Step, StepKind, Variant, Verdict
from tritongen.optimize.child_jobs import JobInput, JobResult
from tritongen.optimize.isa import Isa
from tritongen.optimize.onnx_files import link_or_copy
from tritongen.optimize.optimization import Base, Optimization, variant_of
from tritongen.repository.stored_variants import drop_variant, keep_variant
from tritongen.system.files import translated

# Chosen: what an engine may take of the device's memory while it is made.
_MAX_WORKSPACE_BYTES = 2**30
_NOT_RUN = "not run here: measure it on the target"
# Chosen: what an engine is made for where the user names no batch.
_MAX_BATCH_ROWS = 32
INT8 = "int8-static"
# Names of variants by precision; the second is made of the 8-bit variant.
_TENSORRT = {"FP16": "tensorrt-fp16", "INT8": "tensorrt-int8"}


def accelerators(
    inputs: Sequence[JobInput], *, gpus: int, isa: Isa, max_batch: int, quantised: bool = False
) -> Iterator[Step]:
    """What suits the target, with the fields of the configuration as overlays.

    Args:
        inputs: of the model, with sizes that it accepts.
        gpus: of the target.
        isa: of its CPU.
        max_batch: greatest batch of the plan; 0 or 1 without batching.
        quantised: whether there is an 8-bit variant with Q/DQ operators.
    """
    if gpus:
        yield _tensorrt(inputs, max_batch, "FP16")
        if quantised:
            yield _tensorrt(inputs, max_batch, "INT8")
    elif "intel" in isa.model.lower():
        yield _openvino()


def _tensorrt(inputs: Sequence[JobInput], max_batch: int, precision: str) -> Step:
    parameters: dict[str, str] = {
        "precision_mode": precision,
        "max_workspace_size_bytes": str(_MAX_WORKSPACE_BYTES),
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": "/tmp/tritongen-trt",  # noqa: S108  (inside the server's container)
    }
    if any(-1 in item.dims for item in inputs):
        least = _profile(inputs, 1)
        most = _profile(inputs, max(1, max_batch))
        parameters |= {
            "trt_profile_min_shapes": least,
            "trt_profile_opt_shapes": most,
            "trt_profile_max_shapes": most,
        }
    overlay = _overlay("gpu_execution_accelerator", "tensorrt", parameters)
    scales = (
        "; its Q/DQ operators carry the calibration, so no table is needed"
        if precision == "INT8"
        else ""
    )
    reason = (
        f"TensorRT in {precision} with an engine cache and profile shapes up to the planned batch"
        f"{scales}; {_NOT_RUN}"
    )
    return Step(_TENSORRT[precision], StepKind.ACCELERATOR, False, reason, overlay=overlay)


def _overlay(
    place: str, name: str, parameters: Mapping[str, str] | None = None
) -> Mapping[str, object]:
    entry: dict[str, object] = {"name": name}
    if parameters:
        entry["parameters"] = dict(parameters)
    return {"optimization": {"execution_accelerators": {place: [entry]}}}


def _profile(inputs: Sequence[JobInput], batch: int) -> str:
    """Shapes as TensorRT's profiles spell them, with a number of rows in a dynamic first axis."""
    parts = []
    for item in inputs:
        sizes = list(item.shape)
        if item.dims and item.dims[0] == -1:
            sizes[0] = batch
        parts.append(f"{item.name}:{'x'.join(map(str, sizes))}")
    return ",".join(parts)


def _openvino() -> Step:
    overlay = _overlay("cpu_execution_accelerator", "openvino")
    reason = (
        "OpenVINO executes what it can on this Intel CPU; the thread counts of the configuration "
        f"do not hold for it; {_NOT_RUN}"
    )
    return Step("openvino", StepKind.ACCELERATOR, False, reason, overlay=overlay)


def offer_accelerators(work: Optimization, base: Base) -> None:
    """What the target's devices could switch on: shown, or kept as variants.

    Raises:
        EnvironmentProblem: TG004 or TG005, the disk.
    """
    keep = work.options.accelerate
    quantised = next((item for item in work.variants if item.name == INT8 and item.kept), None)
    found = accelerators(
        base.inputs,
        gpus=work.project.intent.target.gpus,
        isa=work.job.isa,
        max_batch=work.intent.max_batch_size or (_MAX_BATCH_ROWS if base.batched else 1),
        quantised=quantised is not None,
    )
    for step in found:
        work.steps.append(replace(step, applied=keep))
        if keep:
            of = quantised if step.name == _TENSORRT["INT8"] else None
            _keep(work, base, work.steps[-1], of)


def _files(base: Base) -> Iterator[tuple[str, str]]:
    """Name in the variant's folder and place below the models folder, the main file first."""
    refs = base.facts.versions[-1].files
    above = PurePosixPath(refs[0].target).parent
    for ref in refs:
        yield str(PurePosixPath(ref.target).relative_to(above)), ref.source


def _keep(work: Optimization, base: Base, step: Step, quantised: Variant | None) -> None:
    """The base, or its 8-bit variant, as a variant with the accelerator in its configuration."""
    result = JobResult(recipe={"accelerator": step.name})
    variant = variant_of(work, base, result, step, Verdict.NOT_MEASURED)
    files = list(_files(base))
    if quantised is not None:
        files = [(name, f"{quantised.folder}/{name}") for name, _ in quantised.files]
        variant = replace(
            variant,
            steps=(*quantised.steps, step),
            recipe={**quantised.recipe, **variant.recipe},
            accuracy=quantised.accuracy,
            rows_equal=quantised.rows_equal,
            labels=quantised.labels,
            labels_of=quantised.labels_of,
        )
    drop_variant(work.root, work.name, step.name)
    folder = work.staging / f"{work.name}-{step.name}"
    with translated(work.root / VARIANTS_FOLDER):
        folder.mkdir()
        for name, source in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy((work.root / Path(source)).resolve(), target)
    names = [name for name, _ in files]
    work.variants.append(keep_variant(work.root, folder, names, variant))
