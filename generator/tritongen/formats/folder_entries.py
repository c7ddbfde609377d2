"""The entries of a folder, and the one main file among them; nothing outside is looked at."""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

from tritongen.errors import InvalidInputError
from tritongen.formats.format_detection import claimed, detect
from tritongen.formats.onnx_reader import external_locations
from tritongen.formats.reading import ModelSource
from tritongen.model.facts import ModelFormat
from tritongen.model.findings import Finding, Severity, finding
from tritongen.system.paths import LFS_FIX, contained, is_lfs_pointer

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

_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_SAVED_MODEL = frozenset({"saved_model.pb", "saved_model.pbtxt"})
# What is left over from training beside a model that can be served.
_LEFTOVERS = frozenset(
    {
        ModelFormat.KERAS,
        ModelFormat.SAFETENSORS,
        ModelFormat.SKLEARN_PICKLE,
        ModelFormat.TORCH_PICKLE,
    }
)


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


_UNUSABLE = {
    Kind.OUTSIDE: ("TG107", "{} is a link that leaves the models folder"),
    Kind.UNNAMEABLE: ("TG106", "the name of {} is not UTF-8 text that can be shown"),
    Kind.SPECIAL: ("TG003", "{} is not a regular file"),
    Kind.BROKEN: ("TG003", "{} is a link to nothing or in a circle"),
}


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
    if name.startswith(".") or name in _IGNORED or name.endswith(".tritongen.lock"):
        return True
    return Path(name).stem.lower() in _IGNORED_STEMS


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


@dataclass(frozen=True, slots=True)
class CandidateVersion:
    """A model's main file or folder, in one version.

    Attributes:
        number: of the version.
        path: relative to the models folder, with ``/``.
        format: by content, else what the name promises.
        findings: why it cannot be read, empty when it can.
    """

    number: int
    path: str
    format: ModelFormat
    findings: tuple[Finding, ...] = ()


def identify(root: Path, entry: FolderEntry) -> CandidateVersion | None:
    """The model in one entry, as version 1; None when it is none."""
    promised = claimed(Path(entry.name))
    if entry.kind is Kind.FOLDER:
        return _folder(root, entry)
    if entry.kind is not Kind.FILE:
        fault = unusable(entry)
        return None if promised is None else CandidateVersion(1, entry.path, promised, (fault,))
    try:
        found = detect(root / entry.path)
        if found is not None:
            return CandidateVersion(1, entry.path, found)
        return None if promised is None else _broken_promise(root, entry, promised)
    except OSError as error:
        if promised is None:
            return None
        message = f"{entry.path} cannot be read: {error.strerror or error}"
        fault = entry_fault("TG003", entry, message)
        return CandidateVersion(1, entry.path, promised, (fault,))


def unusable(entry: FolderEntry) -> Finding:
    """Why an entry that is neither file nor folder is not looked into."""
    code, message = _UNUSABLE[entry.kind]
    return entry_fault(code, entry, message.format(entry.path))


def entry_fault(code: str, entry: FolderEntry, message: str, fix: str = "") -> Finding:
    """An error of one entry."""
    return finding(code, Severity.ERROR, message, path=entry.path, fix=fix)


def is_version(name: str) -> bool:
    """Whether a folder of that name is a version: a positive number without leading zeros."""
    return bool(_VERSION.fullmatch(name))


def is_leftover(format_: ModelFormat) -> bool:
    """Whether a file of that format is what a training leaves, beside a model to serve."""
    return format_ in _LEFTOVERS


def candidates(root: Path, entries: Iterable[FolderEntry]) -> list[CandidateVersion]:
    """Every model among a folder's entries that could be the one to serve."""
    found = [
        main
        for entry in entries
        if not (entry.kind is Kind.FOLDER and is_version(entry.name))
        and (main := identify(root, entry)) is not None
    ]
    if len(found) < 2:
        return found
    python = [main for main in found if main.format is ModelFormat.PYTHON]
    if python:
        # What lies beside a model.py is its own business.
        return python
    parts = _parts(root, found)
    found = [main for main in found if main.path not in parts]
    servable = [main for main in found if not is_leftover(main.format)]
    return servable or found


def _folder(root: Path, entry: FolderEntry) -> CandidateVersion | None:
    """A SavedModel, or Triton's folder form of an ONNX model."""
    try:
        inside = list_folder(root, entry.path)
    except OSError:
        return None
    names = {item.name for item in inside if item.kind is Kind.FILE}
    if names & _SAVED_MODEL:
        return CandidateVersion(1, entry.path, ModelFormat.SAVEDMODEL)
    if entry.suffix == ".onnx":
        models = [item for item in inside if item.name == "model.onnx"]
        return identify(root, models[0]) if models else None
    return None


def _broken_promise(root: Path, entry: FolderEntry, promised: ModelFormat) -> CandidateVersion:
    """A file whose name promises a format that its content does not keep."""
    path = root / entry.path
    if is_lfs_pointer(path):
        message = f"{entry.path} is a Git LFS pointer, not the model"
        fault = entry_fault("TG102", entry, message, LFS_FIX)
        return CandidateVersion(1, entry.path, promised, (fault,))
    if promised is ModelFormat.ONNX:
        return CandidateVersion(1, entry.path, promised)  # its reader says what is wrong
    if not path.stat().st_size:
        fault = entry_fault("TG103", entry, f"{entry.path} is empty")
        return CandidateVersion(1, entry.path, promised, (fault,))
    fault = entry_fault("TG104", entry, f"the content of {entry.path} is no format known here")
    return CandidateVersion(1, entry.path, ModelFormat.UNKNOWN, (fault,))


def _parts(root: Path, found: Sequence[CandidateVersion]) -> set[str]:
    """Files that belong to another one: external data, and the weights of an OpenVINO IR."""
    parts: set[str] = set()
    for main in found:
        path = PurePosixPath(main.path)
        if main.format is ModelFormat.OPENVINO:
            parts.add(path.with_suffix(".bin").as_posix())
        if main.format is ModelFormat.ONNX and not main.findings:
            try:
                names = external_locations(ModelSource(root, main.path, ""))
            except (InvalidInputError, OSError):
                continue
            parts.update((path.parent / name).as_posix() for name in names)
    return parts
