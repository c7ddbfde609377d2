"""Tensors of the v2 protocol: numpy arrays to raw bytes and back, exactly."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from tritongen.errors import EnvironmentProblem
from tritongen.model.tensors import DType

__all__ = ["Array", "decode", "dtype_of", "encode", "numpy_dtype"]

Array = np.ndarray[Any, np.dtype[Any]]


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """The numpy type of an element type: object (of bytes) for BYTES, ml_dtypes' for BF16."""
    if dtype is DType.BF16:
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    return np.dtype(dtype.numpy_name)


def dtype_of(array: Array) -> DType | None:
    """The element type of an array, None when the protocol has no name for it.

    Arrays of Python strings and bytes (kinds ``O``, ``S`` and ``U``) are BYTES.
    """
    if array.dtype.kind in "OSU":
        return DType.BYTES
    name = array.dtype.name
    return next((dtype for dtype in DType if dtype.numpy_name == name), None)


def _as_bytes(element: object) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode()


def encode(array: Array, dtype: DType) -> bytes:
    """The tensor's bytes: little-endian, row-major; BYTES elements carry a 4-byte length.

    A string element is encoded as UTF-8; a bytes element is sent as it is.
    """
    if dtype is DType.BYTES:
        parts: list[bytes] = []
        for element in array.ravel(order="C").tolist():
            data = _as_bytes(element)
            parts += (struct.pack("<I", len(data)), data)
        return b"".join(parts)
    return np.ascontiguousarray(array).tobytes()


def decode(data: memoryview, dtype: DType, shape: Sequence[int]) -> Array:
    """An array of `shape` from the tensor's bytes; it owns its memory.

    Raises:
        EnvironmentProblem: TG815 when the bytes do not fill the shape.
    """
    count = int(np.prod(shape, dtype=np.int64))
    if dtype is DType.BYTES:
        elements = _split(data)
        if len(elements) != count:
            raise EnvironmentProblem(
                "TG815", f"the server sent {len(elements)} strings for {count} elements"
            )
        array = np.empty(count, dtype=object)
        array[:] = elements
        return array.reshape(tuple(shape))
    if len(data) != count * dtype.itemsize:
        raise EnvironmentProblem(
            "TG815",
            f"the server sent {len(data)} bytes for {count} elements of {dtype.value}",
        )
    return np.frombuffer(data, dtype=numpy_dtype(dtype)).reshape(tuple(shape)).copy()


def _split(data: memoryview) -> list[bytes]:
    elements = []
    offset = 0
    while offset + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, offset)
        elements.append(bytes(data[offset + 4 : offset + 4 + size]))
        offset += 4 + size
    return elements
