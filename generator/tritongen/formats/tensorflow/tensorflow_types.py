"""TensorFlow's element types and shapes, as its messages hold them."""

from collections.abc import Mapping

from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import LENGTH, VARINT, Data
from tritongen.model.tensors import Dim, DType, Shape

_DTYPES: Mapping[int, DType] = {
    1: DType.FP32,
    2: DType.FP64,
    3: DType.INT32,
    4: DType.UINT8,
    5: DType.INT16,
    6: DType.INT8,
    7: DType.BYTES,
    9: DType.INT64,
    10: DType.BOOL,
    14: DType.BF16,
    17: DType.UINT16,
    19: DType.FP16,
    22: DType.UINT32,
    23: DType.UINT64,
}
_NAMES: Mapping[int, str] = {
    8: "DT_COMPLEX64",
    11: "DT_QINT8",
    12: "DT_QUINT8",
    13: "DT_QINT32",
    18: "DT_COMPLEX128",
    20: "DT_RESOURCE",
    21: "DT_VARIANT",
}
# TensorShape::MaxDimensions() of TensorFlow.
_MAX_RANK = 254


def dtype_of(number: int) -> DType | None:
    """The element type, None when Triton has no name for it."""
    return _DTYPES.get(number)


def label_of(number: int) -> str:
    """The type in TensorFlow's own words."""
    if number in _DTYPES:
        return f"DT_{_DTYPES[number].value}"
    return _NAMES.get(number, f"type {number}")


def shape_of(data: Data, start: int, stop: int) -> Shape | None:
    """The sizes of a TensorShapeProto, None when its rank is not known.

    Raises:
        DamagedError: a field does not fit.
    """
    dims: list[Dim] = []
    for number, kind, first, last in wire.fields(data, start, stop):
        if number == 3 and kind == VARINT and first:
            return None
        if number == 2 and kind == LENGTH:
            dims.append(_dim(data, first, last))
            if len(dims) > _MAX_RANK:
                raise wire.DamagedError(f"a shape has more than {_MAX_RANK} axes")
    return tuple(dims)


def _dim(data: Data, start: int, stop: int) -> Dim:
    for number, kind, first, _ in wire.fields(data, start, stop):
        if number == 1 and kind == VARINT:
            size = wire.signed(first)
            return size if size >= 0 else None
    return 0  # a size of zero is not written
