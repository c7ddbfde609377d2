"""ONNX models that a scaffolded step stands before or after."""

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from support.serving_models import graph_model, value

_WEIGHTS = np.random.default_rng(0)


def _weights(name: str, *shape: int) -> object:
    return numpy_helper.from_array(_WEIGHTS.normal(size=shape).astype(np.float32), name)


def photo(classes: int = 6) -> ModelProto:
    """pixels [n, 3, 32, 32] → scores [n, classes]."""
    nodes = [
        helper.make_node("Conv", ["pixels", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["c"], ["scores"], axes=[2, 3], keepdims=0),
    ]
    inputs, outputs = value("pixels", shape=("n", 3, 32, 32)), value("scores", shape=("n", classes))
    return graph_model(nodes, [inputs], [outputs], [_weights("w", classes, 3, 3, 3)])


def words(vocabulary: int = 30522) -> ModelProto:
    """Token numbers and their mask [n, len] → the mean of their vectors [n, 4]."""
    nodes = [
        helper.make_node("Gather", ["t", "input_ids"], ["e"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=1),
        helper.make_node("Unsqueeze", ["m", "axes"], ["mm"]),
        helper.make_node("Mul", ["e", "mm"], ["em"]),
        helper.make_node("ReduceMean", ["em"], ["vector"], axes=[1], keepdims=0),
    ]
    shape = ("n", "len")
    inputs = [value(name, "TYPE_INT64", shape) for name in ("input_ids", "attention_mask")]
    axes = numpy_helper.from_array(np.array([2], np.int64), "axes")
    table = _weights("t", vocabulary, 4)
    return graph_model(nodes, inputs, [value("vector", shape=("n", 4))], [table, axes])


def ranker() -> ModelProto:
    """x [n, 5] → y [n, 3]."""
    node = helper.make_node("MatMul", ["x", "m"], ["y"])
    inputs, outputs = [value("x", shape=("n", 5))], [value("y", shape=("n", 3))]
    return graph_model([node], inputs, outputs, [_weights("m", 5, 3)])
