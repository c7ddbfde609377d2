"""One execution for all requests of a batch, and each request's part of the answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from .config import RefusedError
from .states import StateKeeper

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Array]


def refusal(error: RefusedError) -> Exception:
    """The stub's own exception type: its text reaches the server without a class name of ours."""
    exception: Exception = pb_utils.TritonModelException(str(error))
    return exception


def on_cpu(args: Mapping[str, str], backend: str) -> None:
    """Tell that a GPU instance runs on the CPU here."""
    if args["model_instance_kind"] == "GPU":
        instance = args["model_instance_name"]
        pb_utils.Logger.log_warn(f"{instance}: this {backend} backend runs on the CPU")


class Executor:
    """Answers requests with one function from arrays to arrays.

    Args:
        model: its name, for messages.
        max_batch_size: 0 when the model does not batch.
        run: raises `RefusedError` for inputs that it does not take.
        states: of sequences, None for a model that keeps none.
    """

    def __init__(
        self,
        model: str,
        max_batch_size: int,
        run: Callable[[Arrays], Arrays],
        states: StateKeeper | None = None,
    ) -> None:
        self._model = model
        self._max_batch_size = max_batch_size
        self._run = run
        self._states = states

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
            return [_failure(error) for _ in requests]
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
                f"batch size {total} for '{self._model}', max allowed is {self._max_batch_size}"
            )

    def _part(self, request: Any, outputs: Arrays, start: int, rows: int) -> Any:  # noqa: ANN401  (the stub's)
        """One request's rows of every output."""
        parts = {}
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) < start + rows:
                found = 0 if array.ndim == 0 else len(array)
                return _failure(
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


def _failure(error: RefusedError) -> Any:  # noqa: ANN401  (the stub's response)
    return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error)))
