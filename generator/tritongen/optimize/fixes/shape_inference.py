"""What onnx works out of a graph without running it: shapes, constants, and where the batch goes.

Folding makes shapes visible that an exporter left to be computed. For the batch, inference runs
twice, with the original's batch size and with `PROBE` times as many rows: the axis of a value whose
size grows by that factor carries the batch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tritongen.model.samples import Array
from tritongen.model.tensors import Dim
from tritongen.optimize.libraries import Proto, onnx
from tritongen.optimize.onnx_files import LARGE_BYTES, subgraphs
from tritongen.optimize.rewritten_graph import Graph, dims_of, is_tensor, set_dims

Shapes = Mapping[str, tuple[Dim, ...]]
# Names for axes whose size has none, so that inference can carry them through.
_UNNAMED = "tritongen_unnamed"
# Their results differ from run to run, or stand for something else than a value.
_NEVER = frozenset(
    {
        "Constant",
        "DequantizeLinear",
        "Multinomial",
        "QuantizeLinear",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
    }
)
PROBE = 7


def infer(graph: Graph, inputs: Shapes | None = None) -> dict[str, tuple[Dim, ...]]:
    """Shapes of every value of the main graph, as far as onnx can tell.

    Args:
        graph: left as it is.
        inputs: other shapes for some of its inputs.

    Returns:
        By name; what cannot be told is left out. A size is an int, a symbol, or None.
    """
    library = onnx()
    copy = Graph(library.ModelProto())
    copy.proto.CopyFrom(graph.proto)
    copy.forget_shapes()
    for info in copy.proto.graph.output:
        if is_tensor(info):
            set_dims(info, None)
    for index, info in enumerate(copy.inputs):
        dims = (inputs or {}).get(info.name, dims_of(info))
        if is_tensor(info) and dims is not None:
            set_dims(info, _named(dims, index))
    try:
        inferred = library.shape_inference.infer_shapes(copy.proto, data_prop=True)
    except Exception:  # noqa: BLE001  (inference of a faulty graph may raise anything)
        inferred = copy.proto
    return _collect(inferred.graph)


def _named(dims: Sequence[Dim], index: int) -> list[Dim]:
    """Sizes without a name, and sizes below 1, get a symbol of their own."""
    return [
        f"{_UNNAMED}_{index}_{axis}" if dim is None or (isinstance(dim, int) and dim < 1) else dim
        for axis, dim in enumerate(dims)
    ]


def _collect(graph: Proto) -> dict[str, tuple[Dim, ...]]:
    shapes: dict[str, tuple[Dim, ...]] = {item.name: tuple(item.dims) for item in graph.initializer}
    for info in (*graph.input, *graph.value_info, *graph.output):
        dims = dims_of(info)
        if dims is not None:
            shapes[info.name] = dims
    for node in graph.node:
        if node.op_type == "Constant":
            for item in node.attribute:
                if item.name == "value":
                    shapes[node.output[0]] = tuple(item.t.dims)
    return shapes


def public(dims: Sequence[Dim]) -> tuple[Dim, ...]:
    """A shape fit to be declared: symbols of this module and of onnx's inference become None."""
    return tuple(
        None if isinstance(dim, str) and dim.startswith((_UNNAMED, "unk__")) else dim
        for dim in dims
    )


def is_unnamed(dim: Dim) -> bool:
    """Whether a size is one that an input leaves open without a name."""
    return isinstance(dim, str) and dim.startswith(_UNNAMED)


def fold_constants(graph: Graph) -> int:
    """Replace constant operators of the standard domain by their results; returns how many."""
    folded = 0
    for node in graph.topological():
        inputs = {name: graph.constant(name) for name in node.input if name}
        if not _foldable(node) or not inputs or any(value is None for value in inputs.values()):
            continue
        held = {name: value for name, value in inputs.items() if value is not None}
        results = _evaluate(graph, node, held)
        if results is None or any(value.nbytes > LARGE_BYTES for value in results.values()):
            continue
        for name, value in results.items():
            tensor = onnx().numpy_helper.from_array(np.ascontiguousarray(value), name)
            graph.proto.graph.initializer.append(tensor)
        graph.remove(node)
        folded += 1
    return folded


def _foldable(node: Proto) -> bool:
    return (
        node.domain in {"", "ai.onnx"}
        and node.op_type not in _NEVER
        and not any(True for _ in subgraphs(node))
    )


def _evaluate(graph: Graph, node: Proto, inputs: dict[str, Array]) -> dict[str, Array] | None:
    """The node's results by onnx's reference; None where it has none for this operator."""
    from onnx.reference import ReferenceEvaluator

    library = onnx()
    infos = [
        library.helper.make_tensor_value_info(
            name, library.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in inputs.items()
        if value.dtype != object
    ]
    names = [name for name in node.output if name]
    if len(infos) != len(inputs) or any(graph.is_output(name) for name in names):
        return None
    single = library.helper.make_graph([node], "single", infos, [])
    single.output.extend(library.ValueInfoProto(name=name) for name in names)
    model = library.helper.make_model(
        single, opset_imports=[library.helper.make_opsetid("", max(1, graph.opset()))]
    )
    try:
        results = ReferenceEvaluator(model).run(names, inputs)
    except Exception:  # noqa: BLE001  (the reference lacks operators, and raises all kinds)
        return None
    if not all(isinstance(value, np.ndarray | np.generic) for value in results):
        return None
    return dict(zip(names, map(np.asarray, results), strict=True))


@dataclass(frozen=True, slots=True)
class AxisPlan:
    """Which axis of each input is to carry the batch.

    Attributes:
        axes: axis by input.
        size: rows in the original.
        symbol: that stands for the batch in the declarations, empty when there is none.
    """

    axes: Mapping[str, int]
    size: int
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class BatchCarrier:
    """The axis of a value that carries the batch.

    Attributes:
        axis: of the value.
        inner: what the batch is multiplied with in that axis, the batch being the outer part.
    """

    axis: int
    inner: int = 1


@dataclass(slots=True)
class BatchTrace:
    """Shapes at both batch sizes, kept up to date with the graph.

    Attributes:
        graph: being rewritten.
        plan: in force.
        one: shapes with the original's rows.
        many: shapes with `PROBE` times as many.
    """

    graph: Graph
    plan: AxisPlan
    one: dict[str, tuple[Dim, ...]] = field(default_factory=dict)
    many: dict[str, tuple[Dim, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Infer anew; called after each change."""
        self.one = infer(self.graph, self._inputs(1))
        self.many = infer(self.graph, self._inputs(PROBE))

    def _inputs(self, factor: int) -> dict[str, tuple[Dim, ...]]:
        shapes = {}
        for info in self.graph.inputs:
            dims = dims_of(info)
            axis = self.plan.axes.get(info.name)
            if dims is not None and axis is not None:
                shapes[info.name] = tuple(
                    self.plan.size * factor if index == axis else dim
                    for index, dim in enumerate(dims)
                )
        return shapes

    def carrier(self, name: str) -> BatchCarrier | None:
        """The axis that carries the batch; None where none does or it cannot be told."""
        one, many = self.one.get(name), self.many.get(name)
        if one is None or many is None or len(one) != len(many):
            return None
        grown = [
            (axis, a)
            for axis, (a, b) in enumerate(zip(one, many, strict=True))
            if isinstance(a, int) and isinstance(b, int) and b == a * PROBE and a
        ]
        if len(grown) != 1 or grown[0][1] % self.plan.size:
            return None
        axis, size = grown[0]
        return BatchCarrier(axis, size // self.plan.size)

    def place(self, source: str, target: tuple[Dim, ...]) -> int | None:
        """Where a reshape must put the batch of `source` in `target`; None when nowhere.

        Elements keep their order, so the sizes before the batch must have the same product.
        """
        found = self.carrier(source)
        before = _product(self.one[source][: found.axis]) if found else None
        if found is None or before is None:
            return None
        places = [
            axis
            for axis, dim in enumerate(target)
            if isinstance(dim, int)
            and dim
            and dim % self.plan.size == 0
            and _product(target[:axis]) == before
        ]
        # Among axes of size 1 any would do; the one that it has is the likeliest.
        return found.axis if found.axis in places else next(iter(places), None)


def _product(dims: tuple[Dim, ...]) -> int | None:
    sizes = [dim for dim in dims if isinstance(dim, int)]
    return math.prod(sizes) if len(sizes) == len(dims) else None
