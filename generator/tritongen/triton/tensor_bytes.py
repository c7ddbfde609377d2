"""Tensors of the v2 protocol: numpy arrays to raw bytes and back, exactly."""

import struct
from collections.abc import Sequence

import numpy as np

from tritongen.errors import EnvironmentProblem
from tritongen.model.samples import Array, numpy_dtype
from tritongen.model.tensors import DType


def dtype_of(array: Array) -> DType | None:
    """The element type of an array, None when the protocol has no name for it.

    Arrays of Python strings and bytes (kinds ``O``, ``S`` and ``U``) are BYTES.
    """
    if array.dtype.kind in "OSU":
        return DType.BYTES
    name = array.dtype.name
    return next((dtype for dtype in DType if dtype.numpy_name == name), None)


def sent_type(name: str, array: Array) -> DType:
    """The element type that an input is sent with.

    Raises:
        EnvironmentProblem: TG815, the protocol has no name for it.
    """
    dtype = dtype_of(array)
    if dtype is None:
        raise EnvironmentProblem("TG815", f"no type of the protocol for {array.dtype}", where=name)
    return dtype


def encode(array: Array, dtype: DType) -> bytes:
    """The tensor's bytes: little-endian, row-major; BYTES elements carry a 4-byte length.

    A string element is encoded as UTF-8, a bytes element is sent as it is, and a float of another
    type is rounded to the nearest BF16.
    """
    if dtype is not DType.BYTES:
        return np.ascontiguousarray(array, numpy_dtype(dtype)).tobytes()
    parts: list[bytes] = []
    for element in array.ravel(order="C").tolist():
        data = element if isinstance(element, bytes) else str(element).encode()
        parts += (struct.pack("<I", len(data)), data)
    return b"".join(parts)


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


def cast(array: Array, dtype: DType) -> Array | None:
    """The array in that element type, None when values would be lost.

    Numbers in JSON and in files often have a wider type than the model; that is allowed as long
    as every value survives. Floats may be rounded to a shorter float.
    """
    if dtype is DType.BYTES:
        if array.dtype.kind not in "SUO":
            return None
        items = [i if isinstance(i, bytes) else str(i).encode() for i in array.reshape(-1)]
        result = np.empty(len(items), dtype=object)
        result[:] = items
        return result.reshape(array.shape)
    if array.dtype.kind not in "biuf":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        result = array.astype(numpy_dtype(dtype))
    if dtype.is_float or np.array_equal(result.astype(array.dtype), array):
        return result
    return None
