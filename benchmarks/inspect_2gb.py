"""Facts of a 2 GB ONNX file: tritongen's reader beside onnx.load, time and memory.

Each reader runs in a process of its own. The file is sparse: it takes no room on the disk, and a
reader that touches the weights still pays for every page.

    .venv/bin/python benchmarks/inspect_2gb.py [folder for the file]
    .venv/bin/python benchmarks/inspect_2gb.py --quick      one run of each
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench_process import Ran, apart, interleaved, measured, table

TENSORS = 20
# Just below the 2 GiB that protobuf reads at most.
TENSOR_BYTES = 100_000_000
REPEATS = 3

TRITONGEN = """
import sys
from pathlib import Path
from time import perf_counter
from tritongen.model.releases import find
from tritongen.formats import inspect_folder
start = perf_counter()
(facts,) = inspect_folder(Path(sys.argv[1]), find("26.07")).models
print(facts.parameters, perf_counter() - start)
"""

ONNX_LOAD = """
import math
import sys
from pathlib import Path
from time import perf_counter
import onnx
start = perf_counter()
model = onnx.load(Path(sys.argv[1]) / "big.onnx")
print(sum(math.prod(item.dims) for item in model.graph.initializer), perf_counter() - start)
"""

IMPORT_ONLY = """
import tritongen.model.releases
import tritongen.formats
print(0, 0.0)
"""


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, size: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return varint(number << 3 | 2) + varint(size)


def write_model(path: Path) -> None:
    """y = x + w0 + w1 …, the weights' content left as holes."""
    from onnx import TensorProto, helper

    elements = TENSOR_BYTES // 4
    names = ["x", *(f"s{index}" for index in range(1, TENSORS)), "y"]
    nodes = [
        helper.make_node("Add", [names[index], f"w{index}"], [names[index + 1]])
        for index in range(TENSORS)
    ]
    values = [helper.make_tensor_value_info(name, 1, ["n", elements]) for name in ("x", "y")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    heads = []
    for index in range(TENSORS):
        tensor = TensorProto(name=f"w{index}", data_type=1, dims=[elements])
        head = tensor.SerializeToString() + field(9, TENSOR_BYTES)
        heads.append(field(5, len(head) + TENSOR_BYTES) + head)
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    size = len(graph) + sum(len(head) + TENSOR_BYTES for head in heads)
    with path.open("wb") as file:
        file.write(model.SerializeToString() + field(7, size) + graph)
        for head in heads:
            file.write(head)
            file.seek(TENSOR_BYTES, os.SEEK_CUR)
        file.truncate(file.tell())


def row(name: str, runs: list[Ran]) -> tuple[str, ...]:
    """Least seconds of the call and of its process, and the greatest peak."""
    counted, call = min((run.output.split() for run in runs), key=lambda pair: float(pair[1]))
    process = min(run.seconds for run in runs)
    peak = max(run.peak for run in runs) / 1e6
    return name, f"{float(call):.3f}", f"{process:.3f}", f"{peak:.0f}", f"{int(counted):,}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="for the file")
    parser.add_argument("--quick", action="store_true", help="one run of each")
    options = parser.parse_args(argv)
    programs = {
        "tritongen, import only": IMPORT_ONLY,
        "tritongen, facts of the folder": TRITONGEN,
        "onnx.load": ONNX_LOAD,
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = Path(name) / "big.onnx"
        apart(lambda: write_model(path))
        calls = [
            lambda text=text: measured((sys.executable, "-c", text, name))
            for text in programs.values()
        ]
        found = interleaved(calls, 1 if options.quick else REPEATS)
        print(f"{path.stat().st_size:,} bytes. Targets: facts within 0.5 s and 150 MB.\n")
    headers = ("", "call [s]", "process [s]", "peak [MB]", "parameters")
    print(table(headers, [row(*pair) for pair in zip(programs, found, strict=True)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
