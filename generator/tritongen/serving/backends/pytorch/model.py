"""The Python-based `pytorch` backend: the C++ backend's rules and messages on the CPU.

Triton's stub imports this file by its name. It serves configurations with ``backend: "pytorch"``.
What differs from the C++ backend, by the nature of a process per instance:

- The thread counts of a model hold for its own processes; no other model's counts win.
- States of `sequence_batching.state` are kept in the instance's process, by correlation id: the
  Python backend has no call that hands a new state to Triton's core.
- `runtime: "model.py"` is refused: that flavour's own runner belongs to Triton's image.
- AOT Inductor packages are not served: the embedded server's release does not know their platform.
- GPU instances run on the CPU, with a warning; GPU parameters are accepted and have no effect.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "common"))

from python_backends.batches import Array, Arrays
from python_backends.config import (
    ConfigTensor,
    Json,
    RefusedError,
    controls,
    model_path,
    parameters,
    parse_bool,
    parse_int,
    states,
    tensors,
)
from python_backends.serving import BackendModel, on_cpu

_TYPES = {
    torch.bool: "TYPE_BOOL",
    torch.uint8: "TYPE_UINT8",
    torch.int8: "TYPE_INT8",
    torch.int16: "TYPE_INT16",
    torch.int32: "TYPE_INT32",
    torch.int64: "TYPE_INT64",
    torch.float16: "TYPE_FP16",
    torch.float32: "TYPE_FP32",
    torch.float64: "TYPE_FP64",
}
_STRING = "TYPE_STRING"


class TorchModel(BackendModel):
    """A TorchScript module behind the names of a configuration."""

    keeps_states = True

    def load(self, args: Mapping[str, str], config: Json) -> None:
        """Loads the file and holds the configuration against it."""
        on_cpu(args, "pytorch")
        named = config.get("default_model_filename") or "model.pt"
        if named == "model.py":
            raise RefusedError("the Python-based pytorch backend serves no modules in Python")
        path = model_path(args, named)
        self._inference_mode = _configure(parameters(config))
        try:
            with torch.inference_mode(self._inference_mode):
                self._module = torch.jit.load(str(path), map_location="cpu")
        except Exception as error:
            raise RefusedError(f"failed to load model '{self._name}': {error}") from error
        self._inputs = self._bind(config)
        outputs = (*tensors(config, "output"), *(state.given for state in states(config)))
        self._check("output", outputs)
        self._outputs = _positions([item.name for item in outputs], ())
        self._types = {item.name: item.dtype for item in outputs}

    def run(self, names: Collection[str], inputs: Arrays) -> Arrays:  # noqa: ARG002  (all are made)
        """Outputs by the configuration's names."""
        values = {name: _value(array) for name, array in inputs.items()}
        try:
            with torch.inference_mode(self._inference_mode), torch.no_grad():
                result = self._call(values)
        except Exception as error:
            raise RefusedError(f"PyTorch execute failure: {error}") from error
        parts = list(result) if isinstance(result, tuple) else [result]
        return {name: self._output(name, parts, at) for name, at in self._outputs.items()}

    def _bind(self, config: Json) -> dict[str, int]:
        arguments = self._module.forward.schema.arguments[1:]
        kinds = [argument.type.kind() for argument in arguments]
        self._dictionary = kinds == ["DictType"]
        items = (*tensors(config, "input"), *(state.taken for state in states(config)))
        fed = [*(item.name for item in items), *controls(config)]
        if not self._dictionary:
            further = len(config.get("batch_input", ()))
            self._check_arguments(arguments, kinds, len(fed) + further)
        self._check("input", items)
        names = [] if self._dictionary else [argument.name for argument in arguments]
        return _positions(fed, names)

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
        found = _TYPES.get(value.dtype, f"TYPE_{value.dtype}")
        if found != self._types[name]:
            raise RefusedError(
                f"configuration expects datatype {self._types[name]} for output '{name}', model "
                f"provides {found}"
            )
        if value.dim() == 0:
            raise RefusedError(f"output '{name}' is a scalar which is not supported.")
        array: Array = value.detach().contiguous().numpy()
        return array

    def _check(self, kind: str, items: Sequence[ConfigTensor]) -> None:
        """Types that TorchScript takes, and lists of texts of one axis."""
        if not items:
            raise RefusedError(
                f"model configuration must contain at least one {kind}, none were specified."
            )
        for item in items:
            if item.dtype not in _TYPES.values() and item.dtype != _STRING:
                raise RefusedError(
                    f"unsupported datatype {item.dtype} for {kind} '{item.name}' for model "
                    f"'{self._name}'"
                )
            if item.dtype == _STRING and len(item.dims) + bool(self._batch) > 1:
                raise RefusedError(
                    f"Triton only supports 1 dimensional List of String as {kind} for "
                    f"'{item.name}' for model '{self._name}'"
                )


def _configure(given: Mapping[str, str]) -> bool:
    """Sets the process up for the one instance that it serves; whether autograd keeps no records.

    Raises:
        RefusedError: a value that the C++ backend refuses, in its words.
    """

    def flag(key: str) -> bool | None:
        return parse_bool(given[key]) if key in given else None

    # All are read, in the C++ backend's order, before one takes effect.
    disabled = flag("DISABLE_OPTIMIZED_EXECUTION")
    flag("ENABLE_CACHE_CLEANING")
    inference = flag("INFERENCE_MODE")
    flag("DISABLE_CUDNN")
    fuser = flag("ENABLE_TENSOR_FUSER")
    flag("ENABLE_WEIGHT_SHARING")
    profiling, executor = flag("ENABLE_JIT_PROFILING"), flag("ENABLE_JIT_EXECUTOR")
    intra_threads = parse_int(given.get("INTRA_OP_THREAD_COUNT", "0"))
    inter_threads = parse_int(given.get("INTER_OP_THREAD_COUNT", "0"))
    if intra_threads > 0:
        torch.set_num_threads(intra_threads)
    if inter_threads > 0:
        torch.set_num_interop_threads(inter_threads)
    internals = torch._C  # noqa: SLF001  (torch has no public names for these)
    internals._set_graph_executor_optimize(not disabled)  # noqa: SLF001  (torch has no public switch)
    if fuser is not None:
        internals._jit_set_texpr_fuser_enabled(fuser)  # noqa: SLF001  (torch has no public switch)
    if profiling is not None:
        internals._jit_set_profiling_mode(profiling)  # noqa: SLF001  (torch has no public switch)
    if executor is not None:
        internals._jit_set_profiling_executor(executor)  # noqa: SLF001  (torch has no public switch)
    return inference is not False


def _value(array: Array) -> object:
    if array.dtype == object:
        return [item.decode("utf-8", "replace") for item in array.ravel()]
    # Inputs lie in shared memory and may be read-only, which torch warns of.
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


def _index_of(name: str) -> int | None:
    """The number behind the first ``__``, None for a name of another form."""
    _, separator, digits = name.partition("__")
    if not separator or (digits and not digits.isdecimal()):
        return None
    return int(digits or "0")


def _positions(names: Sequence[str], arguments: Sequence[str]) -> dict[str, int]:
    """Position of each name: by argument, else by number, else in the configuration's order.

    Args:
        names: in the configuration's order.
        arguments: of `forward`; none for outputs.
    """
    if arguments and all(name in arguments for name in names):
        return {name: arguments.index(name) for name in names}
    numbers = [_index_of(name) for name in names]
    if all(number is not None for number in numbers):
        return {name: number or 0 for name, number in zip(names, numbers, strict=True)}
    return {name: place for place, name in enumerate(names)}


TritonPythonModel = TorchModel
