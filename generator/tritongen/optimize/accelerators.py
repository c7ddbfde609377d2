"""Execution accelerators of the target: variants by the configuration alone; none runs here."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from tritongen.model.evidence import AxisProof, AxisVerdict
from tritongen.model.intent import DEFAULT_TRITON, AxisIntent
from tritongen.model.kept_folders import ENGINE_CACHE
from tritongen.model.releases import at_least
from tritongen.model.variants import VARIANTS_FOLDER, Step, StepKind, Variant, Verdict
from tritongen.optimize.child_jobs import JobInput, JobResult
from tritongen.optimize.isa import Isa
from tritongen.optimize.onnx_files import link_or_copy
from tritongen.optimize.optimization import Base, Optimization, variant_of
from tritongen.repository.stored_variants import drop_variant, keep_variant
from tritongen.system.files import translated

# Least and greatest size by input and position; shapes of a profile by its end: min, opt, max.
Ranges = Mapping[tuple[str, int], tuple[int, int]]
Profile = Mapping[str, str]
_ENDS = ("min", "opt", "max")

# Chosen: what an engine may take of the device's memory while it is made.
_MAX_WORKSPACE_BYTES = 2**30
_NOT_RUN = "not run here: measure it on the target"
# Chosen: what an engine is made for where the user names no batch.
_MAX_BATCH_ROWS = 32
INT8 = "int8-static"
# First release whose backend reads profiles and the timing cache.
_OPTIONS_SINCE = "24.04"
# Names of variants by precision; the second is made of the 8-bit variant.
_TENSORRT = {"FP16": "tensorrt-fp16", "INT8": "tensorrt-int8"}


def accelerators(
    inputs: Sequence[JobInput],
    *,
    gpus: int,
    isa: Isa,
    max_batch: int,
    quantised: bool = False,
    ranges: Ranges = MappingProxyType({}),
    release: str = DEFAULT_TRITON,
) -> Iterator[Step]:
    """What suits the target, with the fields of the configuration as overlays.

    Args:
        inputs: of the model, with sizes that it accepts.
        gpus: of the target.
        isa: of its CPU.
        max_batch: greatest batch of the plan; 0 or 1 without batching.
        quantised: whether there is an 8-bit variant with Q/DQ operators.
        ranges: least and greatest size of dynamic axes, the batch's aside, by input and position.
        release: the target Triton.
    """
    if gpus:
        profile = _profile(inputs, max(1, max_batch), ranges)
        yield _tensorrt(profile, "FP16", release)
        if quantised:
            yield _tensorrt(profile, "INT8", release)
    elif "intel" in isa.model.lower():
        yield _openvino()


def _tensorrt(profile: Profile, precision: str, release: str) -> Step:
    parameters: dict[str, str] = {
        "precision_mode": precision,
        "max_workspace_size_bytes": str(_MAX_WORKSPACE_BYTES),
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": ENGINE_CACHE,
    }
    if at_least(release, _OPTIONS_SINCE):
        parameters |= {"trt_timing_cache_enable": "true", "trt_timing_cache_path": ENGINE_CACHE}
        parameters |= {f"trt_profile_{end}_shapes": text for end, text in profile.items()}
    overlay = _overlay("gpu_execution_accelerator", "tensorrt", parameters)
    scales = (
        "; its Q/DQ operators carry the calibration, so no table is needed"
        if precision == "INT8"
        else ""
    )
    shapes = "profile shapes of the sizes that were proven" if profile else "the fixed shapes"
    reason = (
        f"TensorRT in {precision} with {shapes}, and a cache of engines that `up` keeps beside the "
        f"project{scales}; {_NOT_RUN}"
    )
    return Step(_TENSORRT[precision], StepKind.ACCELERATOR, False, reason, overlay=overlay)


def plan_command(step: Step) -> str:
    """What builds a plan instead of TensorRT's variant in FP16; empty for all other steps."""
    if step.name != _TENSORRT["FP16"]:
        return ""
    said = dict(_leaves(step.overlay))
    words = ["trtexec", "--onnx=model.onnx", "--saveEngine=model.plan", "--fp16"]
    given = ((end, said.get(f"trt_profile_{end}_shapes")) for end in _ENDS)
    return shlex.join([*words, *(f"--{end}Shapes={text}" for end, text in given if text)])


def _leaves(tree: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of an overlay with its key."""
    if isinstance(tree, Mapping):
        for name, inner in tree.items():
            yield from _leaves(inner, str(name))
    elif isinstance(tree, list):
        for inner in tree:
            yield from _leaves(inner, key)
    else:
        yield key, str(tree)


def _overlay(
    place: str, name: str, parameters: Mapping[str, str] | None = None
) -> Mapping[str, object]:
    entry: dict[str, object] = {"name": name}
    if parameters:
        entry["parameters"] = dict(parameters)
    return {"optimization": {"execution_accelerators": {place: [entry]}}}


def _profile(inputs: Sequence[JobInput], max_batch: int, ranges: Ranges) -> Profile:
    """Shapes from the least to the greatest, as TensorRT spells them; empty for fixed ones."""
    if not any(-1 in item.dims for item in inputs):
        return {}
    return {
        end: _shapes(inputs, 1 if end == "min" else max_batch, ranges, place)
        for place, end in enumerate(_ENDS)
    }


def _shapes(inputs: Sequence[JobInput], rows: int, ranges: Ranges, place: int) -> str:
    """Each input with rows in a dynamic first axis, and the least, usual or greatest others."""
    parts = []
    for item in inputs:
        sizes = list(item.shape)
        for axis, dim in enumerate(item.dims):
            if dim == -1:
                usual = sizes[axis]
                least, most = ranges.get((item.name, axis), (usual, usual))
                span = (least, min(max(usual, least), most), most)
                sizes[axis] = rows if axis == 0 else span[place]
        parts.append(f"{item.name}:{'x'.join(map(str, sizes))}")
    return ",".join(parts)


def proven_ranges(axes: Sequence[AxisProof], stated: Mapping[str, AxisIntent]) -> Ranges:
    """Least and greatest size of each dynamic axis that was proven to take several.

    What tritongen.yaml says that clients send narrows what the trial has shown; an axis that only
    moves with another one keeps the sizes that were tried together.
    """
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for proof in axes:
        sizes = sorted(proof.tried)
        if proof.verdict is AxisVerdict.BOUNDED and isinstance(proof.bound, int):
            sizes = sorted({*(size for size in sizes if size <= proof.bound), proof.bound})
        elif proof.verdict is AxisVerdict.MULTIPLE and isinstance(proof.bound, int):
            sizes = [size for size in sizes if size % proof.bound == 0]
        elif proof.verdict is not AxisVerdict.FREE:
            continue
        said = stated.get(proof.label) or stated.get(f"{proof.input}[{proof.axis}]")
        least = said.minimum if said is not None and said.minimum else min(sizes, default=0)
        most = said.maximum if said is not None and said.maximum else max(sizes, default=0)
        if 0 < least <= most:
            found[proof.input, proof.axis] = (least, most)
    return found


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
        ranges=proven_ranges(base.trial.axes, work.intent.axes),
        release=work.project.intent.target.triton,
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
