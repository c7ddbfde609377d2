"""ONNX Runtime: sessions made as the configuration asks, and runs of them.

BF16 has no numpy type here. Its tensors travel as uint16 arrays that hold the same bits, and become
ONNX Runtime's own values only for the run.
"""

import ctypes
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded

import numpy as np
import onnxruntime as ort
from python_backends.batches import Array
from python_backends.config import RefusedError

from .config import SessionSettings

_OPENVINO = "OpenVINOExecutionProvider"
_CPU = "CPUExecutionProvider"
_BFLOAT16 = 16  # ONNX's number of the element type
_ERROR = re.compile(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", re.DOTALL)


def runtime_error(error: Exception) -> RefusedError:
    """An error of ONNX Runtime in the C++ backend's words."""
    words = str(error)
    if isinstance(error, UnicodeDecodeError):  # its message in C++ is not UTF-8
        words = error.object.decode("utf-8", "replace")
    match = _ERROR.match(words)
    text = f"onnx runtime error {match[1]}: {match[2]}" if match else f"onnx runtime error: {words}"
    return RefusedError(text.strip())


def model_file(folder: Path, config: Mapping[str, Any]) -> Path:
    """The model's file in a version folder: as configured, or inside a folder of that name.

    Raises:
        RefusedError: there is none.
    """
    path = folder / (config.get("default_model_filename") or "model.onnx")
    if path.is_dir():
        path = path / "model.onnx"
    if not path.exists():
        raise RefusedError(f"unable to find '{path}' for model instance '{config['name']}'")
    return path


def _options(settings: SessionSettings) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, settings.optimization)
    options.execution_mode = (
        ort.ExecutionMode.ORT_PARALLEL if settings.parallel else ort.ExecutionMode.ORT_SEQUENTIAL
    )
    if settings.intra_threads:
        options.intra_op_num_threads = settings.intra_threads
    if settings.inter_threads:
        options.inter_op_num_threads = settings.inter_threads
    if settings.arena is not None:
        options.enable_cpu_mem_arena = settings.arena
    if settings.pattern is not None:
        options.enable_mem_pattern = settings.pattern
    for key, value in settings.session_entries:
        options.add_session_config_entry(key, value)
    return options


def _providers(settings: SessionSettings) -> list[Any]:
    if not settings.openvino:
        return [_CPU]
    if _OPENVINO not in ort.get_available_providers():
        raise RefusedError(
            "Execution Accelerator 'openvino' is requested, but its execution provider is not in "
            "this onnxruntime; install onnxruntime-openvino instead of onnxruntime"
        )
    return [(_OPENVINO, {"device_type": "CPU"}), _CPU]


class OrtSession:
    """One ONNX Runtime session with the settings of a configuration.

    Args:
        path: the model's file.
        settings: see `config.session_settings`.

    Raises:
        RefusedError: ONNX Runtime refuses the model, a library or a setting.
    """

    def __init__(self, path: Path, settings: SessionSettings) -> None:
        providers = _providers(settings)
        try:
            options = _options(settings)
            for library in settings.op_libraries:
                options.register_custom_ops_library(library)
            self.declaration = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's errors share no base class of their own
            raise runtime_error(error) from error
        self._run_options = ort.RunOptions()
        for key, value in settings.run_entries:
            self._run_options.add_run_config_entry(key, value)
        nodes = (*self.declaration.get_inputs(), *self.declaration.get_outputs())
        self._has_bfloat16 = any(node.type == "tensor(bfloat16)" for node in nodes)
        self._types = {node.name: node.type for node in nodes}

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Runs the model; BF16 tensors are uint16 arrays on both sides.

        Raises:
            RefusedError: the run failed.
        """
        try:
            if self._has_bfloat16:
                return self._run_values(outputs, feeds)
            return list(self.declaration.run(outputs, feeds, self._run_options))
        except Exception as error:  # as above
            raise runtime_error(error) from error

    def _run_values(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        values = {
            name: to_bfloat16(array)
            if self._types.get(name) == "tensor(bfloat16)"
            else ort.OrtValue.ortvalue_from_numpy(array)
            for name, array in feeds.items()
        }
        results = self.declaration.run_with_ort_values(outputs, values, self._run_options)
        return [
            from_bfloat16(value) if value.data_type() == "tensor(bfloat16)" else value.numpy()
            for value in results
        ]


def to_bfloat16(bits: Array) -> ort.OrtValue:
    """A BF16 value from a uint16 array of the same bits; it shares the array's memory."""
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(bits), _BFLOAT16)


def from_bfloat16(value: ort.OrtValue) -> Array:
    """The bits of a BF16 value as a uint16 array of its own."""
    shape = tuple(value.shape())
    bits = np.empty(shape, np.uint16)
    if bits.size:
        ctypes.memmove(bits.ctypes.data, value.data_ptr(), bits.nbytes)
    return bits
