"""Shape inference by onnx, on a copy of the graph with other input shapes."""

from collections.abc import Mapping, Sequence

from tritongen.model.tensors import Dim
from tritongen.optimize.libraries import Proto, onnx
from tritongen.optimize.rewritten_graph import Graph, dims_of, is_tensor, set_dims

Shapes = Mapping[str, tuple[Dim, ...]]
# Names for axes whose size has none, so that inference can carry them through.
_UNNAMED = "tritongen_unnamed"


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
