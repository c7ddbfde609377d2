"""Small ONNX models whose dynamic axes take some sizes and not others."""

import onnx

from support.trial_models import FLOAT, INT64, constant, model, node, weights


def per_step() -> onnx.ModelProto:
    """A layer on every step: [N, seq, 4] to [N, seq, 3]."""
    return model(
        [node("MatMul", "x w", "y")],
        [("x", FLOAT, ["N", "seq", 4])],
        [("y", FLOAT, ["N", "seq", 3])],
        [weights("w", 4, 3)],
    )


def baked_in(size: int = 16) -> onnx.ModelProto:
    """The sequence length of the export stands in a reshape; declared dynamic all the same."""
    return model(
        [node("Reshape", "x s", "r"), node("ReduceSum", "r axes", "y", keepdims=0)],
        [("x", FLOAT, ["N", "seq", 4])],
        [("y", FLOAT, ["N", 4])],
        [constant("s", [-1, size, 4]), constant("axes", [1])],
    )


def added_positions(size: int) -> onnx.ModelProto:
    """Positions of the export's length are added; a length of 1 would be broadcast."""
    return model(
        [node("Add", "x p", "y")],
        [("x", FLOAT, ["N", "seq", 4])],
        [("y", FLOAT, ["N", None, 4])],
        [weights("p", 1, size, 4)],
    )


def table_of_positions(count: int = 512) -> onnx.ModelProto:
    """Positions are looked up in a table; the length is the input's."""
    return model(
        [
            node("Shape", "ids", "shape", start=1, end=2),
            node("Squeeze", "shape zero", "length"),
            node("Range", "start length one", "positions"),
            node("Gather", "p positions", "e", axis=0),
            node("Cast", "ids", "f", to=FLOAT),
            node("Unsqueeze", "f last", "u"),
            node("Add", "u e", "y"),
        ],
        [("ids", INT64, ["N", "seq"])],
        [("y", FLOAT, ["N", "seq", 4])],
        [
            weights("p", count, 4),
            constant("zero", [0]),
            constant("start", 0),
            constant("one", 1),
            constant("last", [-1]),
        ],
    )


def eights() -> onnx.ModelProto:
    """Steps are gathered by eight."""
    return model(
        [node("Reshape", "x s", "r"), node("MatMul", "r w", "y")],
        [("x", FLOAT, ["N", "seq"])],
        [("y", FLOAT, ["N", None, 3])],
        [constant("s", [0, -1, 8]), weights("w", 8, 3)],
    )


def equal_lengths() -> onnx.ModelProto:
    return model(
        [node("Add", "a b", "y")],
        [("a", FLOAT, ["N", "first", 4]), ("b", FLOAT, ["N", "second", 4])],
        [("y", FLOAT, ["N", None, 4])],
    )


def product() -> onnx.ModelProto:
    """What is multiplied must have one inner size."""
    return model(
        [node("MatMul", "a b", "y")],
        [("a", FLOAT, ["N", 3, "k"]), ("b", FLOAT, ["N", "l", 5])],
        [("y", FLOAT, ["N", 3, 5])],
    )


def two_free() -> onnx.ModelProto:
    """Two sequences of lengths of their own, one after the other."""
    return model(
        [node("Concat", "x k", "c", axis=1), node("Relu", "c", "y")],
        [("x", FLOAT, ["N", "seq", 4]), ("k", FLOAT, ["N", "other", 4])],
        [("y", FLOAT, ["N", None, 4])],
    )


def recurrent() -> onnx.ModelProto:
    """The runtime infers one row of state, which the file leaves to a symbol."""
    return model(
        [node("RNN", "x w r _ _ h", "_ y", hidden_size=3)],
        [("x", FLOAT, ["time", 1, 4]), ("h", FLOAT, [1, "rows", 3])],
        [("y", FLOAT, [1, "rows", 3])],
        [weights("w", 1, 3, 4), weights("r", 1, 3, 3)],
    )


def wrong_from_the_fourth_row_on() -> onnx.ModelProto:
    """Rows from the fourth on get something added."""
    return model(
        [
            node("Shape", "x", "n", end=1),
            node("Squeeze", "n zero", "count"),
            node("Range", "start count one", "rows"),
            node("Greater", "rows two", "late"),
            node("Cast", "late", "more", to=FLOAT),
            node("Unsqueeze", "more last", "column"),
            node("Add", "x column", "y"),
        ],
        [("x", FLOAT, ["N", 4])],
        [("y", FLOAT, ["N", 4])],
        [
            constant("zero", [0]),
            constant("start", 0),
            constant("one", 1),
            constant("two", 2),
            constant("last", [-1]),
        ],
    )
