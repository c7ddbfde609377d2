"""Names in a zip archive, from its directory alone."""

import os
import struct
from pathlib import Path

from tritongen.inspection.paths import open_regular

_END = b"PK\x05\x06"
_END_SIZE = 22
_END64 = b"PK\x06\x06"
_LOCATOR64 = b"PK\x06\x07"
_ENTRY = b"PK\x01\x02"
_ENTRY_SIZE = 46
# The comment behind the end record has 16 bits for its length.
_TAIL = _END_SIZE + 0xFFFF
# Some 100,000 entries; model archives have hundreds.
_MAX_DIRECTORY = 16 << 20


def zip_names(path: Path) -> tuple[str, ...]:
    """The entries' names; none when the archive is cut off or its directory is absurd.

    Raises:
        OSError: the file cannot be read.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read(_TAIL)
        end = tail.rfind(_END)
        if end < 0 or len(tail) - end < _END_SIZE:
            return ()
        length, start = struct.unpack_from("<II", tail, end + 12)
        locator = end - 20
        if start == 0xFFFFFFFF and locator >= 0 and tail.startswith(_LOCATOR64, locator):
            (at,) = struct.unpack_from("<Q", tail, locator + 8)
            if at > size:
                return ()
            file.seek(at)
            record = file.read(56)
            if len(record) < 56 or not record.startswith(_END64):
                return ()
            length, start = struct.unpack_from("<QQ", record, 40)
        if length > _MAX_DIRECTORY or start > size:
            return ()
        file.seek(start)
        return _names(file.read(length))


def _names(directory: bytes) -> tuple[str, ...]:
    names: list[str] = []
    pos = 0
    while directory.startswith(_ENTRY, pos) and len(directory) - pos >= _ENTRY_SIZE:
        name, extra, comment = struct.unpack_from("<HHH", directory, pos + 28)
        pos += _ENTRY_SIZE
        names.append(directory[pos : pos + name].decode("utf-8", "replace"))
        pos += name + extra + comment
    return tuple(names)
