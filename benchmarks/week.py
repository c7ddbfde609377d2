"""The loop on a simulated week: observe → plan → build → export, against a real Triton.

    .venv/bin/python benchmarks/week.py               a week in 84 s: half a second an hour
    .venv/bin/python benchmarks/week.py --seconds 42

The project states rates that turn out wrong. A week of office traffic is replayed in compressed
time, `observe` records it and states what it saw, `plan` plans by the recording, and `build` and
`export` follow.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent.parent
TRITONGEN = Path(sys.executable).with_name("tritongen")
WEEK_S = 7 * 86400.0
HOURS = 168
INTENT = """\
target: {cpus: 2}
models:
  digits:                 # handwritten digits
    rate: {average: 20, peak: 40}   # a guess from before the launch
    latency: 50ms
    inputs:
      X: {values: "float[0,16]"}
"""


def command(folder: Path, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
    print("$ tritongen", *arguments, flush=True)
    done = subprocess.run(
        [TRITONGEN, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode not in allowed:
        raise SystemExit(f"{done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def document(folder: Path, *arguments: str, allowed: tuple[int, ...] = (0,)) -> dict[str, Any]:
    return json.loads(command(folder, *arguments, "--format", "json", allowed=allowed))


def show_plan(plan: dict[str, Any]) -> dict[str, Any]:
    best = plan["options"][0]
    for one in plan["traffic"]:
        print(f"  {one['model']}: {one['mean_per_s']:.3g}/s on average, "
              f"{one['peak_per_s']:.3g}/s at peak ({one['pattern']})")  # fmt: skip
    print(f"  {best['machine']}: {best['replicas']['min']} to {best['replicas']['max']} replicas, "
          f"{best['usd_per_month']:.2f} USD a month\n")  # fmt: skip
    return best


def loop(folder: Path, seconds: float, rate: float) -> None:
    shutil.copytree(HERE / "demo/models/digits", folder / "models/digits")
    (folder / "models/tritongen.yaml").write_text(INTENT)
    command(folder, "build", "./models")
    show_plan(document(folder, "plan", "./models"))
    command(folder, "up", "--runtime", "embedded", "--http-port", "0", "--grpc-port", "0",
            "--metrics-port", "0")  # fmt: skip
    try:
        replay = subprocess.Popen(
            [TRITONGEN, "probe", "-m", "digits", "--schedule", "weekday-weekend", "--rate",
             f"{rate:g}", "--duration", f"{seconds:g}s"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        seen = document(
            folder, "observe", "./models", "--for", f"{seconds:g}s", "--interval",
            f"{seconds / HOURS:.6g}", "--speedup", f"{WEEK_S / seconds:.6g}",
            "--csv", "models/traffic.csv", "--write", allowed=(0, 1),
        )  # fmt: skip
        replay.wait()
    finally:
        command(folder, "down", allowed=(0, 1, 3))
    for item in seen["findings"]:
        print(f"  {item['code']} {item['model']}: {item['message']}")
    text = (folder / "models/tritongen.yaml").read_text()
    print("\n" + text)
    # The recording holds rates and pattern: it is planned by, and the stated rates stay as notes.
    lines = ["# " + line if "rate:" in line else line for line in text.splitlines()]
    recorded = "\n".join(lines) + "\ntraffic: {pattern: {file: traffic.csv}}\n"
    (folder / "models/tritongen.yaml").write_text(recorded)
    best = show_plan(document(folder, "plan", "./models", allowed=(0, 4)))
    cores = best["services"][0]["cpus"]
    command(folder, "build", "./models", "--cpus", str(cores))
    command(folder, "export", "kubernetes", "--models", "./models", "-o", "deploy")
    for path in sorted((folder / "deploy").rglob("*")):
        if path.is_file():
            print(f"  {path.relative_to(folder)}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=84.0, help="of the whole week")
    parser.add_argument("--rate", type=float, default=120.0, help="mean of the week")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="tritongen-") as folder:
        loop(Path(folder), options.seconds, options.rate)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
