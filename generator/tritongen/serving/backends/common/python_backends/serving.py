"""The class that Triton's stub drives, one object for each instance, and the way of a request.

One execution serves all requests of a batch; each gets its part of the answer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from .config import Json, RefusedError, states
from .states import StateKeeper, sequences_of

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Array]
Run = Callable[[Arrays], Arrays]


def refusal(error: RefusedError) -> Exception:
    """The stub's own exception type: its text reaches the server without a class name of ours."""
    exception: Exception = pb_utils.TritonModelException(str(error))
    return exception


def on_cpu(args: Mapping[str, str], backend: str) -> None:
    """Tell that a GPU instance runs on the CPU here."""
    if args["model_instance_kind"] == "GPU":
        instance = args["model_instance_name"]
        pb_utils.Logger.log_warn(f"{instance}: this {backend} backend runs on the CPU")


def failure(error: RefusedError) -> Any:  # noqa: ANN401  (the stub's response)
    """The response to a request that cannot be served."""
    return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error)))


def state_keeper(config: Json) -> StateKeeper | None:
    """Where the states of a configuration are kept, None for a model that keeps none."""
    kept = {state.input: state.output for state in states(config)}
    return StateKeeper(kept, sequences_of(config)) if kept else None


class BackendModel:
    """A model of a backend that answers a batch with one function from arrays to arrays."""

    # Whether the backend hands states of sequences back.
    keeps_states = False

    def load(self, args: Mapping[str, str], config: Json) -> Run:
        """Load the model's file and hold the configuration against it; a backend says how.

        Args:
            args: of `initialize`.
            config: the ModelConfig among them.

        Raises:
            RefusedError: the model or its configuration cannot be served.
        """
        raise NotImplementedError

    def initialize(self, args: Mapping[str, str]) -> None:
        """Makes the model ready, or says why it cannot be served."""
        config: Json = json.loads(args["model_config"])
        try:
            run = self.load(args, config)
        except RefusedError as error:
            raise refusal(error) from error
        self._run = run
        self._name = str(config["name"])
        self._max_batch_size = int(config.get("max_batch_size", 0))
        self._states = state_keeper(config) if self.keeps_states else None

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Responses in the order of the requests."""
        if self._max_batch_size > 0:
            return self._together(requests)
        return [response for request in requests for response in self._together([request])]

    def _together(self, requests: Sequence[Any]) -> list[Any]:
        inputs = [self._fed(request) for request in requests]
        try:
            counts = [len(next(iter(each.values()))) for each in inputs]
            self._check(counts)
            outputs = self._run(_joined(inputs))
        except RefusedError as error:
            return [failure(error) for _ in requests]
        if self._max_batch_size == 0:
            return [self._response(requests[0], outputs)]
        return [
            self._part(request, outputs, sum(counts[:place]), counts[place])
            for place, request in enumerate(requests)
        ]

    def _fed(self, request: Any) -> dict[str, Array]:  # noqa: ANN401  (the stub's)
        arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        if self._states is not None:
            arrays |= self._states.carried(request.correlation_id(), request.flags())
        return arrays

    def _check(self, counts: Sequence[int]) -> None:
        total = sum(counts)
        if total > self._max_batch_size > 0:
            raise RefusedError(
                f"batch size {total} for '{self._name}', max allowed is {self._max_batch_size}"
            )

    def _part(self, request: Any, outputs: Arrays, start: int, rows: int) -> Any:  # noqa: ANN401  (the stub's)
        """One request's rows of every output."""
        parts = {}
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) < start + rows:
                found = 0 if array.ndim == 0 else len(array)
                return failure(
                    RefusedError(
                        f"failed to split the output tensor '{name}' in responses: expected batch "
                        f"size of at least {start + rows} in model output, got {found}"
                    )
                )
            parts[name] = array[start : start + rows]
        return self._response(request, parts)

    def _response(self, request: Any, outputs: Arrays) -> Any:  # noqa: ANN401  (the stub's)
        if self._states is not None:
            self._states.update(request.correlation_id(), request.flags(), outputs)
        wanted = set(request.requested_output_names())
        tensors = [
            pb_utils.Tensor(name, np.ascontiguousarray(array))
            for name, array in outputs.items()
            if name in wanted
        ]
        return pb_utils.InferenceResponse(tensors)


def _joined(inputs: Sequence[Arrays]) -> Arrays:
    if len(inputs) == 1:
        return inputs[0]
    try:
        return {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}
    except ValueError as error:
        raise RefusedError(f"requests cannot be batched: {error}") from error
