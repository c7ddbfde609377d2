"""Operations and bytes of ONNX operators, from the shapes that ONNX Runtime's profile has of them.

A multiplication and an addition are two operations. What an operator reads and writes is counted
once; views of a tensor and arithmetic on shapes cost nothing.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from tritongen.model.graph_work import GraphWork, Work

Dims = tuple[int, ...]

# Their events hold those of their bodies, which are counted.
_CONTAINERS = frozenset({"If", "Loop", "Scan", "SequenceMap"})
# Hand their input on, or read its shape.
_VIEWS = frozenset(
    {"Constant", "Dropout", "Flatten", "Identity", "MemcpyFromHost", "MemcpyToHost", "Reshape",
     "Shape", "Size", "Squeeze", "Unsqueeze"}
)  # fmt: skip
# Read of their first input only what they give.
_SELECTING = frozenset({"Gather", "GatherElements", "GatherND", "Slice"})
_MOVING = _SELECTING | {
    "Concat", "DepthToSpace", "Expand", "Pad", "ScatterElements", "ScatterND", "SpaceToDepth",
    "Split", "Tile", "Transpose",
}  # fmt: skip
# Operations an element: of an exponential, a division or a mean with variance. Chosen.
_COSTLY = 8
_COSTLY_TYPES = frozenset(
    {"Celu", "Cos", "Elu", "Erf", "Exp", "FastGelu", "Gelu", "GroupNormalization", "HardSwish",
     "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax", "LpNormalization", "Mish",
     "Pow", "RMSNormalization", "Resize", "Selu", "Sigmoid", "SimplifiedLayerNormalization", "Sin",
     "SkipLayerNormalization", "Softmax", "Softplus", "Swish", "Tanh"}
)  # fmt: skip
# The usual windows of pooling and of LRN; their sizes are not in shapes.
_WINDOW, _CHANNELS = 9, 5
# Which input of a convolution has its weights: channels out, channels in of a group, window.
_WEIGHTS = {"Conv": 1, "ConvInteger": 1, "FusedConv": 1, "QLinearConv": 3}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
# Shapes, axes and indices are integers of at most so many bytes, and stay on the CPU.
_SHAPE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Executed:
    """One operator as it was executed.

    Attributes:
        type: of the operator.
        inputs: their dims, those left out not counted.
        outputs: likewise.
        read_bytes: of inputs that are no weights.
        weight_bytes: of inputs that are.
        written_bytes: of outputs.
        integers: whether all outputs are 64-bit integers.
    """

    type: str
    inputs: tuple[Dims, ...]
    outputs: tuple[Dims, ...]
    read_bytes: int
    weight_bytes: int
    written_bytes: int
    integers: bool = False


def graph_work(first: Iterable[Executed], second: Iterable[Executed] | None) -> GraphWork:
    """The work by rows, from executions of one and of two; of one alone without a batch axis."""
    one = total(first)
    return GraphWork(one, total(second).plus(one, -1) if second is not None else None)


def total(executed: Iterable[Executed]) -> Work:
    """The work of one execution."""
    found, live = Work(), 0
    for operator in executed:
        found = found.plus(work_of(operator))
        if operator.type not in _CONTAINERS | _VIEWS:
            live = max(live, operator.read_bytes + operator.written_bytes)
    return replace(found, live_bytes=live)


def work_of(operator: Executed) -> Work:
    """The work of one operator."""
    if operator.type in _CONTAINERS | _VIEWS or not operator.outputs:
        return Work()
    if operator.integers and operator.written_bytes <= _SHAPE_BYTES:
        return Work()
    moved = operator.read_bytes + operator.weight_bytes + operator.written_bytes
    count = _MATRIX.get(operator.type)
    if count is not None:
        flops = round(count(operator.inputs, operator.outputs))
        if _is_depthwise(operator):
            return Work(other_flops=flops, other_bytes=moved, kernels=1)
        return Work(flops, moved, kernels=_steps(operator))
    if operator.type in _SELECTING:
        moved = min(moved, 2 * operator.written_bytes)
    return Work(other_flops=round(_other(operator)), other_bytes=moved, kernels=1)


def _is_depthwise(operator: Executed) -> bool:
    """Whether each channel is convolved by itself: nothing is shared, no matrix is multiplied."""
    at = _WEIGHTS.get(operator.type)
    if at is None:
        return False
    images, weights = operator.inputs[0], operator.inputs[at]
    return len(images) > 2 and len(weights) > 2 and weights[1] == 1 and images[1] > 1


def _size(dims: Sequence[int]) -> float:
    return float(math.prod(dims))


def _steps(operator: Executed) -> int:
    """Kernels of it: a recurrent layer goes through its sequence step by step."""
    if operator.type not in _GATES or not operator.inputs[0]:
        return 1
    return operator.inputs[0][0]


def _other(operator: Executed) -> float:
    name, written = operator.type, sum(map(_size, operator.outputs))
    if name in _MOVING:
        return 0.0
    if name.startswith(("Reduce", "Global", "Arg", "CumSum", "TopK")):
        return sum(map(_size, operator.inputs[:1]))
    if name.endswith("Pool"):
        return _WINDOW * written
    if name == "LRN":
        # Squares of some channels, their sum, and a power, which is a logarithm and an exponential.
        return (2 * _CHANNELS + 2 * _COSTLY) * written
    return written * (_COSTLY if name in _COSTLY_TYPES else 1)


def _convolution(weights: int) -> "Callable[[Sequence[Dims], Sequence[Dims]], float]":
    """Each output is a sum over a window of the weights' channels."""
    return lambda inputs, outputs: 2 * _size(outputs[0]) * _size(inputs[weights][1:])


def _transposed(inputs: Sequence[Dims], _outputs: Sequence[Dims]) -> float:
    """Each input is spread over a window of the outputs' channels."""
    return 2 * _size(inputs[0]) * _size(inputs[1][1:])


def _product(inputs: Sequence[Dims], outputs: Sequence[Dims]) -> float:
    """Each output is a sum over the last axis of the first input."""
    return 2 * _size(outputs[0]) * (inputs[0] or (1,))[-1]


def _gemm(inputs: Sequence[Dims], outputs: Sequence[Dims]) -> float:
    """The first input may be transposed: its size is the rows of the output by the sum's length."""
    return 2 * _size(inputs[0]) * (outputs[0] or (1,))[-1]


def _einsum(inputs: Sequence[Dims], outputs: Sequence[Dims]) -> float:
    """Of two inputs: sizes of a product behind the axes that all three begin with."""
    if len(inputs) != 2:
        return sum(map(_size, inputs))
    alike = takewhile(lambda sizes: len(set(sizes)) == 1, zip(*inputs, outputs[0], strict=False))
    batch = _size([sizes[0] for sizes in alike]) or 1.0
    return 2 * math.sqrt(_size(inputs[0]) * _size(inputs[1]) * _size(outputs[0]) / batch)


def _recurrent(gates: int) -> "Callable[[Sequence[Dims], Sequence[Dims]], float]":
    """Each step multiplies its input and the state by the weights of every gate."""

    def flops(inputs: Sequence[Dims], _outputs: Sequence[Dims]) -> float:
        steps, rows, width = inputs[0]
        directions, _, hidden = inputs[2]
        return 2.0 * steps * rows * directions * gates * hidden * (width + hidden)

    return flops


def _attention(inputs: Sequence[Dims], outputs: Sequence[Dims]) -> float:
    """Queries by keys, and that by values; with weights it makes those of its input first."""
    query, second = inputs[0], inputs[1]
    if len(second) > 2:
        return 4 * _size(query) * second[-2]
    return 2 * _size(query) * second[-1] + 4 * _size(outputs[0][:3]) * query[1]


_MATRIX: Mapping[str, Callable[[Sequence[Dims], Sequence[Dims]], float]] = {
    **{name: _convolution(at) for name, at in _WEIGHTS.items()},
    "DeformConv": _convolution(1),
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "QGemm": _gemm,
    "FusedGemm": _gemm,
    "MatMul": _product,
    "FusedMatMul": _product,
    "MatMulInteger": _product,
    "MatMulIntegerToFloat": _product,
    "DynamicQuantizeMatMul": _product,
    "QLinearMatMul": _product,
    "MatMulNBits": _product,
    "Einsum": _einsum,
    "Attention": _attention,
    "MultiHeadAttention": _attention,
    "GroupQueryAttention": _attention,
    "QAttention": _attention,
    **{name: _recurrent(gates) for name, gates in _GATES.items()},
}
