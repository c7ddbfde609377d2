"""A TorchScript module behind the names of a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from python_backends.config import Json, RefusedError, controls, states, tensors

from .naming import check, positions
from .settings import TorchSettings

Array = np.ndarray[Any, np.dtype[Any]]
_NAMES = {
    torch.bool: "BOOL",
    torch.uint8: "UINT8",
    torch.int8: "INT8",
    torch.int16: "INT16",
    torch.int32: "INT32",
    torch.int64: "INT64",
    torch.float16: "FP16",
    torch.float32: "FP32",
    torch.float64: "FP64",
}


class ScriptModel:
    """One loaded module.

    Args:
        path: of the archive.
        config: the model's configuration.
        settings: its parameters.

    Raises:
        RefusedError: the module cannot be loaded, or does not suit the configuration.
    """

    def __init__(self, path: Path, config: Json, settings: TorchSettings) -> None:
        self._name = str(config["name"])
        self._settings = settings
        self._apply(settings)
        try:
            with torch.inference_mode(settings.inference_mode):
                self._module = torch.jit.load(str(path), map_location="cpu")
        except Exception as error:
            raise RefusedError(f"failed to load model '{self._name}': {error}") from error
        batching = int(config.get("max_batch_size", 0)) > 0
        self._inputs = self._bind(config, batching=batching)
        outputs = (*tensors(config, "output"), *(state.given for state in states(config)))
        check("output", self._name, outputs, batching=batching)
        self._outputs = positions([item.name for item in outputs], ())
        self._types = {item.name: item.dtype for item in outputs}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by the configuration's names.

        Raises:
            RefusedError: the module fails, or returns what is no tensor.
        """
        values = {name: _value(array) for name, array in inputs.items()}
        try:
            with torch.inference_mode(self._settings.inference_mode), torch.no_grad():
                result = self._call(values)
        except Exception as error:
            raise RefusedError(f"PyTorch execute failure: {error}") from error
        parts = list(result) if isinstance(result, tuple) else [result]
        return {name: self._output(name, parts, at) for name, at in self._outputs.items()}

    def _apply(self, settings: TorchSettings) -> None:
        """Settings of the process; it serves this instance alone."""
        if settings.intra_threads:
            torch.set_num_threads(settings.intra_threads)
        if settings.inter_threads:
            torch.set_num_interop_threads(settings.inter_threads)
        internals = torch._C  # noqa: SLF001  (torch has no public names for these)
        internals._set_graph_executor_optimize(settings.optimized)  # noqa: SLF001  (torch has no public switch)
        if settings.fuser is not None:
            internals._jit_set_texpr_fuser_enabled(settings.fuser)  # noqa: SLF001  (torch has no public switch)
        if settings.profiling is not None:
            internals._jit_set_profiling_mode(settings.profiling)  # noqa: SLF001  (torch has no public switch)
        if settings.executor is not None:
            internals._jit_set_profiling_executor(settings.executor)  # noqa: SLF001  (torch has no public switch)

    def _bind(self, config: Json, *, batching: bool) -> dict[str, int]:
        arguments = self._module.forward.schema.arguments[1:]
        kinds = [argument.type.kind() for argument in arguments]
        self._dictionary = kinds == ["DictType"]
        items = (*tensors(config, "input"), *(state.taken for state in states(config)))
        fed = [*(item.name for item in items), *controls(config)]
        if not self._dictionary:
            further = len(config.get("batch_input", ()))
            self._check_arguments(arguments, kinds, len(fed) + further)
        check("input", self._name, items, batching=batching)
        names = [] if self._dictionary else [argument.name for argument in arguments]
        return positions(fed, names)

    def _check_arguments(self, arguments: Any, kinds: list[str], expected: int) -> None:  # noqa: ANN401  (torch's)
        if "DictType" in kinds[1:]:
            raise RefusedError(
                "Multiple inputs of kind DictType were detected. Only a single input of type "
                "Dict(str, Tensor) is supported."
            )
        for argument, kind in zip(arguments, kinds, strict=True):
            if kind not in {"TensorType", "ListType"}:
                raise RefusedError(
                    f"An input of type '{argument.type}' was detected in the model. Only a single "
                    "input of type Dict(str, Tensor) or input(s) of type Tensor are supported."
                )
        if len(arguments) != expected:
            raise RefusedError(
                f"unable to load model '{self._name}', configuration expects {expected} inputs, "
                f"model provides {len(arguments)}"
            )

    def _call(self, values: Mapping[str, object]) -> object:
        if self._dictionary:
            return self._module(dict(values))
        ordered = sorted(values, key=lambda name: self._inputs.get(name, len(values)))
        return self._module(*(values[name] for name in ordered))

    def _output(self, name: str, parts: list[object], at: int) -> Array:
        if at >= len(parts):
            raise RefusedError(f"output tensor '{name}' is not found")
        value = parts[at]
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            texts = np.empty(len(value), dtype=object)
            texts[:] = [str(item).encode() for item in value]
            return texts
        if not isinstance(value, torch.Tensor):
            raise RefusedError(
                "output must be of type Tensor, List[str] or Tuple containing one of these two "
                "types. It should not be a List / Dictionary of Tensors or a Scalar"
            )
        found = _NAMES.get(value.dtype, str(value.dtype))
        if f"TYPE_{found}" != self._types[name]:
            raise RefusedError(
                f"configuration expects datatype {self._types[name]} for output '{name}', model "
                f"provides TYPE_{found}"
            )
        if value.dim() == 0:
            raise RefusedError(f"output '{name}' is a scalar which is not supported.")
        array: Array = value.detach().contiguous().numpy()
        return array


def _value(array: Array) -> object:
    if array.dtype == object:
        return [item.decode("utf-8", "replace") for item in array.ravel()]
    # Inputs lie in shared memory and may be read-only, which torch warns of.
    return torch.from_numpy(np.require(array, requirements=("C", "W")))
