"""TorchScript and AOT Inductor through torch, on the CPU, as Triton's backend runs them."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tritongen.model.backends.pytorch import index_of
from tritongen.model.evidence import ReportedTensor
from tritongen.model.samples import Array
from tritongen.trial.runtime import DeclaredInterface, RuntimeRefusal, library, lines_of, refusal

_MEMORY = re.compile(r"can't allocate memory|out of memory|bad alloc", re.IGNORECASE)
_VALUES = re.compile(r"index out of range|out of bounds|indices should be|token", re.IGNORECASE)
_LEAF = re.compile(r"\[([^\]]*)\]")


class Torch:
    """The installed torch.

    Args:
        interface: names of inputs and outputs in the configuration.
        packages: whether models are compiled packages, and no TorchScript files.
    """

    def __init__(self, interface: DeclaredInterface, *, packages: bool) -> None:
        self._torch = library("torch", "models of PyTorch need", "torch")
        self._interface = interface
        self._packages = packages

    @property
    def name(self) -> str:
        """``torch`` and its version."""
        return f"torch {self._torch.__version__}"

    def load(self, path: Path, *, threads: int, inter_op: int = 1) -> "TorchSession":
        """Load a model; see `ModelRuntime.load`. Forked parts run on the calling thread."""
        del inter_op
        self._torch.set_num_threads(threads)
        try:
            if self._packages:
                from torch._inductor import aoti_load_package

                package = aoti_load_package(os.fspath(path))
                return PackageSession(self._torch, package, threads, self._interface)
            module = self._torch.jit.load(os.fspath(path), map_location="cpu")
        except Exception as error:  # noqa: BLE001  (torch raises what its C++ code throws)
            raise _refusal(error) from None
        return ScriptSession(self._torch, module, threads, self._interface)


class TorchSession:
    """A loaded module. The number of threads belongs to the process, so each run sets its own."""

    # The file knows no sizes.
    inputs: Sequence[ReportedTensor] = ()
    outputs: Sequence[ReportedTensor] = ()

    def __init__(
        self,
        library: ModuleType,
        module: Any,  # noqa: ANN401  (a ScriptModule or a loaded package)
        threads: int,
        interface: DeclaredInterface,
    ) -> None:
        self._torch = library
        self._module = module
        self._threads = threads
        self._interface = interface

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; see `LoadedModel.run`."""
        if self._torch.get_num_threads() != self._threads:
            self._torch.set_num_threads(self._threads)
        try:
            with self._torch.inference_mode():
                result = self._call({name: self._value(array) for name, array in inputs.items()})
        except Exception as error:  # noqa: BLE001  (torch raises what its C++ code throws)
            raise _refusal(error) from None
        return self._named(result)

    def _call(self, values: Mapping[str, object]) -> object:
        raise NotImplementedError

    def _named(self, result: object) -> dict[str, Array]:
        raise NotImplementedError

    def _value(self, array: Array) -> object:
        if array.dtype == object:
            return [item.decode("utf-8", "replace") for item in array.ravel()]
        if array.dtype.name == "bfloat16":
            raw = np.ascontiguousarray(array).view(np.int16)
            return self._torch.from_numpy(raw).view(self._torch.bfloat16)
        return self._torch.from_numpy(np.ascontiguousarray(array))

    def _array(self, value: Any) -> Array | None:  # noqa: ANN401  (what the model returns)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            found = np.empty(len(value), dtype=object)
            found[:] = [item.encode() for item in value]
            return found
        if not isinstance(value, self._torch.Tensor):
            return None
        value = value.detach().contiguous()
        if value.dtype is self._torch.bfloat16:
            import ml_dtypes

            raw: Array = np.asarray(value.view(self._torch.int16).numpy())
            brain: Array = raw.view(ml_dtypes.bfloat16)
            return brain
        array: Array = np.asarray(value.numpy())
        return array


class ScriptSession(TorchSession):
    """A TorchScript module, its inputs mapped by the backend's naming convention."""

    def __init__(
        self,
        library: ModuleType,
        module: Any,  # noqa: ANN401  (a ScriptModule)
        threads: int,
        interface: DeclaredInterface,
    ) -> None:
        super().__init__(library, module, threads, interface)
        arguments = module.forward.schema.arguments[1:]
        self._arguments = [item.name for item in arguments]
        types = [str(item.type) for item in arguments]
        self._dictionary = len(types) == 1 and types[0].startswith("Dict[")

    def _call(self, values: Mapping[str, object]) -> object:
        if self._dictionary:
            return self._module(dict(values))
        order = {name: self._position(name, index) for index, name in enumerate(values)}
        return self._module(*(values[name] for name in sorted(order, key=lambda key: order[key])))

    def _position(self, name: str, index: int) -> int:
        names = [spec.name for spec in self._interface.inputs] or [name]
        if set(names) <= set(self._arguments):
            return self._arguments.index(name)
        if all(index_of(item) is not None for item in names):
            return index_of(name) or 0
        return names.index(name) if name in names else index

    def _named(self, result: object) -> dict[str, Array]:
        values = list(result) if isinstance(result, tuple) else [result]
        stated = [spec.name for spec in self._interface.outputs]
        by_number = all(index_of(name) is not None for name in stated)
        names = {(index_of(name) if by_number else at): name for at, name in enumerate(stated)}
        found = {}
        for position, value in enumerate(values):
            array = self._array(value)
            if array is None:
                kind = type(value).__name__
                raise RuntimeRefusal(f"output {position} is {kind}; Triton serves tensors only")
            found[names.get(position, f"OUTPUT__{position}")] = array
        return found


class PackageSession(TorchSession):
    """A compiled package, its inputs placed by names such as ``ARGS[0]`` and ``KWARGS[mask]``."""

    def _call(self, values: Mapping[str, object]) -> object:
        positional: dict[int, object] = {}
        keywords: dict[str, object] = {}
        for index, (name, value) in enumerate(values.items()):
            root, keys = name.partition("[")[0], _LEAF.findall(name)
            if root == "KWARGS" and len(keys) == 1:
                keywords[keys[0]] = value
            elif root == "ARGS" and len(keys) == 1 and keys[0].isdecimal():
                positional[int(keys[0])] = value
            elif (number := index_of(name)) is not None:
                positional[number] = value
            elif len(keys) < 2:
                positional[index] = value
            else:
                raise RuntimeRefusal(f"input {name} lies within another one; it is not tried")
        return self._module(*(positional[key] for key in sorted(positional)), **keywords)

    def _named(self, result: object) -> dict[str, Array]:
        leaves = list(_flatten(result, "RESULT"))
        stated = [spec.name for spec in self._interface.outputs]
        found = {}
        for position, (name, value) in enumerate(leaves):
            array = self._array(value)
            if array is not None:
                plain = stated[position] if position < len(stated) else name
                found[name if name in stated else plain] = array
        return found


def _flatten(value: object, name: str) -> "list[tuple[str, object]]":
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _flatten(item, f"{name}[{key}]")]
    if isinstance(value, tuple | list):
        return [leaf for at, item in enumerate(value) for leaf in _flatten(item, f"{name}[{at}]")]
    return [(name, value)]


def _refusal(error: Exception) -> RuntimeRefusal:
    """The last line that names an error; the interpreter's trace stands above it."""
    if isinstance(error, RuntimeRefusal):
        return error
    lines = lines_of(error)
    named = [line for line in lines if re.match(r"(\w+\.)*\w*(Error|Exception)\b", line)]
    return refusal(error, (named or lines)[-1], _MEMORY, _VALUES)
