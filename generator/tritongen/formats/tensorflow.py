"""TensorFlow's SavedModels and graphs, read without TensorFlow."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tritongen.formats.operator_graph import Operator, Role, measure
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import LENGTH, VARINT, DamagedError, Data, mapped
from tritongen.formats.reading import ModelSource
from tritongen.model.facts import GraphShape, ModelFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.tensors import Dim, DType, Shape, TensorKind, TensorSpec

_DTYPES: Mapping[int, DType] = {
    1: DType.FP32,
    2: DType.FP64,
    3: DType.INT32,
    4: DType.UINT8,
    5: DType.INT16,
    6: DType.INT8,
    7: DType.BYTES,
    9: DType.INT64,
    10: DType.BOOL,
    14: DType.BF16,
    17: DType.UINT16,
    19: DType.FP16,
    22: DType.UINT32,
    23: DType.UINT64,
}
_NAMES: Mapping[int, str] = {
    8: "DT_COMPLEX64",
    11: "DT_QINT8",
    12: "DT_QUINT8",
    13: "DT_QINT32",
    18: "DT_COMPLEX128",
    20: "DT_RESOURCE",
    21: "DT_VARIANT",
}
# TensorShape::MaxDimensions() of TensorFlow.
_MAX_RANK = 254

# Chosen: beyond this the file is made to exhaust its reader.
_MAX_NODES = 5_000_000
_ROLES = {"Const": Role.CONSTANT, "Identity": Role.PASS, "NoOp": Role.CONSTANT, "Shape": Role.SIZE}
# Chosen: that many candidates for outputs are worth telling.
_MAX_OUTPUTS = 64
SIGNATURE = "serving_default"
TAG = "serve"
# Chosen: models have a few tags, signatures and tensors; further ones are not kept.
_MAX_ENTRIES = 100_000
_MAIN = "saved_model.pb"

# Inputs and outputs.
_Sides = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]


def _spec(
    name: str, number: int, shape: Shape | None, kind: TensorKind = TensorKind.TENSOR
) -> TensorSpec:
    """A tensor of a type of TensorFlow's, with that type in its own words."""
    dtype = _DTYPES.get(number)
    label = f"DT_{dtype.value}" if dtype else _NAMES.get(number, f"type {number}")
    return TensorSpec(name, dtype, shape, kind, declared_type=label)


def _shape(data: Data, start: int, stop: int) -> Shape | None:
    """The sizes of a TensorShapeProto, None when its rank is not known.

    Raises:
        DamagedError: a field does not fit.
    """
    dims: list[Dim] = []
    for number, kind, first, last in wire.fields(data, start, stop):
        if number == 3 and kind == VARINT and first:
            return None
        if number == 2 and kind == LENGTH:
            dims.append(_dim(data, first, last))
            if len(dims) > _MAX_RANK:
                raise wire.DamagedError(f"a shape has more than {_MAX_RANK} axes")
    return tuple(dims)


def _dim(data: Data, start: int, stop: int) -> Dim:
    for number, kind, first, _ in wire.fields(data, start, stop):
        if number == 1 and kind == VARINT:
            size = wire.signed(first)
            return size if size >= 0 else None
    return 0  # a size of zero is not written


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
    return replace(
        source.facts,
        inputs=tuple(
            _spec(node.name, node.dtype, node.shape)
            for node in nodes
            if node.operator.startswith("Placeholder")
        ),
        outputs=tuple(TensorSpec(node.name, None, None) for node in outputs[:_MAX_OUTPUTS]),
        weight_bytes=sum(node.constant_bytes for node in nodes),
        graph=_graph(nodes),
        producer="TensorFlow",
    )


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
            node.shape = _shape(data, first, last)


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


@dataclass(slots=True)
class MetaGraph:
    """One graph of a SavedModel."""

    tags: set[str] = field(default_factory=set)
    version: str = ""
    signatures: dict[str, _Sides] = field(default_factory=dict)


def read_savedmodel(source: ModelSource) -> ModelFacts:
    """The facts of one SavedModel folder.

    Raises:
        DamagedError: TG102, its message cannot be read, or it holds no graph.
        OSError: it cannot be opened.
    """
    main = source.file / _MAIN
    if not main.exists():
        return source.facts.refused(
            "TG105",
            "a SavedModel in text form (saved_model.pbtxt)",
            fix="Load and save it again: TensorFlow then writes saved_model.pb.",
        )
    with mapped(main) as data:
        fields = wire.parts(data, 0, len(data))
        graphs = [_meta_graph(data, first, last) for number, first, last in fields if number == 2]
    served = next((graph for graph in graphs if TAG in graph.tags), None)
    graph = served or (graphs[0] if graphs else None)
    if graph is None:
        raise DamagedError(f"{_MAIN} holds no graph")
    inputs, outputs = graph.signatures.get(SIGNATURE, ((), ()))
    return replace(
        source.facts,
        inputs=inputs,
        outputs=outputs,
        weight_bytes=_variable_bytes(source),
        producer=f"TensorFlow {graph.version}" if graph.version else "",
        findings=tuple(_findings(source, graph, tagged=served is not None)),
    )


def _meta_graph(data: Data, start: int, stop: int) -> MetaGraph:
    graph = MetaGraph()
    for number, first, last in wire.parts(data, start, stop):
        if number == 1:
            _meta_info(data, first, last, graph)
        elif number == 5 and len(graph.signatures) < _MAX_ENTRIES:
            key, value = wire.map_entry(data, first, last)
            if value is not None:
                graph.signatures[key] = _signature(data, *value)
    return graph


def _meta_info(data: Data, start: int, stop: int, graph: MetaGraph) -> None:
    for number, first, last in wire.parts(data, start, stop):
        if number == 4 and len(graph.tags) < _MAX_ENTRIES:
            graph.tags.add(wire.text(data, first, last))
        elif number == 5:
            graph.version = wire.text(data, first, last)


def _signature(data: Data, start: int, stop: int) -> _Sides:
    sides: Mapping[int, dict[str, TensorSpec]] = {1: {}, 2: {}}
    for number, first, last in wire.parts(data, start, stop):
        if number in sides and len(sides[number]) < _MAX_ENTRIES:
            name, value = wire.map_entry(data, first, last)
            if value is not None:
                sides[number][name] = _tensor(data, name, *value)
    # A map's order means nothing; by name it is the same in every file.
    ordered = [tuple(specs[name] for name in sorted(specs)) for specs in sides.values()]
    return ordered[0], ordered[1]


def _tensor(data: Data, name: str, start: int, stop: int) -> TensorSpec:
    number, shape, kind = 0, None, TensorKind.TENSOR
    for tag, wire_type, first, last in wire.fields(data, start, stop):
        if tag == 2 and wire_type == VARINT:
            number = first
        elif tag == 3 and wire_type == LENGTH:
            shape = _shape(data, first, last)
        elif tag == 4 and wire_type == LENGTH:
            kind = TensorKind.SPARSE
        elif tag == 5 and wire_type == LENGTH:
            kind = TensorKind.OPAQUE
    return _spec(name, number, shape, kind)


def _variable_bytes(source: ModelSource) -> int:
    folder = source.file / "variables"
    try:
        return sum(
            entry.stat().st_size
            for entry in os.scandir(folder)
            if entry.name.startswith("variables.data-") and entry.is_file()
        )
    except OSError:
        return 0  # a frozen model has none


def _findings(source: ModelSource, graph: MetaGraph, *, tagged: bool) -> Iterator[Finding]:
    if not tagged:
        tags = ", ".join(sorted(graph.tags)) or "none"
        message = f"no graph has the tag {TAG!r}; there is {tags}"
        fix = f"Set parameter TF_GRAPH_TAG to {tags!r} in the overlay."
        yield source.facts.finding("TG133", message, severity=Severity.WARNING, fix=fix)
    if SIGNATURE not in graph.signatures:
        names = ", ".join(sorted(graph.signatures)[:5]) or "none"
        message = f"the model has no signature {SIGNATURE!r}; it has {names}"
        fix = "Save it with signatures={'serving_default': …}."
        yield source.facts.finding("TG120", message, fix=fix)
