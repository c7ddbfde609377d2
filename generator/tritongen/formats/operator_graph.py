"""The form of an operator graph: how long its longest chain is, and how much runs side by side."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tritongen.formats.reading import ranked
from tritongen.model.facts import GraphShape


class Role(IntEnum):
    """What an operator does to the schedule."""

    WORK = 0
    # Its result is known before the first request.
    CONSTANT = 1
    # Hands its input on; the runtime removes it.
    PASS = 2
    # Reads the size of a tensor, not its content.
    SIZE = 3
    # Draws its result, whatever its inputs: never known beforehand.
    CHANCE = 4


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator, its values named by numbers.

    Attributes:
        role: see `Role`.
        inputs: values that it reads, those captured by its sub-graphs included.
        outputs: values that it writes.
        weight: operators that it stands for: itself and those of its longest sub-graph, which a
            runtime works through in sequence.
    """

    role: Role
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Extent:
    """What `measure` found.

    Attributes:
        scheduled: operators that work on the request's data.
        critical_path: the most of them on one path.
        width: the most of them at one depth, a sub-graph's owner counted once.
        cyclic: whether some operators wait for each other; they are left out of the rest.
    """

    scheduled: int
    critical_path: int
    width: int
    cyclic: bool

    def shape(self, operators: int, counts: Mapping[str, int]) -> GraphShape:
        """The form of a graph with so many operators, sub-graphs included, counted by type."""
        return GraphShape(operators, self.critical_path, self.width, ranked(counts), self.scheduled)


class _Dependence(IntEnum):
    """What an operator's result depends on, the weightier last."""

    CONSTANT = 0
    SIZE = 1
    LIVE = 2


def measure(nodes: Sequence[Operator], live: Collection[int]) -> Extent:
    """Depth and width of a graph in O(operators + edges), without recursion.

    Constants, what follows from constants alone, operators that hand their input on, and the
    arithmetic on shapes cost next to nothing and would make a chain look parallel; they are not
    counted. A graph that holds nothing else is counted in full.

    Args:
        nodes: in any order.
        live: values that a request brings.
    """
    order = _topological(nodes)
    extent = _levels(nodes, order, live, everything=False)
    if order and not extent.scheduled:
        extent = _levels(nodes, order, live, everything=True)
    return extent


def _topological(nodes: Sequence[Operator]) -> list[int]:
    """Indices such that every operator follows those it waits for; cycles are left out."""
    producer = {value: index for index, node in enumerate(nodes) for value in node.outputs}
    waiting = [0] * len(nodes)
    consumers: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for source in {producer[value] for value in node.inputs if value in producer}:
            waiting[index] += 1
            consumers.setdefault(source, []).append(index)
    order = [index for index, count in enumerate(waiting) if not count]
    for index in order:  # grows while it is walked
        for consumer in consumers.get(index, ()):
            waiting[consumer] -= 1
            if not waiting[consumer]:
                order.append(consumer)
    return order


def _levels(
    nodes: Sequence[Operator], order: Sequence[int], live: Collection[int], *, everything: bool
) -> Extent:
    state = dict.fromkeys(live, (_Dependence.LIVE, 0))
    unknown = (_Dependence.CONSTANT, 0)
    levels: Counter[int] = Counter()
    scheduled = longest = 0
    for index in order:
        node = nodes[index]
        sources = [state.get(value, unknown) for value in node.inputs]
        depth = max((depth for _, depth in sources), default=0)
        value = _result(node, max((kind for kind, _ in sources), default=_Dependence.LIVE))
        if everything or (value is _Dependence.LIVE and node.role in {Role.WORK, Role.CHANCE}):
            levels[depth] += 1
            depth += node.weight
            scheduled += node.weight
            longest = max(longest, depth)
        state.update(dict.fromkeys(node.outputs, (value, depth)))
    return Extent(
        scheduled=scheduled,
        critical_path=longest,
        width=max(levels.values(), default=0),
        cyclic=len(order) < len(nodes),
    )


def _result(node: Operator, gravest: _Dependence) -> _Dependence:
    """What an operator's result depends on, given its weightiest input."""
    if node.role is Role.CONSTANT:
        return _Dependence.CONSTANT
    if node.role is Role.CHANCE:
        return _Dependence.LIVE
    if node.role is Role.SIZE:
        return min(gravest, _Dependence.SIZE)
    return gravest
