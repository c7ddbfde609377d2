"""Models trained on scikit-learn's handwritten digits: an MLP, a CNN and an LSTM, as ONNX.

The MLP is scikit-learn's own. The CNN has random filters and a trained read-out; the LSTM is
trained by back-propagation through time, one row of pixels a step.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

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


@cache
def mlp(hidden: tuple[int, ...] = (64,), iterations: int = 60) -> onnx.ModelProto:
    """scikit-learn's MLP with softmax at its end."""
    data = digits()
    trained = MLPClassifier(
        hidden, max_iter=iterations, random_state=0, tol=0, n_iter_no_change=999
    )
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


@cache
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


@cache
def lstm(hidden: int = 48, epochs: int = 12) -> onnx.ModelProto:
    """An LSTM over the 8 rows of an image, trained with Adam."""
    weights = _train_lstm(hidden, epochs)
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "W", "R", "B"], ["", "h"], hidden_size=hidden),
        helper.make_node("Squeeze", ["h", "zero"], ["last"]),
        helper.make_node("MatMul", ["last", "V"], ["m"]),
        helper.make_node("Add", ["m", "c"], ["a"]),
        helper.make_node("Softmax", ["a"], ["scores"], axis=1),
    ]
    # ONNX orders the gates input, output, forget, cell.
    order = np.concatenate([np.arange(hidden) + hidden * gate for gate in (0, 2, 1, 3)])
    held = {
        "W": _f32(weights["W"].T[order])[None],
        "R": _f32(weights["R"].T[order])[None],
        "B": _f32(np.concatenate([weights["b"][order], np.zeros(4 * hidden)]))[None],
        "V": _f32(weights["V"]),
        "c": _f32(weights["c"]),
        "zero": np.array([0], np.int64),
    }
    return _model(nodes, _info("x", "batch", 8, 8), held)


def _sigmoid(values: Array) -> Array:
    return 1 / (1 + np.exp(-values))


def _train_lstm(hidden: int, epochs: int, batch: int = 64, rate: float = 4e-3) -> dict[str, Array]:
    """Weights by name; gates in the order input, forget, output, cell."""
    rng = np.random.default_rng(0)
    data = digits()
    sequences = data.train.reshape(-1, 8, 8)
    weights = {
        "W": rng.normal(0, 0.3, (8, 4 * hidden)),
        "R": rng.normal(0, hidden**-0.5, (hidden, 4 * hidden)),
        "b": np.repeat([0.0, 1.0, 0.0, 0.0], hidden),
        "V": rng.normal(0, hidden**-0.5, (hidden, 10)),
        "c": np.zeros(10),
    }
    moments = {name: (np.zeros_like(a), np.zeros_like(a)) for name, a in weights.items()}
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(sequences))
        for begin in range(0, len(order), batch):
            chosen = order[begin : begin + batch]
            slopes = _slopes(weights, sequences[chosen], data.train_labels[chosen], hidden)
            step += 1
            for name, slope in slopes.items():
                mean, square = moments[name]
                mean += 0.1 * (slope - mean)
                square += 0.001 * (slope**2 - square)
                scale = (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
                weights[name] -= rate * scale * mean / (np.sqrt(square) + 1e-8)
    return weights


def _slopes(w: dict[str, Array], x: Array, labels: Array, hidden: int) -> dict[str, Array]:
    """Gradients of the mean cross entropy, through all eight steps."""
    h = c = np.zeros((len(x), hidden))
    past = []
    for t in range(8):
        gates = x[:, t] @ w["W"] + h @ w["R"] + w["b"]
        i, f, o = (_sigmoid(gates[:, k * hidden : (k + 1) * hidden]) for k in range(3))
        g = np.tanh(gates[:, 3 * hidden :])
        new = f * c + i * g
        past.append((h, c, i, f, o, g, np.tanh(new)))
        c, h = new, o * np.tanh(new)
    scores = h @ w["V"] + w["c"]
    odds = np.exp(scores - scores.max(1, keepdims=True))
    error = odds / odds.sum(1, keepdims=True)
    error[np.arange(len(x)), labels] -= 1
    error /= len(x)
    slopes = {name: np.zeros_like(a) for name, a in w.items()}
    slopes["V"], slopes["c"] = h.T @ error, error.sum(0)
    dh, dc = error @ w["V"].T, np.zeros_like(c)
    for t in reversed(range(8)):
        before, cell, i, f, o, g, squashed = past[t]
        dc = dc + dh * o * (1 - squashed**2)
        dgates = np.hstack(
            (dc * g * i * (1 - i), dc * cell * f * (1 - f), dh * squashed * o * (1 - o),
             dc * i * (1 - g**2))
        )  # fmt: skip
        slopes["W"] += x[:, t].T @ dgates
        slopes["R"] += before.T @ dgates
        slopes["b"] += dgates.sum(0)
        dh, dc = dgates @ w["R"].T, dc * f
    return slopes
