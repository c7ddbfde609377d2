"""An `Expand` whose target states the rows of its data: that size is opened, wherever it stands."""

from types import SimpleNamespace

import numpy as np
import pytest

from tritongen.optimize.fixes.batch_nodes import expand


class Graph:
    """Keeps constants by name."""

    def __init__(self, target: list[int] | None) -> None:
        self.made: list[list[int]] = []
        self._target = target

    def constant(self, _name: str) -> np.ndarray | None:
        return None if self._target is None else np.array(self._target)

    def add_constant(self, sizes: list[int], _name: str) -> str:
        self.made.append(sizes)
        return "new"


@pytest.mark.parametrize(
    ("axis", "data", "target", "opened"),
    [
        (0, (4, 3), [4, 3], [1, 3]),
        (0, (4, 3), [2, 4, 3], [2, 1, 3]),
        (1, (4, 3), [4, 3], [4, 1]),
        (1, (5, 4, 3), [4, 3], [1, 3]),
        (0, (5, 4, 3), [4, 3], None),
        (0, (4, 3), [1, 3], None),
        (0, (4, 3), None, None),
        (None, (4, 3), [4, 3], None),
    ],
)
def test_the_size_of_the_rows_is_opened(axis, data, target, opened):
    graph, node = Graph(target), SimpleNamespace(input=["x", "shape"])
    carried = None if axis is None else SimpleNamespace(axis=axis)
    trace = SimpleNamespace(carrier=lambda _name: carried, one={"x": data})
    assert expand(graph, node, trace) is (opened is not None)
    assert graph.made == ([opened] if opened is not None else [])
    assert node.input == ["x", "new" if opened is not None else "shape"]
