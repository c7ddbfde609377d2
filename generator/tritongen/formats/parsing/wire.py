"""Protobuf's wire format, read in place, and the heads of fields to write.

A message is a span ``(data, start, stop)`` of a mapped file: fields are walked one by one and what
is not asked for is skipped by its length, so that weights are never touched. Every length is held
against the span that contains it.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tritongen.errors import InvalidInputError
from tritongen.system.paths import open_regular

Data = mmap.mmap | bytes | memoryview

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5

# A name or a path is short; a longer claim is a fault, and would cost its size in memory.
MAX_TEXT_BYTES: Final = 1 << 20

_MASK64: Final = (1 << 64) - 1
_FIXED: Final = {FIXED64: 8, FIXED32: 4}

# Field number, wire type, then the span of the field's bytes; a varint has its value as start.
Field = tuple[int, int, int, int]


class DamagedError(InvalidInputError):
    """The bytes are not what the format promises."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__("TG102", what, fix=fix)


def fields(data: Data, start: int, stop: int) -> Iterator[Field]:
    """Every field of the message in ``data[start:stop]``, in the order of the bytes.

    Fields lie one behind the other: the end of each is where the next one's tag begins.

    Raises:
        DamagedError: a tag, a length or a varint that does not fit into the span.
    """
    pos = start
    while pos < stop:
        at = pos
        key = data[pos]
        pos += 1
        if key >= 0x80:
            key, pos = varint(data, at, stop)
        number, wire = key >> 3, key & 7
        if not 0 < number <= 0x1FFFFFFF:
            raise DamagedError(f"field number {number} at byte {at} is not one of protobuf's")
        if wire == LENGTH:
            size, pos = varint(data, pos, stop)
            if size > stop - pos:
                raise DamagedError(
                    f"a field at byte {at} claims {size} bytes and {stop - pos} are left"
                )
            yield number, wire, pos, pos + size
            pos += size
        elif wire == VARINT:
            value, pos = varint(data, pos, stop)
            yield number, wire, value, pos
        else:
            size = _FIXED.get(wire, 0)
            if not size or size > stop - pos:
                raise DamagedError(f"the field at byte {at} is cut off or of an unknown kind")
            yield number, wire, pos, pos + size
            pos += size


def parts(data: Data, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(Number, start, stop) of every field of a message that is one of bytes; see `fields`."""
    for number, kind, first, last in fields(data, start, stop):
        if kind == LENGTH:
            yield number, first, last


def map_entry(data: Data, start: int, stop: int) -> tuple[str, tuple[int, int] | None]:
    """Key and span of the value of one entry of a map whose keys are texts.

    Raises:
        DamagedError: a field does not fit.
    """
    key, value = "", None
    for number, first, last in parts(data, start, stop):
        if number == 1:
            key = text(data, first, last)
        elif number == 2:
            value = first, last
    return key, value


def varint(data: Data, pos: int, stop: int) -> tuple[int, int]:
    """The unsigned varint at `pos` and the position behind it.

    Raises:
        DamagedError: it is cut off or longer than ten bytes.
    """
    if pos < stop and (byte := data[pos]) < 0x80:
        return byte, pos + 1
    value = shift = 0
    for at in range(pos, min(stop, pos + 10)):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK64, at + 1
        shift += 7
    raise DamagedError(f"the number at byte {pos} is cut off or too long")


def signed(value: int) -> int:
    """A varint as the int64 that it encodes."""
    return value - (1 << 64) if value >> 63 else value


def integers(data: Data, item: Field) -> Iterator[int]:
    """The int64 values of one occurrence of a repeated field, packed or not."""
    _, wire, start, stop = item
    if wire == VARINT:
        yield signed(start)
    elif wire == LENGTH:
        pos = start
        while pos < stop:
            value, pos = varint(data, pos, stop)
            yield signed(value)


def raw(data: Data, start: int, stop: int) -> bytes:
    """The bytes of a short field.

    Raises:
        DamagedError: it is longer than a name has reason to be.
    """
    if stop - start > MAX_TEXT_BYTES:
        raise DamagedError(f"a name at byte {start} claims {stop - start} bytes")
    return bytes(data[start:stop])


def text(data: Data, start: int, stop: int) -> str:
    """A short text; bytes that are not UTF-8 are shown as escapes."""
    return shown(raw(data, start, stop))


def shown(name: bytes) -> str:
    """A name as text; bytes that are not UTF-8 are shown as escapes."""
    return name.decode("utf-8", "backslashreplace")


def encoded(value: int) -> bytes:
    """An unsigned varint."""
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def header(number: int, size: int) -> bytes:
    """Tag and length of a field of bytes."""
    return encoded(number << 3 | LENGTH) + encoded(size)


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """The bytes of a regular file.

    Raises:
        DamagedError: TG102, it is empty.
        OSError: it cannot be opened or mapped, or is no regular file.
    """
    descriptor = open_regular(path)
    try:
        if not os.fstat(descriptor).st_size:
            raise DamagedError(f"{path.name} is empty")
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            yield data
    finally:
        os.close(descriptor)
