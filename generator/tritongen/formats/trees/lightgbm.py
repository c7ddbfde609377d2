"""LightGBM's text format: its header stands in front of the trees."""

import os

from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.reading import ModelSource
from tritongen.formats.trees.forest import classified, forest_facts
from tritongen.model.facts import ModelFacts, TreeFacts
from tritongen.system.paths import open_regular

# Names and ranges of a million features fit.
_MAX_HEADER_BYTES = 64 << 20
# Chosen: what is used of a header are numbers and the objective; a longer value is cut.
_MAX_KEPT_BYTES = 1 << 10


def read_lightgbm(source: ModelSource) -> ModelFacts:
    """The facts of one model file.

    Raises:
        DamagedError: TG102, its header is cut off or lacks what a model states.
        OSError: it cannot be opened.
    """
    values, trees, size = _header(source)
    try:
        classes = int(values["num_class"])
        features = int(values["max_feature_idx"]) + 1
    except (KeyError, ValueError) as error:
        raise DamagedError("the header states no num_class or max_feature_idx") from error
    objective = values.get("objective", "")
    task, classes = classified(objective, classes)
    facts = TreeFacts(
        library=f"LightGBM, format {values.get('version', 'unknown')}",
        task=task,
        features=features,
        classes=classes,
        trees=trees,
        objective=objective,
    )
    return forest_facts(source, facts, size)


def _header(source: ModelSource) -> tuple[dict[str, str], int, int]:
    """Keys with short values, the number of trees, and the file's size."""
    values: dict[str, str] = {}
    trees = read = 0
    with open(open_regular(source.file), "rb") as file:  # noqa: PTH123  (a descriptor)
        size = os.fstat(file.fileno()).st_size
        while line := file.readline(_MAX_HEADER_BYTES):
            read += len(line)
            if line.startswith(b"Tree=") or read > _MAX_HEADER_BYTES:
                break
            key, separator, value = line.partition(b"=")
            if key == b"tree_sizes":
                trees = len(value.split())
            elif separator and len(key) < 64:
                text = value[:_MAX_KEPT_BYTES].decode("utf-8", "replace").strip()
                values[key.decode("ascii", "replace")] = text
        else:
            if not trees:
                raise DamagedError("the file ends before its first tree")
    return values, trees, size
