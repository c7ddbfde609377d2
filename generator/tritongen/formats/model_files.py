"""A model's files: the names that Triton expects them under, and their hashes for the lock."""

import hashlib
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path, PurePosixPath

from tritongen.errors import InvalidInputError
from tritongen.formats.reading import ModelSource
from tritongen.model.backends import artefact_for
from tritongen.model.facts import FileRef, ModelFacts, ModelFormat, ModelVersion
from tritongen.model.findings import Finding
from tritongen.system.paths import contained, open_regular

# Path relative to the models folder, size in bytes, modification time in nanoseconds.
StatKey = tuple[str, int, int]


def version_files(
    source: ModelSource, facts: ModelFacts
) -> tuple[ModelVersion, tuple[Finding, ...]]:
    """One version with every file of it, the main file first, and what is missing.

    Args:
        source: the version's main file or folder.
        facts: as its reader gave them; they name the further files.
    """
    artefact = artefact_for(source.format)
    target = artefact.filename if artefact is not None else source.file.name
    files: list[FileRef] = []
    findings: list[Finding] = []
    for path, name in _main(source, target):
        try:
            size = (source.root / path).stat().st_size
        except OSError as error:
            message = f"{path} cannot be found: {error.strerror}"
            findings.append(source.facts.finding("TG108", message))
        else:
            files.append(FileRef(path, name, size))
    further = facts.versions[0].files if facts.versions else ()
    return ModelVersion(source.version, (*files, *further)), tuple(findings)


def _main(source: ModelSource, target: str) -> Iterator[tuple[str, str]]:
    """(Path below the models folder, name in the version folder) of the model itself."""
    if source.format is ModelFormat.SAVEDMODEL:
        yield from _tree(source, target)
        return
    if source.format is ModelFormat.TEMPLATE:
        return  # rendered anew, with the values that are stated
    yield source.path, target
    if source.format is ModelFormat.OPENVINO:
        yield PurePosixPath(source.path).with_suffix(".bin").as_posix(), "model.bin"


def _tree(source: ModelSource, target: str) -> Iterator[tuple[str, str]]:
    """Every regular file below a folder, by path; links out of the models folder are left out."""
    found: list[str] = []
    for folder, folders, names in os.walk(source.file):
        folders.sort()
        found += [os.path.relpath(Path(folder) / name, source.file) for name in names]
    for name in sorted(found, key=lambda name: (name != "saved_model.pb", name)):
        if source.holds(source.file / name):
            yield f"{source.path}/{name}", f"{target}/{name}"


def hash_files(
    root: Path, facts: ModelFacts, cache: MutableMapping[StatKey, str] | None = None
) -> tuple[tuple[str, str], ...]:
    """SHA-256 of every file of every version.

    Args:
        root: the models folder that `facts` was read from.
        facts: names the files.
        cache: hashes known for a path, size and time; used, and completed in place.

    Returns:
        (``<version>/<target>``, hexadecimal SHA-256), versions ascending, the main file first;
        then files beside the versions by their target.

    Raises:
        InvalidInputError: TG003, a file cannot be read; TG107, it is no longer inside the folder.
    """
    base = Path(os.path.realpath(root))
    known: MutableMapping[StatKey, str] = {} if cache is None else cache
    versions = (
        (f"{version.number}/{ref.target}", _digest(base, ref, known))
        for version in facts.versions
        for ref in version.files
    )
    return (*versions, *((ref.target, _digest(base, ref, known)) for ref in facts.beside))


def _digest(base: Path, ref: FileRef, known: MutableMapping[StatKey, str]) -> str:
    try:
        path = contained(base, base / ref.source)
        if path is None:
            raise InvalidInputError(
                "TG107", "the file is a link out of the folder", where=ref.source
            )
        with os.fdopen(open_regular(path), "rb") as file:
            status = os.fstat(file.fileno())
            key = (ref.source, status.st_size, status.st_mtime_ns)
            if key not in known:
                known[key] = hashlib.file_digest(file, "sha256").hexdigest()
            return known[key]
    except OSError as error:
        raise InvalidInputError(
            "TG003", f"the file cannot be read: {error.strerror or error}", where=ref.source
        ) from error
