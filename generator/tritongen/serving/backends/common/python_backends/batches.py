"""Requests of a batch along its first axis: joined to one input, and an output cut again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .config import RefusedError

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Mapping[str, Array]


def rows(request: Arrays) -> int:
    """A request's size along the batch axis."""
    return int(next(iter(request.values())).shape[0])


def joined(name: str, arrays: Sequence[Array]) -> Array:
    """An input of all requests; that of a single one is not copied.

    Raises:
        RefusedError: their shapes differ beyond the first axis.
    """
    if len(arrays) == 1:
        return arrays[0]
    try:
        return np.concatenate(arrays)
    except ValueError as error:
        raise RefusedError(f"input '{name}' cannot be batched: {error}") from error


def cut(
    name: str, output: Array, sizes: Sequence[int], wanted: str = "batch size of at least {}"
) -> list[Array | RefusedError]:
    """An output cut along axis 0; `wanted` says what a part that is missing would need."""
    start, length = 0, len(output) if output.ndim else 0
    if [length] == list(sizes):
        return [output]
    parts: list[Array | RefusedError] = []
    for size in sizes:
        end = start + size
        if end > length:
            fault = (
                f"failed to split the output tensor '{name}' in responses: expected "
                f"{wanted.format(end)} in model output, got {length}"
            )
            parts.append(RefusedError(fault))
        else:
            parts.append(output[start:end])
        start = end
    return parts
