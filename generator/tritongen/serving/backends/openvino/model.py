"""The Python-based `openvino` backend: the C++ backend's rules and messages on the CPU.

Triton's stub imports this file by its name. It serves configurations with ``backend: "openvino"``.
What differs from the C++ backend, by the nature of a process per instance:

- Instances cannot share one compiled model: each has its own, with its part of
  INFERENCE_NUM_THREADS and one stream, so that the threads of all of them are what the parameter
  says.
- TARGET_DEVICE other than CPU is refused.
"""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor

sys.path.append(str(Path(__file__).resolve().parent.parent / "common"))

from python_backends.batches import Arrays
from python_backends.config import (
    ConfigTensor,
    Json,
    RefusedError,
    instance_count,
    model_path,
    parameters,
    shape_text,
    tensors,
    unexpected,
)
from python_backends.serving import BackendModel

_TYPES = {
    "TYPE_BOOL": "boolean",
    "TYPE_UINT8": "u8",
    "TYPE_UINT16": "u16",
    "TYPE_UINT32": "u32",
    "TYPE_UINT64": "u64",
    "TYPE_INT8": "i8",
    "TYPE_INT16": "i16",
    "TYPE_INT32": "i32",
    "TYPE_INT64": "i64",
    "TYPE_FP16": "f16",
    "TYPE_FP32": "f32",
}
_HINTS = {"latency", "throughput", "cumulative_throughput"}


class OpenVinoModel(BackendModel):
    """A model of OpenVINO, held against a configuration and compiled, with one request."""

    def load(self, args: Mapping[str, str], config: Json) -> None:
        """Reads, checks and compiles the model."""
        if args["model_instance_kind"] != "CPU":
            raise RefusedError(
                f"unable to load model '{self._name}', Triton OpenVINO backend supports only "
                "Kind CPU and AUTO"
            )
        given = parameters(config)
        properties = _properties(given, instance_count(config))
        self._padding = _yes(given, "ENABLE_BATCH_PADDING")
        path = model_path(args, config.get("default_model_filename") or "model.xml")
        core = openvino.Core()
        try:
            if extension := given.get("CPU_EXTENSION_PATH"):
                core.add_extension(extension)
            model = core.read_model(str(path))
        except Exception as error:
            raise RefusedError(f"openvino error in reading model: {error}") from error
        reshape = _yes(given, "RESHAPE_IO_LAYERS")
        model = self._with_inputs(model, tensors(config, "input"), reshape=reshape)
        model = self._with_outputs(model, tensors(config, "output"))
        try:
            compiled = core.compile_model(model, "CPU", properties)
        except Exception as error:
            raise RefusedError(f"openvino error in loading model: {error}") from error
        self._request = compiled.create_infer_request()
        self._outputs = [item.name for item in tensors(config, "output")]

    def run(self, names: Collection[str], inputs: Arrays) -> Arrays:  # noqa: ARG002  (all are made)
        """Outputs by name; another number of rows than max_batch_size is filled up, or refused."""
        rows = len(next(iter(inputs.values()))) if self._batch else 0
        if self._batch and rows != self._batch:
            inputs = self._padded(inputs, rows)
        try:
            self._request.infer(dict(inputs))
            found = {name: np.array(self._request.get_tensor(name).data) for name in self._outputs}
        except Exception as error:
            raise RefusedError(f"openvino error in running inference: {error}") from error
        return {name: array[:rows] for name, array in found.items()} if self._batch else found

    def _padded(self, inputs: Arrays, rows: int) -> Arrays:
        if not self._padding:
            raise RefusedError(
                f"expected requests with batch size '{self._batch}', got '{rows}'... this error "
                "can be avoided by setting 'ENABLE_BATCH_PADDING' parameter in model configuration "
                "to 'YES' at a performance cost."
            )
        missing = self._batch - rows
        return {
            name: np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])
            for name, array in inputs.items()
        }

    def _with_inputs(
        self,
        model: Any,  # noqa: ANN401  (an openvino.Model)
        items: Sequence[ConfigTensor],
        *,
        reshape: bool,
    ) -> Any:  # noqa: ANN401  (an openvino.Model)
        ports = {port.get_any_name(): port for port in model.inputs}
        if len(ports) != len(items):
            raise RefusedError(
                f"unable to load model '{self._name}', configuration expects {len(items)} inputs, "
                f"model provides {len(ports)}"
            )
        steps = PrePostProcessor(model)
        for item in items:
            if item.name not in ports:
                raise unexpected("input", item.name, ports)
            tensor = steps.input(item.name).tensor()
            tensor.set_element_type(self._element("input", item))
            shape = ports[item.name].get_partial_shape()
            if reshape:
                first = [shape[0]] if self._batch else []
                tensor.set_shape(openvino.PartialShape([*first, *item.dims]))
            else:
                self._compare(item, shape, exact=False)
            if self._batch:
                tensor.set_layout(openvino.Layout("N..."))
        model = steps.build()
        if self._batch:
            openvino.set_batch(model, self._batch)
        return model

    def _with_outputs(self, model: Any, items: Sequence[ConfigTensor]) -> Any:  # noqa: ANN401  (openvino's)
        ports = {port.get_any_name(): port for port in model.outputs}
        steps = PrePostProcessor(model)
        for item in items:
            if item.name not in ports:
                raise unexpected("output", item.name, ports)
            steps.output(item.name).tensor().set_element_type(self._element("output", item))
            self._compare(item, ports[item.name].get_partial_shape(), exact=True)
        return steps.build()

    def _element(self, kind: str, item: ConfigTensor) -> Any:  # noqa: ANN401  (an openvino.Type)
        name = _TYPES.get(item.dtype)
        if name is None:
            raise RefusedError(
                f"unsupported datatype {item.dtype} for {kind} '{item.name}' for model "
                f"'{self._name}'"
            )
        return getattr(openvino.Type, name)

    def _compare(self, item: ConfigTensor, shape: Any, *, exact: bool) -> None:  # noqa: ANN401  (openvino's)
        """The configuration's shape against the model's, in the C++ backend's words."""
        full = (self._batch, *item.dims) if self._batch else item.dims
        same = len(shape) == len(full)
        if same:
            for axis, (dim, size) in enumerate(zip(shape, full, strict=True)):
                if exact or not self._batch or (axis and size != -1):
                    same = same and _fits(dim, size)
        if same:
            return
        shown = [-1 if dim.is_dynamic else dim.get_length() for dim in shape]
        initial = (
            "an initial batch dimension because max_batch_size > 0 followed by the explicit "
            "tensor shape, making complete shape "
            if self._batch
            else "shape "
        )
        raise RefusedError(
            f"model '{self._name}', tensor '{item.name}': the model expects {len(shown)} "
            f"dimensions (shape {shape_text(shown)}) but the model configuration specifies "
            f"{len(full)} dimensions ({initial}{shape_text(full)})"
        )


def _fits(dim: Any, size: int) -> bool:  # noqa: ANN401  (an openvino.Dimension)
    if not dim.is_dynamic:
        return bool(dim.get_length() == size)
    greatest = int(dim.get_max_length())
    # Bounds are taken as exclusive, and -1 is no exception.
    return greatest < 0 or dim.get_min_length() < size < greatest


def _properties(given: Mapping[str, str], count: int) -> dict[str, object]:
    """Of the device, by OpenVINO's keys, as the C++ backend reads the parameters.

    Args:
        given: the parameters.
        count: instances of the model, each a process.

    Raises:
        RefusedError: a value that the C++ backend refuses, in its words.
    """
    device = given.get("TARGET_DEVICE", "").upper() or "CPU"
    if device != "CPU":
        raise RefusedError(f"the Python-based openvino backend serves on CPU, not on {device}")
    cores = len(os.sched_getaffinity(0))
    threads = _number(given, "INFERENCE_NUM_THREADS") or cores
    properties: dict[str, object] = {
        "INFERENCE_NUM_THREADS": max(1, threads // count),
        "NUM_STREAMS": 1,
    }
    compilation = _number(given, "COMPILATION_NUM_THREADS")
    if compilation is not None:
        properties["COMPILATION_NUM_THREADS"] = compilation
    if given.get("HINT_BF16"):
        if given["HINT_BF16"].lower() != "yes":
            raise _wrong("HINT_BF16", "YES", given)
        properties["INFERENCE_PRECISION_HINT"] = "bf16"
    _check_streams(given)
    if given.get("PERFORMANCE_HINT"):
        if given["PERFORMANCE_HINT"].lower() not in _HINTS:
            raise _wrong("PERFORMANCE_HINT", "LATENCY/THROUGHPUT/CUMULATIVE_THROUGHPUT", given)
        properties["PERFORMANCE_HINT"] = given["PERFORMANCE_HINT"].upper()
    return properties


def _yes(given: Mapping[str, str], key: str) -> bool:
    return given.get(key, "").lower() == "yes"


def _number(given: Mapping[str, str], key: str) -> int | None:
    text = given.get(key, "")
    if not text:
        return None
    if not text.isdecimal():
        raise _wrong(key, "a non-negative number", given)
    return int(text)


def _check_streams(given: Mapping[str, str]) -> None:
    """Checked as always; each process has one stream whatever it says."""
    text = given.get("NUM_STREAMS", "").lower()
    if text and text not in {"auto", "numa"} and not text.isdecimal():
        raise _wrong("NUM_STREAMS", "either AUTO/NUMA/<int_value>", given)


def _wrong(key: str, expected: str, given: Mapping[str, str]) -> RefusedError:
    return RefusedError(
        f"expected the parameter '{key}' to be {expected}, got {given[key].lower()}"
    )


TritonPythonModel = OpenVinoModel
