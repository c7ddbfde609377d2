"""Dims of inputs and outputs, in the form that the backend accepts."""

from tritongen.model.serving_plan import PlannedTensor, Reason, Source
from tritongen.model.tensors import DType, Shape, TensorSpec, show_shape, wire_dims
from tritongen.planner.context import ModelInput


def plan_tensors(
    model: ModelInput, batching: bool
) -> tuple[tuple[PlannedTensor, ...], tuple[PlannedTensor, ...]]:
    """Inputs and outputs; `batching` tells whether Triton adds the batch axis itself."""
    inputs = tuple(
        _tensor(spec, shape, batching, model.backend.optional_inputs and spec.optional)
        for spec, shape in model.shapes_in()
    )
    outputs = tuple(
        _tensor(spec, shape, batching, optional=False) for spec, shape in model.shapes_out()
    )
    return inputs, outputs


def _tensor(spec: TensorSpec, shape: Shape | None, batching: bool, optional: bool) -> PlannedTensor:
    # A tensor without an element type is an error finding; such a model is never planned.
    dtype = spec.dtype or DType.FP32
    dims, reason, reshape = _dims(spec, shape, batching)
    return PlannedTensor(spec.name, dtype, dims, reason, reshape, optional)


def _dims(
    spec: TensorSpec, shape: Shape | None, batching: bool
) -> tuple[tuple[int, ...], Reason, tuple[int, ...] | None]:
    """Dims with their reason, and the shape that the model sees where it is another one."""
    if not shape:
        # A scalar, or an output whose rank the runtime cannot tell: both are checked as [1].
        what = "a scalar in the model" if spec.shape is not None else "its rank is not declared"
        return (1,), Reason(Source.RULE, f"{what}; Triton has no rank 0 and writes it as [1]"), None
    given = f"the model's {show_shape(shape)}"
    if not batching:
        return wire_dims(shape), Reason(Source.MODEL, f"{given}, full shape"), None
    dims = wire_dims(shape[1:])
    if dims:
        return dims, Reason(Source.MODEL, f"{given} without the batch axis"), None
    why = "is the batch axis alone; Triton needs one dim and takes it away again by reshape"
    return (1,), Reason(Source.RULE, f"{given} {why}"), ()
