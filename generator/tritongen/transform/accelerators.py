"""Execution accelerators of the target as fields of the configuration; none of them runs here."""

from collections.abc import Mapping, Sequence

from tritongen.domain.isa import Isa
from tritongen.domain.variants import Step, StepKind
from tritongen.transform.jobs import JobInput

_WORKSPACE = 2**30
_NOT_RUN = "not run here: measure it on the target with `tritongen tune`"


def accelerator_steps(
    inputs: Sequence[JobInput], *, gpus: int, isa: Isa, max_batch: int
) -> tuple[Step, ...]:
    """What could be switched on for the target, each as an overlay for tritongen.yaml.

    Args:
        inputs: of the model, with sizes that it accepts.
        gpus: of the target.
        isa: of its CPU.
        max_batch: greatest batch of the plan; 0 or 1 without batching.
    """
    if gpus:
        return (_tensorrt(inputs, max_batch),)
    if "intel" in isa.model.lower():
        return (_openvino(),)
    return ()


def _tensorrt(inputs: Sequence[JobInput], max_batch: int) -> Step:
    parameters: dict[str, str] = {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": str(_WORKSPACE),
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
    overlay = {
        "optimization": {
            "execution_accelerators": {
                "gpu_execution_accelerator": [{"name": "tensorrt", "parameters": parameters}]
            }
        }
    }
    reason = (
        "TensorRT in FP16 with an engine cache and profile shapes up to the planned batch; "
        f"{_NOT_RUN}. INT8 needs a calibration table made on that GPU: precision_mode INT8 with "
        "int8_calibration_table_name"
    )
    return Step("tensorrt", StepKind.ACCELERATOR, False, reason, overlay=overlay)


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
    overlay: Mapping[str, object] = {
        "optimization": {
            "execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]}
        }
    }
    reason = (
        "OpenVINO executes what it can on this Intel CPU; the thread counts of the configuration "
        f"do not hold for it; {_NOT_RUN}"
    )
    return Step("openvino", StepKind.ACCELERATOR, False, reason, overlay=overlay)
