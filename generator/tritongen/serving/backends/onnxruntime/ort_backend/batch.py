"""Joins the requests of a batch to one set of inputs, and splits the outputs again.

Arrays have the batch axis first when the model batches. A request is a mapping from input name to
array; all requests of a batch give the same inputs.
"""

from collections.abc import Sequence

import numpy as np
from python_backends.batches import Array, Arrays, cut, joined, rows
from python_backends.config import RefusedError

from .config import BatchInput, ConfigInterface
from .signature import ModelSignature

_COUNTS = "BATCH_ELEMENT_COUNT"
_RUNNING = "BATCH_ACCUMULATED_ELEMENT_COUNT"
_RUNNING_WITH_ZERO = "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"
_LARGEST_AS_SHAPE = "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE"
_ITEM_SHAPE = "BATCH_ITEM_SHAPE"
_ITEM_SHAPE_FLAT = "BATCH_ITEM_SHAPE_FLATTEN"


class RequestBatcher:
    """Joins and splits for one model.

    Args:
        declared: the configuration's tensors.
        model: the model's tensors.
    """

    def __init__(self, declared: ConfigInterface, model: ModelSignature) -> None:
        self._batching = declared.max_batch_size > 0
        self._scalars = {name for name, tensor in model.fed.items() if not tensor.shape}
        self._ragged = {item.name for item in declared.inputs if item.ragged}
        self._batch_inputs = declared.batch_inputs
        self._scattered = declared.scattered
        self._dims = {
            **{state.output: state.dims for state in declared.states},
            **{item.name: item.dims for item in declared.outputs},
        }

    def join(self, requests: Sequence[Arrays]) -> dict[str, Array]:
        """The inputs of one run for all requests; one request's arrays are not copied.

        Raises:
            RefusedError: states whose shapes differ from sequence to sequence.
        """
        feeds = {}
        for name in requests[0]:
            arrays = [request[name] for request in requests]
            if name in self._ragged:
                feeds[name] = np.concatenate([array.reshape(-1) for array in arrays])
            elif name in self._scalars:
                feeds[name] = arrays[0].reshape(())
            else:
                feeds[name] = joined(name, arrays)
        for batch_input in self._batch_inputs:
            value = describe(batch_input, [request[batch_input.source] for request in requests])
            feeds.update(dict.fromkeys(batch_input.targets, value))
        return feeds

    def split(
        self, name: str, output: Array, requests: Sequence[Arrays]
    ) -> list[Array | RefusedError]:
        """Each request's part of an output, or why it has none."""
        if name in self._scattered:
            return self._scatter(name, output, requests)
        if output.ndim == 0:
            output = output.reshape(self._dims[name])
        if not self._batching:
            return [output]
        parts: list[Array | RefusedError] = cut(name, output, list(map(rows, requests)))
        return parts

    def _scatter(
        self, name: str, output: Array, requests: Sequence[Arrays]
    ) -> list[Array | RefusedError]:
        """Splits flat: each dynamic size of the output is the source input's in that request."""
        declared = (-1, *self._dims[name]) if self._batching else self._dims[name]
        shapes = []
        for request in requests:
            given = request[self._scattered[name]].shape
            shapes.append([given[axis] if dim == -1 else dim for axis, dim in enumerate(declared)])
        sizes = [int(np.prod(shape)) for shape in shapes]
        parts = cut(name, output.reshape(-1), sizes, "{} elements")
        return [
            part if isinstance(part, RefusedError) else part.reshape(shape)
            for part, shape in zip(parts, shapes, strict=True)
        ]


def describe(batch_input: BatchInput, sources: Sequence[Array]) -> Array:
    """The value of a batch input for the source input's arrays, one a request.

    Raises:
        RefusedError: a kind that is not known.
    """
    dtype = np.float32 if batch_input.dtype == "TYPE_FP32" else np.int32
    counts = [array.size for array in sources]
    if batch_input.kind == _COUNTS:
        return np.array(counts, dtype)
    if batch_input.kind == _RUNNING:
        return np.cumsum(counts).astype(dtype)
    if batch_input.kind == _RUNNING_WITH_ZERO:
        return np.cumsum([0, *counts]).astype(dtype)
    if batch_input.kind == _LARGEST_AS_SHAPE:
        return np.zeros(max(counts), dtype)  # only its length means something
    if batch_input.kind in (_ITEM_SHAPE, _ITEM_SHAPE_FLAT):
        shapes = [array.shape[1:] for array in sources for _ in range(array.shape[0])]
        table = np.array(shapes, dtype).reshape(len(shapes), -1)
        return table if batch_input.kind == _ITEM_SHAPE else table.reshape(-1)
    raise RefusedError("unsupported BatchInputKind received")
