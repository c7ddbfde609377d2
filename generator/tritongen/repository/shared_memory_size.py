"""How much shared memory a repository's tensors need between Triton and Python-based backends."""

import math
from dataclasses import dataclass
from pathlib import Path

from tritongen.config.pbtxt import parse_config
from tritongen.config.protobuf import Message, dtype_of
from tritongen.model.evidence import Trial
from tritongen.model.lock import Lock, in_steps
from tritongen.model.tensors import DType
from tritongen.repository.lock_file import CONFIG_FILE, config_text

# Each instance's region starts so large. It holds a batch's inputs and outputs; the next batch is
# written while this one is read.
_REGION = 1 << 20
_BATCHES = 2
# Of one string, when nothing is known of it.
_STRING_BYTES = 256
# Of an axis that may have any size and was not tried.
_DYNAMIC_SIZE = 256


@dataclass(frozen=True, slots=True)
class Room:
    """What of a configuration decides the room that its model's tensors take.

    Attributes:
        instances: of all groups.
        max_batch_size: 0 for a model that takes no batches.
        tensors: (name, dims as written, bytes of an element), inputs and outputs.
    """

    instances: int
    max_batch_size: int
    tensors: tuple[tuple[str, tuple[int, ...], int], ...]

    def needed(self, trial: Trial | None) -> int:
        """Bytes for all instances; `trial` tells the sizes of dynamic axes where there was one."""
        observed = {
            tensor.name: tensor.shape
            for tensor in ((*trial.inputs, *trial.outputs) if trial is not None else ())
        }
        row = sum(
            self._elements(dims, observed.get(name)) * itemsize
            for name, dims, itemsize in self.tensors
        )
        return self.instances * (_REGION + _BATCHES * max(1, self.max_batch_size) * row)

    def _elements(self, dims: tuple[int, ...], observed: tuple[int, ...] | None) -> int:
        """Elements of one row of a tensor."""
        if observed is None:
            return math.prod(size if size > 0 else _DYNAMIC_SIZE for size in dims)
        tried = observed[1:] if self.max_batch_size > 0 else observed
        return math.prod(max(1, size) for size in tried)


def shared_memory_bytes(repository: Path, lock: Lock | None) -> int:
    """Bytes of /dev/shm for all instances of all models, in steps of 64 MiB.

    Sizes of dynamic axes are those of the trial, where there was one.
    """
    total = 0
    for path in sorted(repository.glob(f"*/{CONFIG_FILE}")):
        try:
            text = config_text(path)
        except OSError:
            continue  # the preflight tells of it
        name = path.parent.name
        model = lock.models.get(name) if lock is not None else None
        trial = model.evidence.trial if model is not None else None
        total += room_of(parse_config(text, str(path)).message).needed(trial)
    return in_steps(total)


def room_of(config: Message) -> Room:
    """What a configuration says of its tensors' room."""
    return Room(
        instances=sum(max(1, int(group.count)) for group in config.instance_group) or 1,
        max_batch_size=int(config.max_batch_size),
        tensors=tuple(
            (str(tensor.name), tuple(map(int, tensor.dims)), _itemsize(dtype_of(tensor.data_type)))
            for tensor in (*config.input, *config.output)
        ),
    )


def _itemsize(dtype: DType | None) -> int:
    return (dtype.itemsize if dtype is not None else 0) or _STRING_BYTES
