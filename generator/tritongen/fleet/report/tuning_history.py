"""What tuning has measured, from the journals that it leaves in the project's state folder."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.model.evidence import Tuned
from tritongen.system.own_files import check_folder, read_own


@dataclass(frozen=True, slots=True)
class MeasuredConfiguration:
    """One configuration with its best reading.

    Attributes:
        text: its settings, for people.
        throughput: requests per second.
        p99_ms: latency at the highest percentile that was kept, up to the 99th.
        chosen: whether it is the one in the lock.
        baseline: whether it is Triton's own.
    """

    text: str
    throughput: float
    p99_ms: float
    chosen: bool = False
    baseline: bool = False


def measured_configurations(
    state: Path, model: str, tuned: Tuned | None
) -> tuple[MeasuredConfiguration, ...]:
    """Every configuration of a model that was measured; empty without a readable journal."""
    path = state / "tune" / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', model)}.jsonl"
    try:
        check_folder(state)
        check_folder(path.parent)
        lines = read_own(path).decode("utf-8", "replace").splitlines()
    except (OSError, EnvironmentProblem):
        return ()
    best: dict[str, MeasuredConfiguration] = {}
    for line in lines[1:]:
        found = _measured(line, tuned)
        if found is not None:
            known = best.get(found.text)
            if known is None or found.throughput > known.throughput:
                best[found.text] = found
    return tuple(sorted(best.values(), key=lambda one: -one.throughput))


def _measured(line: str, tuned: Tuned | None) -> MeasuredConfiguration | None:
    """One line of a journal; None for what holds no reading or is cut off."""
    try:
        record = json.loads(line)
        settings, reading = record["candidate"], record["reading"]
        throughput = float(reading["throughput_per_s"])
        latency = max(
            (pair for pair in reading["latencies_s"] if pair[0] <= 99.0 and pair[1] is not None),
            default=None,
        )
        key = (
            int(settings["instances"]),
            int(settings["threads"]),
            int(settings["max_batch_size"]),
            settings["queue_delay_us"],
            int(settings.get("inter_op", 1)),
            bool(settings.get("arena", True)),
        )
        baseline = record["purpose"] == "baseline"
    except (ValueError, TypeError, KeyError, IndexError):
        return None
    if latency is None or not throughput > 0.0 or not math.isfinite(float(latency[1])):
        return None
    batch = f", batches of {key[2]}" if key[2] > 1 else ""
    delay = f", delay {key[3]} µs" if key[3] is not None else ""
    chosen = tuned is not None and key == (
        tuned.instances,
        tuned.threads,
        tuned.max_batch_size,
        tuned.queue_delay_us,
        tuned.inter_op,
        tuned.arena,
    )
    wide = f", {key[4]} operators side by side" if key[4] > 1 else ""
    arena = "" if key[5] else ", without the memory arena"
    text = f"{key[0]} × {key[1]} threads{wide}{batch}{delay}{arena}"
    return MeasuredConfiguration(
        text, throughput, max(float(latency[1]) * 1e3, 1e-3), chosen, baseline
    )
