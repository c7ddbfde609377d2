"""Operators that bake the batch in, and how each is made to follow the data.

A rule looks at one node whose inputs are right for any number of rows, and changes it where its
result would not be. It returns whether it changed anything.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tritongen.optimize.fixes.fix import CannotFix
from tritongen.optimize.fixes.shape_inference import BatchCarrier, BatchTrace
from tritongen.optimize.libraries import Proto
from tritongen.optimize.rewritten_graph import Graph, attribute, set_attribute

Rule = Callable[[Graph, Proto, BatchTrace], bool]

_TO_THE_END = 2**63 - 1
_BATCH_ROWS = "tritongen_batch_rows"
# Operators behind which an output keeps the axes that it has.
_PLAIN = frozenset(
    {"Cast", "Clip", "Exp", "Identity", "Log", "Neg", "Relu", "Round", "Sigmoid", "Sqrt", "Tanh"}
)


def batch_rows(graph: Graph, trace: BatchTrace) -> str:
    """A value of shape [1] that holds the number of rows of the request."""
    if graph.producer(_BATCH_ROWS) is None:
        name, axis = next(iter(trace.plan.axes.items()))
        shape = graph.fresh("tritongen_input_shape")
        index = graph.add_constant([axis], "tritongen_batch_axis")
        graph.insert_first(
            [
                graph.make("Shape", [name], [shape]),
                graph.make("Gather", [shape, index], [_BATCH_ROWS], axis=0),
            ]
        )
    return _BATCH_ROWS


def widened(graph: Graph, trace: BatchTrace, name: str, axis: int, node: Proto) -> str:
    """The value repeated along `axis` for every row; its own rows there must all be equal."""
    dims = trace.one[name]
    first = _first_row(graph, trace, name, axis, node) if dims[axis] != 1 else name
    rows = batch_rows(graph, trace)
    shape, result = graph.fresh(f"{name}_shape"), graph.fresh(f"{name}_for_every_row")
    parts = [
        *([graph.add_constant([1] * axis, "ones")] if axis else []),
        rows,
        *(
            [graph.add_constant([1] * (len(dims) - axis - 1), "ones")]
            if axis < len(dims) - 1
            else []
        ),
    ]
    graph.insert(
        [
            graph.make("Concat", parts, [shape], axis=0),
            graph.make("Expand", [first, shape], [result]),
        ],
        before=node,
    )
    return result


def _first_row(graph: Graph, trace: BatchTrace, name: str, axis: int, node: Proto) -> str:
    """The first of several equal rows of a value that does not depend on the request."""
    values = graph.constant(name)
    if values is not None and not np.all(values == np.take(values, [0], axis=axis)):
        raise CannotFix(f"{name!r} holds another constant for each of {trace.plan.size} rows")
    result = graph.fresh(f"{name}_row")
    bounds = [graph.add_constant([value], "bound") for value in (0, 1, axis)]
    graph.insert([graph.make("Slice", [name, *bounds], [result])], before=node)
    return result


def reshape(graph: Graph, node: Proto, trace: BatchTrace) -> bool:
    """A target shape that states the number of rows."""
    data, output = node.input[0], node.output[0]
    wanted, found = trace.one.get(output), trace.carrier(data)
    if found is None or wanted is None:
        return False
    place = trace.place(data, wanted)
    if place is None:
        raise CannotFix(
            f"operator {node.name or output!r} merges the batch axis into the axis before it"
        )
    if trace.carrier(output) == BatchCarrier(place, _inner(trace, output, place)):
        return False
    copies = place == found.axis and trace.one[data][place] == wanted[place]
    keep = copies and not attribute(node, "allowzero", 0)
    node.input[1] = _retarget(graph, node, place, list(wanted), keep=keep)
    return True


def _inner(trace: BatchTrace, name: str, axis: int) -> int:
    size = trace.one[name][axis]
    return size // trace.plan.size if isinstance(size, int) else 1


def _retarget(graph: Graph, node: Proto, place: int, wanted: list[object], *, keep: bool) -> str:
    """A target shape with the batch's place open: 0 copies the size, -1 lets it follow."""
    target = graph.constant(node.input[1])
    if target is not None:
        sizes = [int(size) for size in target.ravel()]
        if sizes[place] in {0, -1}:
            raise CannotFix(f"operator {node.name or node.output[0]!r} reshapes to {sizes}")
        if keep:
            sizes[place] = 0
            return graph.add_constant(sizes, "open_shape")
        if -1 in sizes:
            other = sizes.index(-1)
            size = wanted[other]
            if not isinstance(size, int):
                raise CannotFix(f"two sizes of {sizes} would have to follow the request")
            sizes[other] = size
        sizes[place] = -1
        return graph.add_constant(sizes, "open_shape")
    return _retarget_pieces(graph, node, place, keep=keep)


def _retarget_pieces(graph: Graph, node: Proto, place: int, *, keep: bool) -> str:
    """The same for a shape that is put together from pieces of one size each."""
    joined = graph.producer(node.input[1])
    if joined is None or joined.op_type != "Concat":
        raise CannotFix(f"the target shape of {node.name or node.output[0]!r} is computed")
    pieces = list(joined.input)
    held = [graph.constant(piece) for piece in pieces]
    position = 0
    for index, values in enumerate(held):
        # A computed piece is taken for one size, as exporters write them.
        length = 1 if values is None else values.size
        if position <= place < position + length:
            if values is None:
                break
            sizes = [int(size) for size in values.ravel()]
            follow = any(other is not None and -1 in other for other in held)
            if follow and not keep:
                break
            sizes[place - position] = 0 if keep else -1
            pieces[index] = graph.add_constant(sizes, "open_piece")
            result = graph.fresh("open_shape")
            graph.insert([graph.make("Concat", pieces, [result], axis=0)], before=node)
            return result
        position += length
    raise CannotFix(f"the target shape of {node.name or node.output[0]!r} is computed")


def expand(graph: Graph, node: Proto, trace: BatchTrace) -> bool:
    """A target shape that states the number of rows of data that have them already."""
    found = trace.carrier(node.input[0])
    target = graph.constant(node.input[1])
    if found is None or target is None:
        return False
    sizes = [int(size) for size in target.ravel()]
    place = found.axis + len(sizes) - len(trace.one[node.input[0]])
    if place < 0 or sizes[place] == 1:
        return False
    sizes[place] = 1
    node.input[1] = graph.add_constant(sizes, "open_shape")
    return True


def resize(graph: Graph, node: Proto, trace: BatchTrace) -> bool:
    """Sizes that state the number of rows."""
    found = trace.carrier(node.input[0])
    sizes = graph.constant(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    if found is None or sizes is None or attribute(node, "axes") is not None:
        return False
    before, after = sizes.ravel()[: found.axis], sizes.ravel()[found.axis + 1 :]
    parts = [
        *([graph.add_constant(before, "sizes")] if before.size else []),
        batch_rows(graph, trace),
        *([graph.add_constant(after, "sizes")] if after.size else []),
    ]
    result = graph.fresh("open_sizes")
    graph.insert([graph.make("Concat", parts, [result], axis=0)], before=node)
    node.input[3] = result
    return True


def slice_(graph: Graph, node: Proto, trace: BatchTrace) -> bool:
    """Bounds that state the number of rows."""
    found = trace.carrier(node.input[0])
    if found is None or len(node.input) < 3:
        return False
    starts, ends = graph.constant(node.input[1]), graph.constant(node.input[2])
    axes = graph.constant(node.input[3]) if len(node.input) > 3 and node.input[3] else None
    if starts is None or ends is None:
        return False
    rank = len(trace.one[node.input[0]])
    order = [int(a) % rank for a in axes.ravel()] if axes is not None else list(range(starts.size))
    if found.axis not in order:
        return False
    index = order.index(found.axis)
    bounds = ends.ravel().astype(np.int64)
    whole = int(starts.ravel()[index]) == 0 and bounds[index] == trace.plan.size * found.inner
    if not whole:
        return False
    bounds[index] = _TO_THE_END
    node.input[2] = graph.add_constant(bounds, "open_ends")
    return True


def concat(graph: Graph, node: Proto, trace: BatchTrace) -> bool:
    """Constants joined to data that have rows."""
    carriers = [trace.carrier(name) for name in node.input]
    found = next((item for item in carriers if item is not None), None)
    if found is None or None not in carriers:
        return False
    rank = len(trace.one[node.output[0]]) if node.output[0] in trace.one else 0
    if rank and int(str(attribute(node, "axis", 0))) % rank == found.axis:
        raise CannotFix(f"operator {node.name or node.output[0]!r} joins along the batch axis")
    return _widen_others(graph, node, trace, range(len(node.input)), found.axis)


def recurrent(graph: Graph, node: Proto, trace: BatchTrace) -> bool:
    """Constant initial states of a recurrent operator."""
    found = trace.carrier(node.input[0])
    if found is None:
        return False
    axis = 0 if attribute(node, "layout", 0) else 1
    if found.axis != axis:
        raise CannotFix(f"operator {node.name or node.op_type!r} runs along the batch axis")
    changed = _widen_others(graph, node, trace, (5, 6), axis)
    return _widen_others(graph, node, trace, (4,), 0) or changed


def elementwise(graph: Graph, node: Proto, trace: BatchTrace) -> bool:
    """Constants that are stored once a row."""
    carriers = [trace.carrier(name) for name in node.input]
    found = next((index for index, item in enumerate(carriers) if item is not None), None)
    if trace.plan.size == 1 or found is None or None not in carriers:
        return False
    carrier, rank = carriers[found], len(trace.one[node.input[found]])
    changed = False
    for index, name in enumerate(node.input):
        dims = trace.one.get(name)
        if carrier is None or carriers[index] is not None or dims is None:
            continue
        axis = carrier.axis - rank + len(dims)
        if axis >= 0 and dims[axis] == trace.plan.size:
            node.input[index] = _first_row(graph, trace, name, axis, node)
            changed = True
    return changed


def _widen_others(
    graph: Graph, node: Proto, trace: BatchTrace, places: Sequence[int], axis: int
) -> bool:
    """Inputs without rows get them, where they have the original's number of rows."""
    changed = False
    for place in places:
        name = node.input[place] if place < len(node.input) else ""
        if not name or trace.carrier(name) is not None:
            continue
        dims = trace.one.get(name)
        if dims is None or axis >= len(dims) or dims[axis] not in {1, trace.plan.size}:
            continue
        node.input[place] = widened(graph, trace, name, axis, node)
        changed = True
    return changed


def squeeze(graph: Graph, node: Proto, trace: BatchTrace) -> bool:
    """Axes of size 1 that are taken away at the end, the batch among them."""
    found = trace.carrier(node.input[0])
    dims = trace.one.get(node.input[0])
    if found is None or dims is None or dims[found.axis] != 1 or trace.carrier(node.output[0]):
        return False
    given = graph.constant(node.input[1]) if len(node.input) > 1 else attribute(node, "axes")
    if given is None:
        axes = [axis for axis, dim in enumerate(dims) if dim == 1]
    else:
        axes = [int(axis) % len(dims) for axis in np.asarray(given).ravel()]
    if found.axis not in axes:
        return False
    _needs_tail(graph, node)
    left = [axis for axis in axes if axis != found.axis]
    if graph.opset() >= 13:
        del node.input[1:]
        node.input.append(graph.add_constant(left, "axes"))
    else:
        set_attribute(node, "axes", left)
    if not left:
        _pass_through(graph, node)
    return True


def gather(graph: Graph, node: Proto, trace: BatchTrace) -> bool:
    """The first row taken out at the end."""
    found = trace.carrier(node.input[0])
    index = graph.constant(node.input[1])
    dims = trace.one.get(node.input[0])
    if found is None or index is None or dims is None or dims[found.axis] != 1:
        return False
    axis = int(str(attribute(node, "axis", 0))) % len(dims)
    if axis != found.axis or index.ndim or int(index) not in {0, -1}:
        return False
    _needs_tail(graph, node)
    _pass_through(graph, node)
    return True


def _pass_through(graph: Graph, node: Proto) -> None:
    graph.insert([graph.make("Identity", [node.input[0]], [node.output[0]])], before=node)
    graph.remove(node)


def _needs_tail(graph: Graph, node: Proto) -> None:
    """Only plain operators may stand between the node and the outputs.

    Raises:
        CannotFix: others would see one axis more than they were made for.
    """
    waiting = [node.output[0]]
    while waiting:
        name = waiting.pop()
        for reader in graph.consumers(name):
            if reader.op_type not in _PLAIN:
                raise CannotFix(
                    f"operator {node.name or node.output[0]!r} takes the batch axis away before "
                    f"{reader.op_type}"
                )
            waiting.extend(reader.output)


RULES: Mapping[str, Rule] = {
    "Reshape": reshape,
    "Expand": expand,
    "Resize": resize,
    "Slice": slice_,
    "Concat": concat,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent),
    "Squeeze": squeeze,
    "Gather": gather,
    **dict.fromkeys(
        ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "Where", "PRelu",
         "And", "Or", "Equal", "Less", "Greater", "Mod"),
        elementwise,
    ),
}  # fmt: skip
