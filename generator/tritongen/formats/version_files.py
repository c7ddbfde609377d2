"""The files of a version, under the names that Triton expects."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tritongen.formats.reading import ModelSource
from tritongen.model.backends import artefact_for
from tritongen.model.facts import FileRef, ModelFacts, ModelFormat, ModelVersion
from tritongen.model.findings import Finding


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
            findings.append(source.finding("TG108", message))
        else:
            files.append(FileRef(path, name, size))
    further = facts.versions[0].files if facts.versions else ()
    return ModelVersion(source.version, (*files, *further)), tuple(findings)


def _main(source: ModelSource, target: str) -> Iterator[tuple[str, str]]:
    """(Path below the models folder, name in the version folder) of the model itself."""
    if source.format is ModelFormat.SAVEDMODEL:
        yield from _tree(source, target)
        return
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
