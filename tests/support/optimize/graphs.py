"""Random small graphs whose rows do not depend on one another, for the property tests.

`Net` grows a graph operator by operator and knows where the batch is; every shape that it writes
has the number of rows in it, as exporters write them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Draw = Callable[..., object]


@dataclass
class Net:
    """A graph that is being grown.

    Attributes:
        draw: Hypothesis' draw.
        shape: of the last value, with `rows` at `axis`.
        axis: that carries the batch.
        rows: in the batch.
        input_dims: shape of the input.
    """

    draw: Draw
    shape: list[int]
    rows: int
    axis: int = 0
    last: str = "x"
    nodes: list[NodeProto] = field(default_factory=list)
    held: list[TensorProto] = field(default_factory=list)
    input_dims: list[int] = field(default_factory=list)

    def pick(self, low: int, high: int) -> int:
        """A whole number."""
        return int(self.draw(st.integers(low, high)))

    def choose(self, options: list[int]) -> int:
        """One of several."""
        return int(self.draw(st.sampled_from(options)))

    def constant(self, values: object, dtype: str = "int64") -> str:
        """A new constant."""
        name = f"c{len(self.held)}"
        self.held.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def numbers(self, *shape: int) -> str:
        """A constant of normal values, the same for every row."""
        rng = np.random.default_rng(len(self.held) + 1)
        return self.constant(rng.normal(0, 0.7, shape), "float32")

    def add(self, op: str, *inputs: str, **attributes: object) -> None:
        """A node on the last value."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.last, *inputs], [name], **attributes))
        self.last = name

    @property
    def others(self) -> list[int]:
        """Axes without the batch."""
        return [axis for axis in range(len(self.shape)) if axis != self.axis]

    # Operators.

    def activate(self) -> None:
        """An operator on each element."""
        self.add(str(self.draw(st.sampled_from(["Relu", "Tanh", "Sigmoid"]))))

    def shift(self) -> None:
        """A constant added: without the batch axis, or stored once a row."""
        shape = [1] * len(self.shape)
        for axis in self.others:
            shape[axis] = self.shape[axis]
        values = np.random.default_rng(len(self.held)).normal(0, 1, shape)
        if self.draw(st.booleans()):
            values = np.repeat(values, self.rows, self.axis)
        self.add("Add", self.constant(values, "float32"))

    def multiply(self) -> None:
        """A matrix on the last axis."""
        if self.axis == len(self.shape) - 1:
            return
        size = self.pick(2, 5)
        self.add("MatMul", self.numbers(self.shape[-1], size))
        self.shape[-1] = size

    def permute(self) -> None:
        """The axes in another order, the batch among them."""
        order = list(self.draw(st.permutations(range(len(self.shape)))))
        self.add("Transpose", perm=order)
        self.shape = [self.shape[axis] for axis in order]
        self.axis = order.index(self.axis)

    def reshape(self) -> None:
        """Other sizes behind the batch axis, one of them perhaps left open."""
        rest = math.prod(self.shape[self.axis + 1 :])
        if self.axis == len(self.shape) - 1 or len(self.shape) > 4:
            return
        first = self.choose([n for n in range(1, rest + 1) if rest % n == 0])
        shape = [*self.shape[: self.axis + 1], first, rest // first]
        target = list(shape)
        if self.draw(st.booleans()):
            target[self.choose([i for i in range(len(shape)) if i != self.axis])] = -1
        self.add("Reshape", self.constant(target))
        self.shape = shape

    def flat_product(self) -> None:
        """The batch merged with the axis behind it, multiplied, and taken apart again."""
        if self.axis != 0 or len(self.shape) != 3:
            return
        rows, steps, size = self.shape
        self.add("Reshape", self.constant([rows * steps, size]))
        self.add("MatMul", self.numbers(size, 3))
        self.add("Reshape", self.constant([rows, steps, 3]))
        self.shape[2] = 3

    def join(self) -> None:
        """A constant for every row in front, along another axis."""
        if not self.others:
            return
        axis = self.choose(self.others)
        shape = list(self.shape)
        shape[axis] = self.pick(1, 2)
        single = [1 if i == self.axis else size for i, size in enumerate(shape)]
        values = np.random.default_rng(len(self.held)).normal(0, 1, single)
        name = self.constant(np.repeat(values, self.rows, self.axis), "float32")
        self.add("Concat", name, axis=axis)
        self.shape[axis] += shape[axis]

    def cut(self) -> None:
        """A part of another axis, or every row by its number."""
        everything = bool(self.draw(st.booleans())) or not self.others
        axis = self.axis if everything else self.choose(self.others)
        end = self.rows if everything else self.pick(1, self.shape[axis])
        self.add("Slice", self.constant([0]), self.constant([end]), self.constant([axis]))
        self.shape[axis] = end

    def reduce(self) -> None:
        """The mean along another axis."""
        if len(self.others) < 2:
            return
        axis, keep = self.choose(self.others), self.pick(0, 1)
        self.add("ReduceMean", axes=[axis], keepdims=keep)
        if keep:
            self.shape[axis] = 1
            return
        del self.shape[axis]
        self.axis -= axis < self.axis

    def normalise(self) -> None:
        """Softmax along another axis."""
        if self.others:
            self.add("Softmax", axis=self.choose(self.others))

    def widen(self) -> None:
        """One more axis of size 1."""
        if len(self.shape) > 3:
            return
        place = self.pick(0, len(self.shape))
        self.add("Unsqueeze", self.constant([place]))
        self.shape.insert(place, 1)
        self.axis += place <= self.axis

    def recur(self) -> None:
        """A recurrent layer with stored initial states, on [rows, steps, size]."""
        if len(self.shape) != 3 or self.axis != 0:
            return
        rows, steps, size = self.shape
        hidden = 3
        self.add("Transpose", perm=[1, 0, 2])
        weights = [self.numbers(1, 4 * hidden, size), self.numbers(1, 4 * hidden, hidden)]
        state = self.constant(np.full((1, rows, hidden), 0.3), "float32")
        self.add("LSTM", *weights, "", "", state, state, hidden_size=hidden)
        self.add("Squeeze", self.constant([1]))
        self.add("Transpose", perm=[1, 0, 2])
        self.shape = [rows, steps, hidden]

    def front(self) -> None:
        """The batch axis first, as outputs usually have it."""
        if self.axis:
            order = [self.axis, *self.others]
            self.add("Transpose", perm=order)
            self.shape = [self.shape[axis] for axis in order]
            self.axis = 0


OPERATORS = (
    Net.activate,
    Net.shift,
    Net.multiply,
    Net.permute,
    Net.reshape,
    Net.flat_product,
    Net.join,
    Net.cut,
    Net.reduce,
    Net.normalise,
    Net.widen,
    Net.recur,
)


def grown(draw: Draw, rows: int, operators: int = 6) -> Net:
    """A net of random operators on an input of random size."""
    sizes = [int(draw(st.integers(2, 4))) for _ in range(int(draw(st.integers(1, 3))))]
    net = Net(draw, [rows, *sizes], rows)
    net.input_dims = [rows, *sizes]
    for _ in range(int(draw(st.integers(1, operators)))):
        draw(st.sampled_from(OPERATORS))(net)
    if not net.nodes:
        net.activate()
    return net


def finished(net: Net, *, opset: int = 17, ir: int = 8) -> ModelProto:
    """The net as a model whose declarations are all fixed."""
    net.add("Identity")
    net.nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        net.nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, net.input_dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, net.shape)],
        net.held,
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


@st.composite
def fixed_batch_models(draw: Draw) -> tuple[ModelProto, int, int]:
    """A model with the number of rows baked in, that number, and the output's batch axis."""
    rows = int(draw(st.sampled_from([1, 1, 2, 3])))
    net = grown(draw, rows)
    if draw(st.booleans()):
        net.front()
    return finished(net), rows, net.axis


@st.composite
def models(draw: Draw, operators: int = 4) -> ModelProto:
    """A model of fixed sizes with one row."""
    return finished(grown(draw, 1, operators))
