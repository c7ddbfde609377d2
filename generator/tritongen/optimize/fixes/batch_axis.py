"""Frees a batch axis that was fixed at export, and moves one that is not the first to the front."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tritongen.model.samples import Array
from tritongen.model.tensors import Dim, is_dynamic
from tritongen.optimize.fixes.batch_nodes import RULES
from tritongen.optimize.fixes.fix import CannotFix, FixContext, Rewrite
from tritongen.optimize.fixes.shape_inference import (
    AxisPlan,
    BatchCarrier,
    BatchTrace,
    fold_constants,
    public,
)
from tritongen.optimize.libraries import Proto
from tritongen.optimize.onnx_session import Arrays, Value, Values
from tritongen.optimize.rewrite_proof import Adapter, tensors_only
from tritongen.optimize.rewritten_graph import Graph, dims_of, is_tensor, set_dims

BATCH = "batch"
ATTEMPTS = 8
# Chosen: mixtures of first and second axes of up to six inputs.
_MAX_MIXTURES = 64
_BATCH_WORDS = {"b", "batch", "batch_size", "batchsize", "bs", "n", "nb"}


@dataclass(frozen=True, slots=True)
class _Moves:
    """Axes that carry the batch, by input and output; `inner` only for outputs.

    Outputs in `lost` had no batch axis in the original, which took it away at the end.
    """

    inputs: Mapping[str, int]
    outputs: Mapping[str, BatchCarrier]
    lost: frozenset[str]

    def feed(self, values: Arrays) -> dict[str, Array]:
        """Inputs with the batch axis first."""
        return {n: np.moveaxis(a, self.inputs.get(n, 0), 0) for n, a in values.items()}

    def give(self, values: Values) -> dict[str, Value]:
        """Outputs with the batch axis first, alone in its axis."""
        found = dict(values)
        for name, array in tensors_only(values).items():
            carrier = self.outputs[name]
            whole = np.expand_dims(array, carrier.axis) if name in self.lost else array
            moved = np.moveaxis(whole, carrier.axis, 0)
            if carrier.inner != 1:
                moved = moved.reshape(-1, carrier.inner, *moved.shape[1:])
            found[name] = moved
        return found


def free_batch(graph: Graph, context: FixContext) -> Rewrite | None:
    """A fixed first axis becomes the batch axis, with every constant that states its size."""
    if context.batch is False or not _fixed(graph):
        return None
    plans = _plans(graph)
    if context.attempt >= len(plans):
        raise CannotFix("no axis of the inputs can be the batch axis")
    plan = plans[context.attempt]
    moves = _spread(graph, plan, context.observed)
    moved = [n for n, axis in moves.inputs.items() if axis]
    moved += [n for n, carrier in moves.outputs.items() if carrier.axis]
    text = f"; moved to the front in {', '.join(map(repr, moved))}" if moved else ""
    return Rewrite(
        f"the batch axis, fixed at {plan.size}, follows the request{text}",
        Adapter(moves.feed, moves.give),
        claims_batch=True,
    )


def _fixed(graph: Graph) -> bool:
    """Whether a tensor's first axis has a fixed size."""
    infos = [info for info in (*graph.inputs, *graph.outputs) if is_tensor(info)]
    shapes = [dims for info in infos if (dims := dims_of(info))]
    return any(not is_dynamic(dims[0]) for dims in shapes)


def _plans(graph: Graph) -> list[AxisPlan]:
    """Which axes may carry the batch: every input's first, then mixtures with the second."""
    shapes = {info.name: dims_of(info) for info in graph.inputs}
    known = {name: dims for name, dims in shapes.items() if dims}
    if not known or len(known) != len(shapes):
        return []
    plans: list[AxisPlan] = []
    for axis in (0, 1):
        sizes = [dims[axis] for dims in known.values() if len(dims) > axis]
        size = next((dim for dim in sizes if isinstance(dim, int) and dim > 0), 1)
        if axis and size != 1:
            # A second axis of several is much rather a feature's than the batch's.
            continue
        choices = [_axes_of(dims, size) for dims in known.values()]
        mixtures = sorted(itertools.islice(itertools.product(*choices), _MAX_MIXTURES), key=sum)
        plans += [AxisPlan(dict(zip(known, axes, strict=True)), size) for axes in mixtures]
    return [plan for index, plan in enumerate(plans) if plan not in plans[:index]]


def _axes_of(dims: tuple[Dim, ...], size: int) -> list[int]:
    """Axes among the first two that have that size or a dynamic one."""
    return [axis for axis, dim in enumerate(dims[:2]) if dim == size or is_dynamic(dim)]


def _spread(graph: Graph, plan: AxisPlan, observed: Mapping[str, tuple[int, ...]]) -> _Moves:
    """Make every operator follow the batch, and declare it first in every input and output."""
    fold_constants(graph)
    trace = BatchTrace(graph, plan)
    for node in graph.topological():
        rule = RULES.get(node.op_type)
        if rule is not None and rule(graph, node, trace):
            trace.refresh()
    outputs = {info.name: _output_carrier(info, trace) for info in graph.outputs}
    shapes = {info.name: _output_shape(info, trace) for info in graph.outputs}
    lost = frozenset(
        name
        for name, seen in observed.items()
        if name in trace.one and len(trace.one[name]) == len(seen) + 1
    )
    for info in list(graph.proto.graph.output):
        _front_output(graph, info, outputs[info.name], shapes[info.name])
    for info in graph.inputs:
        _front_input(graph, info, plan.axes[info.name])
    graph.forget_shapes()
    return _Moves(dict(plan.axes), outputs, lost)


def _output_shape(info: Proto, trace: BatchTrace) -> tuple[Dim, ...] | None:
    declared = dims_of(info)
    inferred = trace.one.get(info.name)
    if inferred is None or (declared and any(not isinstance(dim, int) for dim in inferred)):
        return declared
    return inferred


def _output_carrier(info: Proto, trace: BatchTrace) -> BatchCarrier:
    if not is_tensor(info):
        raise CannotFix(f"output {info.name!r} is no tensor")
    found = trace.carrier(info.name)
    if found is not None:
        return found
    both = info.name in trace.one and info.name in trace.many
    if both and all(isinstance(dim, int) for dim in trace.many[info.name]):
        raise CannotFix(f"output {info.name!r} does not depend on the number of rows")
    # Inference could not follow; the declaration is believed, and the proof will tell.
    declared = dims_of(info) or ()
    symbol = trace.plan.symbol
    return BatchCarrier(declared.index(symbol) if symbol and symbol in declared else 0)


def _front_input(graph: Graph, info: Proto, axis: int) -> None:
    dims = list(dims_of(info) or ())
    rest = [dim for index, dim in enumerate(dims) if index != axis]
    if axis:
        inner = graph.fresh(f"{info.name}_as_before")
        graph.redirect(info.name, inner)
        order = [*range(1, axis + 1), 0, *range(axis + 1, len(dims))]
        graph.insert_first([graph.make("Transpose", [info.name], [inner], perm=order)])
    set_dims(info, (BATCH, *rest))


def _front_output(
    graph: Graph, info: Proto, carrier: BatchCarrier, dims: tuple[Dim, ...] | None
) -> None:
    name = info.name
    if dims is None or not (carrier.axis or carrier.inner != 1):
        set_dims(info, None if dims is None else (BATCH, *public(dims[1:])))
        return
    rest = [dim for index, dim in enumerate(dims) if index != carrier.axis]
    inner = graph.fresh(f"{name}_as_before")
    graph.rename_value(name, inner)
    if carrier.axis:
        order = [carrier.axis, *(i for i in range(len(dims)) if i != carrier.axis)]
        result = name if carrier.inner == 1 else graph.fresh(f"{name}_moved")
        graph.insert([graph.make("Transpose", [inner], [result], perm=order)])
        inner = result
    if carrier.inner != 1:
        if not all(isinstance(dim, int) for dim in rest):
            raise CannotFix(f"output {name!r} merges the batch axis with another one")
        rest = [carrier.inner, *rest]
        target = graph.add_constant([-1, *rest], "rows_apart")
        graph.insert([graph.make("Reshape", [inner, target], [name])])
    info.name = name
    set_dims(info, (BATCH, *public(rest)))


def batch_first(graph: Graph, context: FixContext) -> Rewrite | None:
    """A dynamic batch axis that is the second one moves to the front, by transposing."""
    if context.batch is False:
        return None
    shapes = {info.name: dims_of(info) or () for info in graph.inputs if is_tensor(info)}
    symbol = _second_axis_symbol(list(shapes.values()), demanded=context.batch is True)
    if symbol is None:
        return None
    axes = {name: dims.index(symbol) for name, dims in shapes.items()}
    moves = _spread(graph, AxisPlan(axes, 1, symbol), context.observed)
    names = [repr(name) for name, axis in axes.items() if axis]
    return Rewrite(
        f"the batch axis {symbol!r} of {', '.join(names)} is now the first one",
        Adapter(moves.feed, moves.give),
        claims_batch=True,
    )


def _second_axis_symbol(shapes: list[tuple[Dim, ...]], *, demanded: bool) -> str | None:
    """The symbol of the batch axis where it is the second axis of an input, else None."""
    for dims in shapes:
        symbol = dims[1] if len(dims) > 1 else None
        if not isinstance(symbol, str):
            continue
        places = [other.index(symbol) if symbol in other else -1 for other in shapes]
        once = all(other.count(symbol) == 1 for other in shapes)
        if not once or not set(places) <= {0, 1}:
            continue
        if 0 in places or demanded or symbol.lower() in _BATCH_WORDS:
            return symbol
    return None
