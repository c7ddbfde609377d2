"""Execution accelerators of the target as fields of the configuration; none of them runs here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritongen.model.variants import Step, StepKind
from tritongen.optimize.child_jobs import JobInput
from tritongen.optimize.isa import Isa

# Chosen: what an engine may take of the device's memory while it is made.
_MAX_WORKSPACE_BYTES = 2**30
_NOT_RUN = "not run here: measure it on the target"


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
