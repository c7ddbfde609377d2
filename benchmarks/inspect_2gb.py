"""Facts of a 2 GB ONNX file: tritongen's reader beside onnx.load, time and memory.

Each reader runs in a process of its own. The file is sparse: it takes no room on the disk, and a
reader that touches the weights still pays for every page. Run it with the project's interpreter:

    .venv/bin/python benchmarks/inspect_2gb.py [folder for the file]
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TENSORS = 20
# Just below the 2 GiB that protobuf reads at most.
TENSOR_BYTES = 100_000_000
REPEATS = 3

TRITONGEN = """
import sys
from pathlib import Path
from time import perf_counter
from tritongen.domain.releases import find
from tritongen.inspection import inspect_folder
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
import tritongen.domain.releases
import tritongen.inspection
print(0, 0.0)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One process: what it counted, its seconds and its peak of resident memory in bytes."""

    parameters: int
    call_s: float
    process_s: float
    peak: int


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


def measure(program: str, folder: Path) -> Run:
    from time import perf_counter

    read, write = os.pipe()
    start = perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", program, str(folder)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)],
    )
    os.close(write)
    with os.fdopen(read) as output:
        text = output.read()
    _, status, usage = os.wait4(child, 0)
    seconds = perf_counter() - start
    if status:
        raise SystemExit(f"the child failed with status {status}")
    parameters, call = text.split()
    return Run(int(parameters), float(call), seconds, usage.ru_maxrss * 1024)


def show(name: str, runs: list[Run]) -> None:
    best = min(runs, key=lambda run: run.call_s)
    peak = max(run.peak for run in runs) / 1e6
    print(
        f"{name:<28}{best.call_s:>10.3f}{best.process_s:>12.3f}{peak:>14.0f}{best.parameters:>16,}"
    )


def main() -> None:
    place = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        path = folder / "big.onnx"
        write_model(path)
        print(f"{path.stat().st_size:,} bytes, best of {REPEATS}")
        print(f"{'':<28}{'call [s]':>10}{'process [s]':>12}{'peak [MB]':>14}{'parameters':>16}")
        show("tritongen, import only", [measure(IMPORT_ONLY, folder) for _ in range(REPEATS)])
        show("tritongen inspect_folder", [measure(TRITONGEN, folder) for _ in range(REPEATS)])
        show("onnx.load", [measure(ONNX_LOAD, folder) for _ in range(REPEATS)])


if __name__ == "__main__":
    main()
