"""The little of protobuf's wire format that inference requests and responses need."""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


class ProtobufError(Exception):
    """The bytes are not a message."""


def varint(value: int) -> bytes:
    """A number that is not negative."""
    octets = bytearray()
    while value > 0x7F:
        octets.append((value & 0x7F) | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return varint(number << 3 | _BYTES) + varint(len(content)) + content


def field_number(number: int, value: int) -> bytes:
    """A field of a number that is not negative, or of a truth value."""
    return varint(number << 3 | _VARINT) + varint(value)


def packed(number: int, values: tuple[int, ...]) -> bytes:
    """A field of several numbers."""
    return field(number, b"".join(varint(value % (1 << 64)) for value in values))


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and the position behind it.

    Raises:
        ProtobufError: it does not end.
    """
    value = shift = 0
    for index in range(position, min(position + _LONGEST_VARINT, len(data))):
        octet = data[index]
        value |= (octet & 0x7F) << shift
        if not octet & 0x80:
            return value & ((1 << 64) - 1), index + 1
        shift += 7
    raise ProtobufError("a number does not end")


def fields(data: bytes) -> Iterator[tuple[int, int | bytes, int]]:
    """(number, value, position of the value) for every field of a message.

    Raises:
        ProtobufError: the data are not fields.
    """
    position = 0
    while position < len(data):
        key, position = read_varint(data, position)
        number, kind = key >> 3, key & 7
        if not number:
            raise ProtobufError("a field without a number")
        if kind == _VARINT:
            value, position = read_varint(data, position)
            yield number, value, position
        elif kind == _BYTES:
            length, position = read_varint(data, position)
            if position + length > len(data):
                raise ProtobufError("a field is longer than the message")
            yield number, data[position : position + length], position
            position += length
        elif kind in {_FIXED32, _FIXED64}:
            width = 4 if kind == _FIXED32 else 8
            if position + width > len(data):
                raise ProtobufError("a field is longer than the message")
            yield number, data[position : position + width], position
            position += width
        else:
            raise ProtobufError(f"wire type {kind}")


def read_packed(data: bytes) -> tuple[int, ...]:
    """Numbers of 64 bits with their sign.

    Raises:
        ProtobufError: the last one does not end.
    """
    found, position = [], 0
    while position < len(data):
        value, position = read_varint(data, position)
        found.append(value - (1 << 64) if value >> 63 else value)
    return tuple(found)
