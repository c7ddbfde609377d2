"""The class that Triton's stub drives: one object and one session for each instance."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from python_backends.config import Json, RefusedError
from python_backends.serving import failure, on_cpu, refusal, state_keeper

from .batch import Array, Request, RequestBatcher, rows
from .config import interface, session_settings
from .session import OrtSession, from_bfloat16, model_file, to_bfloat16
from .signature import complete, default_max_batch_size, is_complete, signature, validate

_BF16 = "TYPE_BF16"
_STRING = "TYPE_STRING"


class OnnxModel:
    """An ONNX model."""

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

    def initialize(self, args: dict[str, str]) -> None:
        """Makes the session and holds the configuration against it."""
        config: Json = json.loads(args["model_config"])
        on_cpu(args, "onnxruntime")
        try:
            folder = Path(args["model_repository"], args["model_version"])
            self._session = OrtSession(model_file(folder, config), session_settings(config))
            model = signature(self._session.declaration)
            declared = interface(config)
            validate(declared, model)
        except RefusedError as error:
            raise refusal(error) from error
        self._batcher = RequestBatcher(declared, model)
        self._declared = declared
        self._batching = declared.max_batch_size > 0
        fed = model.fed
        self._input_types = {name: tensor.dtype for name, tensor in fed.items()}
        self._output_types = {item.name: item.dtype for item in declared.outputs}
        self._states = state_keeper(config)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers a batch of requests, in their order."""
        if self._batching:
            return self._execute(requests)
        return [response for request in requests for response in self._execute([request])]

    def _execute(self, requests: Sequence[Any]) -> list[Any]:
        """One run for all requests that can be read; the others get their own error."""
        responses: list[Any] = [None] * len(requests)
        places: list[int] = []
        inputs: list[Request] = []
        for place, request in enumerate(requests):
            try:
                inputs.append(self._read(request))
                places.append(place)
            except RefusedError as error:
                responses[place] = failure(error)
        if not inputs:
            return responses
        carried = self._states.outputs if self._states is not None else ()
        wanted = [set(requests[place].requested_output_names()) for place in places]
        names = [name for name in self._output_types if any(name in each for each in wanted)]
        names += [name for name in carried if name not in names]
        try:
            self._check_size(inputs)
            outputs = self._session.run(names, self._batcher.join(inputs)) if names else []
        except RefusedError as error:
            for place in places:
                responses[place] = failure(error)
            return responses
        parts = {
            name: self._batcher.split(name, output, inputs)
            for name, output in zip(names, outputs, strict=True)
        }
        for position, place in enumerate(places):
            own = {name: parts[name][position] for name in names}
            answer = {
                name: part
                for name, part in own.items()
                if name in wanted[position] and name in self._output_types
            }
            responses[place] = self._respond(answer)
            self._keep(requests[place], {name: own[name] for name in carried})
        return responses

    def _keep(self, request: Any, outputs: Mapping[str, Array | RefusedError]) -> None:  # noqa: ANN401  (the stub's request)
        """Hold a sequence's new states for its next request."""
        arrays = {name: part for name, part in outputs.items() if not isinstance(part, Exception)}
        if self._states is not None and len(arrays) == len(outputs):
            self._states.update(request.correlation_id(), request.flags(), arrays)

    def _check_size(self, inputs: Sequence[Request]) -> None:
        total = sum(rows(request) for request in inputs) if self._batching else 1
        if total > max(1, self._declared.max_batch_size):
            raise RefusedError(
                f"batch size {total} for '{self._declared.model}', max allowed is "
                f"{self._declared.max_batch_size}"
            )

    def _read(self, request: Any) -> dict[str, Array]:  # noqa: ANN401  (the stub's request)
        """The request's arrays; numbers are views of shared memory, not copies."""
        arrays = {}
        for tensor in request.inputs():
            name = tensor.name()
            dtype = self._input_types[name]
            if dtype == _BF16:
                arrays[name] = from_bfloat16(_value_of(tensor))
            elif dtype == _STRING:
                arrays[name] = _text(name, tensor.as_numpy())
            else:
                arrays[name] = tensor.as_numpy()
        if self._states is not None:
            arrays |= self._states.carried(request.correlation_id(), request.flags())
        return arrays

    def _respond(self, outputs: dict[str, Array | RefusedError]) -> Any:  # noqa: ANN401  (the stub's)
        tensors = []
        for name, array in outputs.items():
            if isinstance(array, RefusedError):
                return failure(array)
            if self._output_types[name] == _BF16:
                capsule = to_bfloat16(array)._get_c_value().to_dlpack()  # noqa: SLF001  (no public way)
                tensors.append(pb_utils.Tensor.from_dlpack(name, capsule))
            else:
                tensors.append(pb_utils.Tensor(name, array))
        return pb_utils.InferenceResponse(tensors)


def _value_of(tensor: Any) -> Any:  # noqa: ANN401  (the stub's tensor, ONNX Runtime's value)
    from onnxruntime import OrtValue

    return OrtValue.from_dlpack(tensor)


def _text(name: str, array: Array) -> Array:
    """BYTES elements as text, the only form that ONNX Runtime's Python interface takes."""
    try:
        flat = [item.decode() if isinstance(item, bytes) else str(item) for item in array.flat]
    except UnicodeDecodeError as error:
        raise RefusedError(f"input '{name}' holds bytes that are not UTF-8: {error}") from error
    text = np.empty(len(flat), dtype=object)
    text[:] = flat
    return text.reshape(array.shape)
