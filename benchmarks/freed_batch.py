"""A CNN exported for one row, beside the same file with its batch axis freed, on a real Triton.

    .venv/bin/python benchmarks/freed_batch.py            five minutes, writes the page
    .venv/bin/python benchmarks/freed_batch.py --quick    one minute, prints it

Both are tuned by `tritongen tune`, served by one server, and measured in turns, so that a
disturbance of the machine falls on both. Requests are of one row.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantisation_models import SMALL_CNN, make

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "freed_batch.md"
TRITONGEN = Path(sys.executable).with_name("tritongen")
PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
# The last one saturates the server: there the goal of the tuning, throughput, is read.
CLIENTS = (1, 16, 64)


def tritongen(folder: Path, *arguments: str) -> dict[str, Any]:
    """One command with its JSON."""
    done = subprocess.run(
        [TRITONGEN, *arguments, "--format", "json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"tritongen {' '.join(arguments)}: {done.stderr or done.stdout}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def prepare(folder: Path, *, quick: bool) -> dict[str, str]:
    """Both models tuned and built; the configuration of each in words."""
    samples = make("static", folder, quick=quick, batch=1, case=SMALL_CNN)
    models = folder / "models"
    shutil.copytree(models / "static", models / "freed")
    tritongen(folder, "optimize", "models", "-m", "freed", "--fix", "--data", str(samples))
    tritongen(folder, "build", "models", "--variant", "freed=fixed")
    # Each goal is throughput, which is always met; exit code 4 would end the benchmark.
    tritongen(folder, "tune", "models", "--budget", "15s" if quick else "60s")
    built = tritongen(folder, "build", "models")
    return {item["name"]: words(folder, item) for item in built["models"]}


def words(folder: Path, model: dict[str, Any]) -> str:
    """What decides the throughput of a configuration."""
    text = (folder / "model_repository" / model["name"] / "config.pbtxt").read_text("utf-8")
    delay = re.search(r"max_queue_delay_microseconds: (\d+)", text)
    waits = f", queue delay {delay[1]} µs" if delay else ""
    return (
        f"max_batch_size {model['max_batch_size']}, {model['instances']} × {model['threads']} "
        f"threads{waits}"
    )


def throughput(folder: Path, model: str, clients: int, seconds: float) -> float:
    """Answers a second of a closed loop."""
    found = tritongen(
        folder, "probe", "-m", model, "--concurrency", str(clients), "--duration", f"{seconds:g}s"
    )
    (level,) = found["levels"]
    return float(level["throughput_per_s"]["value"])


def measure(folder: Path, clients: int, pairs: int, seconds: float) -> tuple[float, float, float]:
    """Median throughput of the static and of the freed model, and the median of their ratios."""
    static, freed = [], []
    for pair in range(pairs):
        for name in ("static", "freed") if pair % 2 == 0 else ("freed", "static"):
            value = throughput(folder, name, clients, seconds)
            (static if name == "static" else freed).append(value)
    ratios = [b / a for a, b in zip(static, freed, strict=True)]
    return statistics.median(static), statistics.median(freed), statistics.median(ratios)


def page(built: dict[str, str], table: Sequence[str]) -> str:
    """The whole page."""
    return "\n".join(
        [
            "# A fixed batch axis, freed",
            "",
            (
                "Written by `benchmarks/freed_batch.py`: the same CNN on digits, exported for one "
                f"row ({built['static']}), and with its axis freed by `tritongen optimize --fix` "
                f"({built['freed']}), both tuned for throughput by `tritongen tune`, on the "
                "embedded Triton. Requests of one row; closed loop; medians of runs in turns. The "
                "last line saturates the server, as the tuning does; with few clients a queue "
                "delay that was tuned for throughput costs latency."
            ),
            "",
            "| clients | static, answers/s | freed, answers/s | static vs freed |",
            "|---|---|---|---|",
            *table,
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Train, fix, serve, measure, tell."""
    parser = argparse.ArgumentParser(description="static against freed batch axis")
    parser.add_argument("--quick", action="store_true", help="short levels, no page")
    parser.add_argument("--page", type=Path, default=PAGE, help="file to write")
    options = parser.parse_args(argv)
    pairs, seconds = (1, 1.0) if options.quick else (4, 4.0)
    table = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        built = prepare(folder, quick=options.quick)
        tritongen(folder, "up", *PORTS)
        try:
            for clients in CLIENTS:
                static, freed, ratio = measure(folder, clients, pairs, seconds)
                table.append(f"| {clients} | {static:.0f} | {freed:.0f} | ×{ratio:.2f} |")
        finally:
            tritongen(folder, "down")
    text = page(built, table)
    if not options.quick:
        options.page.parent.mkdir(parents=True, exist_ok=True)
        options.page.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
