"""Forests of decision trees, read without the libraries that grew them."""

import os
import struct
from dataclasses import replace

from tritongen.formats.parsing.json_documents import json_values, ubjson_values
from tritongen.formats.parsing.wire import DamagedError, mapped
from tritongen.formats.reading import ModelSource
from tritongen.model.backends.fil import INPUT, OUTPUT
from tritongen.model.facts import ModelFacts, ModelFormat, TreeFacts, TreeTask
from tritongen.model.findings import Finding, Severity
from tritongen.model.tensors import DType, TensorSpec
from tritongen.system.paths import open_regular, read_head

# Beyond these a header is not what it seems to be.
_MAX_FEATURES = 10_000_000
_MAX_CLASSES = 1_000_000
_ROWS = "batch"

_MODEL = ("learner", "learner_model_param")
_FEATURES, _CLASSES, _TARGETS = (
    (*_MODEL, key) for key in ("num_feature", "num_class", "num_target")
)
_OBJECTIVE = ("learner", "objective", "name")
_BOOSTER = ("learner", "gradient_booster")
_VERSION = ("version",)
# Weights of a dart forest stand around the trees.
_TREES = (
    (*_BOOSTER, "model", "trees"),
    (*_BOOSTER, "gbtree", "model", "trees"),
)
# The parameters of a model (LearnerModelParam), as xgboost writes them.
# Chosen: the name of an objective has some twenty letters.
_BINARY_HEAD_BYTES = 136
_MAX_NAME_BYTES = 256
# Names and ranges of a million features fit.
_MAX_HEADER_BYTES = 64 << 20
# Chosen: what is used of a header are numbers and the objective; a longer value is cut.
_MAX_KEPT_BYTES = 1 << 10
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


def forest_facts(source: ModelSource, facts: TreeFacts, size: int) -> ModelFacts:
    """The facts of a forest.

    Args:
        source: the file.
        facts: what its header says.
        size: bytes of the file.

    Raises:
        DamagedError: TG102, the header's numbers are absurd.
    """
    if not 0 < facts.features <= _MAX_FEATURES:
        raise DamagedError(f"the forest claims {facts.features} features")
    if not 0 <= facts.classes <= _MAX_CLASSES or facts.trees < 0:
        raise DamagedError(f"the forest claims {facts.classes} classes, {facts.trees} trees")
    width = facts.classes if facts.task is TreeTask.MULTICLASS else 1
    return replace(
        source.facts,
        inputs=(TensorSpec(INPUT, DType.FP32, (_ROWS, facts.features), declared_type="features"),),
        outputs=(TensorSpec(OUTPUT, DType.FP32, (_ROWS, width), declared_type=_meaning(facts)),),
        weight_bytes=size,
        trees=facts,
        producer=facts.library,
        findings=_refusals(source, facts),
    )


def _meaning(facts: TreeFacts) -> str:
    if facts.task is TreeTask.MULTICLASS:
        return "a probability for each class"
    if facts.task is TreeTask.BINARY:
        return "the probability of class 1"
    return "score" if facts.task is TreeTask.RANKING else "value"


def _refusals(source: ModelSource, facts: TreeFacts) -> tuple[Finding, ...]:
    if facts.targets > 1:
        message = f"the forest predicts {facts.targets} targets; the backend serves one"
        return (source.facts.finding("TG142", message, fix="Train one forest for each target."),)
    if not facts.trees:
        fix = "Save a trained model with trees (gbtree or dart)."
        return (source.facts.finding("TG142", "the file holds no trees", fix=fix),)
    if facts.objective.startswith("multiclassova"):
        return (
            source.facts.finding(
                "TG143",
                "the objective multiclassova has a sigmoid for each class; the backend's "
                "probabilities are a softmax over the classes",
                severity=Severity.WARNING,
                fix="Serve classes (output__0 with dims [-1, 1]), or train with objective "
                "multiclass.",
            ),
        )
    return ()


def classified(objective: str, classes: int) -> tuple[TreeTask, int]:
    """Task and number of classes of an objective of XGBoost or LightGBM."""
    name = objective.split(" ", 1)[0]
    if name.startswith("multi"):
        return TreeTask.MULTICLASS, classes
    if name in {"binary:logistic", "binary:hinge", "binary", "cross_entropy"}:
        return TreeTask.BINARY, 2
    if name.startswith(("rank", "lambdarank")):
        return TreeTask.RANKING, 0
    return TreeTask.REGRESSION, 0


def read_xgboost(source: ModelSource) -> ModelFacts:
    """The facts of a JSON or UBJSON file; its trees are counted, not read.

    Raises:
        DamagedError: TG102, it is no XGBoost model.
        OSError: it cannot be opened.
    """
    find = json_values if source.format is ModelFormat.XGBOOST_JSON else ubjson_values
    with mapped(source.file) as data:
        size = len(data)
        found = find(data, (_FEATURES, _CLASSES, _TARGETS, _OBJECTIVE, _VERSION), _TREES)
    objective = found.get(_OBJECTIVE)
    if _FEATURES not in found or not isinstance(objective, str):
        raise DamagedError("the document does not describe an XGBoost model")
    task, classes = classified(objective, _number(found.get(_CLASSES)))
    facts = TreeFacts(
        library=_library(found.get(_VERSION)),
        task=task,
        features=_number(found[_FEATURES]),
        classes=classes,
        trees=sum(_number(found.get(path)) for path in _TREES),
        objective=objective,
        targets=max(1, _number(found.get(_TARGETS))),
    )
    return forest_facts(source, facts, size)


def _library(version: object) -> str:
    if isinstance(version, list) and version:
        return "XGBoost " + ".".join(str(part) for part in version[:3])
    return "XGBoost"


def _number(value: object) -> int:
    """XGBoost writes its numbers as texts."""
    text = str(value or "0")
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
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
