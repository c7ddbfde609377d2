"""Where the batch goes in a graph: shapes at one batch size held against shapes at another.

Inference runs twice, with the original's batch size and with `PROBE` times as many rows. The axis
of a value whose size grows by that factor carries the batch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tritongen.model.tensors import Dim
from tritongen.optimize.rewritten_graph import Graph, dims_of
from tritongen.optimize.shape_inference import infer

PROBE = 7


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

    def known(self, name: str) -> bool:
        """Whether the value's rank is known."""
        return name in self.one and name in self.many

    def carrier(self, name: str) -> BatchCarrier | None:
        """The axis that carries the batch; None where none does or it cannot be told."""
        one, many = self.one.get(name), self.many.get(name)
        if one is None or many is None or len(one) != len(many):
            return None
        grown = [
            axis
            for axis, (a, b) in enumerate(zip(one, many, strict=True))
            if isinstance(a, int) and isinstance(b, int) and b == a * PROBE and a
        ]
        if len(grown) != 1 or self._size(one, grown[0]) % self.plan.size:
            return None
        return BatchCarrier(grown[0], self._size(one, grown[0]) // self.plan.size)

    @staticmethod
    def _size(dims: tuple[Dim, ...], axis: int) -> int:
        size = dims[axis]
        return size if isinstance(size, int) else 0

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
