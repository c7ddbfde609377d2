"""What a model declares, in ONNX Runtime's words, brought to Triton's."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from python_backends.config import RefusedError

# ONNX Runtime's element type → (Triton's name without prefix, ONNX's name in C++ messages)
_ELEMENTS: dict[str, tuple[str, str]] = {
    "bool": ("BOOL", "BOOL"),
    "uint8": ("UINT8", "UINT8"),
    "uint16": ("UINT16", "UINT16"),
    "uint32": ("UINT32", "UINT32"),
    "uint64": ("UINT64", "UINT64"),
    "int8": ("INT8", "INT8"),
    "int16": ("INT16", "INT16"),
    "int32": ("INT32", "INT32"),
    "int64": ("INT64", "INT64"),
    "float16": ("FP16", "FLOAT16"),
    "float": ("FP32", "FLOAT"),
    "double": ("FP64", "DOUBLE"),
    "string": ("STRING", "STRING"),
    "bfloat16": ("BF16", "BFLOAT16"),
}
_KINDS = {
    "seq": "ONNX_TYPE_SEQUENCE",
    "map": "ONNX_TYPE_MAP",
    "sparse_tensor": "ONNX_TYPE_SPARSETENSOR",
    "opaque": "ONNX_TYPE_OPAQUE",
}


class DeclaredNode(Protocol):
    """An input, output or initialiser as ONNX Runtime lists it."""

    name: str
    type: str
    shape: list[int | str | None]


class DeclaringSession(Protocol):
    """The part of a session that says what the model declares."""

    def get_inputs(self) -> list[DeclaredNode]:
        """Inputs that must be given."""
        ...

    def get_outputs(self) -> list[DeclaredNode]:
        """Outputs."""
        ...

    def get_overridable_initializers(self) -> list[DeclaredNode]:
        """Weights that a request may replace."""
        ...


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


def _tensor(node: DeclaredNode) -> ModelTensor:
    kind, _, rest = node.type.partition("(")
    if kind != "tensor":
        name = _KINDS.get(kind, "ONNX_TYPE_UNKNOWN")
        raise RefusedError(
            f"Unsupported ONNX Type '{name}' for I/O '{node.name}', expected 'ONNX_TYPE_TENSOR'."
        )
    shape = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in node.shape)
    element = _ELEMENTS.get(rest.removesuffix(")"))
    if element is None:
        return ModelTensor(node.name, "TYPE_INVALID", "TYPE_<invalid>", "UNDEFINED", shape)
    triton, onnx = element
    wire = "BYTES" if triton == "STRING" else triton
    return ModelTensor(node.name, f"TYPE_{triton}", f"TYPE_{wire}", onnx, shape)


def _tensors(nodes: Iterable[DeclaredNode]) -> dict[str, ModelTensor]:
    return {node.name: _tensor(node) for node in nodes}


def signature(session: DeclaringSession) -> ModelSignature:
    """What the session's model declares.

    Raises:
        RefusedError: an input or output is not a tensor.
    """
    return ModelSignature(
        inputs=_tensors(session.get_inputs()),
        outputs=_tensors(session.get_outputs()),
        initializers=_tensors(session.get_overridable_initializers()),
    )
