"""What a model's file asks of the runtime that loads it, and which releases bring such a one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import InvalidInputError

if TYPE_CHECKING:
    from tritongen.model.releases import Release


@dataclass(frozen=True, slots=True)
class ModelNeeds:
    """Of one file.

    Attributes:
        path: relative to the repository.
        onnx_ir: IR version of an ONNX file; 0 for another format.
        opsets: (domain, version) of an ONNX file.
        producer: of a TensorRT plan, such as ``TensorRT 8.5``; empty for another format.
    """

    path: str
    onnx_ir: int = 0
    opsets: tuple[tuple[str, int], ...] = ()
    producer: str = ""


def unmet(release: "Release", needs: Sequence[ModelNeeds]) -> str:
    """The first need that a release's ONNX Runtime does not meet, in words; empty when it does."""
    greatest = {"ai.onnx": release.onnx_opset, "ai.onnx.ml": release.onnx_ml_opset}
    for need in needs:
        if need.onnx_ir > release.onnx_ir:
            return f"{need.path} has IR version {need.onnx_ir}"
        for domain, version in need.opsets:
            if version > greatest.get(domain, version):
                return f"{need.path} has opset {version} of {domain}"
    return ""


def model_needs(repository: Path, names: Sequence[str]) -> tuple[ModelNeeds, ...]:
    """IR version and opsets of ONNX files, and the TensorRT of plans, as far as they can be read.

    Args:
        repository: folder of models.
        names: of its models.
    """
    return tuple(need for name in names for need in _of_model(repository, name))


def _of_model(repository: Path, name: str) -> Iterator[ModelNeeds]:
    from tritongen.formats.onnx_reader import read_onnx
    from tritongen.formats.reading import ModelSource
    from tritongen.formats.tensorrt import read_tensorrt

    for path in _files(repository, name):
        source = ModelSource(repository.resolve(), path, name)
        try:
            if path.endswith(".plan"):
                yield ModelNeeds(path, producer=read_tensorrt(source).producer)
            elif (facts := read_onnx(source).onnx) is not None:
                yield ModelNeeds(path, facts.ir_version, facts.opsets)
        except (OSError, InvalidInputError):
            continue  # `check`, which comes next, tells of a damaged file


def _files(repository: Path, name: str) -> Iterator[str]:
    """Files that Triton may load, relative to the repository.

    What lies beside a ``model.py`` is that program's, which brings its own library.
    """
    for pattern in ("*.onnx", "*.onnx/*.onnx", "*.plan"):
        for path in sorted((repository / name).glob(f"[0-9]*/{pattern}")):
            if path.is_file() and not (path.parent / "model.py").exists():
                yield path.relative_to(repository).as_posix()
