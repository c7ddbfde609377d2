"""Element types, dimensions and tensors, in Triton's terms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class DType(StrEnum):
    """An element type that Triton has a name for; the value is its name in the v2 protocol."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"
    BF16 = "BF16"

    @property
    def config_name(self) -> str:
        """The enum name in `config.pbtxt`: ``TYPE_FP32``, and ``TYPE_STRING`` for BYTES."""
        return "TYPE_STRING" if self is DType.BYTES else f"TYPE_{self.value}"

    @property
    def itemsize(self) -> int:
        """Bytes an element; 0 for BYTES, whose elements vary."""
        if self in {DType.BOOL, DType.BYTES}:
            return int(self is DType.BOOL)
        return int(self.value.lstrip("UINTBFP")) // 8

    @property
    def numpy_name(self) -> str:
        """The numpy dtype's name; ``object`` for BYTES, ``bfloat16`` (ml_dtypes) for BF16."""
        others = {DType.BYTES: "object", DType.BF16: "bfloat16"}
        return others.get(self) or self.value.lower().replace("fp", "float")

    @property
    def is_float(self) -> bool:
        """Whether values are floating-point numbers."""
        return self in {DType.FP16, DType.FP32, DType.FP64, DType.BF16}

    @property
    def is_integer(self) -> bool:
        """Whether values are integers (booleans are not)."""
        return self.value.startswith(("INT", "UINT"))

    @classmethod
    def from_config(cls, name: str) -> "DType | None":
        """The type named ``TYPE_…`` in a configuration, None when there is none of that name."""
        return next((member for member in cls if member.config_name == name), None)


class TensorKind(StrEnum):
    """What a graph's input or output holds. Triton serves `TENSOR` only."""

    TENSOR = "tensor"
    SPARSE = "sparse_tensor"
    SEQUENCE = "sequence"
    MAP = "map"
    OPTIONAL = "optional"
    OPAQUE = "opaque"


# A fixed size, the name of a symbolic size, or None for a dynamic size without a name.
Dim = int | str | None
# None stands for an unknown rank.
Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One declared input or output of a model.

    Attributes:
        name: as the model spells it.
        dtype: the element type, None when Triton has no name for it or it is not a tensor.
        shape: the full shape, batch axis included; None when the rank is not declared.
        kind: tensor, or the container that the model returns instead.
        declared_type: the type in the format's own words (``FLOAT``, ``seq(map(int64,float))``).
        optional: the model runs without it.
    """

    name: str
    dtype: DType | None
    shape: Shape | None
    kind: TensorKind = TensorKind.TENSOR
    declared_type: str = ""
    optional: bool = False

    @property
    def rank(self) -> int | None:
        """Number of axes, None when not declared."""
        return None if self.shape is None else len(self.shape)


def fits(shape: Shape, sizes: Sequence[int]) -> bool:
    """Whether concrete sizes are ones that a shape declares; a dynamic one is any size."""
    return len(shape) == len(sizes) and all(
        is_dynamic(dim) or dim == size for dim, size in zip(shape, sizes, strict=True)
    )


def is_dynamic(dim: Dim) -> bool:
    """Whether the size is decided by the request."""
    return not isinstance(dim, int)


def wire_dims(shape: Shape) -> tuple[int, ...]:
    """The shape as Triton writes it: -1 for every dynamic size."""
    return tuple(dim if isinstance(dim, int) else -1 for dim in shape)


def shape_of_dims(dims: Iterable[int]) -> Shape:
    """The shape of dims as Triton writes them: a size below zero is dynamic."""
    return tuple(dim if dim >= 0 else None for dim in dims)


def json_shape(shape: Shape | None) -> list[int | str] | None:
    """The shape for JSON: symbols kept, -1 for a dynamic size without a name, None for no rank."""
    if shape is None:
        return None
    return [-1 if dim is None else dim for dim in shape]


def show_shape(shape: Shape | None) -> str:
    """The shape for people: ``[batch, 3, 224, 224]``, ``[?]`` for an unnamed size, ``unknown``."""
    if shape is None:
        return "unknown"
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in shape) + "]"
