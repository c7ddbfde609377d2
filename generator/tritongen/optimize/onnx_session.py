"""A model in ONNX Runtime, with values of every kind; or in onnx's reference where it refuses."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tritongen.errors import InvalidInputError
from tritongen.model.samples import Array
from tritongen.optimize.child_jobs import StageRefusal
from tritongen.optimize.libraries import Library, onnx, onnxruntime
from tritongen.optimize.onnx_files import load
from tritongen.trial.onnx_runtime import as_bytes, as_texts, described, silent_options

# An array, a list for a sequence, a mapping for a map, None for an optional without a value.
Value = object
Arrays = Mapping[str, Array]
Values = Mapping[str, Value]

# Chosen: half of what protobuf reads, since tools may write more than they were given.
_OUTSIDE_FROM_BYTES = 2**30
# Weights are prepared a second time in memory unless told otherwise.
_LEAN_FROM_BYTES = 256 * 2**20


class RunRefusal(StageRefusal):
    """The runtime did not load the model, or did not run it; the message is its own, one line."""


class Runner:
    """A loaded model.

    Args:
        loaded: whatever runs it.
        output_names: in order.
        folder: of the model; its place is left out of messages.
    """

    def __init__(self, loaded: Library, output_names: Sequence[str], folder: Path) -> None:
        self._loaded, self.output_names, self._folder = loaded, list(output_names), folder

    def run(self, inputs: Arrays) -> dict[str, Value]:
        """Outputs by name; texts are object arrays of bytes.

        Raises:
            RunRefusal: the runtime raised.
        """
        fed = {name: as_texts(array) for name, array in inputs.items()}
        try:
            results = self._loaded.run(self.output_names, fed)
        except Exception as error:  # noqa: BLE001  (anything may come out of a faulty model)
            raise RunRefusal(described(error, self._folder)) from None
        return {
            name: as_bytes(value) if isinstance(value, np.ndarray) else value
            for name, value in zip(self.output_names, results, strict=True)
        }


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a session is made.

    Attributes:
        threads: intra-op threads.
        inter_op: operators side by side; 1 runs them in sequence.
        optimize: False runs the graph as it is.
        lean: spare what makes it fast and costs others: a second copy of a large model's weights,
            and threads that turn while they wait.
    """

    threads: int = 1
    inter_op: int = 1
    optimize: bool = True
    lean: bool = True


class OrtRunner(Runner):
    """One `InferenceSession` on the CPU."""

    def __init__(self, path: Path, settings: RunSettings = RunSettings()) -> None:
        library = onnxruntime()
        session = open_session(library, path, session_options(library, path, settings))
        super().__init__(session, [item.name for item in session.get_outputs()], path.parent)


def open_session(library: Library, path: Path, options: Library, **more: object) -> Library:
    """A session on the CPU.

    Raises:
        RunRefusal: ONNX Runtime does not load the model, or cannot save what it makes of it.
    """
    providers = ["CPUExecutionProvider"]
    try:
        return library.InferenceSession(os.fspath(path), options, providers=providers, **more)
    except Exception as error:  # noqa: BLE001  (onnxruntime's exceptions share no base class)
        raise RunRefusal(described(error, path.parent)) from None


def session_options(library: Library, path: Path, settings: RunSettings) -> Library:
    """Options of a silent session."""
    options = silent_options(library, settings.threads, settings.inter_op)
    if not settings.optimize:
        options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
    if settings.lean:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if settings.lean and model_bytes(path) >= _LEAN_FROM_BYTES:
        options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def model_bytes(path: Path) -> int:
    """Bytes of the model file and of its data files."""
    try:
        return load(path).bytes_
    except InvalidInputError:
        return path.stat().st_size if path.is_file() else 0


def needs_data_file(path: Path) -> bool:
    """Whether the weights of a model go to a file of their own; protobuf reads less than 2 GiB."""
    return model_bytes(path) >= _OUTSIDE_FROM_BYTES


class ReferenceRunner(Runner):
    """onnx's reference implementation, which does not look at declared shapes.

    For originals that ONNX Runtime refuses for what they declare.
    """

    def __init__(self, path: Path) -> None:
        from onnx.reference import ReferenceEvaluator

        onnx()
        try:
            evaluator = ReferenceEvaluator(os.fspath(path))
        except Exception as error:  # noqa: BLE001  (anything may come out of a faulty model)
            raise RunRefusal(described(error, path.parent)) from None
        super().__init__(evaluator, evaluator.output_names, path.parent)
