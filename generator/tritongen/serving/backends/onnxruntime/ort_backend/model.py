"""An ONNX model as Triton's stub drives it: one object and one session for each instance."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from onnxruntime import OrtValue
from onnxruntime.capi import _pybind_state
from python_backends.batches import Array, Arrays
from python_backends.config import Json, RefusedError
from python_backends.serving import BackendModel, on_cpu, refusal

from .batch import RequestBatcher
from .config import interface, session_settings
from .session import OrtSession, from_bfloat16, model_file, to_bfloat16
from .signature import complete, default_max_batch_size, is_complete, signature, validate

_BF16 = "TYPE_BF16"
_STRING = "TYPE_STRING"


class OnnxModel(BackendModel):
    """An ONNX model."""

    keeps_states = True

    @staticmethod
    def auto_complete_config(config: Any) -> Any:  # noqa: ANN401  (the stub's ModelConfig)
        """Fills in tensors and batching of an incomplete configuration."""
        values = config.as_dict()
        if is_complete(values):
            return config
        try:
            path = model_file(Path(pb_utils.get_model_dir()), values)
            session = OrtSession(path, session_settings(values))
            default = default_max_batch_size(os.getppid())
            complete(values, signature(session.declaration), default)
        except RefusedError as error:
            raise refusal(error) from error
        return config

    def load(self, args: Mapping[str, str], config: Json) -> None:
        """Makes the session and holds the configuration against it."""
        on_cpu(args, "onnxruntime")
        folder = Path(args["model_repository"], args["model_version"])
        self._session = OrtSession(model_file(folder, config), session_settings(config))
        model = signature(self._session.declaration)
        declared = interface(config)
        validate(declared, model)
        self._batcher = RequestBatcher(declared, model)
        self._input_types = {name: tensor.dtype for name, tensor in model.fed.items()}
        self._output_types = {
            **{item.name: item.dtype for item in declared.outputs},
            **{state.output: state.dtype for state in declared.states},
        }

    def run(self, names: Collection[str], inputs: Arrays) -> Arrays:
        """The named outputs; see `BackendModel.run`."""
        known = [name for name in self._output_types if name in names]
        outputs = self._session.run(known, inputs) if known else []
        return dict(zip(known, outputs, strict=True))

    def join(self, inputs: Sequence[Arrays]) -> Arrays:
        """The inputs of one run, ragged ones and those that describe the batch among them."""
        return self._batcher.join(inputs)

    def split(
        self, name: str, output: Array, inputs: Sequence[Arrays]
    ) -> Sequence[Array | RefusedError]:
        """Each request's part of an output, or why it has none."""
        return self._batcher.split(name, output, inputs)

    def array(self, tensor: Any) -> Array:  # noqa: ANN401  (the stub's)
        """As the session takes it; numbers are views of shared memory, not copies."""
        dtype = self._input_types[tensor.name()]
        if dtype == _BF16:
            return from_bfloat16(_value(tensor))
        array: Array = tensor.as_numpy()
        return _text(tensor.name(), array) if dtype == _STRING else array

    def tensor(self, name: str, array: Array) -> Any:  # noqa: ANN401  (the stub's)
        """A tensor of a response."""
        if self._output_types[name] != _BF16:
            return pb_utils.Tensor(name, array)
        capsule = to_bfloat16(array)._get_c_value().to_dlpack()  # noqa: SLF001  (no public way)
        return pb_utils.Tensor.from_dlpack(name, capsule)


def _value(tensor: Any) -> OrtValue:  # noqa: ANN401  (the stub's)
    """A value that shares the tensor's memory."""
    if hasattr(OrtValue, "from_dlpack"):
        return OrtValue.from_dlpack(tensor)
    # ONNX Runtime 1.24 has no public way, and is told whether bytes stand for booleans.
    return OrtValue(_pybind_state.OrtValue.from_dlpack(tensor.to_dlpack(), False))


def _text(name: str, array: Array) -> Array:
    """BYTES elements as text, the only form that ONNX Runtime's Python interface takes."""
    try:
        flat = [item.decode() if isinstance(item, bytes) else str(item) for item in array.flat]
    except UnicodeDecodeError as error:
        raise RefusedError(f"input '{name}' holds bytes that are not UTF-8: {error}") from error
    text = np.empty(len(flat), dtype=object)
    text[:] = flat
    return text.reshape(array.shape)
