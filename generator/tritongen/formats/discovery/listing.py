"""The entries of a folder, told apart without leaving the models folder."""

import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tritongen.system.paths import contained

# Never a model, whatever is inside.
_IGNORED = frozenset(
    {
        "__pycache__",
        "config.pbtxt",
        "tritongen.lock",
        "tritongen.yaml",
        "tritongen.yml",
    }
)
_IGNORED_STEMS = frozenset({"license", "notice", "readme", "requirements"})


class Kind(StrEnum):
    """What an entry is, links followed."""

    FILE = "file"
    FOLDER = "folder"
    # A pipe, a socket, a device: never opened.
    SPECIAL = "special"
    # A link out of the models folder.
    OUTSIDE = "outside"
    # A link to nothing or in a circle.
    BROKEN = "broken"
    # The name's bytes are no text, so no configuration can carry it.
    UNNAMEABLE = "unnameable"


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """One entry of a folder.

    Attributes:
        name: as listed; bytes that are no text are shown as escapes.
        path: relative to the models folder, with ``/``.
        kind: see `Kind`.
    """

    name: str
    path: str
    kind: Kind

    @property
    def suffix(self) -> str:
        """The last suffix in lower case, with its dot."""
        return Path(self.name).suffix.lower()


def list_folder(root: Path, relative: str = "") -> tuple[FolderEntry, ...]:
    """Entries of one folder by name; hidden ones and those that are never a model are left out.

    Args:
        root: the models folder, resolved.
        relative: the folder below it, empty for the models folder itself.

    Raises:
        OSError: the folder cannot be listed.
    """
    names = sorted(path.name for path in (root / relative).iterdir() if not _ignored(path.name))
    return tuple(_entry(root, relative, name) for name in names)


def _ignored(name: str) -> bool:
    return name.startswith(".") or name in _IGNORED or Path(name).stem.lower() in _IGNORED_STEMS


def _entry(root: Path, relative: str, name: str) -> FolderEntry:
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    # A line break or an escape sequence would be carried out by the terminal that shows the name.
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    path = f"{relative}/{shown}" if relative else shown
    if shown != name:
        return FolderEntry(shown, path, Kind.UNNAMEABLE)
    return FolderEntry(name, path, _kind(root, root / path))


def _kind(root: Path, path: Path) -> Kind:
    try:
        real = contained(root, path)
        if real is None:
            return Kind.OUTSIDE
        mode = real.stat().st_mode
    except OSError:
        return Kind.BROKEN
    if stat.S_ISREG(mode):
        return Kind.FILE
    return Kind.FOLDER if stat.S_ISDIR(mode) else Kind.SPECIAL
