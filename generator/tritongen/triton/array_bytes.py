"""Arrays as they travel: little-endian rows, strings each after a 4-byte length."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritongen.model.tensors import DType

Array = NDArray[Any]


def encode(array: Array, dtype: DType) -> bytes:
    """The bytes of an array of that element type.

    BYTES takes an object array of bytes or str; BF16 takes ml_dtypes' bfloat16 or any float.
    """
    if dtype is DType.BYTES:
        return b"".join(_string(item) for item in array.reshape(-1).tolist())
    if dtype is DType.BF16 and array.dtype.itemsize != 2:
        return _bfloat16(array.astype(np.float32))
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _string(item: Any) -> bytes:  # noqa: ANN401  (an element of an object array)
    raw = item if isinstance(item, bytes) else str(item).encode("utf-8")
    return struct.pack("<I", len(raw)) + raw


def _bfloat16(array: NDArray[np.float32]) -> bytes:
    """Rounded to the nearest bfloat16, ties to even; NaN stays NaN."""
    bits = array.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    quiet = np.uint64(0x7FC0)
    return np.where(np.isnan(array), quiet, rounded).astype("<u2").tobytes()


def cast(array: Array, dtype: DType) -> Array | None:
    """The array in that element type, None when values would be lost.

    Numbers in JSON and in files often have a wider type than the model; that is allowed as long
    as every value survives. Floats may be rounded to a shorter float.
    """
    if dtype is DType.BYTES:
        if array.dtype.kind in "SUO":
            items = [i if isinstance(i, bytes) else str(i).encode() for i in array.reshape(-1)]
            result = np.empty(len(items), dtype=object)
            result[:] = items
            return result.reshape(array.shape)
        return None
    if array.dtype.kind not in "biuf":
        return None
    if dtype is DType.BF16:
        return array.astype(np.float32)
    target = np.dtype(dtype.numpy_name)
    if target.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(target)
    with np.errstate(invalid="ignore"):
        result = array.astype(target)
    return result if np.array_equal(result.astype(array.dtype), array) else None
