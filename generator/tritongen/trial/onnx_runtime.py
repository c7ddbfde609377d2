"""ONNX models through onnxruntime, on the CPU, as Triton's backend runs them."""

import ctypes
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tritongen.errors import words_of
from tritongen.model.evidence import ReportedTensor
from tritongen.model.samples import Array, numpy_dtype
from tritongen.model.tensors import DType
from tritongen.trial.operator_work import Executed
from tritongen.trial.runtime import MAX_MESSAGE_CHARACTERS, RuntimeRefusal, library

# Of onnxruntime, which has no types.
SessionOptions = Any
_InferenceSession = Any
_OrtValue = Any
_Argument = Any  # what a session says of one input or output

# onnx.TensorProto.BFLOAT16; onnxruntime takes the number, and the onnx package is not needed.
_BFLOAT16 = 16
_BF16_TEXT = "tensor(bfloat16)"
# Nothing below a fatal error is printed: every message arrives as an exception too.
_FATAL = 4
_MEMORY = re.compile(
    r"failed to allocate|bad_alloc|bad allocation|out of memory|unable to allocate|cannot allocate",
    re.IGNORECASE,
)
_VALUES = re.compile(
    r"out of (data )?bounds|out of range|ind(ices|ex)\b|idx|invalid value|must be within|token",
    re.IGNORECASE,
)
# Statuses with which ONNX Runtime refuses to load what is in a model; a file that it does not find
# and a provider that fails are none of them.
_REFUSED = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : (FAIL|INVALID_ARGUMENT|RUNTIME_EXCEPTION|INVALID_PROTOBUF"
    r"|NOT_IMPLEMENTED|INVALID_GRAPH) "
)
# What another machine has or allows: files beside the model, rights, locales, threads, libraries.
_THIS_MACHINE = re.compile(
    r"no such file|does not exist|permission denied|too many open files|no space left"
    r"|input/output error|system error number|temporarily unavailable|locale"
    r"|failed to load library|shared object file",
    re.IGNORECASE,
)
_SHAPES = re.compile(r"dimension|shape|rank", re.IGNORECASE)


class OnnxRuntime:
    """The installed onnxruntime."""

    def __init__(self) -> None:
        self._library = library("onnxruntime", "the trial run needs", "onnx")

    @property
    def name(self) -> str:
        """``onnxruntime`` and its version."""
        return f"onnxruntime {self._library.__version__}"

    def load(self, path: Path, *, threads: int, inter_op: int = 1) -> "OnnxSession":
        """Load a model; see `ModelRuntime.load`."""
        session = self._session(path, silent_options(self._library, threads, inter_op))
        return OnnxSession(session, self._library, path.parent)

    def _session(self, path: Path, options: SessionOptions) -> _InferenceSession:
        try:
            return self._library.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001  (onnxruntime's exceptions share no base class)
            raise _refusal(error, path.parent, loading=True) from None

    def operators(self, path: Path, inputs: Mapping[str, Array]) -> list[Executed]:
        """The operators of one execution, with what they read and write.

        Constants are folded and operators not merged for the CPU: about what a GPU would run.

        Raises:
            RuntimeRefusal: the model does not run on these inputs.
            ValueError, LookupError, TypeError: this onnxruntime's profile does not say it.
        """
        options = silent_options(self._library, 1)
        options.graph_optimization_level = self._library.GraphOptimizationLevel.ORT_ENABLE_BASIC
        # Weights that are packed are no inputs any more.
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.enable_profiling = True
        with tempfile.TemporaryDirectory() as folder:
            options.profile_file_prefix = f"{folder}/profile"
            session = self._session(path, options)
            OnnxSession(session, self._library, path.parent).run(inputs)
            return executed(Path(session.end_profiling()).read_bytes())


def executed(profile: bytes) -> list[Executed]:
    """The operators of a profile.

    Raises:
        ValueError, LookupError, TypeError: it does not say what they read and write.
    """
    found = []
    for event in json.loads(profile):
        told = event.get("args", {})
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        outputs = told["output_type_shape"]
        found.append(
            Executed(
                told["op_name"],
                tuple(tuple(dims) for item in told["input_type_shape"] for dims in item.values()),
                tuple(tuple(dims) for item in outputs for dims in item.values()),
                int(told["activation_size"]),
                int(told["parameter_size"]),
                int(told["output_size"]),
                integers=all("int64" in item for item in outputs),
            )
        )
    return found


def silent_options(library: ModuleType, threads: int, inter_op: int = 1) -> SessionOptions:
    """Options of a session that prints nothing.

    Args:
        library: onnxruntime.
        threads: intra-op threads.
        inter_op: operators side by side; 1 runs them in sequence.
    """
    options = library.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    if inter_op > 1:
        options.execution_mode = library.ExecutionMode.ORT_PARALLEL
        options.inter_op_num_threads = inter_op
    return options


class OnnxSession:
    """One `InferenceSession`."""

    def __init__(self, session: _InferenceSession, library: ModuleType, folder: Path) -> None:
        self._session = session
        self._library = library
        self._folder = folder
        declared = [*session.get_inputs(), *session.get_outputs()]
        self._plain = all(item.type != _BF16_TEXT for item in declared)
        self._output_names = [
            item.name for item in session.get_outputs() if item.type.startswith("tensor(")
        ]

    @property
    def inputs(self) -> Sequence[ReportedTensor]:
        """The runtime's own view of the inputs."""
        return [_reported(item) for item in self._session.get_inputs()]

    @property
    def outputs(self) -> Sequence[ReportedTensor]:
        """The runtime's own view of the outputs; only tensors."""
        return [
            _reported(item)
            for item in self._session.get_outputs()
            if item.type.startswith("tensor(")
        ]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; see `LoadedModel.run`."""
        texts = {name: as_texts(array) for name, array in inputs.items()}
        try:
            results = (
                self._session.run(self._output_names, texts)
                if self._plain
                else self._run_values(texts)
            )
        except Exception as error:  # noqa: BLE001  (onnxruntime's exceptions share no base class)
            raise _refusal(error, self._folder) from None
        return dict(zip(self._output_names, map(as_bytes, results), strict=True))

    def _run_values(self, inputs: Mapping[str, Array]) -> list[Array]:
        """For models with BF16, which the plain call cannot pass."""
        values = {name: self._value(array) for name, array in inputs.items()}
        return [
            _bfloat16(value) if value.data_type() == _BF16_TEXT else value.numpy()
            for value in self._session.run_with_ort_values(self._output_names, values)
        ]

    def _value(self, array: Array) -> _OrtValue:
        make = self._library.OrtValue
        if array.dtype.name == "bfloat16":
            raw = np.ascontiguousarray(array).view(np.uint16)
            return make.ortvalue_from_numpy_with_onnx_type(raw, _BFLOAT16)
        return make.ortvalue_from_numpy(array)


def _reported(item: _Argument) -> ReportedTensor:
    dims = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in item.shape)
    return ReportedTensor(item.name, dims)


def as_texts(array: Array) -> Array:
    """Texts as ONNX Runtime takes them, `str`; bytes would arrive as their Python spelling."""
    if array.dtype != object:
        return array
    result = np.empty(array.shape, dtype=object)
    result.ravel()[:] = [
        item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
        for item in array.ravel()
    ]
    return result


def as_bytes(array: Array) -> Array:
    """Texts as they travel: object arrays of bytes."""
    if array.dtype.kind not in "OSU":
        return array
    result = np.empty(array.shape, dtype=object)
    result.ravel()[:] = [
        item if isinstance(item, bytes) else str(item).encode() for item in array.ravel()
    ]
    return result


def _bfloat16(value: _OrtValue) -> Array:
    """A copy of a BF16 result; numpy has no such type, so the bytes are read in place."""
    shape = tuple(value.shape())
    size = int(np.prod(shape, dtype=np.int64)) * DType.BF16.itemsize
    raw = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(raw, dtype=numpy_dtype(DType.BF16)).reshape(shape)


def _refusal(error: Exception, folder: Path, *, loading: bool = False) -> RuntimeRefusal:
    words = words_of(error)
    message = described(error, folder)
    short = isinstance(error, MemoryError) or bool(_MEMORY.search(words))
    return RuntimeRefusal(
        message,
        out_of_memory=short,
        about_values=bool(_VALUES.search(message)) and not _SHAPES.search(message),
        for_good=loading
        and not short
        and bool(_REFUSED.match(words))
        and not _THIS_MACHINE.search(words),
    )


def described(error: Exception, folder: Path) -> str:
    """A runtime's message without line breaks, source positions and this machine's folders."""
    text = " ".join((words_of(error) or type(error).__name__).split())
    text = text.replace(f"{folder}/", "")
    # Number and name of the status first, then C++ source positions with the function's signature.
    text = re.sub(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", text)
    text = re.sub(
        r"/\S*onnxruntime\S*\.(cc|h|cpp|hpp):\d+ (?:[^()]*\([^()]*\)(?: const)? ?)?", "", text
    )
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else f"{text[: MAX_MESSAGE_CHARACTERS - 1]}…"
