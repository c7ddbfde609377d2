"""Many small models: build without trial, build again with nothing changed, peak memory.

.venv/bin/python benchmarks/thousand_models.py            250 and 1,000 models
.venv/bin/python benchmarks/thousand_models.py --quick    25 and 100
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench_process import TRITONGEN, Ran, apart, measured, table

# Seconds that the project has set itself for the larger number.
FIRST_S, AGAIN_S = 60.0, 3.0


def write_models(folder: Path, number: int) -> None:
    """Models y = relu(x · w), each with weights of its own."""
    import numpy as np
    from onnx import helper, numpy_helper, save

    values = [
        helper.make_tensor_value_info(name, 1, ["n", width])
        for name, width in (("x", 16), ("y", 8))
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    for index in range(number):
        weights = np.random.default_rng(index).normal(size=(16, 8)).astype(np.float32)
        graph = helper.make_graph(
            nodes, "small", values[:1], values[1:], [numpy_helper.from_array(weights, "w")]
        )
        place = folder / f"model_{index:04}"
        place.mkdir(parents=True)
        opsets = [helper.make_opsetid("", 17)]
        save(helper.make_model(graph, opset_imports=opsets, ir_version=8), place / "model.onnx")


def build(folder: Path) -> Ran:
    """One build of a project."""
    repository = folder / "model_repository"
    return measured((TRITONGEN, "build", folder / "models", "-o", repository, "--no-trial"))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the models")
    numbers = (25, 100) if parser.parse_args(argv).quick else (250, 1000)
    rows, peak_of = [], {}
    for number in numbers:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            apart(lambda: write_models(folder / "models", number))  # noqa: B023  (run at once)
            first = build(folder)
            again = min((build(folder) for _ in range(3)), key=lambda ran: ran.seconds)
            if "nothing to change" not in again.output:
                raise SystemExit("the second build changed something")
            peak_of[number] = max(first.peak, again.peak)
            peaks = (f"{ran.peak / 1e6:.0f}" for ran in (first, again))
            seconds = (f"{first.seconds:.1f}", f"{again.seconds:.2f}", f"{again.cpu:.2f}")
            rows.append((f"{number:,}", *seconds, *peaks))
    goal = (
        f"target for {1000:,}",
        f"{FIRST_S:.0f}",
        f"{AGAIN_S:.0f}",
        "–",
        "no growth",
        "no growth",
    )
    rows.append(goal)
    times = ("first build [s]", "again [s]", "again, CPU [s]")
    headers = ("models", *times, "peak, first [MB]", "peak, again [MB]")
    print(table(headers, rows))
    few, many = numbers
    each = (peak_of[many] - peak_of[few]) / (many - few) / 1e3
    print(
        f"\nOne more model takes {each:.0f} kB: its facts, its plan with every reason, its "
        "findings and its lock entry; the cores are shared among all models, and the lock is "
        "written at once. Configurations are rendered, compared, linted and written one at a time."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
