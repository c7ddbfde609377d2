"""How a library is imported, and how a model is loaded and run by it."""

import importlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from tritongen.errors import EnvironmentProblem
from tritongen.model.evidence import ReportedTensor
from tritongen.model.tensors import TensorSpec

if TYPE_CHECKING:
    # The parent names runtimes without ever loading numpy.
    from tritongen.model.samples import Array


@dataclass(frozen=True, slots=True)
class DeclaredInterface:
    """What is known of a model beside its file, for formats whose files do not say it.

    Attributes:
        inputs: as the configuration names them, batch axis included.
        outputs: likewise.
        parameters: the backend's, by key.
        max_batch_size: of the configuration that a Python model reads; 0 for full shapes.
        decoupled: whether that configuration allows any number of responses.
    """

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    max_batch_size: int = 0
    decoupled: bool = False


class RuntimeRefusal(Exception):  # noqa: N818  (the model is refused; nothing is broken here)
    """The runtime did not load the model, or did not run it on these inputs.

    Attributes:
        message: the runtime's own words, one line.
        out_of_memory: whether memory was the reason.
        about_values: whether the message speaks of values rather than of shapes.
        for_good: whether no input and no machine would make a difference: the runtime does not load
            the model for what is in it.
        about_inputs: whether other inputs might make a difference.
    """

    def __init__(
        self,
        message: str,
        *,
        out_of_memory: bool = False,
        about_values: bool = False,
        for_good: bool = False,
        about_inputs: bool = True,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.out_of_memory = out_of_memory
        self.about_values = about_values
        self.for_good = for_good
        self.about_inputs = about_inputs and not (out_of_memory or for_good)


class LoadedModel(Protocol):
    """A loaded model."""

    @property
    def inputs(self) -> Sequence[ReportedTensor]:
        """The runtime's own view of the inputs."""

    @property
    def outputs(self) -> Sequence[ReportedTensor]:
        """The runtime's own view of the outputs."""

    def run(self, inputs: "Mapping[str, Array]") -> "dict[str, Array]":
        """Outputs by name: arrays of a type that `DType` names, BYTES as objects of bytes.

        Outputs that are not tensors are left out. Of several responses see `numbered`.

        Raises:
            RuntimeRefusal: the runtime raised.
        """


class ModelRuntime(Protocol):
    """A library that runs one format."""

    @property
    def name(self) -> str:
        """Library and version, such as ``onnxruntime 1.32.0``."""

    def load(self, path: Path, *, threads: int, inter_op: int = 1) -> LoadedModel:
        """Load a model as Triton does: on the CPU, with explicit thread counts.

        Args:
            path: main file or folder.
            threads: that share one operator.
            inter_op: operators that run side by side; 1 runs them in sequence.

        Raises:
            RuntimeRefusal: the runtime does not load the model.
        """


# Chosen: what a library has to say fits, a trace of its calls does not.
MAX_MESSAGE_CHARACTERS = 300


def lines_of(error: Exception) -> list[str]:
    """What an exception says, line by line without blank ones; its class where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines or [type(error).__name__]


def refusal(
    error: Exception,
    message: str,
    memory: re.Pattern[str] | None = None,
    values: re.Pattern[str] | None = None,
) -> RuntimeRefusal:
    """The refusal that a library's exception stands for.

    Args:
        error: as it was raised.
        message: of it, one line.
        memory: what such messages say when memory is short.
        values: what they say when values are at fault.
    """
    text = message[:MAX_MESSAGE_CHARACTERS]
    short = memory is not None and memory.search(text) is not None
    return RuntimeRefusal(
        text,
        out_of_memory=short or isinstance(error, MemoryError),
        about_values=values is not None and values.search(text) is not None,
    )


_NUMBER = " (response "


def numbered(responses: "Sequence[Mapping[str, Array]]") -> "dict[str, Array]":
    """The outputs of all responses to a request, from the second on under ``y (response 2)``."""
    return {
        name if number == 1 else f"{name}{_NUMBER}{number})": array
        for number, response in enumerate(responses, 1)
        for name, array in response.items()
    }


def first_response(outputs: "Mapping[str, Array]") -> "dict[str, Array]":
    """Those outputs that the first response holds."""
    return {name: array for name, array in outputs.items() if _NUMBER not in name}


def library(name: str, purpose: str, extra: str, submodules: Sequence[str] = ()) -> ModuleType:
    """A package with some of its submodules.

    Args:
        name: of the package.
        purpose: what it is needed for, up to the verb: ``forests need``.
        extra: of tritongen that installs it.
        submodules: to import as well.

    Raises:
        EnvironmentProblem: TG006, it is not installed.
    """
    # Newest wheels of onnxruntime report usage to their maker unless told otherwise before.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        for submodule in submodules:
            importlib.import_module(f"{name}.{submodule}")
        return importlib.import_module(name)
    except ImportError as error:
        raise EnvironmentProblem(
            "TG006",
            f"{purpose} {name}, which cannot be imported: {error}",
            fix=f"pip install 'tritongen[{extra}]'",
        ) from None
