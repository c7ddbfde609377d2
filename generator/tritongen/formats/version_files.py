"""The files of a version, under the names that Triton expects."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tritongen.formats.reading import Reading, SideFile, Source
from tritongen.model.backends import artefact_for
from tritongen.model.facts import FileRef, ModelFormat
from tritongen.model.findings import Finding, Severity, finding
from tritongen.system.paths import contained


def version_files(
    source: Source, format_: ModelFormat, reading: Reading
) -> tuple[tuple[FileRef, ...], tuple[Finding, ...]]:
    """Every file of one version, the main file first, and what is missing.

    Args:
        source: the version's main file or folder.
        format_: of the main file.
        reading: names the further files.
    """
    artefact = artefact_for(format_)
    target = artefact.filename if artefact is not None else source.file.name
    files: list[FileRef] = []
    findings: list[Finding] = []
    for item in (*_main(source, format_, target), *reading.files):
        try:
            size = (source.root / item.source).stat().st_size
        except OSError as error:
            message = f"{item.source} cannot be found: {error.strerror}"
            fault = finding("TG108", Severity.ERROR, message, model=source.model, path=source.path)
            findings.append(fault)
            continue
        files.append(FileRef(item.source, item.target, size))
    return tuple(files), tuple(findings)


def _main(source: Source, format_: ModelFormat, target: str) -> Iterator[SideFile]:
    if format_ is ModelFormat.SAVEDMODEL:
        yield from _tree(source, target)
        return
    yield SideFile(source.path, target)
    if format_ is ModelFormat.OPENVINO:
        weights = PurePosixPath(source.path).with_suffix(".bin").as_posix()
        yield SideFile(weights, "model.bin")


def _tree(source: Source, target: str) -> Iterator[SideFile]:
    """Every regular file below a folder, by path; links out of the models folder are left out."""
    found: list[str] = []
    for folder, folders, names in os.walk(source.file):
        folders.sort()
        found += [os.path.relpath(Path(folder) / name, source.file) for name in names]
    for name in sorted(found, key=lambda name: (name != "saved_model.pb", name)):
        if _is_inside(source.root, source.file / name):
            yield SideFile(f"{source.path}/{name}", f"{target}/{name}")


def _is_inside(root: Path, path: Path) -> bool:
    try:
        real = contained(root, path)
    except OSError:
        return False
    return real is not None and real.is_file()
