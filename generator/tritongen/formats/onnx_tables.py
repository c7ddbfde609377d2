"""Tables of an ONNX file that its inputs look up, such as the vocabulary behind token numbers."""

from collections.abc import Mapping
from pathlib import Path

from tritongen.formats.onnx_graph import Span, read_node
from tritongen.formats.onnx_tensors import read_tensor
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import Data, mapped

# Operators that hand numbers of rows on as they are.
_PASS = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})


def table_rows(path: Path) -> Mapping[str, int]:
    """Rows of the least table that each input looks up, by the input's name.

    Raises:
        DamagedError: TG102, it cannot be read as an ONNX model.
        OSError: it cannot be opened or mapped.
    """
    with mapped(path) as data:
        parts = wire.parts(data, 0, len(data))
        graph = next(((first, last) for number, first, last in parts if number == 7), (0, 0))
        return _rows(data, graph)


def _rows(data: Data, graph: Span) -> dict[str, int]:
    rows: dict[bytes, int] = {}
    origin: dict[bytes, bytes] = {}
    looked_up: list[tuple[bytes, bytes]] = []
    for number, first, last in wire.parts(data, *graph):
        if number == 5:
            tensor = read_tensor(data, first, last)
            rows[tensor.name] = tensor.dims[0] if tensor.dims else 0
        elif number == 1:
            node = read_node(data, (first, last))
            if node.type in _PASS and node.inputs and node.outputs:
                # Operators stand in the order in which they run.
                origin[node.outputs[0]] = origin.get(node.inputs[0], node.inputs[0])
            elif node.type == "Gather" and len(node.inputs) == 2:
                looked_up.append((node.inputs[0], node.inputs[1]))
    found: dict[str, int] = {}
    for table, index in looked_up:
        name = origin.get(index, index).decode("utf-8", "replace")
        if rows.get(table):
            found[name] = min(rows[table], found.get(name, rows[table]))
    return found
