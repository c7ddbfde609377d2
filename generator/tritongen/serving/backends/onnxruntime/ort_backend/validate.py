"""The checks of configuration against model at load time, in the C++ backend's order and words."""

from python_backends.config import (
    ConfigTensor,
    RefusedError,
    State,
    shape_text,
    unexpected,
)

from .config import ConfigInterface
from .signature import ModelSignature, ModelTensor


def validate(declared: ConfigInterface, model: ModelSignature) -> None:
    """Makes sure that the configuration's tensors are the model's.

    Raises:
        RefusedError: the first disagreement.
    """
    for name, dtype in declared.controls:
        _check_control(declared, model, name, dtype)
    _check_count(declared, model)
    for item in declared.inputs:
        _check_input(declared, model, item)
    for item in declared.outputs:
        _check_output(declared, model, item)
    for state in declared.states:
        _check_state(declared, model, state)


def _check_control(declared: ConfigInterface, model: ModelSignature, name: str, dtype: str) -> None:
    tensor = model.inputs.get(name)
    if tensor is None:
        raise RefusedError(
            f"configuration specified sequence control '{name}', but model does not provide that "
            "input"
        )
    prefix = f"unable to load model '{declared.model}', sequence control '{name}'"
    shape = tensor.shape[1:] if declared.max_batch_size > 0 else tensor.shape
    if shape != (1,):
        raise RefusedError(
            f"{prefix} in model has dims {shape_text(shape)} but dims [1] is expected"
        )
    if dtype != tensor.dtype:
        raise RefusedError(
            f"{prefix}, the model expects data-type {tensor.onnx} but the model configuration "
            f"specifies data-type {dtype}"
        )


def _check_count(declared: ConfigInterface, model: ModelSignature) -> None:
    required = sum(not item.optional for item in declared.inputs)
    expected = required + len(declared.batch_inputs) + len(declared.controls)
    expected += len(declared.states)
    if expected != len(model.inputs):
        raise RefusedError(
            f"unable to load model '{declared.model}', configuration expects {expected} inputs, "
            f"model provides {len(model.inputs)}"
        )


def _check_dtype(
    declared: ConfigInterface, kind: str, item: ConfigTensor, tensor: ModelTensor
) -> None:
    if item.dtype != tensor.dtype:
        raise RefusedError(
            f"unable to load model '{declared.model}', configuration expects datatype "
            f"{item.dtype} for {kind} '{item.name}', model provides {tensor.wire}"
        )


def _check_input(declared: ConfigInterface, model: ModelSignature, item: ConfigTensor) -> None:
    prefix = f"unable to load model '{declared.model}'"
    if item.optional and declared.max_batch_size != 0:
        raise RefusedError(
            f"{prefix}, optional input '{item.name}' is not supported for models that support "
            "batching"
        )
    tensor = model.fed.get(item.name)
    if tensor is None:
        raise unexpected("input", item.name, model.fed)
    _check_dtype(declared, "input", item, tensor)
    if item.optional and item.ragged:
        raise RefusedError(
            f"{prefix}, configuration expects model provides input with shape [-1] for ragged "
            f"input '{item.name}', which is not supported for optional input"
        )
    if item.ragged:
        if tensor.shape != (-1,):
            raise RefusedError(
                f"{prefix}, configuration expects model provides input with shape [-1]  for "
                f"ragged input '{item.name}', model provides {shape_text(tensor.shape)}"
            )
    elif tensor.shape:
        _check_dims(declared, item, tensor, exact=False)
    else:
        _check_scalar(declared, item)


def _check_output(declared: ConfigInterface, model: ModelSignature, item: ConfigTensor) -> None:
    tensor = model.outputs.get(item.name)
    if tensor is None:
        raise unexpected("output", item.name, model.outputs)
    _check_dtype(declared, "output", item, tensor)
    if item.name in declared.scattered:
        return
    if tensor.shape:
        _check_dims(declared, item, tensor, exact=True)
    else:
        _check_scalar(declared, item)


def _check_state(declared: ConfigInterface, model: ModelSignature, state: State) -> None:
    """Names and types of a state. The C++ backend means to check them, and fails at the run."""
    given = model.inputs.get(state.input)
    if given is None:
        raise unexpected("input", state.input, model.inputs)
    made = model.outputs.get(state.output)
    if made is None:
        raise unexpected("output", state.output, model.outputs)
    for kind, name, tensor in (("input", state.input, given), ("output", state.output, made)):
        if state.dtype != tensor.dtype:
            raise RefusedError(
                f"unable to load model '{declared.model}', configuration expects datatype "
                f"{state.dtype} for {kind} state '{name}', model provides {tensor.wire}"
            )


def _check_scalar(declared: ConfigInterface, item: ConfigTensor) -> None:
    if any(dim != 1 for dim in item.dims):
        raise RefusedError(
            f"unable to load model '{declared.model}', scalar tensor '{item.name}', should only "
            "provide 1 in the model configuration when the model doesn't support batching. Model "
            f"configuration provided: {shape_text(item.dims)}."
        )


def _check_dims(
    declared: ConfigInterface, item: ConfigTensor, tensor: ModelTensor, *, exact: bool
) -> None:
    """Compares full shapes; unless `exact`, whatever stands for a dynamic size is accepted."""
    batching = declared.max_batch_size > 0
    prefix = f"model '{declared.model}', tensor '{item.name}': "
    if batching and tensor.shape[0] != -1:
        raise RefusedError(
            f"{prefix}for the model to support batching the shape should have at least 1 dimension "
            "and the first dimension must be -1; but shape expected by the model is "
            f"{shape_text(tensor.shape)}"
        )
    full = (-1, *item.dims) if batching else item.dims
    equal = len(full) == len(tensor.shape) and all(
        given == own for given, own in zip(full, tensor.shape, strict=True) if exact or own != -1
    )
    if equal:
        return
    said = (
        f"{len(full)} dimensions (an initial batch dimension because max_batch_size > 0 followed "
        f"by the explicit tensor shape, making complete shape {shape_text(full)})"
        if batching
        else f"{len(full)} dimensions (shape {shape_text(full)})"
    )
    raise RefusedError(
        f"{prefix}the model expects {len(tensor.shape)} dimensions (shape "
        f"{shape_text(tensor.shape)}) but the model configuration specifies {said}"
    )
