"""Execution accelerators of the target: variants by the configuration alone; none runs here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tritongen.model.variants import VARIANTS_FOLDER, Step, StepKind, Variant, Verdict
from tritongen.optimize.child_jobs import JobInput
from tritongen.optimize.isa import Isa
from tritongen.optimize.onnx_files import link_or_copy
from tritongen.optimize.optimization import Base, Optimization
from tritongen.repository.stored_variants import drop_variant, keep_variant, source_hashes
from tritongen.system.files import translated

# Chosen: what an engine may take of the device's memory while it is made.
_MAX_WORKSPACE_BYTES = 2**30
_NOT_RUN = "not run here: measure it on the target"
# Chosen: what an engine is made for where the user names no batch.
_MAX_BATCH_ROWS = 32
INT8 = "int8-static"


@dataclass(frozen=True, slots=True)
class Accelerated:
    """What could be switched on.

    Attributes:
        step: with the fields of the configuration as its overlay.
        quantised: whether it is meant for the 8-bit variant.
    """

    step: Step
    quantised: bool = False


def accelerators(
    inputs: Sequence[JobInput], *, gpus: int, isa: Isa, max_batch: int, quantised: bool = False
) -> Iterator[Accelerated]:
    """What suits the target.

    Args:
        inputs: of the model, with sizes that it accepts.
        gpus: of the target.
        isa: of its CPU.
        max_batch: greatest batch of the plan; 0 or 1 without batching.
        quantised: whether there is an 8-bit variant with Q/DQ operators.
    """
    if gpus:
        yield Accelerated(_tensorrt(inputs, max_batch, "FP16"))
        if quantised:
            yield Accelerated(_tensorrt(inputs, max_batch, "INT8"), quantised=True)
    elif "intel" in isa.model.lower():
        yield Accelerated(_openvino())


def _tensorrt(inputs: Sequence[JobInput], max_batch: int, precision: str) -> Step:
    name = f"tensorrt-{precision.lower()}"
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
    return Step(name, StepKind.ACCELERATOR, False, reason, overlay=overlay)


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
    for item in found:
        work.steps.append(replace(item.step, applied=keep))
        if not keep:
            continue
        if item.quantised and quantised is not None:
            files = [(name, f"{quantised.folder}/{name}") for name, _ in quantised.files]
            _keep(work, item, files, quantised)
        else:
            _keep(work, item, list(_files(base)), _record(work, base))


def _record(work: Optimization, base: Base) -> Variant:
    """The record of the model that is accelerated, as it is before."""
    return Variant(
        name="",
        model=work.name,
        path="",
        steps=base.steps,
        labels=base.labels,
        labels_of=base.labels_of,
    )


def _files(base: Base) -> Iterator[tuple[str, str]]:
    """Name in the variant's folder and place below the models folder, the main file first."""
    refs = base.facts.versions[-1].files
    above = PurePosixPath(refs[0].target).parent
    for ref in refs:
        yield str(PurePosixPath(ref.target).relative_to(above)), ref.source


def _keep(
    work: Optimization, item: Accelerated, files: Sequence[tuple[str, str]], record: Variant
) -> None:
    step = replace(item.step, applied=True)
    drop_variant(work.root, work.name, step.name)
    folder = work.staging / f"{work.name}-{step.name}"
    with translated(work.root / VARIANTS_FOLDER):
        folder.mkdir()
        for name, source in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy((work.root / Path(source)).resolve(), target)
    variant = replace(
        record,
        name=step.name,
        sources=source_hashes(work.root, work.facts),
        steps=(*record.steps, step),
        recipe={**record.recipe, "accelerator": step.name},
        verdict=Verdict.NOT_MEASURED,
        reason=step.reason,
        speedup=None,
        speedups=(),
    )
    names = [name for name, _ in files]
    work.variants.append(keep_variant(work.root, folder, names, variant))
