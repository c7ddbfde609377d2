"""Models trained on scikit-learn's handwritten digits: an MLP and a CNN, as ONNX.

The MLP is scikit-learn's own. The CNN has random filters and a trained read-out. Each is trained
once, and kept for later runs.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from support.shared import kept

Array = np.ndarray


@dataclass(frozen=True)
class Digits:
    """Images [n, 64] with pixels from 0 to 1, and their labels, for training and for tests."""

    train: Array
    train_labels: Array
    test: Array
    test_labels: Array


@cache
def digits() -> Digits:
    """The data set, a third held out."""
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(
        images.astype(np.float32) / 16, labels, test_size=1 / 3, random_state=0
    )
    train, test, train_labels, test_labels = split
    return Digits(train, train_labels, test, test_labels)


def save_samples(path: Path, name: str, shape: tuple[int, ...], rows: int | None = None) -> Path:
    """The held-out digits as samples for an input."""
    data = digits()
    images = data.test[:rows].reshape(-1, *shape)
    np.savez(path, **{name: images}, labels=data.test_labels[: len(images)])
    return path


def _info(name: str, *dims: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def _model(
    nodes: list[onnx.NodeProto],
    given: onnx.ValueInfoProto,
    held: dict[str, Array],
    batch: int | str = "batch",
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "digits",
        [given],
        [_info("scores", batch, 10)],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _f32(array: Array) -> Array:
    return np.asarray(array, np.float32)


@kept
def mlp(hidden: tuple[int, ...] = (64,), iterations: int = 25) -> onnx.ModelProto:
    """scikit-learn's MLP with softmax at its end."""
    data = digits()
    trained = MLPClassifier(
        hidden, max_iter=iterations, random_state=0, tol=0, n_iter_no_change=999
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        trained.fit(data.train, data.train_labels)
    nodes, held, last = [], {}, "x"
    layers = list(zip(trained.coefs_, trained.intercepts_, strict=True))
    for index, (weights, bias) in enumerate(layers):
        held |= {f"w{index}": _f32(weights), f"b{index}": _f32(bias)}
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"m{index}"]))
        nodes.append(helper.make_node("Add", [f"m{index}", f"b{index}"], [f"a{index}"]))
        last = f"a{index}"
        if index < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [last], [f"r{index}"]))
            last = f"r{index}"
    nodes.append(helper.make_node("Softmax", [last], ["scores"], axis=1))
    return _model(nodes, _info("x", "batch", 64), held)


def _convolve(images: Array, filters: Array) -> Array:
    """3 × 3 convolution with padding, then ReLU; images [n, c, 8, 8], filters [k, c, 3, 3]."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.maximum(np.einsum("nchwij,kcij->nkhw", windows, filters, optimize=True), 0)


@kept
def cnn(channels: tuple[int, int] = (16, 32), batch: int | str = "batch") -> onnx.ModelProto:
    """Two convolutional layers with random filters, pooling, and a trained linear read-out.

    With a number for `batch`, the shapes have it baked in.
    """
    rng = np.random.default_rng(0)
    first = _f32(rng.normal(0, 0.5, (channels[0], 1, 3, 3)))
    second = _f32(rng.normal(0, (2 / channels[0] / 9) ** 0.5, (channels[1], channels[0], 3, 3)))

    def features(images: Array) -> Array:
        maps = _convolve(_convolve(images.reshape(-1, 1, 8, 8), first), second)
        n, k = maps.shape[:2]
        return maps.reshape(n, k, 4, 2, 4, 2).max(axis=(3, 5)).reshape(n, -1)

    data = digits()
    trained = LogisticRegression(max_iter=300).fit(features(data.train), data.train_labels)
    rows = 0 if isinstance(batch, str) else batch
    nodes = [
        helper.make_node("Conv", ["x", "k1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "k2"], ["c2"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["p", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Softmax", ["a"], ["scores"], axis=1),
    ]
    held = {
        "k1": first,
        "k2": second,
        "flat": np.array([rows, 16 * channels[1]], np.int64),
        "w": _f32(trained.coef_.T),
        "b": _f32(trained.intercept_),
    }
    return _model(nodes, _info("x", batch, 1, 8, 8), held, batch)
