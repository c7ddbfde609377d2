"""Treelite's checkpoints, from their header."""

import struct

from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.reading import ModelSource
from tritongen.formats.trees.forest import forest_facts
from tritongen.model.facts import ModelFacts, TreeFacts, TreeTask
from tritongen.system.paths import read_head

# Chosen: what is used stands in the first kilobytes.
_HEAD_BYTES = 1 << 20
_TASKS = {
    0: TreeTask.BINARY,
    1: TreeTask.REGRESSION,
    2: TreeTask.MULTICLASS,
    3: TreeTask.RANKING,
    4: TreeTask.REGRESSION,  # isolation forests: a score
}
# Chosen: beyond this a header is not what it seems to be.
_MAX_TARGETS = 1 << 16
_FIRST_MAJOR = 4


def read_treelite(source: ModelSource) -> ModelFacts:
    """The facts of one checkpoint of Treelite 4 or later.

    Raises:
        DamagedError: TG102, it is cut off, or of a version whose header has another form.
        OSError: it cannot be opened.
    """
    head = read_head(source.file, _HEAD_BYTES)
    try:
        major, minor, patch = struct.unpack_from("<3i", head, 0)
        if major < _FIRST_MAJOR:
            raise DamagedError(
                f"the checkpoint is of Treelite {major}.{minor}; save it again with Treelite 4"
            )
        trees, features, task, _, targets = struct.unpack_from("<QiBBi", head, 14)
        classes = _first(head, 14 + 8 + 4 + 2 + 4)
    except struct.error as error:
        raise DamagedError("the checkpoint is cut off in its header") from error
    if task not in _TASKS or not 0 < targets < _MAX_TARGETS:
        raise DamagedError(f"the checkpoint states the task {task} and {targets} targets")
    kind = _TASKS[task]
    facts = TreeFacts(
        library=f"Treelite {major}.{minor}.{patch}",
        task=kind,
        features=features,
        classes={TreeTask.MULTICLASS: classes, TreeTask.BINARY: 2}.get(kind, 0),
        trees=trees,
        objective=f"task {kind.value}",
        targets=targets,
    )
    return forest_facts(source, facts, source.file.stat().st_size)


def _first(head: bytes, pos: int) -> int:
    """The first number of an array: its length in 64 bits, then 32 bits a number."""
    (count,) = struct.unpack_from("<Q", head, pos)
    return int(struct.unpack_from("<i", head, pos + 8)[0]) if count else 0
