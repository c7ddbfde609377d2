"""Predicted against measured: p99 at three loads and the greatest rate, on a real Triton.

    .venv/bin/python benchmarks/capacity.py            the demo's models on 1 and 2 cores, 8 minutes
    .venv/bin/python benchmarks/capacity.py --quick    one model, seconds

Each model is tuned for a moment on so many cores, which leaves service times in the lock. From
those capacity planning predicts; then the tuned configuration is served, loaded at shares of the
predicted greatest rate until the goal is missed. Eight in ten should lie within 15 %.
The load generator needs a core that the server does not: with fewer, its own work is in the
measurement and not in the prediction, and the table says so.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tritongen.app.deploying.plan_inputs import capacity_inputs
from tritongen.app.project import load_project
from tritongen.domain.business import Clients, Place
from tritongen.domain.capacity.fit import Fitter, ModelFit
from tritongen.domain.capacity.placing import Placer
from tritongen.domain.catalogue import Machine

HERE = Path(__file__).parent.parent
TRITONGEN = Path(sys.executable).with_name("tritongen")
MODELS = ("magika", "orientation", "digits", "breast_cancer")
LIMITS = (1, 2)
LOADS = (0.4, 0.65, 0.85)
# Further loads, to see where the goal is missed.
BEYOND = (1.0, 1.15, 1.4)
# A p99 needs so many answers; a slow machine is not waited for beyond this.
ANSWERS, LONGEST_S = 420, 15.0
CLOSE, WANTED = 0.15, 0.8
PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")


@dataclass(frozen=True)
class Row:
    """One comparison."""

    model: str
    cores: int
    what: str
    predicted: float
    measured: float | None

    @property
    def error(self) -> float | None:
        return None if not self.measured else self.predicted / self.measured - 1.0


def command(folder: Path, *arguments: str, cores: int = 0, allowed: tuple[int, ...] = (0,)) -> str:
    """Standard output of one command, held to the first so many cores."""
    mine = sorted(os.sched_getaffinity(0))

    def pin() -> None:
        os.sched_setaffinity(0, set(mine[:cores]))

    done = subprocess.run(
        [TRITONGEN, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        timeout=300, preexec_fn=pin if cores else None,
    )  # fmt: skip
    if done.returncode not in allowed:
        raise SystemExit(f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def prepare(folder: Path, model: str, cores: int, budget_s: float) -> None:
    """A project of one model, tuned and built."""
    shutil.copytree(HERE / "demo/models" / model, folder / "models" / model)
    values = {"magika": "bytes: {values: 'int[0,256)'}", "digits": "X: {values: 'float[0,16]'}"}
    inputs = f", inputs: {{{values[model]}}}" if model in values else ""
    text = f"target: {{cpus: {cores}}}\nmodels:\n  {model}: {{rate: 1{inputs}}}\n"
    (folder / "models/tritongen.yaml").write_text(text)
    command(folder, "tune", "./models", "--runtime", "embedded", "--budget", f"{budget_s:g}s",
            "--goal", "throughput", cores=0, allowed=(0, 4))  # fmt: skip
    command(folder, "build", "./models")


def predicted(folder: Path, model: str, cores: int) -> ModelFit:
    """What planning says of the tuned configuration on so many of these cores."""
    project = load_project(folder / "models", folder / "model_repository")
    if project.lock is None:
        raise SystemExit(f"tuning {model} left no lock")
    evidence = project.lock.evidence
    served = evidence.models[model].served
    business = project.intent.business
    near = type(business)(clients=Clients(place=Place.SAME_HOST))
    intent = type(project.intent)(project.intent.target, project.intent.models, business=near)
    cpu = served.cpu if served is not None else ""
    here = Machine("here", "here", "", cores, cores, 8 << 30, cpu, "", "", 0, 1.0, "", "")
    inputs = capacity_inputs(project, intent, evidence, (here,)).capacity
    fitter = Fitter(inputs.works, Placer(inputs.models, inputs.intent, inputs.evidence), 1.0)
    return fitter.fit((model,), here).models[0]


def probed(folder: Path, model: str, rate: float, seconds: float) -> tuple[str, float | None]:
    """The highest percentile that could be measured at a rate, in milliseconds."""
    seconds = min(max(seconds, ANSWERS / rate), LONGEST_S)
    out = command(folder, "probe", "-m", model, "--rate", f"{rate:.6g}", "--duration",
                  f"{seconds:g}s", "--format", "json", allowed=(0, 1, 4))  # fmt: skip
    latency = json.loads(out)["levels"][0]["latency_us"]
    for name in ("p99", "p95"):
        if latency[name] is not None:
            return name, latency[name]["value"] / 1e3
    return "p99", None


def greatest(measured: Sequence[tuple[float, float]], goal_ms: float) -> float | None:
    """The rate at which measured latencies cross the goal; None where they do not."""
    below = [(rate, ms) for rate, ms in measured if ms <= goal_ms]
    above = [(rate, ms) for rate, ms in measured if ms > goal_ms]
    if not below or not above:
        return None
    (low, first), (high, second) = max(below), min(above)
    if low >= high:
        return None  # too noisy to say
    share = (math.log(goal_ms) - math.log(first)) / (math.log(second) - math.log(first))
    return low + (high - low) * share


def compare(model: str, cores: int, options: argparse.Namespace) -> list[Row]:
    """All comparisons of one model on so many cores."""
    with tempfile.TemporaryDirectory(prefix="tritongen-") as name:
        folder = Path(name)
        prepare(folder, model, cores, options.tune)
        fit = predicted(folder, model, cores)
        goal_s = 2.5 * fit.curve.latency_s(fit.curve.points[0].rate_per_s, 99.0)
        best = fit.curve.greatest_rate(99.0, goal_s)
        rows = []
        command(folder, "up", "--runtime", "embedded", *PORTS, cores=cores)
        try:
            curve = []
            for share in (*options.loads, *BEYOND):
                rate = share * best
                percentile, measured = probed(folder, model, rate, options.seconds)
                value = fit.curve.latency_s(rate, float(percentile[1:])) * 1e3
                if share in options.loads:
                    what = f"{percentile} at {rate:,.0f}/s ({share:.0%}), ms"
                    rows.append(Row(model, cores, what, value, measured))
                if percentile == "p99" and measured is not None:
                    curve.append((rate, measured))
                    if measured > 2.0 * goal_s * 1e3:
                        break
            found = greatest(curve, goal_s * 1e3)
            rows.append(Row(model, cores, f"rate at p99 < {goal_s * 1e3:.3g} ms", best, found))
        finally:
            command(folder, "down", allowed=(0, 1, 3))
    return rows


def table(rows: Sequence[Row]) -> None:
    print(f"{'model':14} {'cores':>5}  {'what':34} {'predicted':>10} {'measured':>10} {'error':>7}")
    for row in rows:
        measured = "–" if row.measured is None else f"{row.measured:10.4g}"
        error = "–" if row.error is None else f"{row.error:+7.0%}"
        print(f"{row.model:14} {row.cores:5}  {row.what:34} {row.predicted:10.4g} {measured:>10} "
              f"{error:>7}")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--cores", nargs="+", type=int, default=LIMITS)
    parser.add_argument("--tune", type=float, default=20.0, help="seconds of tuning, each")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load")
    parser.add_argument("--quick", action="store_true", help="prove that it runs")
    options = parser.parse_args(argv)
    options.loads = LOADS
    if options.quick:
        options.models, options.cores, options.loads = ("digits",), (1,), (0.5,)
        options.tune, options.seconds = 20.0, 3.0
    available = len(os.sched_getaffinity(0))
    begin, rows = monotonic(), []
    for cores in options.cores:
        if cores >= available:
            print(f"{cores} of {available} cores serve: the load generator's work is in the way")
        for model in options.models:
            rows += compare(model, min(cores, available), options)
    table(rows)
    errors = [abs(row.error) for row in rows if row.error is not None]
    close = sum(error <= CLOSE for error in errors)
    print(f"{close} of {len(errors)} within {CLOSE:.0%}, in {monotonic() - begin:.0f} s")
    return 0 if errors and close >= WANTED * len(errors) else 1


if __name__ == "__main__":
    raise SystemExit(main())
