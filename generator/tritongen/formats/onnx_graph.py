"""Operators and weights of an ONNX file: main graph, sub-graphs and local functions, in one walk.

Weights are counted from their headers, never read.
"""

from collections import Counter
from dataclasses import dataclass, field

from tritongen.formats.onnx_tensors import (
    TensorHeader,
    count_floats,
    read_sparse,
    read_tensor,
    read_value_info,
)
from tritongen.formats.onnx_trees import votes_for_one_class
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

# Beyond this the file is made to exhaust its reader.
MAX_TENSORS = 5_000_000
# Chosen: models have some hundreds of inputs and outputs at most.
MAX_DECLARED = 100_000
# How many faults of one file are told one by one.
MAX_FAULTS = 5

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
        types: how many there are of each (domain, type), functions included.
        nodes: the main graph for `measure`; empty when there are more than `MAX_MEASURED`.
        endless: whether there are.
        ids: number of each of the main graph's values.
        one_class_votes: whether a tree classifier holds the votes for one of two classes.
    """

    total: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    types: Counter[tuple[str, str]] = field(default_factory=Counter)
    nodes: list[Operator] = field(default_factory=list)
    endless: bool = False
    ids: dict[bytes, int] = field(default_factory=dict)
    one_class_votes: bool = False

    def number(self, value: bytes) -> int:
        """The number of a value of the main graph."""
        return self.ids.setdefault(value, len(self.ids))


@dataclass(slots=True)
class OnnxWeights:
    """What the tensors of a file add up to.

    Attributes:
        counts: number of weights by element type.
        size: bytes of the weights, external data included.
        external: data file to the number of bytes that it must have at least.
        faults: sentences on the first tensors that no runtime would load.
        faulty: how many such tensors there are.
        tensors: how many there are in all.
    """

    counts: Counter[str] = field(default_factory=Counter)
    size: int = 0
    external: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    faulty: int = 0
    tensors: int = 0

    def add(self, header: TensorHeader) -> None:
        """Count one tensor.

        Raises:
            DamagedError: there are more of them than a file has reason to hold.
        """
        self.tensors += 1
        if self.tensors > MAX_TENSORS:
            raise DamagedError(f"the file holds more than {MAX_TENSORS} tensors")
        count = header.count
        self.counts[header.label] += count
        self.size += header.stored
        if header.external is not None:
            entry = header.external
            end = entry.offset + header.stored
            self.external[entry.location] = max(end, self.external.get(entry.location, 0))
        fault = header.fault()
        if fault:
            self.faulty += 1
            if self.faulty <= MAX_FAULTS:
                self.faults.append(fault)

    def add_plain(self, label: str, count: int, itemsize: int) -> None:
        """Count weights that are kept as a list of numbers in an attribute."""
        if count:
            self.counts[label] += count
            self.size += count * itemsize


@dataclass(slots=True)
class OnnxContent:
    """A ModelProto as far as it was read.

    Attributes:
        ir_version: None when the file does not say.
        producer: name and version of the exporter, by their fields.
        opsets: version by domain.
        graphs: how many there are.
        functions: (domain, name) of the local ones.
        inputs: of the main graph, each with its name as stored, overridable initialisers included.
        outputs: likewise.
        initialisers: names of the main graph's dense and sparse ones.
        operators: what they add up to.
        weights: likewise.
    """

    ir_version: int | None = None
    producer: dict[int, str] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)
    graphs: int = 0
    functions: set[tuple[str, str]] = field(default_factory=set)
    inputs: list[tuple[bytes, TensorSpec]] = field(default_factory=list)
    outputs: list[tuple[bytes, TensorSpec]] = field(default_factory=list)
    initialisers: set[bytes] = field(default_factory=set)
    operators: Operators = field(default_factory=Operators)
    weights: OnnxWeights = field(default_factory=OnnxWeights)


def read_graph(data: Data, span: Span, model: OnnxContent) -> None:
    """Add the main graph to the model.

    Raises:
        DamagedError: a field does not fit, or graphs are nested without end.
    """
    model.graphs += 1
    for number, first, last in wire.parts(data, *span):
        if number == 1:
            _main_node(data, (first, last), model.operators, model.weights)
        elif number in {5, 15}:
            model.initialisers.add(_tensor(data, number, (first, last), model.weights))
        elif number == 11:
            model.inputs.append(read_value_info(data, first, last))
        elif number == 12:
            model.outputs.append(read_value_info(data, first, last))
        if len(model.inputs) + len(model.outputs) > MAX_DECLARED:
            raise DamagedError(f"the graph has more than {MAX_DECLARED} inputs and outputs")


def read_function(data: Data, span: Span, model: OnnxContent) -> None:
    """Add a FunctionProto; its operators to the types in use, not to the graph's count.

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
            node = read_node(data, (first, last))
            _count(data, node, body)
            _walk(data, node, body, model.weights)
    model.operators.types.update(body.types)
    model.functions.add((domain or "ai.onnx", name))


def _main_node(data: Data, span: Span, operators: Operators, weights: OnnxWeights) -> None:
    node = read_node(data, span)
    _count(data, node, operators)
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


def read_node(data: Data, span: Span) -> RawNode:
    """One NodeProto.

    Raises:
        DamagedError: a field does not fit.
    """
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


def _count(data: Data, node: RawNode, operators: Operators) -> None:
    operators.total += 1
    if operators.total > MAX_OPERATORS:
        raise DamagedError(f"the file holds more than {MAX_OPERATORS} operators")
    operators.counts[node.type] += 1
    operators.types[node.domain or "ai.onnx", node.type] += 1
    if node.type == "TreeEnsembleClassifier" and not operators.one_class_votes:
        operators.one_class_votes = votes_for_one_class(data, node.attributes)


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
    captured = [value for value in dict.fromkeys(scope.read) if value not in scope.defined]
    return captured, largest


@dataclass(slots=True)
class _Scope:
    """Names that the sub-graphs of one operator read and define."""

    read: list[bytes] = field(default_factory=list)
    defined: set[bytes] = field(default_factory=set)


def _subgraph(
    data: Data, span: Span, operators: Operators, weights: OnnxWeights, scope: _Scope
) -> list[Span]:
    """Count one sub-graph, and return those nested in it."""
    nested: list[Span] = []
    for number, first, last in wire.parts(data, *span):
        if number == 1:
            node = read_node(data, (first, last))
            _count(data, node, operators)
            scope.read += node.inputs
            scope.defined.update(node.outputs)
            nested += _attributes(data, node, weights)
        elif number in {5, 15}:
            scope.defined.add(_tensor(data, number, (first, last), weights))
        elif number == 11:
            scope.defined.add(read_value_info(data, first, last)[0])
        elif number == 12:
            scope.read.append(read_value_info(data, first, last)[0])
    return nested


def _tensor(data: Data, number: int, span: Span, weights: OnnxWeights) -> bytes:
    """Count a tensor of a graph or an attribute, dense or sparse by its field; its name."""
    header = (read_tensor if number in {5, 10} else read_sparse)(data, *span)
    if header is not None:
        weights.add(header)
    return header.name if header else b""


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
            elif holds and number in {5, 10, 22}:
                _tensor(data, number, (first, last), weights)
    return graphs
