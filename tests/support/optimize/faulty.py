"""Small models, each with one fault that a fix cures."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
Dim = int | str | None


def node(op: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    """A node; names separated by blanks, ``_`` for an input left out."""
    names = ["" if item == "_" else item for item in inputs.split()]
    return helper.make_node(op, names, outputs.split(), **attributes)


def weights(name: str, *shape: int, seed: int = 0) -> TensorProto:
    """A float32 constant of normal values."""
    array = np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)
    return numpy_helper.from_array(array, name)


def constant(name: str, value: object, dtype: str = "int64") -> TensorProto:
    """A constant of given values."""
    return numpy_helper.from_array(np.asarray(value, dtype=dtype), name)


def tensor(name: str, dims: Sequence[Dim] | None, kind: int = FLOAT) -> ValueInfoProto:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, dims)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    held: Sequence[TensorProto] = (),
    *,
    opset: int = 17,
    ml: int = 0,
    ir: int = 8,
) -> ModelProto:
    """A model of one graph."""
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(held))
    opsets = [helper.make_opsetid("", opset)]
    if ml:
        opsets.append(helper.make_opsetid("ai.onnx.ml", ml))
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def zipmap(*, texts: bool = False, ml: int = 1) -> ModelProto:
    """A linear classifier of three classes with its scores in maps."""
    names = {"classlabels_strings": ["red", "green", "blue"]} if texts else {}
    numbers = {} if texts else {"classlabels_int64s": [10, 20, 30]}
    label = STRING if texts else INT64
    key = TensorProto.STRING if texts else TensorProto.INT64
    maps = helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, None))
    scores = helper.make_sequence_type_proto(maps)
    ints = {"classlabels_ints": [10, 20, 30]} if not texts else {}
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=[0.3, -0.2, 0.5, -0.1, 0.4, 0.2, 0.1, 0.1, -0.6, 0.2, 0.3, -0.4],
            intercepts=[0.1, 0.0, -0.1],
            post_transform="SOFTMAX",
            **names,
            **ints,
        ),
        helper.make_node(
            "ZipMap", ["scores"], ["probability"], domain="ai.onnx.ml", **names, **numbers
        ),
    ]
    outputs = [
        tensor("label", ["n"], label),
        helper.make_value_info("probability", scores),
    ]
    return model(nodes, [tensor("x", ["n", 4])], outputs, ml=ml)


def sequence(*, split: bool = False) -> ModelProto:
    """Two layers in one sequence; with `split`, halves of one tensor."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    if split:
        nodes = [node("Relu", "x", "r"), node("SplitToSequence", "r", "y", axis=1)]
    else:
        nodes = [
            node("MatMul", "x w", "a"),
            node("Relu", "a", "b"),
            node("SequenceConstruct", "a b", "y"),
        ]
    outputs = [helper.make_value_info("y", kind)]
    return model(nodes, [tensor("x", ["n", 4])], outputs, [weights("w", 4, 3)])


def sequence_info(name: str) -> ValueInfoProto:
    """A sequence of tensors as an input or output."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    return helper.make_value_info(name, kind)


def optional_output() -> ModelProto:
    """A layer wrapped as an optional value."""
    inner = helper.make_tensor_type_proto(FLOAT, ["n", 3])
    nodes = [node("MatMul", "x w", "h"), node("Optional", "h", "y")]
    outputs = [helper.make_value_info("y", helper.make_optional_type_proto(inner))]
    return model(nodes, [tensor("x", ["n", 4])], outputs, [weights("w", 4, 3)], opset=18)


def optional_input() -> ModelProto:
    """A layer whose input may be missing."""
    inner = helper.make_tensor_type_proto(FLOAT, ["n", 4])
    nodes = [node("OptionalGetElement", "x", "v"), node("MatMul", "v w", "y")]
    inputs = [helper.make_value_info("x", helper.make_optional_type_proto(inner))]
    return model(nodes, inputs, [tensor("y", ["n", 3])], [weights("w", 4, 3)], opset=18)


def bad_names() -> ModelProto:
    """A name with a character that nobody sees, a NUL, and one output twice."""
    nodes = [node("MatMul", "x\u200b w", "y"), helper.make_node("Relu", ["y"], ["r\0x"])]
    outputs = [tensor("y", ["n", 3]), tensor("y", ["n", 3]), tensor("r\0x", ["n", 3])]
    return model(nodes, [tensor("x\u200b", ["n", 4])], outputs, [weights("w", 4, 3)])


def scalar_output() -> ModelProto:
    """The mean of everything, scaled by an input without axes."""
    nodes = [node("Mul", "x k", "s"), node("ReduceMean", "s", "y", keepdims=0)]
    return model(nodes, [tensor("x", [2, 4]), tensor("k", [])], [tensor("y", [])])


def literal_sizes() -> ModelProto:
    """-1 written as a size."""
    nodes = [node("MatMul", "x w", "y")]
    return model(nodes, [tensor("x", [-1, 4])], [tensor("y", [-1, 3])], [weights("w", 4, 3)])


def wrong_rank() -> ModelProto:
    """An output declared with one axis too many."""
    nodes = [node("MatMul", "x w", "y")]
    outputs = [tensor("y", ["n", 3, 1])]
    return model(nodes, [tensor("x", ["n", 4])], outputs, [weights("w", 4, 3)])


def no_rank() -> ModelProto:
    """An output without a declared shape."""
    nodes = [node("MatMul", "x w", "y")]
    return model(nodes, [tensor("x", ["n", 4])], [tensor("y", None)], [weights("w", 4, 3)])


def fixed_batch(rows: int = 1) -> ModelProto:
    """A small vision net as exporters write it: every shape with the batch in it."""
    nodes = [
        node("Conv", "x k", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("Reshape", "r tokens_shape", "t"),
        node("Transpose", "t", "s", perm=[0, 2, 1]),
        node("Concat", "cls s", "u", axis=1),
        node("Reshape", "u flat_shape", "f"),
        node("MatMul", "f w", "y"),
    ]
    held = [
        weights("k", 4, 2, 3, 3),
        constant("tokens_shape", [rows, 4, 16]),
        numpy_helper.from_array(np.ones((rows, 1, 4), np.float32), "cls"),
        constant("flat_shape", [rows, -1]),
        weights("w", 68, 3, seed=1),
    ]
    return model(nodes, [tensor("x", [rows, 2, 4, 4])], [tensor("y", [rows, 3])], held)


def fixed_batch_lstm() -> ModelProto:
    """A recurrent net with its initial state stored for one row, and state in and out on axis 1."""
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node("LSTM", "t w r _ _ h0 c0", "o h c", hidden_size=5),
        node("Squeeze", "h zero", "last"),
        node("MatMul", "last v", "y"),
        node("Add", "h state", "state_out"),
    ]
    held = [
        weights("w", 1, 20, 3),
        weights("r", 1, 20, 5, seed=1),
        numpy_helper.from_array(np.zeros((1, 1, 5), np.float32), "h0"),
        numpy_helper.from_array(np.full((1, 1, 5), 0.5, np.float32), "c0"),
        weights("v", 5, 2, seed=2),
        constant("zero", [0]),
    ]
    return model(
        nodes,
        [tensor("x", [1, 6, 3]), tensor("state", [1, 1, 5])],
        [tensor("y", [1, 2]), tensor("state_out", [1, 1, 5])],
        held,
    )


def second_axis() -> ModelProto:
    """A recurrent net that wants time first and the batch second."""
    nodes = [
        node("GRU", "x w r", "o h", hidden_size=5),
        node("Squeeze", "o one", "y"),
    ]
    held = [weights("w", 1, 15, 3), weights("r", 1, 15, 5, seed=1), constant("one", [1])]
    return model(
        nodes,
        [tensor("x", [6, "batch", 3])],
        [tensor("y", [6, "batch", 5]), tensor("h", [1, "batch", 5])],
        held,
    )


def new_versions(opset: int = 23, ir: int = 11) -> ModelProto:
    """An IR version and an opset of tomorrow, though nothing in it is new."""
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "y")]
    inputs, outputs = [tensor("x", ["n", 4])], [tensor("y", ["n", 3])]
    return model(nodes, inputs, outputs, [weights("w", 4, 3)], opset=opset, ir=ir)


def old_opset() -> ModelProto:
    """An operator as opset 6 knew it."""
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "y")]
    inputs, outputs = [tensor("x", ["n", 4])], [tensor("y", ["n", 3])]
    return model(nodes, inputs, outputs, [weights("w", 4, 3)], opset=6)


def outside(name: str, shape: tuple[int, ...], file: str, offset: int) -> TensorProto:
    """A float32 constant whose content lies in a file beside the model."""
    held = TensorProto(name=name, data_type=FLOAT, dims=shape, data_location=1)
    length = 4 * int(np.prod(shape))
    for key, value in (("location", file), ("offset", offset), ("length", length)):
        held.external_data.add(key=key, value=str(value))
    return held
