"""Times that the roofline estimates for this CPU, against times that are measured on it.

    .venv/bin/python benchmarks/roofline.py            eleven models, about a minute
    .venv/bin/python benchmarks/roofline.py --quick    four of them

Peak rate, bandwidth, and what a kernel and an execution cost that do nothing are measured first, by
models of one kind of operator each. The estimate then knows of a model only its operations, bytes
and kernels, as a trial counts them. One thread; the machine must be quiet.

It is what a machine without a GPU can check of the estimate that plans for GPUs use: that
operations and bytes are counted rightly, and that their roofline comes near the truth.
"""

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from serving_bench import machine, model_folder, print_table
from tritongen.model.graph_work import Work
from tritongen.planner.roofline import UNCERTAINTY, MachineRates, execution_s
from tritongen.trial.onnx_runtime import OnnxRuntime, silent_options
from tritongen.trial.operator_work import graph_work

Arrays = Mapping[str, np.ndarray]
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# Elements of the tensors that the bandwidth is measured with: 1 MiB, about those of real models.
_ELEMENTS = 1 << 18
_ROUNDS = 15


@dataclass(frozen=True)
class Subject:
    """One model.

    Attributes:
        name: for the table.
        path: of its file.
        sizes: of its inputs where the file does not fix them, for one row.
    """

    name: str
    path: Path
    sizes: Mapping[str, tuple[int, ...]]


def subjects(names: Sequence[str]) -> Iterable[Subject]:
    """The demo's models, two more from wheels, and networks of the onnx package."""
    for name in names:
        if name.startswith("light_"):
            yield Subject(name, LIGHT / f"{name}.onnx", {})
            continue
        path = model_folder(name) / "model.onnx"
        image = {"orientation": (1, 3, 224, 224), "detector": (1, 3, 640, 640)}.get(name)
        (first,) = onnxruntime.InferenceSession(path).get_inputs()
        yield Subject(name, path, {first.name: image} if image else {})


NAMES = (
    "digits", "breast_cancer", "magika", "orientation", "opennsfw", "detector",
    "light_squeezenet", "light_shufflenet", "light_inception_v1", "light_resnet50",
    "light_densenet121",
)  # fmt: skip


def inputs_of(subject: Subject) -> Arrays:
    """One row of ones."""
    kinds = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
    session = onnxruntime.InferenceSession(subject.path, silent_options(onnxruntime, 1))
    found = {}
    for item in session.get_inputs():
        declared = [size if isinstance(size, int) else 1 for size in item.shape]
        found[item.name] = np.ones(subject.sizes.get(item.name, declared), kinds[item.type])
    return found


def seconds(model: Path | bytes, inputs: Arrays) -> float:
    """The time of an execution on one thread: the least disturbed of several."""
    session = onnxruntime.InferenceSession(model, silent_options(onnxruntime, 1))
    session.run(None, inputs)
    begun = time.perf_counter()
    session.run(None, inputs)
    repeats = max(1, round(0.01 / (time.perf_counter() - begun)))
    samples = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        for _ in range(repeats):
            session.run(None, inputs)
        samples.append((time.perf_counter() - begun) / repeats)
    return min(samples)


def chain(operators: Sequence[str], elements: int) -> tuple[bytes, Arrays]:
    """Operators of one input behind each other."""
    names = ["x", *(f"v{number}" for number in range(len(operators)))]
    nodes = [
        helper.make_node(operator, [names[number]], [names[number + 1]])
        for number, operator in enumerate(operators)
    ]
    return (
        _model(nodes, [elements], [elements], names[-1], {}),
        {"x": np.full(elements, 0.5, np.float32)},
    )


def _model(
    nodes: Sequence[onnx.NodeProto],
    before: Sequence[int],
    after: Sequence[int],
    output: str,
    weights: Arrays,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "benchmark",
        [helper.make_tensor_value_info("x", 1, before)],
        [helper.make_tensor_value_info(output, 1, after)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def convolution_rate() -> float:
    """Operations a second of two convolutions of middle sizes, 3 × 3 and 1 × 1."""
    flops = took = 0.0
    for channels, size, kernel in ((128, 28, 3), (64, 56, 1)):
        weights = np.full((channels, channels, kernel, kernel), 0.01, np.float32)
        node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[kernel // 2] * 4)
        shape = (1, channels, size, size)
        model = _model([node], shape, shape, "y", {"w": weights})
        took += seconds(model, {"x": np.ones(shape, np.float32)})
        flops += 2 * size * size * channels * channels * kernel * kernel
    return flops / took


def rates() -> MachineRates:
    """What this CPU reaches on one thread."""
    few, many = (seconds(*chain(["Neg", "Abs"] * count, 4)) for count in (1, 101))
    launch = (many - few) / 200
    moved = seconds(*chain(["Neg", "Abs"] * 10, _ELEMENTS)) - few
    exponential = seconds(*chain(["Exp", "Sigmoid"] * 3, _ELEMENTS)) - few
    return MachineRates(
        matrix=convolution_rate(),
        # As the count has it: eight operations an element of these.
        other=6 * 8 * _ELEMENTS / exponential,
        bandwidth=20 * 2 * 4 * _ELEMENTS / moved,
        launch_s=launch,
        start_s=few,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, estimate, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four models")
    names = NAMES[2:6] if parser.parse_args(argv).quick else NAMES
    found = rates()
    print(f"{machine()}; one thread\n")
    print(
        f"Measured: {found.matrix / 1e9:.0f} GFLOP/s in convolutions, {found.other / 1e9:.0f} "
        f"elsewhere, {found.bandwidth / 1e9:.0f} GB/s, {found.launch_s * 1e6:.2f} µs a kernel, "
        f"{found.start_s * 1e6:.1f} µs an execution of one tiny operator.\n"
    )
    rows, within = [], 0
    for subject in subjects(names):
        inputs = inputs_of(subject)
        work = graph_work(OnnxRuntime().operators(subject.path, inputs), None).first
        expected = execution_s(work, found)
        took = seconds(subject.path, inputs)
        ratio = expected / took
        within += 1 / UNCERTAINTY <= ratio <= UNCERTAINTY
        rows.append(_row(subject.name, work, took, expected, ratio))
    header = ("model", "MFLOP", "MB moved", "kernels", "measured ms", "estimated ms", "ratio")
    print_table(header, rows)
    print(f"\n{within} of {len(rows)} within a factor of {UNCERTAINTY:g}.")


def _row(name: str, work: Work, took: float, expected: float, ratio: float) -> tuple[str, ...]:
    return (
        name,
        f"{work.flops / 1e6:,.3g}",
        f"{work.bytes / 1e6:,.3g}",
        str(work.kernels),
        f"{took * 1e3:.3g}",
        f"{expected * 1e3:.3g}",
        f"{ratio:.2f}",
    )


if __name__ == "__main__":
    main()
