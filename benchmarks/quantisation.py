"""8-bit variants of models trained on real data: accuracy, speed, and what the gate says.

    .venv/bin/python benchmarks/quantisation.py            five minutes, writes the page
    .venv/bin/python benchmarks/quantisation.py --quick    a minute, prints it

Every number comes out of `tritongen optimize`: the metric on samples that training has not seen,
the speed from pairs of runs in alternating order with an interval at 95 %.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from quantisation_models import CASES, make

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "quantisation.md"
TRITONGEN = Path(sys.executable).with_name("tritongen")
SPEED = (
    "Written by `benchmarks/quantisation.py`. Speed: the original's time divided by the variant's, "
    "one thread, median of paired runs with its interval at 95 %. Not worth it: no measurable "
    "gain, or less than batching gives the original, where the variant's rows change with their "
    "neighbours."
)
WORDS = {
    "accepted": "**accepted**",
    "refused": "refused by the gate",
    "slower": "refused: slower",
    "no_gain": "not worth it",
    "ungated": "no data",
}


def optimise(name: str, folder: Path, samples: Path, budget: float) -> dict[str, Any]:
    """One model through the command line; exit code 4 is an answer, too."""
    command = [
        TRITONGEN, "optimize", "models", "-m", name, "--quantize", "--data", samples,
        "--budget", str(budget), "--format", "json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 4}:
        raise SystemExit(f"{name}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)["models"][0]
    return found


def rows(name: str, model: dict[str, Any], original: int) -> Iterator[str]:
    """Lines of the table: one a variant."""
    for variant in model["variants"]:
        accuracy, speed = variant["accuracy"], variant["speedup"]
        batch = next((item for item in variant["speedups"] if item["batch"] == 8), None)
        left = variant["recipe"].get("left in float", [])
        cells = [
            CASES[name].what,
            variant["name"] + (f", {len(left)} operators left in float" if left else ""),
            f"{original / 2**20:.2f} → {variant['size_bytes'] / 2**20:.2f} MiB",
            f"{accuracy['metric']} {accuracy['original']:.4g} → {accuracy['variant']:.4g}",
            show(speed),
            show(batch),
            WORDS[variant["verdict"]] + (" (chosen)" if model["chosen"] == variant["name"] else ""),
        ]
        yield "| " + " | ".join(cells) + " |"


def show(speed: dict[str, float] | None) -> str:
    return f"×{speed['value']:.2f} ({speed['low']:.2f}–{speed['high']:.2f})" if speed else "–"


def processor() -> str:
    """The name of this machine's CPU."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def page(table: Sequence[str], isa: str) -> str:
    """The whole page."""
    head = (
        "model", "variant", "size", "metric", "1 row", "8 rows", "verdict",
    )  # fmt: skip
    return "\n".join(
        [
            "# 8-bit variants, measured",
            "",
            SPEED,
            "",
            f"CPU: {processor()}. {isa[:1].upper()}{isa[1:]}.",
            "",
            "| " + " | ".join(head) + " |",
            "|" + "---|" * len(head),
            *table,
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Train, optimise, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one epoch, short budgets, no page")
    parser.add_argument("--only", action="append", choices=CASES, help="these models only")
    parser.add_argument("--page", type=Path, default=PAGE, help="file to write")
    options = parser.parse_args(argv)
    table, isa = [], ""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in options.only or CASES:
            print(f"{name} …", file=sys.stderr)
            samples = make(name, folder, quick=options.quick)
            model = optimise(name, folder, samples, 3.0 if options.quick else 20.0)
            size = (folder / "models" / name / "model.onnx").stat().st_size
            table += rows(name, model, size)
            isa = next((item["recipe"]["cpu"] for item in model["variants"]), isa)
    text = page(table, isa)
    if not options.quick and options.only is None:
        options.page.parent.mkdir(parents=True, exist_ok=True)
        options.page.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
