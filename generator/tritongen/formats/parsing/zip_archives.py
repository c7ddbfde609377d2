"""Zip archives: their directory, and single entries within bounds; nothing is ever unpacked."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

from tritongen.formats.parsing.wire import DamagedError
from tritongen.system.paths import open_regular

# Some 100,000 entries; model archives have hundreds.
_MAX_DIRECTORY_BYTES = 16 << 20
# What a text can be packed to is far below this; a bomb packs far above it.
_MAX_RATIO = 200
_CHUNK_BYTES = 1 << 16
# What `zipfile` raises for contents that make no sense.
_DAMAGE = (
    zipfile.BadZipFile,
    NotImplementedError,  # a compression or an encryption that it does not know
    ValueError,
    OverflowError,
    EOFError,
    struct.error,
    zlib.error,
)


class _BoundedFile(io.BufferedReader):
    """A file of which no more is read at once than a directory may take."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_DIRECTORY_BYTES:
            raise DamagedError(f"the zip archive claims a directory of {size} bytes")
        return super().read(size)


class Archive:
    """The directory of a zip file that stays open; close it, or use it as a context manager.

    Args:
        path: the file.

    Raises:
        OSError: it cannot be opened.
        DamagedError: TG102, it is cut off or its directory is absurd.
    """

    def __init__(self, path: Path) -> None:
        self._file = _BoundedFile(io.FileIO(open_regular(path)))
        try:
            self._zip = zipfile.ZipFile(self._file)
        except _DAMAGE as error:
            self._file.close()
            raise DamagedError(f"the zip archive cannot be read: {error}") from error
        except BaseException:
            self._file.close()
            raise
        self.entries = tuple(self._zip.infolist())

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def get(self, name: str) -> zipfile.ZipInfo | None:
        """The entry of a name, None when there is none."""
        return self._zip.NameToInfo.get(name)

    def read(self, entry: zipfile.ZipInfo, limit: int) -> bytes:
        """The entry's content, unpacked.

        Args:
            entry: of this archive.
            limit: most bytes; a longer entry is damaged, whatever its header claims.

        Raises:
            DamagedError: it is longer, cut off, encrypted or packed by an unknown method.
        """
        name = entry.filename
        if entry.flag_bits & 1:
            raise DamagedError(f"{name} is encrypted")
        if entry.file_size > limit or entry.compress_size > limit:
            raise DamagedError(f"{name} has {entry.file_size} bytes, more than are read")
        if entry.header_offset < 0:
            raise DamagedError(f"{name} does not start where the directory says")
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise DamagedError(f"{name} is packed by method {entry.compress_type}")
        found = bytearray()
        try:
            with self._zip.open(entry) as content:
                while chunk := content.read(_CHUNK_BYTES):
                    found += chunk
        except _DAMAGE as error:
            raise DamagedError(f"{name} cannot be unpacked: {error}") from error
        return bytes(found)


def leaves(entry: zipfile.ZipInfo) -> bool:
    """Whether unpacking an entry under its name would write outside of the target folder."""
    parts = entry.filename.replace("\\", "/").split("/")
    return ".." in parts or entry.filename.startswith(("/", "\\")) or parts[0].endswith(":")


def is_bomb(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry claims to unpack to far more than packing can save."""
    most = _MAX_RATIO * max(entry.compress_size, 1)
    return entry.file_size > most and entry.file_size > 1 << 20


def zip_names(path: Path) -> tuple[str, ...]:
    """The entries' names; none when the archive is cut off or its directory is absurd.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with Archive(path) as archive:
            return tuple(entry.filename for entry in archive.entries)
    except DamagedError:
        return ()
