"""The class that Triton's stub drives, one object for each instance, and the way of a request.

One execution serves all requests of a batch; each gets its part of the answer.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from .batches import Array, Arrays, cut, joined, rows
from .config import Json, RefusedError, states
from .states import StateKeeper, sequences_of


def refusal(error: RefusedError) -> Exception:
    """The stub's own exception type: its text reaches the server without a class name of ours."""
    exception: Exception = pb_utils.TritonModelException(str(error))
    return exception


def on_cpu(args: Mapping[str, str], backend: str) -> None:
    """Tell that a GPU instance runs on the CPU here."""
    if args["model_instance_kind"] == "GPU":
        instance = args["model_instance_name"]
        pb_utils.Logger.log_warn(f"{instance}: this {backend} backend runs on the CPU")


def _failure(error: RefusedError) -> Any:  # noqa: ANN401  (the stub's response)
    """The response to a request that cannot be served."""
    return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error)))


class BackendModel:
    """A model of a backend, which says how it is loaded and run.

    It may also say how requests become arrays and arrays responses, where it is not by their first
    axis.
    """

    # Whether the backend hands states of sequences back.
    keeps_states = False

    def load(self, args: Mapping[str, str], config: Json) -> None:
        """Load the model's file and hold the configuration against it.

        Args:
            args: of `initialize`.
            config: the ModelConfig among them.

        Raises:
            RefusedError: the model or its configuration cannot be served.
        """
        raise NotImplementedError

    def run(self, names: Collection[str], inputs: Arrays) -> Arrays:
        """Outputs by name, at least those that are named.

        Raises:
            RefusedError: the model fails.
        """
        raise NotImplementedError

    def array(self, tensor: Any) -> Array:  # noqa: ANN401  (the stub's)
        """What a tensor of a request holds, without a copy; RefusedError where it cannot be fed."""
        array: Array = tensor.as_numpy()
        return array

    def tensor(self, name: str, array: Array) -> Any:  # noqa: ANN401  (the stub's)
        """A tensor of a response."""
        return pb_utils.Tensor(name, np.ascontiguousarray(array))

    def join(self, inputs: Sequence[Arrays]) -> Arrays:
        """The inputs of one run for all requests; RefusedError where they do not fit together."""
        return {name: joined(name, [each[name] for each in inputs]) for name in inputs[0]}

    def split(
        self, name: str, output: Array, inputs: Sequence[Arrays]
    ) -> Sequence[Array | RefusedError]:
        """Each request's part of an output, or why it has none."""
        return cut(name, output, [rows(each) for each in inputs]) if self._batch else [output]

    def initialize(self, args: Mapping[str, str]) -> None:
        """Makes the model ready, or says why it cannot be served."""
        config: Json = json.loads(args["model_config"])
        self._name = str(config["name"])
        self._batch = int(config.get("max_batch_size", 0))
        try:
            self.load(args, config)
        except RefusedError as error:
            raise refusal(error) from error
        kept = {state.input: state.output for state in states(config)}
        keeps = self.keeps_states and bool(kept)
        self._states = StateKeeper(kept, sequences_of(config)) if keeps else None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Responses in the order of the requests."""
        if self._batch > 0:
            return self._together(requests)
        return [response for request in requests for response in self._together([request])]

    def _together(self, requests: Sequence[Any]) -> list[Any]:
        """One run for all requests that can be read; the others get their own error."""
        responses: dict[int, Any] = {}
        inputs: dict[int, Arrays] = {}
        for place, request in enumerate(requests):
            try:
                inputs[place] = self._fed(request)
            except RefusedError as error:
                responses[place] = _failure(error)
        if inputs:
            read = [requests[place] for place in inputs]
            responses |= zip(inputs, self._answers(read, [*inputs.values()]), strict=True)
        return [responses[place] for place in range(len(requests))]

    def _fed(self, request: Any) -> Arrays:  # noqa: ANN401  (the stub's)
        arrays = {tensor.name(): self.array(tensor) for tensor in request.inputs()}
        if self._states is not None:
            arrays |= self._states.carried(request.correlation_id(), request.flags())
        return arrays

    def _answers(self, requests: Sequence[Any], inputs: Sequence[Arrays]) -> list[Any]:
        names = {name for request in requests for name in request.requested_output_names()}
        if self._states is not None:
            names.update(self._states.outputs)
        try:
            total = sum(rows(each) for each in inputs) if self._batch else 0
            if total > self._batch:
                raise RefusedError(
                    f"batch size {total} for '{self._name}', max allowed is {self._batch}"
                )
            outputs = self.run(names, self.join(inputs))
        except RefusedError as error:
            return [_failure(error) for _ in requests]
        parts = {name: self.split(name, output, inputs) for name, output in outputs.items()}
        return [
            self._response(request, {name: each[place] for name, each in parts.items()})
            for place, request in enumerate(requests)
        ]

    def _response(self, request: Any, parts: Mapping[str, Array | RefusedError]) -> Any:  # noqa: ANN401  (the stub's)
        if self._states is not None:
            new = {name: parts[name] for name in self._states.outputs}
            arrays = {name: part for name, part in new.items() if isinstance(part, np.ndarray)}
            if len(arrays) == len(new):
                self._states.update(request.correlation_id(), request.flags(), arrays)
        wanted = set(request.requested_output_names())
        tensors = []
        for name, part in parts.items():
            if name in wanted:
                if isinstance(part, RefusedError):
                    return _failure(part)
                tensors.append(self.tensor(name, part))
        return pb_utils.InferenceResponse(tensors)
