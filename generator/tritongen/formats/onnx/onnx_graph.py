"""Operators of an ONNX file: main graph, sub-graphs and local functions, in one walk."""

from collections import Counter
from dataclasses import dataclass, field

from tritongen.formats.onnx.onnx_types import read_value_info
from tritongen.formats.onnx.weights import (
    OnnxWeights,
    TensorHeader,
    count_floats,
    read_sparse,
    read_tensor,
)
from tritongen.formats.operator_graph import Operator, Role
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import LENGTH, DamagedError, Data
from tritongen.model.tensors import TensorSpec

ML_DOMAIN = "ai.onnx.ml"

# protobuf refuses messages nested deeper than 100; a sub-graph sits three levels below its graph.
_MAX_NESTING = 33
# Beyond this the operators are counted, and their order is not looked at.
MAX_MEASURED = 1_000_000
# Beyond this the file is made to exhaust its reader.
MAX_OPERATORS = 5_000_000

_ROLES = {
    "Constant": Role.CONSTANT,
    "Identity": Role.PASS,
    "Dropout": Role.PASS,
    "Shape": Role.SIZE,
    "Size": Role.SIZE,
    **dict.fromkeys(
        (
            "Bernoulli",
            "Multinomial",
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
        ),
        Role.CHANCE,
    ),
}

# Fields of AttributeProto with lists of numbers and texts.
_FLOATS = 7
_LISTS = frozenset({_FLOATS, 8, 9})

Span = tuple[int, int]


@dataclass(slots=True)
class RawNode:
    """One NodeProto, its attributes unread."""

    type: str = ""
    domain: str = ""
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    attributes: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class Operators:
    """What the operators of a file add up to.

    Attributes:
        total: operators of the main graph and its sub-graphs.
        counts: the same by type.
        types: every (domain, type) in use, functions included.
        all_counts: as `counts`, functions included.
        nodes: the main graph for `measure`; empty when there are more than `MAX_MEASURED`.
        endless: whether there are.
        ids: number of each of the main graph's values.
    """

    total: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    types: set[tuple[str, str]] = field(default_factory=set)
    all_counts: Counter[str] = field(default_factory=Counter)
    nodes: list[Operator] = field(default_factory=list)
    endless: bool = False
    ids: dict[bytes, int] = field(default_factory=dict)

    def number(self, value: bytes) -> int:
        """The number of a value of the main graph."""
        return self.ids.setdefault(value, len(self.ids))


@dataclass(slots=True)
class GraphContent:
    """What is listed in the main graph itself.

    Attributes:
        inputs: each with its name as stored, overridable initialisers included.
        outputs: likewise.
        initialisers: names of dense and sparse ones.
    """

    inputs: list[tuple[bytes, TensorSpec]] = field(default_factory=list)
    outputs: list[tuple[bytes, TensorSpec]] = field(default_factory=list)
    initialisers: set[bytes] = field(default_factory=set)


def read_graph(
    data: Data, span: Span, operators: Operators, weights: OnnxWeights, content: GraphContent
) -> None:
    """Add the main graph to the sums.

    Raises:
        DamagedError: a field does not fit, or graphs are nested without end.
    """
    for number, first, last in wire.parts(data, *span):
        if number == 1:
            _main_node(data, (first, last), operators, weights)
        elif number in {5, 15}:
            header = _initialiser(data, number, (first, last), weights)
            content.initialisers.add(header.name if header else b"")
        elif number == 11:
            content.inputs.append(read_value_info(data, first, last))
        elif number == 12:
            content.outputs.append(read_value_info(data, first, last))


def read_function(
    data: Data, span: Span, operators: Operators, weights: OnnxWeights
) -> tuple[str, str]:
    """Add a FunctionProto's operators to the types in use, not to the graph's count.

    Returns:
        The function's domain and name.

    Raises:
        DamagedError: a field does not fit, or graphs are nested without end.
    """
    name = domain = ""
    body = Operators()
    for number, first, last in wire.parts(data, *span):
        if number == 1:
            name = wire.text(data, first, last)
        elif number == 10:
            domain = wire.text(data, first, last)
        elif number == 7:
            node = _read_node(data, (first, last))
            _count(node, body)
            _walk(data, node, body, weights)
    operators.types |= body.types
    operators.all_counts.update(body.all_counts)
    return domain, name


def _main_node(data: Data, span: Span, operators: Operators, weights: OnnxWeights) -> None:
    node = _read_node(data, span)
    _count(node, operators)
    captured, inside = _walk(data, node, operators, weights)
    if len(operators.nodes) >= MAX_MEASURED:
        operators.endless = True
        operators.nodes.clear()
    if operators.endless:
        return
    role = _ROLES.get(node.type, Role.WORK) if node.domain in {"", "ai.onnx"} else Role.WORK
    number = operators.number
    operators.nodes.append(
        Operator(
            role,
            tuple(number(value) for value in (*node.inputs, *captured) if value),
            tuple(number(value) for value in node.outputs if value),
            1 + inside,
        )
    )


def _read_node(data: Data, span: Span) -> RawNode:
    node = RawNode()
    for number, first, last in wire.parts(data, *span):
        if number == 1:
            node.inputs.append(wire.raw(data, first, last))
        elif number == 2:
            node.outputs.append(wire.raw(data, first, last))
        elif number == 4:
            node.type = wire.text(data, first, last)
        elif number == 5:
            node.attributes.append((first, last))
        elif number == 7:
            node.domain = wire.text(data, first, last)
    return node


def _count(node: RawNode, operators: Operators) -> None:
    operators.total += 1
    if operators.total > MAX_OPERATORS:
        raise DamagedError(f"the file holds more than {MAX_OPERATORS} operators")
    operators.counts[node.type] += 1
    operators.all_counts[node.type] += 1
    operators.types.add((node.domain or "ai.onnx", node.type))


def _walk(
    data: Data, node: RawNode, operators: Operators, weights: OnnxWeights
) -> tuple[list[bytes], int]:
    """Count what hangs on a node's attributes, however deep, without recursion.

    Returns:
        The values that its sub-graphs read from outside, and the operators in the largest of them.
    """
    scope = _Scope()
    largest = 0
    for graph in _attributes(data, node, weights):
        before = operators.total - operators.counts["Constant"]
        pending = [(graph, 1)]
        while pending:
            span, depth = pending.pop()
            if depth > _MAX_NESTING:
                raise DamagedError("graphs are nested deeper than protobuf allows")
            inner = _subgraph(data, span, operators, weights, scope)
            pending += [(nested, depth + 1) for nested in inner]
        counted = operators.total - operators.counts["Constant"] - before
        largest = max(largest, counted)
    return scope.captured(), largest


@dataclass(slots=True)
class _Scope:
    """Names that the sub-graphs of one operator read and define."""

    read: list[bytes] = field(default_factory=list)
    defined: set[bytes] = field(default_factory=set)

    def captured(self) -> list[bytes]:
        """What is read and comes from outside."""
        return [value for value in dict.fromkeys(self.read) if value not in self.defined]


def _subgraph(
    data: Data, span: Span, operators: Operators, weights: OnnxWeights, scope: _Scope
) -> list[Span]:
    """Count one sub-graph, and return those nested in it."""
    nested: list[Span] = []
    for number, first, last in wire.parts(data, *span):
        if number == 1:
            node = _read_node(data, (first, last))
            _count(node, operators)
            scope.read += node.inputs
            scope.defined.update(node.outputs)
            nested += _attributes(data, node, weights)
        elif number in {5, 15}:
            header = _initialiser(data, number, (first, last), weights)
            scope.defined.add(header.name if header else b"")
        elif number == 11:
            scope.defined.add(read_value_info(data, first, last)[0])
        elif number == 12:
            scope.read.append(read_value_info(data, first, last)[0])
    return nested


def _initialiser(data: Data, number: int, span: Span, weights: OnnxWeights) -> TensorHeader | None:
    header = read_tensor(data, *span) if number == 5 else read_sparse(data, *span)
    if header is not None:
        weights.add(header)
    return header


def _attributes(data: Data, node: RawNode, weights: OnnxWeights) -> list[Span]:
    """Count the weights among a node's attributes, and return its sub-graphs."""
    graphs: list[Span] = []
    constant = node.type == "Constant" and node.domain in {"", "ai.onnx"}
    holds = constant or node.domain == ML_DOMAIN
    for start, stop in node.attributes:
        at = start
        for number, kind, first, last in wire.fields(data, start, stop):
            if number in _LISTS:
                # It may have millions of entries, and an attribute with a list holds no graph.
                if number == _FLOATS and node.domain == ML_DOMAIN:
                    weights.add_plain("FP32", count_floats(data, at, stop, number), 4)
                break
            at = last
            if kind != LENGTH:
                continue
            if number in {6, 11}:
                graphs.append((first, last))
            elif holds and number in {5, 10}:
                weights.add(read_tensor(data, first, last))
            elif holds and number == 22:
                header = read_sparse(data, first, last)
                if header is not None:
                    weights.add(header)
    return graphs
