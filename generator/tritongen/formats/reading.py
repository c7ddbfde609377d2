"""What a reader gets and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tritongen.model.facts import GraphShape, OnnxFacts, PythonFacts, TorchFacts, TreeFacts
from tritongen.model.findings import Finding
from tritongen.model.tensors import TensorSpec


@dataclass(frozen=True, slots=True)
class Source:
    """One version's main file.

    Attributes:
        root: the models folder, resolved; nothing outside of it is opened.
        path: main file or folder, relative to `root`, with ``/``.
        model: name for findings.
    """

    root: Path
    path: str
    model: str

    @property
    def file(self) -> Path:
        """Where the main file lies."""
        return self.root / self.path


@dataclass(frozen=True, slots=True)
class SideFile:
    """A further file of the model.

    Attributes:
        source: relative to the models folder, with ``/``.
        target: relative to the version folder, with ``/``.
    """

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What one main file says; the attributes are those of `ModelFacts`.

    `files` are the files that must stand beside the main file in the version folder.
    """

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    parameters: int = 0
    weight_bytes: int = 0
    precisions: tuple[tuple[str, int], ...] = ()
    graph: GraphShape | None = None
    onnx: OnnxFacts | None = None
    torch: TorchFacts | None = None
    trees: TreeFacts | None = None
    python: PythonFacts | None = None
    producer: str = ""
    files: tuple[SideFile, ...] = ()
    findings: tuple[Finding, ...] = ()


def ranked(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Most frequent first, then by name."""
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


class Reader(Protocol):
    """Reads one format.

    A reader tells of faults by findings; it raises `InvalidInputError` or `OSError` only when
    there is nothing to tell, and never loads weights.
    """

    def __call__(self, source: Source) -> Reading:
        """What the file says."""
