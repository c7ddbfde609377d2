"""Finds the models in a folder, and says under which names they can be served.

Known layouts: a file (``ocr.onnx``), a folder with a file (``ocr/model.onnx``), a folder with
version folders (``ocr/1/model.onnx``), Triton's folder form of ONNX (``model.onnx/model.onnx``),
and a model repository that was written by hand. Links are followed as long as they stay inside.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.formats.config_template import CONFIG_FILE, template_format
from tritongen.formats.folder_entries import (
    CandidateVersion,
    FolderEntry,
    Kind,
    candidates,
    entry_fault,
    identify,
    is_version,
    list_folder,
    unusable,
)
from tritongen.formats.format_detection import claimed
from tritongen.model.facts import ModelFormat
from tritongen.model.findings import Finding, Severity, finding

_SIDE_FOLDERS = frozenset({"configs", "initial_state", "warmup"})
_ALMOST_VERSION = re.compile(r"[vV]?[+-]?[0-9]+.*")

_SERVABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REPLACED = re.compile(r"[^A-Za-z0-9_.-]+")
# A file name may have 255 bytes; the rest is room for the suffix of a file being written.
_MAX_NAME_CHARACTERS = 200
# `GET /v2/models/stats` answers with every model's statistics, and the other names are files that
# stand beside the models in a repository.
_RESERVED = frozenset({"stats", "tritongen.lock", "tritongen.yaml"})


@dataclass(frozen=True, slots=True)
class ModelCandidate:
    """A model that was found, not read yet.

    Attributes:
        name: the folder's name, or the file's without suffix.
        path: file or folder, relative to the models folder, with ``/``.
        format: of the last version.
        versions: ascending; empty when there is nothing that may be read.
        findings: what discovery has to say, the model's name filled in.
    """

    name: str
    path: str
    format: ModelFormat
    versions: tuple[CandidateVersion, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a folder holds.

    Attributes:
        root: the folder, resolved.
        candidates: by name, then by path; several may have one name.
        findings: what belongs to no model.
    """

    root: Path
    candidates: tuple[ModelCandidate, ...]
    findings: tuple[Finding, ...] = ()


def find_models(root: Path) -> Discovery:
    """Every model in a folder, good or bad, in a stable order.

    Args:
        root: the folder; a model file stands for its folder with that model alone.

    Raises:
        InvalidInputError: TG002 or TG003, the folder is missing or cannot be listed; TG101, it
            holds no model.
    """
    path = _resolve(root)
    base = path.parent if path.is_file() else path
    try:
        entries = [item for item in list_folder(base) if path == base or item.name == path.name]
    except OSError as error:
        raise InvalidInputError(
            "TG003", f"the folder cannot be listed: {error.strerror}", where=str(root)
        ) from error
    findings: list[Finding] = []
    found = [
        candidate
        for entry in entries
        if (candidate := _candidate(base, entry, findings)) is not None
    ]
    if not found:
        raise InvalidInputError(
            "TG101",
            "the folder holds no model" if path == base else "this is no model file",
            where=str(root),
            details=[item.message for item in findings],
        )
    checked = [_checked(candidate) for candidate in found]
    checked.sort(key=lambda candidate: (candidate.name, candidate.path))
    return Discovery(base, tuple(checked), tuple(findings))


def _resolve(root: Path) -> Path:
    try:
        # A link to a model file names an entry of the folder that the link lies in.
        if root.is_file():
            return Path(os.path.realpath(root.parent, strict=True), root.name)
        return Path(os.path.realpath(root, strict=True))
    except (OSError, ValueError) as error:
        raise InvalidInputError("TG002", "there is no such folder", where=str(root)) from error


def _checked(candidate: ModelCandidate) -> ModelCandidate:
    """The candidate with its name's faults, and its name in every finding."""
    findings = list(candidate.findings)
    fault = name_fault(candidate.name)
    if fault is not None:
        findings.append(replace(fault, location=replace(fault.location, path=candidate.path)))
    named = tuple(replace(item, model=candidate.name) for item in findings)
    return replace(candidate, findings=named)


def _candidate(root: Path, entry: FolderEntry, findings: list[Finding]) -> ModelCandidate | None:
    """The model in one entry of the models folder."""
    if entry.kind is Kind.FOLDER:
        return _from_folder(root, entry, findings)
    name = entry.name.removesuffix(Path(entry.name).suffix)
    if entry.kind is Kind.FILE:
        main = identify(root, entry)
        return None if main is None else _single(name, entry.path, main)
    promised = claimed(Path(entry.name))
    if entry.kind is Kind.SPECIAL and promised is None:
        return None
    return ModelCandidate(
        name if promised else entry.name,
        entry.path,
        promised or ModelFormat.UNKNOWN,
        findings=(unusable(entry),),
    )


def _single(name: str, path: str, main: CandidateVersion) -> ModelCandidate:
    """A model without version folders."""
    return ModelCandidate(name, path, main.format, () if main.findings else (main,), main.findings)


def _from_folder(root: Path, entry: FolderEntry, findings: list[Finding]) -> ModelCandidate | None:
    has_lock = os.path.lexists(root / entry.path / "tritongen.lock")
    if has_lock and not os.path.lexists(root / entry.path / "config.pbtxt"):
        return None  # a repository that this tool wrote, and not a model of one
    if template_format(root, entry.path) is not None:
        return _template(root, entry)
    whole = identify(root, entry)
    if whole is not None:
        suffix = entry.suffix if entry.suffix in {".onnx", ".savedmodel"} else ""
        return _single(entry.name.removesuffix(suffix), entry.path, whole)
    try:
        inside = list_folder(root, entry.path)
    except OSError as error:
        fault = entry_fault("TG003", entry, f"{entry.path} cannot be listed: {error.strerror}")
        return ModelCandidate(entry.name, entry.path, ModelFormat.UNKNOWN, findings=(fault,))
    loose = candidates(root, inside)
    versions = [item for item in inside if item.kind is Kind.FOLDER and is_version(item.name)]
    found, remarks = _versions(root, versions)
    remarks += _ignored_versions(root, inside)
    if os.path.lexists(root / entry.path / "config.pbtxt"):
        path = f"{entry.path}/config.pbtxt"
        remarks.append(finding("TG124", Severity.INFO, f"{path} is not read", path=path))
    if not loose and not found:
        if inside or remarks:
            message = f"{entry.path} holds no model that is known here"
            findings += [finding("TG104", Severity.WARNING, message, path=entry.path), *remarks]
        return None
    mains = [*loose, *found]
    if len(loose) > 1 or (loose and found):
        several = _several(entry, mains)
        return ModelCandidate(entry.name, entry.path, loose[0].format, findings=(several, *remarks))
    return _assemble(entry, mains, remarks)


def _template(root: Path, entry: FolderEntry) -> ModelCandidate:
    """A model with a configuration of its own, in its newest version."""
    try:
        inside = list_folder(root, entry.path)
    except OSError:
        inside = ()  # its configuration was read a moment ago
    numbers = [
        int(item.name) for item in inside if item.kind is Kind.FOLDER and is_version(item.name)
    ]
    path = f"{entry.path}/{CONFIG_FILE}"
    version = CandidateVersion(max(numbers, default=1), path, ModelFormat.TEMPLATE)
    return ModelCandidate(entry.name, entry.path, ModelFormat.TEMPLATE, (version,))


def _assemble(
    entry: FolderEntry, found: Sequence[CandidateVersion], remarks: Sequence[Finding]
) -> ModelCandidate:
    """A folder's model, its versions ascending; a version that cannot be read spoils it."""
    faults = [fault for main in found for fault in main.findings]
    spoilt = faults or any(item.severity is Severity.ERROR for item in remarks)
    versions = () if spoilt else tuple(found)
    return ModelCandidate(entry.name, entry.path, found[-1].format, versions, (*faults, *remarks))


def _versions(
    root: Path, folders: Sequence[FolderEntry]
) -> tuple[list[CandidateVersion], list[Finding]]:
    """The main file of every version folder, by number."""
    found: list[CandidateVersion] = []
    remarks: list[Finding] = []
    for folder in sorted(folders, key=lambda item: int(item.name)):
        try:
            whole = identify(root, folder)  # a version folder may itself be a SavedModel
            mains = [whole] if whole else candidates(root, list_folder(root, folder.path))
        except OSError as error:
            message = f"{folder.path} cannot be listed: {error.strerror}"
            remarks.append(entry_fault("TG003", folder, message))
            continue
        if not mains:
            message = f"version folder {folder.path} holds no model that is known here"
            remarks.append(finding("TG104", Severity.WARNING, message, path=folder.path))
            continue
        if len(mains) > 1:
            remarks.append(_several(folder, mains))
        found.append(replace(mains[0], number=int(folder.name)))
    return found, remarks


def _ignored_versions(root: Path, inside: Sequence[FolderEntry]) -> list[Finding]:
    """Folders that were probably meant as versions and are not."""
    meant = [
        item
        for item in inside
        if item.kind is Kind.FOLDER
        and item.name not in _SIDE_FOLDERS
        and not is_version(item.name)
        and _ALMOST_VERSION.fullmatch(item.name)
    ]
    return [
        finding(
            "TG131",
            Severity.WARNING,
            f"{item.path} is not a version: its name is no positive number without leading zeros",
            path=item.path,
        )
        for item in meant
        if identify(root, item) is None
    ]


def _several(folder: FolderEntry, mains: Sequence[CandidateVersion]) -> Finding:
    names = ", ".join(main.path for main in mains[:6]) + (", …" if len(mains) > 6 else "")
    return entry_fault("TG109", folder, f"{folder.path} holds several models: {names}")


def name_fault(name: str) -> Finding | None:
    """Why a model cannot be served under a name, None when it can.

    Triton takes the name of the model's folder, puts it into URLs without decoding them, and
    refuses ``..`` and ``/``.
    """
    if name in _RESERVED or name.endswith(".tritongen.lock"):
        message = f"a model cannot be named {name!r}: Triton or tritongen uses that name itself"
        return finding("TG126", Severity.ERROR, message, model=name)
    if _SERVABLE.fullmatch(name) and len(name) <= _MAX_NAME_CHARACTERS:
        return None
    if len(name) > _MAX_NAME_CHARACTERS:
        message = f"the model's name has {len(name)} characters"
        fix = f"Rename the folder or file to at most {_MAX_NAME_CHARACTERS} characters."
        return finding("TG106", Severity.ERROR, message, fix=fix, model=name)
    suggestion = _REPLACED.sub("_", name).strip("._-")
    fix = f"Rename it, for instance to {suggestion}." if suggestion else ""
    return finding("TG106", Severity.ERROR, f"{name!r}: {_why(name)}", fix=fix, model=name)


def _why(name: str) -> str:
    if not name:
        return "the name is empty"
    if not name.isascii():
        return "the name has characters beyond ASCII, which URLs cannot carry unencoded"
    if name[0] in ".-":
        return f"the name starts with {name[0]!r}"
    found = sorted({char for char in name if _REPLACED.fullmatch(char)})
    return "the name contains " + ", ".join(repr(char) for char in found)
