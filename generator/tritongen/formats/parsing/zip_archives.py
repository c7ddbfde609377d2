"""Zip archives: their directory, and single entries within bounds; nothing is ever unpacked."""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tritongen.formats.parsing.wire import DamagedError
from tritongen.system.paths import open_regular

_END = b"PK\x05\x06"
_END_SIZE = 22
_END64 = b"PK\x06\x06"
_LOCATOR64 = b"PK\x06\x07"
_ENTRY = b"PK\x01\x02"
_ENTRY_SIZE = 46
_LOCAL = b"PK\x03\x04"
_LOCAL_SIZE = 30
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_WIDE = 0xFFFFFFFF
# The comment behind the end record has 16 bits for its length.
_TAIL = _END_SIZE + 0xFFFF
# Some 100,000 entries; model archives have hundreds.
_MAX_DIRECTORY = 16 << 20
# What a text can be packed to is far above this; a bomb packs far below it.
_MOST_PACKED = 200
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One file in an archive.

    Attributes:
        name: as stored.
        size: bytes when unpacked, as the directory claims.
        packed: bytes in the archive.
        method: 0 stored, 8 deflated.
        offset: of its local header.
        encrypted: whether a password is needed.
    """

    name: str
    size: int
    packed: int
    method: int
    offset: int
    encrypted: bool = False

    @property
    def leaves(self) -> bool:
        """Whether unpacking it under its name would write outside of the target folder."""
        parts = self.name.replace("\\", "/").split("/")
        return ".." in parts or self.name.startswith(("/", "\\")) or parts[0].endswith(":")

    @property
    def is_bomb(self) -> bool:
        """Whether it claims to unpack to far more than packing can save."""
        return self.size > _MOST_PACKED * max(self.packed, 1) and self.size > 1 << 20


class Archive:
    """The directory of a zip file that stays open; close it, or use it as a context manager.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be opened.
        DamagedError: TG102, it is cut off or its directory is absurd.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = os.fdopen(open_regular(path), "rb")
        try:
            self.entries: tuple[Entry, ...] = tuple(_entries(_directory(self._file)))
        except BaseException:
            self._file.close()
            raise
        self._by_name = {entry.name: entry for entry in self.entries}

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, name: str) -> Entry | None:
        """The entry of a name, None when there is none."""
        return self._by_name.get(name)

    def read(self, entry: Entry, limit: int) -> bytes:
        """The entry's content, unpacked.

        Args:
            entry: of this archive.
            limit: most bytes; a longer entry is damaged, whatever its header claims.

        Raises:
            DamagedError: it is longer, cut off, encrypted or packed by an unknown method.
        """
        if entry.size > limit or entry.packed > limit or entry.encrypted:
            raise DamagedError(f"{entry.name} has {entry.size} bytes, more than are read")
        self._file.seek(entry.offset)
        header = self._file.read(_LOCAL_SIZE)
        if len(header) < _LOCAL_SIZE or not header.startswith(_LOCAL):
            raise DamagedError(f"{entry.name} does not start where the directory says")
        name, extra = struct.unpack_from("<HH", header, 26)
        self._file.seek(name + extra, os.SEEK_CUR)
        raw = self._file.read(entry.packed)
        if len(raw) < entry.packed:
            raise DamagedError(f"{entry.name} is cut off")
        if entry.method == _STORED:
            return raw
        if entry.method != _DEFLATED:
            raise DamagedError(f"{entry.name} is packed by method {entry.method}")
        return _inflate(entry.name, raw, limit)


def zip_names(path: Path) -> tuple[str, ...]:
    """The entries' names; none when the archive is cut off or its directory is absurd.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with Archive(path) as archive:
            return tuple(entry.name for entry in archive.entries)
    except DamagedError:
        return ()


def _inflate(name: str, raw: bytes, limit: int) -> bytes:
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    found = bytearray()
    try:
        data = raw
        while data and not machine.eof:
            found += machine.decompress(data, _CHUNK)
            if len(found) > limit:
                raise DamagedError(f"{name} unpacks to more than the {limit} bytes that are read")
            data = machine.unconsumed_tail
    except zlib.error as error:
        raise DamagedError(f"{name} cannot be unpacked: {error}") from error
    if not machine.eof:
        raise DamagedError(f"{name} is cut off")
    return bytes(found)


def _directory(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_SIZE:
        raise DamagedError("the zip archive is cut off: it has no directory at its end")
    length, start = struct.unpack_from("<II", tail, end + 12)
    locator = end - 20
    if start == _WIDE and locator >= 0 and tail.startswith(_LOCATOR64, locator):
        (at,) = struct.unpack_from("<Q", tail, locator + 8)
        if at > size:
            raise DamagedError("the zip archive's directory lies behind its end")
        file.seek(at)
        record = file.read(56)
        if len(record) < 56 or not record.startswith(_END64):
            raise DamagedError("the zip archive's directory is not where it should be")
        length, start = struct.unpack_from("<QQ", record, 40)
    if length > _MAX_DIRECTORY or start > size:
        raise DamagedError(f"the zip archive claims a directory of {length} bytes at byte {start}")
    file.seek(start)
    return file.read(length)


def _entries(directory: bytes) -> Iterator[Entry]:
    pos = 0
    while directory.startswith(_ENTRY, pos) and len(directory) - pos >= _ENTRY_SIZE:
        flags, method = struct.unpack_from("<HH", directory, pos + 8)
        packed, size = struct.unpack_from("<II", directory, pos + 20)
        name, extra, comment = struct.unpack_from("<HHH", directory, pos + 28)
        (offset,) = struct.unpack_from("<I", directory, pos + 42)
        pos += _ENTRY_SIZE
        text = directory[pos : pos + name].decode("utf-8", "replace")
        size, packed, offset = _widened(
            directory[pos + name : pos + name + extra], size, packed, offset
        )
        yield Entry(text, size, packed, method, offset, bool(flags & _ENCRYPTED))
        pos += name + extra + comment


def _widened(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Sizes and offset, taken from the 64-bit extra field where they do not fit 32 bits."""
    pos = 0
    while len(extra) - pos >= 4:
        kind, length = struct.unpack_from("<HH", extra, pos)
        body = extra[pos + 4 : pos + 4 + length]
        pos += 4 + length
        if kind != 1:
            continue
        values = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
        size = next(values, size) if size == _WIDE else size
        packed = next(values, packed) if packed == _WIDE else packed
        offset = next(values, offset) if offset == _WIDE else offset
    return size, packed, offset
