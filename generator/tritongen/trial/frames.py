"""Messages between the tool and a child that runs a model: a JSON object, and tensors."""

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

from tritongen.model.samples import Array
from tritongen.model.tensors import DType
from tritongen.triton import tensor_bytes

_LENGTH = struct.Struct("<I")
# Of names, types and sizes; chosen: a thousand outputs with long names.
_MAX_HEADER_BYTES = 2**20


def write_frame(
    stream: IO[bytes], head: Mapping[str, object], arrays: Mapping[str, Array] | None = None
) -> None:
    """Send one message: a JSON object, and tensors as Triton has them on the wire.

    Raises:
        OSError: the other side is gone.
    """
    parts = []
    described = []
    for name, array in (arrays or {}).items():
        dtype = tensor_bytes.dtype_of(array)
        if dtype is None:
            continue  # no tensor of Triton's
        parts.append(tensor_bytes.encode(array, dtype))
        described.append([name, dtype.value, list(array.shape), len(parts[-1])])
    text = json.dumps({**head, "tensors": described}).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    for part in parts:
        stream.write(part)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, Array]]:
    """The next message.

    Raises:
        EOFError: there is none, or not all of it.
        ValueError, TypeError, KeyError: it is none of `write_frame`.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > _MAX_HEADER_BYTES:
        raise ValueError("the header is too long")
    head: Any = json.loads(_exactly(stream, length))
    if not isinstance(head, dict) or not isinstance(described := head.pop("tensors"), list):
        raise TypeError("no object with a list of tensors")
    arrays = {}
    for name, dtype, shape, size in described:
        data = memoryview(_exactly(stream, size))
        arrays[str(name)] = tensor_bytes.decode(data, DType(dtype), shape)
    return head, arrays


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
