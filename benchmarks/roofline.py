"""Times that the roofline estimates for this CPU, against times that are measured on it.

    .venv/bin/python benchmarks/roofline.py            eleven models, about a minute
    .venv/bin/python benchmarks/roofline.py --quick    four of them

Peak rate, bandwidth by the size of what is moved, and what a kernel and an execution cost that do
nothing are measured first, by models of one kind of operator each. The estimate then knows of each
operator only its operations and bytes, as a trial counts them. One thread; the machine must be
quiet.

It is what a machine without a GPU can check of the estimate that plans for GPUs use: that
operations and bytes are counted rightly, and that their roofline comes near the truth.
"""

import argparse
import itertools
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from serving_bench import machine, model_folder, print_table
from tritongen.model.graph_work import Work
from tritongen.planner.roofline import UNCERTAINTY, MachineRates, busy_s, execution_s
from tritongen.trial.onnx_runtime import OnnxRuntime, silent_options
from tritongen.trial.operator_work import graph_work, work_of

Arrays = Mapping[str, np.ndarray]
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# Elements of the tensors that exponentials are measured with: 1 MiB, about those of real models.
_ELEMENTS = 1 << 18
# Of those that the bandwidth is measured with: 64 KiB to 64 MiB.
_SIZES = tuple(1 << power for power in (14, 16, 18, 20, 22, 24))
# That an operator moves, where all of them count together: two tensors of 1 MiB.
_TYPICAL_BYTES = 8 * _ELEMENTS
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


def convolutions(channels: int, size: int, kernel: int, count: int) -> tuple[bytes, Arrays]:
    """Equal convolutions behind each other."""
    names = ["x", *(f"v{number}" for number in range(count))]
    nodes = [
        helper.make_node("Conv", [before, "w"], [after], pads=[kernel // 2] * 4)
        for before, after in itertools.pairwise(names)
    ]
    shape = (1, channels, size, size)
    # Sums of about one: numbers neither grow nor vanish on their way.
    weight = 1.0 / (channels * kernel * kernel)
    weights = np.full((channels, channels, kernel, kernel), weight, np.float32)
    return _model(nodes, shape, shape, names[-1], {"w": weights}), {"x": np.ones(shape, np.float32)}


def convolution_rate() -> float:
    """Operations a second of convolutions among others, 3 × 3 and 1 × 1.

    What a graph pays once, such as the blocked layout that its first convolution makes and its last
    one undoes, is in chains of both lengths, and not in their difference.
    """
    flops = took = 0.0
    for channels, size, kernel in ((64, 56, 3), (128, 28, 3), (256, 14, 3), (256, 28, 1)):
        few, many = (seconds(*convolutions(channels, size, kernel, count)) for count in (2, 6))
        took += many - few
        flops += 4 * 2 * size * size * channels * channels * kernel * kernel
    return flops / took


@dataclass(frozen=True)
class Machine:
    """What this CPU reaches on one thread.

    Attributes:
        rates: with the bandwidth of the smallest tensors.
        bandwidths: (bytes that an operator reads and writes, bytes a second), ascending: what does
            not fit a cache comes from the next one, at last from memory.
    """

    rates: MachineRates
    bandwidths: tuple[tuple[int, float], ...]

    def bandwidth(self, moved: int) -> float:
        """Of an operator that moves so many bytes: between measured sizes, by their logarithm."""
        sizes, found = zip(*self.bandwidths, strict=True)
        return float(np.interp(math.log(max(1, moved)), np.log(sizes), found))

    def seconds(self, operators: Iterable[Work]) -> float:
        """Of an execution, operator by operator."""
        return self.rates.start_s + sum(
            busy_s(work, replace(self.rates, bandwidth=self.bandwidth(work.bytes)))
            + work.kernels * self.rates.launch_s
            for work in operators
        )


def tiny(count: int) -> tuple[bytes, Arrays]:
    """Matrix products and other operators in turn, that have nothing to compute."""
    names = ["x", *(f"v{number}" for number in range(2 * count))]
    nodes = [
        helper.make_node("MatMul", [names[at], "w"], [names[at + 1]])
        if at % 2 == 0
        else helper.make_node("Abs", [names[at]], [names[at + 1]])
        for at in range(2 * count)
    ]
    weights = {"w": np.eye(4, dtype=np.float32)}
    inputs = {"x": np.ones((1, 4), np.float32)}
    return _model(nodes, [1, 4], [1, 4], names[-1], weights), inputs


def rates() -> Machine:
    """What this CPU reaches on one thread."""
    few, many = (seconds(*tiny(count)) for count in (1, 101))
    launch = (many - few) / 200
    exponential = seconds(*chain(["Exp", "Sigmoid"] * 3, _ELEMENTS)) - few
    found = []
    for elements in _SIZES:
        once, often = (seconds(*chain(["Neg", "Abs"] * count, elements)) for count in (1, 4))
        # An operator reads and writes each element of four bytes.
        found.append((8 * elements, 6 * 8 * elements / max(1e-9, often - once - 6 * launch)))
    known = MachineRates(
        matrix=convolution_rate(),
        # As the count has it: eight operations an element of these.
        other=6 * 8 * _ELEMENTS / exponential,
        bandwidth=found[0][1],
        launch_s=launch,
        start_s=few,
    )
    return Machine(known, tuple(found))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, estimate, and print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four models")
    names = NAMES[2:6] if parser.parse_args(argv).quick else NAMES
    found = rates()
    print(f"{machine()}; one thread\n")
    reached = found.rates
    levels = ", ".join(f"{size >> 10} KiB {rate / 1e9:.0f}" for size, rate in found.bandwidths)
    print(
        f"Measured: {reached.matrix / 1e9:.0f} GFLOP/s in convolutions, {reached.other / 1e9:.0f} "
        f"elsewhere, {reached.launch_s * 1e6:.2f} µs a kernel, {reached.start_s * 1e6:.1f} µs an "
        f"execution of two tiny operators. GB/s of operators that move {levels}.\n"
    )
    rows, within = [], 0
    for subject in subjects(names):
        inputs = inputs_of(subject)
        operators = OnnxRuntime().operators(subject.path, inputs)
        work = graph_work(operators, None).first
        expected = found.seconds(map(work_of, operators))
        took = seconds(subject.path, inputs)
        ratio = expected / took
        within += 1 / UNCERTAINTY <= ratio <= UNCERTAINTY
        # As plans for GPUs have it: all operators of a kind together, at one bandwidth.
        middle = replace(reached, bandwidth=found.bandwidth(_TYPICAL_BYTES))
        summed = execution_s(work, middle) / took
        rows.append((*_row(subject.name, work, took, expected, ratio), f"{summed:.2f}"))
    header = ("model", "MFLOP", "MB moved", "kernels", "measured ms", "estimated ms", "ratio",
              "summed")  # fmt: skip
    print_table(header, rows)
    print("\n`summed` is the ratio where all operators of a kind count together, as for a GPU.")
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
