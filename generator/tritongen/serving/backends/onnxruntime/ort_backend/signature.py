"""What a model declares, brought from ONNX Runtime's words to Triton's, and its configuration.

The configuration is held against it, in the C++ backend's order and words, or completed from it, by
the C++ backend's rule.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_backends.config import (
    ConfigTensor,
    Json,
    RefusedError,
    State,
    shape_text,
    unexpected,
)

from .config import ConfigInterface

# ONNX Runtime's element type → Triton's name without prefix. ONNX's own name is in capitals.
_ELEMENTS = {
    **{name: name.upper() for name in ("bool", "uint8", "uint16", "uint32", "uint64", "string")},
    **{name: name.upper() for name in ("int8", "int16", "int32", "int64")},
    "float16": "FP16",
    "float": "FP32",
    "double": "FP64",
    "bfloat16": "BF16",
}
_KINDS = {
    "seq": "ONNX_TYPE_SEQUENCE",
    "map": "ONNX_TYPE_MAP",
    "sparse_tensor": "ONNX_TYPE_SPARSETENSOR",
    "opaque": "ONNX_TYPE_OPAQUE",
}
_DEFAULT_MAX_BATCH_SIZE = 4
_KEY = "default-max-batch-size="


@dataclass(frozen=True, slots=True)
class ModelTensor:
    """A declared tensor.

    Attributes:
        name: of the tensor.
        dtype: ``TYPE_…``, ``TYPE_INVALID`` when Triton has no name for it.
        wire: the same as in Triton's messages on models, ``TYPE_BYTES`` for strings.
        onnx: ONNX's name of the element type.
        shape: -1 for a dynamic size; empty for a scalar or an unknown shape.
    """

    name: str
    dtype: str
    wire: str
    onnx: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """Everything a model declares, by name and in the model's order."""

    inputs: dict[str, ModelTensor]
    outputs: dict[str, ModelTensor]
    initializers: dict[str, ModelTensor]

    @property
    def fed(self) -> dict[str, ModelTensor]:
        """What a request may give: inputs and overridable initialisers."""
        return {**self.inputs, **self.initializers}


def _tensor(node: Any) -> ModelTensor:  # noqa: ANN401  (onnxruntime's NodeArg)
    kind, _, rest = node.type.partition("(")
    if kind != "tensor":
        name = _KINDS.get(kind, "ONNX_TYPE_UNKNOWN")
        raise RefusedError(
            f"Unsupported ONNX Type '{name}' for I/O '{node.name}', expected 'ONNX_TYPE_TENSOR'."
        )
    shape = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in node.shape)
    element = rest.removesuffix(")")
    if element not in _ELEMENTS:
        return ModelTensor(node.name, "TYPE_INVALID", "TYPE_<invalid>", "UNDEFINED", shape)
    triton = _ELEMENTS[element]
    wire = "BYTES" if triton == "STRING" else triton
    return ModelTensor(node.name, f"TYPE_{triton}", f"TYPE_{wire}", element.upper(), shape)


def _tensors(nodes: Iterable[Any]) -> dict[str, ModelTensor]:
    return {node.name: _tensor(node) for node in nodes}


def signature(session: Any) -> ModelSignature:  # noqa: ANN401  (an InferenceSession)
    """What the session's model declares.

    Raises:
        RefusedError: an input or output is not a tensor.
    """
    return ModelSignature(
        inputs=_tensors(session.get_inputs()),
        outputs=_tensors(session.get_outputs()),
        initializers=_tensors(session.get_overridable_initializers()),
    )


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
    sides = (("input", state.taken, model.inputs), ("output", state.given, model.outputs))
    for kind, item, known in sides:
        if item.name not in known:
            raise unexpected(kind, item.name, known)
        _check_dtype(declared, f"{kind} state", item, known[item.name])


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


def is_complete(config: Json) -> bool:
    """Whether nothing is filled in: one input and one output suffice for that."""
    inputs = len(config.get("input", ())) + len(config.get("batch_input", ()))
    return inputs > 0 and len(config.get("output", ())) > 0


def default_max_batch_size(server: int) -> int:
    """What the server was told by ``--backend-config``, 4 when nothing.

    A backend in C++ is handed that option. A Python-based one is not, so that the server's own
    command line is read; a value for this backend goes before a general one.

    Args:
        server: process id of the server.
    """
    try:
        line = Path("/proc", str(server), "cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return _DEFAULT_MAX_BATCH_SIZE
    values = {}
    words = line.split("\0")
    for position, word in enumerate(words):
        if word == "--backend-config":
            setting = words[position + 1] if position + 1 < len(words) else ""
        elif word.startswith("--backend-config="):
            setting = word.partition("=")[2]
        else:
            continue
        backend, _, option = setting.rpartition(",")
        if option.startswith(_KEY) and option[len(_KEY) :].isdigit():
            values[backend] = int(option[len(_KEY) :])
    return values.get("onnxruntime", values.get("", _DEFAULT_MAX_BATCH_SIZE))


def _batches(tensors: Iterable[ModelTensor]) -> bool:
    return all(tensor.shape and tensor.shape[0] == -1 for tensor in tensors)


def complete(config: dict[str, Any], model: ModelSignature, default_batch: int) -> None:
    """Fills max_batch_size, dynamic_batching, inputs and outputs in place.

    Raises:
        RefusedError: max_batch_size is given for a model that does not batch.
    """
    if _batches((*model.inputs.values(), *model.outputs.values())):
        if config["max_batch_size"] == 0:
            config["max_batch_size"] = max(default_batch, 0)
        schedulers = ("sequence_batching", "dynamic_batching")
        if config["max_batch_size"] > 1 and not any(key in config for key in schedulers):
            config["dynamic_batching"] = {}
    elif config["max_batch_size"] != 0:
        raise RefusedError(
            f"autofill failed for model '{config['name']}': model does not support batching while "
            "non-zero max_batch_size is specified"
        )
    batching = config["max_batch_size"] > 0
    if not config["input"] and not config.get("batch_input"):
        config["input"] = [_entry(tensor, batching) for tensor in model.inputs.values()]
    if not config["output"]:
        config["output"] = [_entry(tensor, batching) for tensor in model.outputs.values()]


def _entry(tensor: ModelTensor, batching: bool) -> dict[str, Any]:
    dims = list(tensor.shape[1:] if batching else tensor.shape)
    entry: dict[str, Any] = {"name": tensor.name, "data_type": tensor.dtype, "dims": dims or [1]}
    if not dims and batching:
        entry["reshape"] = {"shape": []}
    return entry
