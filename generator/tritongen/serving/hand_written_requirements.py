"""What the files of a hand-written repository ask of Triton's runtimes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tritongen.errors import InvalidInputError
from tritongen.serving.runtime_requirements import ModelNeeds

__all__ = ["model_needs"]


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
