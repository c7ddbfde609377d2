"""The user's metric, and how much of it a variant may lose.

Outputs and truths are arrays with one row a sample on axis 0.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from tritongen.model.codec import significant
from tritongen.model.intent import Metric
from tritongen.model.samples import Array
from tritongen.model.variants import Accuracy


def score(metric: Metric, outputs: Array, truth: Array) -> float:
    """The metric over all rows.

    Args:
        metric: any but `Metric.CALLABLE`.
        outputs: [rows, …]; for class metrics scores [rows, classes], or predicted labels [rows].
        truth: labels [rows] for class metrics, else an array of the outputs' shape.

    Raises:
        ValueError: the shapes do not fit; the message says how.
    """
    return _METRICS[metric](outputs, truth)


def drop(metric: Metric, original: float, variant: float) -> float:
    """How much worse the variant is; negative when it is better.

    For scores (top-1, F1, cosine, a callable) the difference; for errors (MAE, MSE) the growth
    relative to the original's error. Not a number counts as infinite loss.
    """
    if math.isnan(original) or math.isnan(variant):
        return math.inf
    if not metric.is_error:
        return original - variant
    growth = variant - original
    if original > 0:
        return growth / original
    return math.inf if growth > 0 else 0.0


def judge_drop(
    metric: Metric,
    original: float,
    variant: float,
    max_drop: float,
    *,
    rows: int = 0,
    basis: str = "",
    data: bool = True,
) -> Accuracy:
    """The loss against the threshold; without data of the user's it is never accepted."""
    loss = drop(metric, original, variant)
    # A threshold of 0.01 accepts 0.97 against 0.98, whatever binary fractions make of it.
    accepted = data and loss <= max_drop + 1e-9
    return Accuracy(
        metric=metric.value,
        original=significant(original),
        variant=significant(variant),
        drop=significant(loss),
        threshold=max_drop,
        accepted=accepted,
        rows=rows,
        basis=basis,
    )


def predicted(outputs: Array) -> Array:
    """Class labels [rows]: the index of the greatest score, or the labels themselves.

    Raises:
        ValueError: neither scores nor labels.
    """
    if outputs.ndim == 1:
        return outputs
    flat = outputs.reshape(outputs.shape[0], -1)
    if flat.shape[1] == 1:
        return (flat[:, 0] > 0.5).astype(np.int64) if outputs.dtype.kind == "f" else flat[:, 0]
    if outputs.ndim != 2 or outputs.dtype == object:
        raise ValueError(f"scores must be [rows, classes], not {list(outputs.shape)}")
    labels: Array = np.argmax(outputs, axis=1)
    return labels


def _paired(outputs: Array, truth: Array) -> tuple[Array, Array]:
    if outputs.shape != truth.shape:
        raise ValueError(
            f"outputs {list(outputs.shape)} and truths {list(truth.shape)} differ in shape"
        )
    return (
        outputs.reshape(outputs.shape[0], -1).astype(np.float64),
        truth.reshape(truth.shape[0], -1).astype(np.float64),
    )


def _labels(outputs: Array, truth: Array) -> tuple[Array, Array]:
    labels = predicted(outputs)
    truth = truth.reshape(truth.shape[0], -1)
    if truth.shape[1] != 1 or len(labels) != len(truth):
        raise ValueError(f"labels must be [{len(labels)}], not {list(truth.shape)}")
    return _texts(labels), _texts(truth[:, 0])


def _texts(labels: Array) -> Array:
    """Texts as `str`, whatever they came as; numbers as they are."""
    if labels.dtype.kind not in "OSU":
        return labels
    texts = [item.decode() if isinstance(item, bytes) else str(item) for item in labels.tolist()]
    return np.array(texts, dtype=object)


def _top1(outputs: Array, truth: Array) -> float:
    labels, wanted = _labels(outputs, truth)
    return float(np.mean(labels == wanted))


def _f1(outputs: Array, truth: Array) -> float:
    """Mean of the classes' F1 over every class that occurs."""
    labels, wanted = _labels(outputs, truth)
    values = []
    for name in sorted(set(labels.tolist()) | set(wanted.tolist())):
        hits = float(np.sum((labels == name) & (wanted == name)))
        total = float(np.sum(labels == name) + np.sum(wanted == name))
        values.append(2.0 * hits / total)
    return float(np.mean(values))


def _mae(outputs: Array, truth: Array) -> float:
    first, second = _paired(outputs, truth)
    return float(np.mean(np.abs(first - second)))


def _mse(outputs: Array, truth: Array) -> float:
    first, second = _paired(outputs, truth)
    return float(np.mean((first - second) ** 2))


def _cosine(outputs: Array, truth: Array) -> float:
    """Mean cosine of the rows; two rows of zeros agree."""
    first, second = _paired(outputs, truth)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    dots = np.sum(first * second, axis=1)
    both_zero = ~first.any(axis=1) & ~second.any(axis=1)
    values = np.where(lengths > 0, dots / np.where(lengths > 0, lengths, 1.0), both_zero)
    return float(np.mean(values))


_METRICS: Mapping[Metric, Callable[[Array, Array], float]] = {
    Metric.TOP1: _top1,
    Metric.F1: _f1,
    Metric.MAE: _mae,
    Metric.MSE: _mse,
    Metric.COSINE: _cosine,
}
