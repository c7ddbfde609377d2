"""How much shared memory a repository's tensors need between Triton and Python-based backends."""

import math
from pathlib import Path
from typing import Any

from tritongen.app.locks import CONFIG_FILE
from tritongen.domain.evidence import Trial
from tritongen.domain.lock import Lock
from tritongen.domain.tensors import DType
from tritongen.render.pbtxt import parse_config

__all__ = ["shared_memory_bytes"]

_STEP = 64 << 20
# Each instance's region starts so large. It holds a batch's inputs and outputs; the next batch is
# written while this one is read.
_REGION = 1 << 20
_BATCHES = 2
# Of one string, when nothing is known of it.
_STRING_BYTES = 256
# Of an axis that may have any size and was not tried.
_DYNAMIC_SIZE = 256


def shared_memory_bytes(repository: Path, lock: Lock | None) -> int:
    """Bytes of /dev/shm for all instances of all models, in steps of 64 MiB.

    Sizes of dynamic axes are those of the trial, where there was one.
    """
    total = 0
    for path in sorted(repository.glob(f"*/{CONFIG_FILE}")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # the preflight tells of it
        name = path.parent.name
        model = lock.models.get(name) if lock is not None else None
        trial = model.evidence.trial if model is not None else None
        total += _of_model(parse_config(text, str(path)).message, trial)
    return max(1, math.ceil(total / _STEP)) * _STEP


def _of_model(config: Any, trial: Trial | None) -> int:  # noqa: ANN401  (a ModelConfig)
    instances = sum(max(1, int(group.count)) for group in config.instance_group) or 1
    observed = {
        tensor.name: tensor.shape
        for tensor in ((*trial.inputs, *trial.outputs) if trial is not None else ())
    }
    batch = int(config.max_batch_size)
    row = sum(
        _row_bytes(tensor, observed.get(tensor.name), batches=batch > 0)
        for tensor in (*config.input, *config.output)
    )
    return instances * (_REGION + _BATCHES * max(1, batch) * row)


def _row_bytes(
    tensor: Any,  # noqa: ANN401  (a ModelInput or ModelOutput)
    observed: tuple[int, ...] | None,
    *,
    batches: bool,
) -> int:
    dims = [size if size > 0 else _DYNAMIC_SIZE for size in tensor.dims]
    if observed is not None:
        tried = observed[1:] if batches else observed
        dims = [max(1, size) for size in tried]
    enum = tensor.DESCRIPTOR.fields_by_name["data_type"].enum_type
    value = enum.values_by_number.get(tensor.data_type)
    dtype = DType.from_config(value.name) if value is not None else None
    return math.prod(dims) * ((dtype.itemsize if dtype else 0) or _STRING_BYTES)
