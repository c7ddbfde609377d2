"""What the facts of every forest have in common: its table in, its predictions out."""

from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.reading import ModelSource
from tritongen.model.backends.fil import INPUT, OUTPUT
from tritongen.model.facts import ModelFacts, TreeFacts, TreeTask
from tritongen.model.findings import Finding, Severity
from tritongen.model.tensors import DType, TensorSpec

# Beyond these a header is not what it seems to be.
_MAX_FEATURES = 10_000_000
_MAX_CLASSES = 1_000_000
_ROWS = "batch"


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
    return ModelFacts(
        source.model,
        source.path,
        source.format,
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
        return (source.finding("TG142", message, fix="Train one forest for each target."),)
    if not facts.trees:
        fix = "Save a trained model with trees (gbtree or dart)."
        return (source.finding("TG142", "the file holds no trees", fix=fix),)
    if facts.objective.startswith("multiclassova"):
        return (
            source.finding(
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
