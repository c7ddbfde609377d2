"""TensorFlow graphs: placeholders are the inputs, what nothing reads are the outputs."""

from collections import Counter
from dataclasses import dataclass, field

from tritongen.formats.operator_graph import Operator, Role, measure
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.mapped_file import mapped
from tritongen.formats.parsing.wire import LENGTH, VARINT, DamagedError, Data
from tritongen.formats.reading import ModelSource
from tritongen.formats.tensorflow.tensorflow_types import dtype_of, label_of, shape_of
from tritongen.model.facts import GraphShape, ModelFacts
from tritongen.model.tensors import DType, Shape, TensorSpec

# Chosen: beyond this the file is made to exhaust its reader.
_MAX_NODES = 5_000_000
_ROLES = {"Const": Role.CONSTANT, "Identity": Role.PASS, "NoOp": Role.CONSTANT, "Shape": Role.SIZE}
# Chosen: that many candidates for outputs are worth telling.
_MAX_OUTPUTS = 64


@dataclass(slots=True)
class _GraphNode:
    name: str = ""
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    dtype: int = 0
    shape: Shape | None = None
    constant_bytes: int = 0


def read_graphdef(source: ModelSource) -> ModelFacts:
    """The facts of one graph.

    Raises:
        DamagedError: TG102, it cannot be read as a graph.
        OSError: it cannot be opened.
    """
    with mapped(source.file) as data:
        nodes = _nodes(data)
    if not nodes:
        raise DamagedError("the file holds no nodes")
    read = {name for node in nodes for name in node.inputs}
    outputs = [
        node
        for node in nodes
        if node.name not in read and node.operator not in {"Const", "NoOp", "Placeholder"}
    ]
    return ModelFacts(
        source.model,
        source.path,
        source.format,
        inputs=tuple(_input(node) for node in nodes if node.operator.startswith("Placeholder")),
        outputs=tuple(TensorSpec(node.name, None, None) for node in outputs[:_MAX_OUTPUTS]),
        weight_bytes=sum(node.constant_bytes for node in nodes),
        graph=_graph(nodes),
        producer="TensorFlow",
    )


def _input(node: _GraphNode) -> TensorSpec:
    dtype: DType | None = dtype_of(node.dtype)
    return TensorSpec(node.name, dtype, node.shape, declared_type=label_of(node.dtype))


def _nodes(data: Data) -> list[_GraphNode]:
    nodes = []
    for number, first, last in wire.parts(data, 0, len(data)):
        if number == 1:
            nodes.append(_node(data, first, last))
            if len(nodes) > _MAX_NODES:
                raise DamagedError(f"the graph holds more than {_MAX_NODES} nodes")
    return nodes


def _node(data: Data, start: int, stop: int) -> _GraphNode:
    node = _GraphNode()
    for number, first, last in wire.parts(data, start, stop):
        if number == 1:
            node.name = wire.text(data, first, last)
        elif number == 2:
            node.operator = wire.text(data, first, last)
        elif number == 3:
            # ``^name`` is an order without data, ``name:1`` the second output.
            node.inputs.append(wire.text(data, first, last).lstrip("^").partition(":")[0])
        elif number == 5:
            _attribute(data, first, last, node)
    return node


def _attribute(data: Data, start: int, stop: int, node: _GraphNode) -> None:
    key, value = wire.map_entry(data, start, stop)
    if value is None:
        return
    if key == "value":
        node.constant_bytes = value[1] - value[0]
        return
    for number, kind, first, last in wire.fields(data, *value):
        if key == "dtype" and number == 6 and kind == VARINT:
            node.dtype = first
        elif key == "shape" and number == 7 and kind == LENGTH:
            node.shape = shape_of(data, first, last)


def _graph(nodes: list[_GraphNode]) -> GraphShape:
    numbers = {node.name: index for index, node in enumerate(nodes)}
    live = {numbers[node.name] for node in nodes if node.operator.startswith("Placeholder")}
    form = [
        Operator(
            _ROLES.get(node.operator, Role.WORK),
            tuple(numbers[name] for name in node.inputs if name in numbers),
            (numbers[node.name],),
        )
        for node in nodes
        if not node.operator.startswith("Placeholder")
    ]
    extent = measure(form, live)
    counts = Counter(node.operator for node in nodes)
    for plain in ("Const", "NoOp", "Placeholder"):
        counts.pop(plain, None)
    return extent.shape(counts.total(), counts)
