"""The parts of the tuning benchmark; each takes minutes, and its result can be kept.

*Grid*: every configuration that the tuner may choose, measured once each, beside the simulation.
*Tune*: the command as a user runs it, with several seeds. *Final*: the choices, the best of the
grid and the auto-completed configuration, measured again by perf_analyzer in turn.
"""

import csv
import json
import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from probe_bench_tools import perf_analyzer
from serving_bench import TRITONGEN, model_folder
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.progress import silent
from tritongen.queueing import ClosedLoop
from tritongen.repository.gather_evidence import gather_evidence, trial_policy
from tritongen.repository.project import load_project
from tritongen.serving.protocol import ServerSpec
from tritongen.triton.server import RuntimeName
from tritongen.triton.server_state import StateStore
from tritongen.tune.measure import TaskRunner
from tritongen.tune.search.calibrate import calibration_tasks, fit, rate_task
from tritongen.tune.search.measurement_records import Purpose, Task, TaskRecord
from tritongen.tune.search.predict import Predictor
from tritongen.tune.search.search_space import Candidate, delay_choices
from tritongen.tune.tune_models import make_subjects
from tritongen.tune.tune_options import TuneOptions
from tritongen.tune.tune_server import PrivateServer
from tritongen.tune.tuned_model import Subject

GRID_S = 1.0
# Triton's two front ends differ so much in what a request costs that they have different optima:
# grid, tuner and perf_analyzer all speak the same.
PROTOCOL = ClientProtocol.GRPC
# Threads of perf_analyzer, which take their time from a server on the same CPUs: with its usual
# number it takes a third more.
PEER_THREADS = 2
# perf_analyzer takes at least three windows of this length.
WINDOW_MS = 700
# Of the grid, those that are measured again: one measurement alone is a lottery.
TOP = 3
CACHE = Path.home() / ".cache/tritongen/benchmarks"


@dataclass(frozen=True)
class Row:
    """One model on a number of CPUs.

    Attributes:
        model: its name.
        cpus: of the server.
        clients: that wait for their answers; 0 for as many as keep every instance in full batches.
    """

    model: str
    cpus: int
    clients: int = 0

    @property
    def key(self) -> str:
        """For the file of results."""
        return f"{self.model}/{self.cpus}" + (f"@{self.clients}" if self.clients else "")

    @property
    def goal(self) -> str:
        """Of the tuner."""
        return f"throughput@{self.clients}" if self.clients else "throughput"


@contextmanager
def project(row: Row) -> Iterator[Path]:
    """A project folder with this model alone, tried."""
    with tempfile.TemporaryDirectory(prefix="tune-bench-") as name:
        folder = Path(name)
        (folder / "models").mkdir()
        shutil.copytree(model_folder(row.model), folder / "models" / row.model)
        (folder / "models/tritongen.yaml").write_text(
            f"target: {{cpus: {row.cpus}}}\nclients: {{protocol: {PROTOCOL}}}\n"
        )
        yield folder


def subject_of(folder: Path, row: Row) -> Subject:
    """The model as the tuner sees it."""
    loaded = load_project(folder / "models", folder / "model_repository")
    gathered = gather_evidence(loaded, trial_policy(run=True), silent)
    options = TuneOptions(models=(row.model,), goal=row.goal, cpus=row.cpus)
    (subject,), _ = make_subjects(loaded, gathered, options)
    return subject


class _OpenServer(PrivateServer):
    """Model Analyzer sends no header when it loads models, so that this API stays open to it."""

    def _spec(self) -> ServerSpec:
        closed = f"trace,logging:closed={os.urandom(16).hex()}"
        flags = ("http-restricted-api", closed), ("grpc-restricted-protocol", closed)
        return replace(super()._spec(), flags=flags)


@contextmanager
def bench(folder: Path, subject: Subject) -> Iterator[TaskRunner]:
    """A private server limited to the row's CPUs, and a way to measure on it."""
    store = StateStore(folder)
    store.make_folder("tune")
    server = _OpenServer(
        store,
        (folder / "models").resolve(),
        (subject.space.backend.name,),
        subject.intent.target.triton,
        TuneOptions(runtime=RuntimeName.EMBEDDED),
        PROTOCOL,
    )
    found = TaskRunner(server, 0, time.monotonic)
    try:
        yield found
    finally:
        found.close()


def clients_of(row: Row, candidate: Candidate) -> int:
    """The row's, or those that keep every instance in full batches, as the tuner has them."""
    if row.clients:
        return row.clients
    place = candidate.max_batch_size if candidate.batches else 1
    wanted = 2 * candidate.instances * max(1, place)
    return next((n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if n >= wanted), 64)


def grid_part(row: Row, tell: Callable[[str], None], *, delays: bool) -> list[dict[str, Any]]:
    """Every configuration once: measured, and as the simulation has it after calibration.

    Args:
        row: model and CPUs.
        tell: of progress.
        delays: with the queue delays that the tuner considers; without, 0 alone.
    """
    with project(row) as folder:
        subject = subject_of(folder, row)
        with bench(folder, subject) as found:
            records = [found.measure(subject, task) for task in calibration_tasks(subject.space)]
            while (at_rate := rate_task(tuple(records), subject.space.request_rows)) is not None:
                records.append(found.measure(subject, at_rate))
            calibration = fit(tuple(records), float(row.cpus))
            if calibration is None:
                raise SystemExit(f"{row.key}: nothing could be calibrated: {records[-1].error}")
            predictor = Predictor(calibration, subject.objective)
            service = calibration.service.alone(1, 1)
            space = subject.space.with_delays(delay_choices(service) if delays else ())
            candidates = space.candidates()
            points = []
            for number, candidate in enumerate(candidates):
                tell(f"{row.key}: grid {number + 1} of {len(candidates)}: {candidate.key}")
                load = ClosedLoop(clients_of(row, candidate))
                task = Task(candidate, load, Purpose.RACE, 1, GRID_S, 100, 4.0 * GRID_S)
                points.append(_point(found.measure(subject, task), predictor))
            return points


def _point(record: TaskRecord, predictor: Predictor) -> dict[str, Any]:
    candidate, load = record.task.candidate, record.task.load
    predicted = predictor.under(candidate, load).outcome
    reading = record.sound
    return {
        "candidate": _fields(candidate),
        "clients": load.concurrency if isinstance(load, ClosedLoop) else 0,
        "throughput": reading.throughput_per_s if reading is not None else 0.0,
        "p99_ms": reading.latency_s(99.0) * 1e3 if reading is not None else 0.0,
        "predicted": predicted.throughput_per_s,
        "predicted_p99_ms": predicted.latency_s * 1e3,
        "error": record.error,
    }


def _fields(candidate: Candidate) -> dict[str, Any]:
    return {
        "instances": candidate.instances,
        "threads": candidate.threads,
        "max_batch_size": candidate.max_batch_size,
        "queue_delay_us": candidate.queue_delay_us,
        "inter_op": candidate.inter_op,
        "arena": candidate.arena,
    }


def tune_part(row: Row, seed: int, budget_s: float) -> dict[str, Any]:
    """The command with one seed; its result for the model."""
    with project(row) as folder:
        words = ("-m", row.model, "--cpus", str(row.cpus), "--budget", f"{budget_s:g}s")
        subprocess.run(
            [TRITONGEN, "build", "models"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        done = subprocess.run(
            [TRITONGEN, "tune", "models", *words, "--goal", row.goal, "--seed", str(seed),
             "--dry-run", "--format", "json"],
            cwd=folder, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        document = json.loads(done.stdout)
    (model,) = document["models"]
    return {
        "best": {
            **{key: model["best"][key] for key in _FIELDS},
            "arena": model["best"]["memory_arena"],
        },
        "budget_s": budget_s,
        "throughput": model["best"]["throughput_per_s"]["value"],
        "verdict": model["verdict"],
        "kept": model["kept"],
        "wall_s": document["wall_s"],
        "notes": document["notes"],
    }


_FIELDS = ("instances", "threads", "max_batch_size", "queue_delay_us", "inter_op")


def final_part(
    row: Row,
    grid: Sequence[dict[str, Any]],
    tunes: dict[str, dict[str, Any]],
    tell: Callable[[str], None],
    rounds: int,
) -> dict[str, Any]:
    """Choices, what `build` writes, the grid's best and the default by perf_analyzer, in turn."""
    best = sorted(grid, key=lambda point: -point["throughput"])[:TOP]
    wanted = {Candidate(**point["candidate"]) for point in best}
    wanted |= {Candidate(**tune["best"]) for tune in tunes.values()}
    with project(row) as folder:
        subject = subject_of(folder, row)
        wanted.add(subject.built)
        with bench(folder, subject) as found:
            tasks = [
                Task(one, ClosedLoop(clients_of(row, one)), Purpose.RACE, 1, GRID_S)
                for one in sorted(wanted, key=lambda one: one.simplicity)
            ]
            default = subject.baseline
            load = ClosedLoop(clients_of(row, default))
            tasks.append(Task(default, load, Purpose.BASELINE, 1, GRID_S))
            slots = {task: _slot(found, subject, task) for task in tasks}
            seen: dict[str, list[tuple[float, float]]] = {}
            for number in range(rounds):
                for task in tasks if number % 2 == 0 else reversed(tasks):
                    name = "default" if task.purpose is Purpose.BASELINE else task.candidate.key
                    tell(f"{row.key}: perf_analyzer, round {number + 1} of {rounds}: {name}")
                    seen.setdefault(name, []).append(_by_peer(found, subject, slots[task], task))
    return {
        "throughput": {name: _mean([pair[0] for pair in pairs]) for name, pairs in seen.items()},
        "p99_ms": {name: _mean([pair[1] for pair in pairs]) for name, pairs in seen.items()},
        "grid": [Candidate(**point["candidate"]).key for point in best],
        "built": subject.built.key,
        "rounds": rounds,
    }


def _mean(values: Sequence[float]) -> float:
    """Geometric mean of what was measured."""
    known = [value for value in values if value > 0.0]
    return math.exp(sum(map(math.log, known)) / len(known)) if known else 0.0


def _slot(found: TaskRunner, subject: Subject, task: Task) -> str:
    wanted = found.configuration(subject, task)
    found.server.ensure(found.cores(subject), wanted.environment)
    return found.server.load(wanted, subject.facts, 64)


def _by_peer(found: TaskRunner, subject: Subject, slot: str, task: Task) -> tuple[float, float]:
    """(requests per second, p99 in ms) by perf_analyzer; zeros when it gives none."""
    trial = subject.evidence.trial
    clients = task.load.concurrency if isinstance(task.load, ClosedLoop) else 1
    batches = task.candidate.max_batch_size > 0
    shapes = [
        word
        for tensor in (trial.inputs if trial is not None else ())
        for word in ("--shape", f"{tensor.name}:{_dims(tensor.shape, batches)}")
    ]
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out.csv"
        subprocess.run(
            [perf_analyzer(), "-m", slot, "-u", found.server.endpoint.address, "-i", PROTOCOL,
             "--async", "--max-threads", str(PEER_THREADS),
             "--concurrency-range", str(clients), "-p", str(WINDOW_MS),
             "--stability-percentage", "999", "--input-data", "random", *shapes, "-f", out],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=300,
            preexec_fn=lambda: os.sched_setaffinity(0, found.server.cores.generator),
        )  # fmt: skip
        if not out.exists():
            return 0.0, 0.0
        with out.open() as file:
            line = next(csv.DictReader(file), {})
    return float(line.get("Inferences/Second") or 0.0), float(line.get("p99 latency") or 0.0) / 1e3


def _dims(shape: Sequence[int], batches: bool) -> str:
    return ",".join(map(str, (shape[1:] or (1,)) if batches else shape or (1,)))
