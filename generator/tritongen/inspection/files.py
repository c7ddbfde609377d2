"""The files of a version, under the names that Triton expects."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from tritongen.domain.facts import FileRef, ModelFormat
from tritongen.domain.findings import Finding, Severity, finding
from tritongen.inspection.paths import contained
from tritongen.inspection.reading import Reading, SideFile, Source

# Main file or folder in the version folder; a format without entry keeps its file's name.
TARGETS: Mapping[ModelFormat, str] = MappingProxyType(
    {
        ModelFormat.ONNX: "model.onnx",
        ModelFormat.TORCHSCRIPT: "model.pt",
        ModelFormat.TORCH_AOTI: "model.pt2",
        ModelFormat.TORCH_PICKLE: "model.pt",
        ModelFormat.OPENVINO: "model.xml",
        ModelFormat.TENSORRT: "model.plan",
        ModelFormat.SAVEDMODEL: "model.savedmodel",
        ModelFormat.GRAPHDEF: "model.graphdef",
        ModelFormat.XGBOOST_JSON: "xgboost.json",
        ModelFormat.XGBOOST_UBJ: "xgboost.ubj",
        ModelFormat.XGBOOST_BINARY: "xgboost.model",
        ModelFormat.LIGHTGBM: "model.txt",
        ModelFormat.TREELITE: "checkpoint.tl",
        ModelFormat.PYTHON: "model.py",
    }
)


def version_files(
    source: Source, format_: ModelFormat, reading: Reading
) -> tuple[tuple[FileRef, ...], tuple[Finding, ...]]:
    """Every file of one version, the main file first, and what is missing.

    Args:
        source: the version's main file or folder.
        format_: of the main file.
        reading: names the further files.
    """
    target = TARGETS.get(format_, source.file.name)
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
