"""Data files beside an ONNX file: looked up, measured, never opened."""

import stat
from collections.abc import Mapping
from pathlib import PurePosixPath

from tritongen.formats.reading import ModelSource
from tritongen.model.facts import FileRef
from tritongen.model.findings import Finding
from tritongen.system.paths import contained

# Under this name the main file stands in the version folder.
MAIN = "model.onnx"


def side_files(
    source: ModelSource, external: Mapping[str, int]
) -> tuple[tuple[FileRef, ...], tuple[Finding, ...]]:
    """The data files that must stand beside the model, and what is wrong with them.

    Args:
        source: the model file.
        external: data file as the model spells it, to the bytes that it must have at least.
    """
    files: list[FileRef] = []
    findings: list[Finding] = []
    for location, size in sorted(external.items()):
        if not location:
            continue  # told as a fault of its tensor
        problem = _problem(source, location, size)
        if problem is not None:
            findings.append(problem)
            continue
        target = PurePosixPath(location).as_posix()
        place = (PurePosixPath(source.path).parent / target).as_posix()
        files.append(FileRef(place, target, (source.root / place).stat().st_size))
    return tuple(dict.fromkeys(files)), tuple(findings)


def _problem(source: ModelSource, location: str, size: int) -> Finding | None:
    """Why a data file cannot be used, None when nothing speaks against it."""
    path = PurePosixPath(location)
    if path.is_absolute() or ".." in path.parts or "\0" in location:
        return _finding(source, "TG107", location, "leaves the model's folder")
    if path.as_posix() == ".":
        return _finding(source, "TG102", location, "is a folder")
    own = source.file.name
    if path.as_posix() == own:
        return _finding(source, "TG102", location, "is the model file itself")
    if path.as_posix() == MAIN:
        return _finding(source, "TG109", location, f"would be overwritten by {own}, served as it")
    return _missing(source, location, size)


def _missing(source: ModelSource, location: str, size: int) -> Finding | None:
    try:
        real = contained(source.root, source.file.parent / location)
        if real is None:
            return _finding(source, "TG107", location, "is a link that leaves the models folder")
        status = real.stat()
    except OSError as error:
        return _finding(source, "TG108", location, f"cannot be found: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return _finding(source, "TG108", location, "is not a regular file")
    if real == source.file.resolve():
        return _finding(source, "TG102", location, "is the model file itself")
    if status.st_size < size:
        message = f"has {status.st_size} bytes and the model reads up to byte {size}"
        return _finding(source, "TG108", location, message)
    return None


def _finding(source: ModelSource, code: str, location: str, what: str) -> Finding:
    return source.finding(code, f"external data {location!r} {what}", field=location)
