"""States of sequences: what `sequence_batching.state` carries from one request to the next.

Triton's core gives each request the initial state as an input and leaves it to the backend to
hand back the new one. The Python backend has no call for that, so the states are kept here, by
correlation id. The core sends all requests of a sequence to one instance, and thus to one object
of this module.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

START = 1
END = 2

# Sequences that fell idle or were cancelled are never told of. Chosen: the latest used ones stay,
# so many times as many as the core can hold at a time, and no fewer than the minimum.
_SPARE = 2
_MIN_SEQUENCES = 16


def sequences_of(config: Mapping[str, Any]) -> int:
    """Sequences that the core assigns to one instance at a time, by its own rule.

    Args:
        config: the ModelConfig that Triton hands over.
    """
    oldest = config.get("sequence_batching", {}).get("oldest", {})
    candidates = int(oldest.get("max_candidate_sequences", 0))
    return candidates or max(1, int(config.get("max_batch_size", 0)))


class StateKeeper:
    """The states of one instance's sequences.

    Args:
        outputs: of the model, by the input that takes them at the next request.
        sequences: that the core assigns to one instance at a time; see `sequences_of`.
    """

    def __init__(self, outputs: Mapping[str, str], sequences: int) -> None:
        self._outputs = dict(outputs)
        self._limit = max(_MIN_SEQUENCES, _SPARE * sequences)
        self._kept: OrderedDict[int | str, Mapping[str, Array]] = OrderedDict()

    def __len__(self) -> int:
        """Sequences whose states are kept."""
        return len(self._kept)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Outputs of the model that hold the new states."""
        return tuple(self._outputs.values())

    def carried(self, identity: int | str, flags: int) -> Mapping[str, Array]:
        """Inputs that take the place of the core's initial states; none at a sequence's start.

        Args:
            identity: the request's correlation id.
            flags: the request's.
        """
        return {} if flags & START else self._kept.get(identity, {})

    def update(self, identity: int | str, flags: int, outputs: Mapping[str, Array]) -> None:
        """Keep the new states of a request that ran.

        The core fills slots of sequences that wait with requests of no sequence; theirs are
        dropped.

        Args:
            identity: the request's correlation id.
            flags: the request's.
            outputs: by name; arrays of the request's own.
        """
        begun = bool(flags & START) or identity in self._kept
        if not identity or not begun:
            return
        if flags & END:
            self._kept.pop(identity, None)
            return
        self._kept[identity] = {
            # A part of a batch's output would keep the whole batch in memory.
            name: outputs[output].copy()
            for name, output in self._outputs.items()
        }
        self._kept.move_to_end(identity)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
