"""How soon the command line answers: `--help`, and `inspect` of one small model without trial.

    .venv/bin/python benchmarks/startup.py            with model-analyzer beside it
    .venv/bin/python benchmarks/startup.py --quick    three rounds, without the peer

The peer has no command for one model's facts; its `--help` stands beside both.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench_process import (
    TRITONGEN,
    apart,
    interleaved,
    measured,
    milliseconds,
    model_analyzer,
    table,
)

# Milliseconds that the project has set itself.
HELP_MS, INSPECT_MS = 120.0, 400.0
ROUNDS = 20


def small_model(folder: Path) -> None:
    """y = relu(x), rows of four."""
    from onnx import helper, save

    values = [helper.make_tensor_value_info(name, 1, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "small", values[:1], values[1:]
    )
    folder.mkdir(parents=True)
    opsets = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "model.onnx")


def report(folder: Path, rounds: int, peer: Path | None) -> str:
    """The table."""
    apart(lambda: small_model(folder / "models" / "small"))
    models, empty = folder / "models", folder / "none"
    inspect = (TRITONGEN, "inspect", models, "-o", empty, "--format", "json")
    commands = {
        "`tritongen --help`": ((TRITONGEN, "--help"), HELP_MS),
        "`tritongen inspect`, one model": (inspect, INSPECT_MS),
        "`python -c pass`": ((sys.executable, "-c", "pass"), None),
        **({"`model-analyzer --help`": ((peer, "--help"), None)} if peer else {}),
    }
    calls = [lambda words=words: measured(words) for words, _ in commands.values()]
    for call in calls:  # the first run of each reads from the disk
        call()
    rows = []
    for (name, (_, target)), runs in zip(commands.items(), interleaved(calls, rounds), strict=True):
        least, median = milliseconds(runs)
        peak = max(item.peak for item in runs) / 1e6
        cpu = min(item.cpu for item in runs) * 1e3
        wanted = f"{target:.0f}" if target else "–"
        figures = (f"{least:.0f}", f"{median:.0f}", wanted, f"{cpu:.0f}", f"{peak:.0f}")
        rows.append((name, *figures))
    headers = ("least [ms]", "median [ms]", "target [ms]", "CPU [ms]", "peak [MB]")
    return table(("command", *headers), rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three rounds, no peer")
    parser.add_argument("--peer", type=Path, help="model-analyzer to run, not one installed here")
    options = parser.parse_args(argv)
    peer = None if options.quick else options.peer or model_analyzer()
    with tempfile.TemporaryDirectory() as place:
        print(report(Path(place), 3 if options.quick else ROUNDS, options.peer or peer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
