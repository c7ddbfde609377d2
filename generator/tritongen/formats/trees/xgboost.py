"""XGBoost's three serialisations: JSON, UBJSON, and the binary one of releases before 3.1."""

import mmap
import struct
from collections.abc import Callable, Collection, Mapping

from tritongen.formats.parsing import json_scan, ubjson
from tritongen.formats.parsing.mapped_file import mapped
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.reading import ModelSource
from tritongen.formats.trees.forest import classified, forest_facts
from tritongen.model.facts import ModelFacts, TreeFacts
from tritongen.system.paths import read_head

_Path = tuple[str, ...]
_Finder = Callable[[mmap.mmap, Collection[_Path], Collection[_Path]], Mapping[_Path, object]]

_MODEL = ("learner", "learner_model_param")
_OBJECTIVE = ("learner", "objective", "name")
_BOOSTER = ("learner", "gradient_booster")
_VERSION = ("version",)
# Weights of a dart forest stand around the trees.
_TREES = (
    (*_BOOSTER, "model", "trees"),
    (*_BOOSTER, "gbtree", "model", "trees"),
)
_PARAMETERS = ("num_feature", "num_class", "num_target")

# The parameters of a model (LearnerModelParam), as xgboost writes them.
# Chosen: the name of an objective has some twenty letters.
_BINARY_HEAD_BYTES = 136
_MAX_NAME_BYTES = 256


def read_xgboost_json(source: ModelSource) -> ModelFacts:
    """The facts of a JSON file; its trees are counted, not read.

    Raises:
        DamagedError: TG102, it is no XGBoost model.
        OSError: it cannot be opened.
    """
    return _read(source, json_scan.find_values)


def read_xgboost_ubj(source: ModelSource) -> ModelFacts:
    """As `read_xgboost_json`, for UBJSON."""
    return _read(source, ubjson.find_values)


def _read(source: ModelSource, find: _Finder) -> ModelFacts:
    wanted: list[_Path] = [(*_MODEL, key) for key in _PARAMETERS]
    wanted += [_OBJECTIVE, _VERSION]
    with mapped(source.file) as data:
        size = len(data)
        found = find(data, wanted, _TREES)
    objective = found.get(_OBJECTIVE)
    if (*_MODEL, "num_feature") not in found or not isinstance(objective, str):
        raise DamagedError("the document does not describe an XGBoost model")
    task, classes = classified(objective, _number(found.get((*_MODEL, "num_class"))))
    facts = TreeFacts(
        library=_library(found.get(_VERSION)),
        task=task,
        features=_number(found[*_MODEL, "num_feature"]),
        classes=classes,
        trees=sum(_number(found.get(path)) for path in _TREES),
        objective=objective,
        targets=max(1, _number(found.get((*_MODEL, "num_target")))),
    )
    return forest_facts(source, facts, size)


def _library(version: object) -> str:
    if isinstance(version, list) and version:
        return "XGBoost " + ".".join(str(part) for part in version[:3])
    return "XGBoost"


def _number(value: object) -> int:
    """XGBoost writes its numbers as texts."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    text = str(value or "0")
    try:
        return int(float(text)) if len(text) < 20 else -1
    except (ValueError, OverflowError) as error:
        raise DamagedError(f"a number of the model is {text!r}") from error


def read_xgboost_binary(source: ModelSource) -> ModelFacts:
    """The facts of a file in the old binary format, from its header.

    Raises:
        DamagedError: TG102, it is cut off or no such file.
        OSError: it cannot be opened.
    """
    head = read_head(source.file, _BINARY_HEAD_BYTES + 4 * _MAX_NAME_BYTES)
    start = 4 if head.startswith(b"binf") else 0
    if len(head) < start + _BINARY_HEAD_BYTES + 8:
        raise DamagedError("the file is cut off in its header")
    _, features, classes, _, _, major, minor, targets = struct.unpack_from("<fIiiiIII", head, start)
    objective, pos = _name(head, start + _BINARY_HEAD_BYTES)
    booster, pos = _name(head, pos)
    task, classes = classified(objective, classes)
    facts = TreeFacts(
        library=f"XGBoost {major}.{minor}" if major else "XGBoost before 1.0",
        task=task,
        features=features,
        classes=classes,
        trees=_tree_count(head, booster, pos),
        objective=objective,
        targets=max(1, targets) if major else 1,
    )
    return forest_facts(source, facts, source.file.stat().st_size)


def _name(head: bytes, pos: int) -> tuple[str, int]:
    if len(head) < pos + 8:
        raise DamagedError("the file is cut off in its header")
    (size,) = struct.unpack_from("<Q", head, pos)
    if size > _MAX_NAME_BYTES or len(head) < pos + 8 + size:
        raise DamagedError(f"a name in the header claims {size} bytes")
    return head[pos + 8 : pos + 8 + size].decode("ascii", "replace"), pos + 8 + size


def _tree_count(head: bytes, booster: str, pos: int) -> int:
    if booster not in {"gbtree", "dart"} or len(head) < pos + 4:
        return 0
    return int(struct.unpack_from("<i", head, pos)[0])
