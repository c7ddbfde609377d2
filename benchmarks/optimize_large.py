"""`tritongen optimize` on large models: time, and memory beside the model's own size.

    .venv/bin/python benchmarks/optimize_large.py            a 100 MB CNN, and a 2 GB model
    .venv/bin/python benchmarks/optimize_large.py --quick    a tenth of both

The CNN (a hundred megabytes of 3 × 3 convolutions, about the work of a ResNet-50) is quantised
with 200 calibration samples: within 3 minutes and 4 times its size. The large model has its batch
axis freed: its weights must not be held twice. Memory is read from /proc, the largest process
counts; pages of mapped files are told apart, since the kernel takes them back at will.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TRITONGEN = Path(sys.executable).with_name("tritongen")
MIB = 2**20
CHANNELS = 512
SIDE = 14
WIDTH = 8192
SAMPLES = 600  # a third of them calibrates


@dataclass(slots=True)
class Peak:
    """The most that any one process of a command held, in bytes."""

    own: int = 0
    mapped: int = 0
    _end: threading.Event = field(default_factory=threading.Event)

    def watch(self, root: int) -> None:
        """Look at every descendant, twenty times a second."""
        while not self._end.wait(0.05):
            for pid in descendants(root):
                own, mapped = resident(pid)
                self.own, self.mapped = max(self.own, own), max(self.mapped, mapped)

    def stop(self) -> None:
        self._end.set()


def descendants(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return
    for child in text.split():
        yield from descendants(int(child))


def resident(pid: int) -> tuple[int, int]:
    """Bytes of its own, and of mapped files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    sizes = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    return tuple(
        int(sizes[name][0]) * 1024 if name in sizes else 0 for name in ("RssAnon", "RssFile")
    )  # type: ignore[return-value]  # two of them


def optimise(folder: Path, *arguments: str) -> tuple[float, Peak, str]:
    """One command: its seconds, its memory and what it printed."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [TRITONGEN, "optimize", "models", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = Peak()
    watcher = threading.Thread(target=peak.watch, args=(process.pid,))
    watcher.start()
    out, err = process.communicate()
    peak.stop()
    watcher.join()
    if process.returncode not in {0, 4}:
        raise SystemExit(f"{out}\n{err}")
    return time.perf_counter() - begun, peak, out


def write_cnn(path: Path, layers: int) -> int:
    """Convolutions with a residual around each; returns the file's size."""
    rng = np.random.default_rng(0)
    kernel = (2 / 9 / CHANNELS) ** 0.5
    nodes = [helper.make_node("Conv", ["x", "stem"], ["v0"], kernel_shape=[4, 4], strides=[4, 4])]
    held = [numpy_helper.from_array(normal(rng, (CHANNELS, 3, 4, 4), 0.1), "stem")]
    for index in range(layers):
        before, name = f"v{index}", f"k{index}"
        held.append(numpy_helper.from_array(normal(rng, (CHANNELS, CHANNELS, 3, 3), kernel), name))
        nodes += [
            helper.make_node(
                "Conv", [before, name], [f"c{index}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]
            ),
            helper.make_node("Relu", [f"c{index}"], [f"r{index}"]),
            helper.make_node("Add", [f"r{index}", before], [f"v{index + 1}"]),
        ]
    nodes += [
        helper.make_node("GlobalAveragePool", [f"v{layers}"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    held.append(numpy_helper.from_array(normal(rng, (CHANNELS, 100), 0.05), "w"))
    save(path, nodes, ["n", 3, 4 * SIDE, 4 * SIDE], ["n", 100], held)
    return path.stat().st_size


def normal(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> np.ndarray:
    return (rng.standard_normal(shape, np.float32) * spread).astype(np.float32)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[int | str],
    outputs: list[int | str],
    held: list[TensorProto],
) -> None:
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
        held,
    )
    opsets = [helper.make_opsetid("", 17)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )


def write_large(path: Path, layers: int) -> int:
    """Products with the batch baked in, weights in a file beside the model; returns their size."""
    path.parent.mkdir(parents=True)
    rng = np.random.default_rng(0)
    size = WIDTH * WIDTH * 4
    nodes, held, last = [], [], "x"
    with (path.parent / "weights.bin").open("wb") as sink:
        for index in range(layers):
            normal(rng, (WIDTH, WIDTH), WIDTH**-0.5).tofile(sink)
            tensor = TensorProto(
                name=f"w{index}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH], data_location=1
            )
            for key, value in (
                ("location", "weights.bin"),
                ("offset", size * index),
                ("length", size),
            ):
                tensor.external_data.add(key=key, value=str(value))
            held.append(tensor)
            nodes += [
                helper.make_node("MatMul", [last, f"w{index}"], [f"m{index}"]),
                helper.make_node("Reshape", [f"m{index}", "shape"], [f"s{index}"]),
                helper.make_node("Tanh", [f"s{index}"], [f"t{index}"]),
            ]
            last = f"t{index}"
    nodes[-1].output[0] = "y"
    held.append(numpy_helper.from_array(np.array([1, WIDTH]), "shape"))
    save(path, nodes, [1, WIDTH], [1, WIDTH], held)
    return size * layers


def tell(what: str, size: int, seconds: float, peak: Peak, *, most_s: float, most: float) -> bool:
    """One line; whether the limits hold."""
    own, whole = peak.own / size, (peak.own + peak.mapped) / size
    held = seconds <= most_s and own <= most
    print(
        f"{what}: {size / MIB:.0f} MiB, {seconds:.0f} s (limit {most_s:.0f} s), own memory "
        f"{peak.own / MIB:.0f} MiB = {own:.2f} × its size (limit {most:g} ×), with mapped files "
        f"{whole:.2f} ×: {'held' if held else 'MISSED'}"
    )
    return held


def main(argv: Sequence[str] | None = None) -> int:
    """Make both models, optimise them, tell; exit 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description="optimize on large models")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    parser.add_argument("--folder", type=Path, help="for the models (default: a temporary one)")
    parser.add_argument("--only", choices=("cnn", "large"))
    options = parser.parse_args(argv)
    share = 10 if options.quick else 1
    held = True
    if options.only != "large":
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            folder = Path(place)
            size = write_cnn(folder / "models" / "cnn" / "model.onnx", max(1, 11 // share))
            rows = SAMPLES // share
            images = np.random.default_rng(1).standard_normal(
                (rows, 3, 4 * SIDE, 4 * SIDE), np.float32
            )
            np.savez(folder / "samples.npz", x=images)
            arguments = ("--quantize", "--data", "samples.npz", "--metric", "cosine")
            seconds, peak, out = optimise(folder, *arguments)
            print(out)
            held &= tell("CNN quantised", size, seconds, peak, most_s=180, most=4)
    if options.only != "cnn":
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            folder = Path(place)
            size = write_large(folder / "models" / "large" / "model.onnx", max(1, 8 // share))
            seconds, peak, out = optimise(folder, "--fix")
            print(out)
            held &= tell("batch axis freed", size, seconds, peak, most_s=600, most=1.5)
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
