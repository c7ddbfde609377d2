"""OpenVINO models through openvino, on the CPU, one stream a session."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tritongen.model.evidence import ReportedTensor
from tritongen.model.samples import Array
from tritongen.trial.runtime import RuntimeRefusal, library, lines_of, refusal

_MEMORY = re.compile(r"bad alloc|out of memory|failed to allocate", re.IGNORECASE)
_VALUES = re.compile(r"out of (bounds|range)|indices", re.IGNORECASE)


class OpenVino:
    """The installed openvino."""

    def __init__(self) -> None:
        self._library = library("openvino", "models of OpenVINO need", "openvino")

    @property
    def name(self) -> str:
        """``openvino`` and its version."""
        version = str(self._library.__version__).split("-", 1)[0]
        return f"openvino {version}"

    def load(self, path: Path, *, threads: int, inter_op: int = 1) -> "OpenVinoSession":
        """Load a model; see `ModelRuntime.load`."""
        del inter_op
        options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        try:
            core = self._library.Core()
            compiled = core.compile_model(core.read_model(os.fspath(path)), "CPU", options)
        except Exception as error:  # noqa: BLE001  (openvino raises what its C++ code throws)
            raise _refusal(error) from None
        return OpenVinoSession(compiled)


class OpenVinoSession:
    """One compiled model with one request."""

    def __init__(self, compiled: Any) -> None:  # noqa: ANN401  (a CompiledModel)
        self._request = compiled.create_infer_request()
        self._inputs = compiled.inputs
        self._outputs = compiled.outputs

    @property
    def inputs(self) -> Sequence[ReportedTensor]:
        """OpenVINO's own view of the inputs."""
        return [_reported(port) for port in self._inputs]

    @property
    def outputs(self) -> Sequence[ReportedTensor]:
        """OpenVINO's own view of the outputs."""
        return [_reported(port) for port in self._outputs]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; see `LoadedModel.run`."""
        try:
            result = self._request.infer(dict(inputs))
        except Exception as error:  # noqa: BLE001  (openvino raises what its C++ code throws)
            raise _refusal(error) from None
        return {port_name(port): np.array(result[port]) for port in self._outputs}


def port_name(port: Any) -> str:  # noqa: ANN401  (a ConstOutput)
    """The name by which the backend knows a tensor."""
    return str(port.get_any_name())


def _reported(port: Any) -> ReportedTensor:  # noqa: ANN401  (a ConstOutput)
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return ReportedTensor(port_name(port), ())
    dims = tuple(-1 if dim.is_dynamic else int(dim.get_length()) for dim in shape)
    return ReportedTensor(port_name(port), dims)


def _refusal(error: Exception) -> RuntimeRefusal:
    lines = lines_of(error)
    # Source positions come first, what happened last.
    rest = [line for line in lines if not re.match(r"(Exception from|Check )", line)]
    return refusal(error, (rest or lines)[-1], _MEMORY, _VALUES)
