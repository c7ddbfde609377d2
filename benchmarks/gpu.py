"""The demo on the GPU of this machine: what was planned for it, and what is measured.

    .venv/bin/python benchmarks/gpu.py            every demo model that has an estimate
    .venv/bin/python benchmarks/gpu.py --quick    fewer batch sizes, short loads

It needs Docker with NVIDIA's container toolkit, and no network beside the official image and the
demo's models. The plan is made for the card that `nvidia-smi` names, with the memory that is free.
Of every batch size the time of an execution inside Triton stands beside the roofline's estimate,
and the memory that the server took beside what was planned.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from serving_bench import MODELS, TRITONGEN, build, machine, print_table
from tritongen.model.facts import ModelFacts, precision_of
from tritongen.model.gpu_cards import CARDS, card_name
from tritongen.model.graph_work import GraphWork
from tritongen.model.lock import Lock
from tritongen.planner.roofline import UNCERTAINTY, card_rates, execution_s
from tritongen.repository.project import read_lock
from tritongen.system.gpus import CardMemory, card_memory
from tritongen.triton.http_client import HttpClient

NOTHING = """\
Nothing was measured: no machine with a GPU was at hand. On one, `python benchmarks/run.py gpu`
serves the demo with the official image, holds times and memory of the plan against those of the
card, and writes this page. Until then every value that a plan gives for a GPU rests on files,
rules, memory and [the roofline](roofline.md), which may be wrong by a factor of two."""
FREE = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


def execution_times(statistics: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Milliseconds in the backend by rows of an execution, from a model's statistics."""
    times = {}
    for version in statistics:
        for batch in version.get("batch_stats", ()):
            spent = batch["compute_infer"]
            if int(spent["count"]):
                times[int(batch["batch_size"])] = int(spent["ns"]) / int(spent["count"]) / 1e6
    return times


def project(folder: Path, gpu: CardMemory, names: Sequence[str]) -> Path:
    """The demo planned for this card; its repository."""
    build(folder, names)
    shutil.rmtree(folder / "model_repository")
    intent = folder / "models" / "tritongen.yaml"
    name = card_name(gpu.name, gpu.total_bytes)
    card = f"name: {name}, " if name else ""
    target = f"target:\n  gpu: {{{card}memory: {gpu.free_bytes >> 20}MiB}}\n"
    intent.write_text(intent.read_text().replace("target:\n", target, 1))
    subprocess.run([TRITONGEN, "build", "models"], cwd=folder, check=True)
    return folder / "model_repository"


def measured(folder: Path, lock: Lock, seconds: float, sizes: Sequence[int]) -> Iterator[list[str]]:
    """A row of the table for every model and batch size."""
    status = subprocess.run(
        [TRITONGEN, "status", "--format", "json"],
        cwd=folder, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = json.loads(status.stdout)["endpoints"]["http"]
    for name, model in lock.models.items():
        trial = model.evidence.trial
        if trial is None or trial.work is None or model.facts is None:
            continue
        for rows in sizes if trial.work.further is not None else (1,):
            probe = [TRITONGEN, "probe", "-m", name, "--concurrency", "1", "--batch", str(rows)]
            done = subprocess.run(
                [*probe, "--duration", f"{seconds:g}"],
                cwd=folder, check=False, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            if done.returncode:
                continue  # more rows than max_batch_size
            with HttpClient(address, timeout=10.0) as client:
                times = execution_times(client.statistics(name))
            if rows in times:
                yield _row(name, rows, times[rows], trial.work, model.facts)


def _row(name: str, rows: int, took: float, work: GraphWork, facts: ModelFacts) -> list[str]:
    card = CARDS.get(card_name(card_memory()[0].name, card_memory()[0].total_bytes) or "")
    if card is None:
        return [name, str(rows), "–", f"{took:.3g}", "–"]
    expected = execution_s(work.of(rows), card_rates(card, precision_of(facts))) * 1e3
    return [name, str(rows), f"{expected:.3g}", f"{took:.3g}", f"{expected / took:.2f}"]


def main(argv: Sequence[str] | None = None) -> None:
    """Plan, serve, measure and print; say so where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, short loads")
    quick = parser.parse_args(argv).quick
    gpus = card_memory()
    if not gpus:
        print(NOTHING)
        return
    gpu = gpus[0]
    print(f"{machine()}; {gpu.name}, {gpu.total_bytes >> 20} MiB\n")
    with tempfile.TemporaryDirectory() as held:
        repository = project(Path(held), gpu, MODELS)
        lock = read_lock(repository)
        if lock is None:
            raise SystemExit("the build wrote no lock")
        up = [TRITONGEN, "up", "--runtime", "docker", *FREE]
        try:
            subprocess.run(up, cwd=held, check=True, env=dict(os.environ))
            seconds, sizes = (2.0, ROWS[::3]) if quick else (6.0, ROWS)
            rows = list(measured(Path(held), lock, seconds, sizes))
            taken = gpu.free_bytes - card_memory()[0].free_bytes
        finally:
            subprocess.run([TRITONGEN, "down"], cwd=held, check=False)
    print_table(("model", "rows", "estimated ms", "measured ms", "ratio"), rows)
    ratios = [float(row[-1]) for row in rows if row[-1] != "–"]
    within = sum(1 / UNCERTAINTY <= ratio <= UNCERTAINTY for ratio in ratios)
    print(f"\n{within} of {len(ratios)} within a factor of {UNCERTAINTY:g}.")
    planned = lock.server.gpu_bytes[0] if lock.server.gpu_bytes else 0
    print(f"\nMemory: {planned >> 20} MiB planned, {taken >> 20} MiB taken.")


if __name__ == "__main__":
    main()
