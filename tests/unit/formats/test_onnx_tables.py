"""The rows of the tables that inputs look up: what a made-up number must stay below."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from support.onnx_models import INT64, model, save, value
from tritongen.formats.onnx_tables import table_rows


def table(name: str, *dims: int):
    return numpy_helper.from_array(np.zeros(dims, np.float32), name)


def looked_up(*steps: tuple[str, list[str], str]) -> list:
    return [helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps]


@pytest.mark.parametrize(
    ("nodes", "rows"),
    [
        (looked_up(("Gather", ["big", "x"], "y")), {"x": 30}),
        (looked_up(("Gather", ["small", "x"], "a"), ("Gather", ["big", "x"], "y")), {"x": 7}),
        (looked_up(("Gather", ["big", "x"], "a"), ("Gather", ["small", "x"], "y")), {"x": 7}),
        (
            looked_up(
                ("Cast", ["x"], "a"), ("Squeeze", ["a"], "b"), ("Gather", ["small", "b"], "y")
            ),
            {"x": 7},
        ),
        (looked_up(("Abs", ["x"], "a"), ("Gather", ["big", "a"], "y")), {"a": 30}),
        (looked_up(("Gather", ["x", "z"], "y")), {}),
        (looked_up(("Gather", ["none", "x"], "y")), {}),
        (looked_up(("GatherND", ["big", "x"], "y")), {}),
    ],
)
def test_an_input_is_held_to_the_least_table_that_it_looks_up(tmp_path, nodes, rows):
    tables = [table("big", 30, 2), table("small", 7, 2), table("none", 0, 2), table("scalar")]
    inputs = [value("x", INT64, ("n",)), value("z", INT64, ("n",))]
    path = save(model(nodes, inputs, [value("y")], tables), tmp_path / "m.onnx")
    assert table_rows(path) == rows


def test_a_file_without_a_graph_has_no_tables(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08")
    assert table_rows(path) == {}
