"""Messages between the tool and a child that runs a model: a JSON object, and tensors."""

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

from tritongen.errors import EnvironmentProblem
from tritongen.model.codec import parse_json
from tritongen.model.samples import Array
from tritongen.model.tensors import DType
from tritongen.triton import tensor_bytes

_LENGTH = struct.Struct("<I")
# Of names, types and sizes; chosen: a thousand outputs with long names.
_MAX_HEADER_BYTES = 2**20
# Of all tensors of one message, and of strings, of which each takes memory of its own. Chosen: more
# than any answer to a few rows, and what any machine has to spare.
_MAX_TENSOR_BYTES, _MAX_STRING_BYTES = 2**30, 2**24
_PIECE_BYTES = 2**20


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
    head = parse_json(bytes(_exactly(stream, length)))
    if not isinstance(head, dict) or not isinstance(described := head.pop("tensors"), list):
        raise TypeError("no object with a list of tensors")
    arrays: dict[str, Array] = {}
    left = _MAX_TENSOR_BYTES
    for name, dtype, shape, size in described:
        kind = DType(dtype)
        if not 0 <= size <= (min(left, _MAX_STRING_BYTES) if kind is DType.BYTES else left):
            raise ValueError("a tensor has too many bytes")
        left -= size
        try:
            arrays[str(name)] = tensor_bytes.decode(_exactly(stream, size), kind, shape)
        except (ArithmeticError, EnvironmentProblem) as problem:
            raise ValueError("a tensor has other bytes than its shape") from problem
    return head, arrays


def _exactly(stream: IO[bytes], size: int) -> memoryview:
    """So many bytes; memory is taken for those that have come, not for those announced."""
    data = bytearray()
    while len(data) < size:
        piece = stream.read(min(size - len(data), _PIECE_BYTES))
        if not piece:
            raise EOFError
        data += piece
    return memoryview(data)
