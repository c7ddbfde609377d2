"""Protocol-buffer wire format, as far as weights must be passed by without being read.

A message is a sequence of fields: a tag (number and wire type) and a value. Only lengths are
looked at, so that gigabytes of weights stay where they are: in the mapped file.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tritongen.errors import InvalidInputError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Attributes:
        number: of the field.
        kind: wire type.
        start: offset of its tag.
        begin: offset of its value; for `BYTES`, behind the length.
        end: offset behind its value.
    """

    number: int
    kind: int
    start: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return self.end - self.begin


class WireError(InvalidInputError):
    """The bytes are not a message."""

    def __init__(self, offset: int) -> None:
        super().__init__("TG102", f"the file is not a valid ONNX message at byte {offset}")


def fields(data: memoryview, begin: int, end: int) -> Iterator[Field]:
    """The fields of a message in a part of a buffer.

    Raises:
        WireError: the bytes are no message.
    """
    position = begin
    while position < end:
        start = position
        tag, position = varint(data, position, end)
        kind = tag & 7
        value, length = position, 0
        if kind == VARINT:
            _, position = varint(data, position, end)
        elif kind == FIXED64:
            position += 8
        elif kind == FIXED32:
            position += 4
        elif kind == BYTES:
            length, value = varint(data, position, end)
            position = value + length
        else:
            raise WireError(start)
        if position > end:
            raise WireError(start)
        yield Field(tag >> 3, kind, start, value, position)


def varint(data: memoryview, position: int, end: int) -> tuple[int, int]:
    """A variable-length integer and the offset behind it.

    Raises:
        WireError: it does not end.
    """
    value = shift = 0
    begin = position
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise WireError(begin)


def encoded(value: int) -> bytes:
    """A variable-length integer."""
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def header(number: int, length: int) -> bytes:
    """Tag and length of a field of bytes."""
    return encoded(number << 3 | BYTES) + encoded(length)
