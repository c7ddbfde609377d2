"""Results as CSV, with perf_analyzer's columns first, so that its readers can read them."""

import csv
import io
from collections.abc import Sequence

from tritongen.model.printable import spreadsheet_cell
from tritongen.probe.statistics.measurement import LevelResult
from tritongen.queueing import ClosedLoop

_SHARED = (
    "Inferences/Second",
    "Client Send",
    "Network+Server Send/Recv",
    "Server Queue",
    "Server Compute Input",
    "Server Compute Infer",
    "Server Compute Output",
    "Client Recv",
    "p50 latency",
    "p90 latency",
    "p95 latency",
    "p99 latency",
)
_OURS = (
    "Model",
    "Verdict",
    "p50 low",
    "p50 high",
    "p99 low",
    "p99 high",
    "p99.9 latency",
    "Requests",
    "Failed",
    "Lateness p99",
    "Client CPU",
)


def csv_text(levels: Sequence[LevelResult]) -> str:
    """One line a level; durations in microseconds, empty where there are too few requests.

    The first column is `Concurrency` where every loop is closed, else `Request Rate`.
    """
    closed = all(isinstance(level.load, ClosedLoop) for level in levels)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("Concurrency" if closed else "Request Rate", *_SHARED, *_OURS))
    for level in levels:
        cells = (f"{level.load.value:g}", *_shared(level), *_ours(level))
        writer.writerow(map(spreadsheet_cell, cells))
    return text.getvalue()


def _shared(level: LevelResult) -> list[str]:
    found = level.attribution
    rate = level.throughput.value * level.batch if level.throughput else 0.0
    # The client's part is its CPU time as a whole; it is not divided into sending and receiving.
    parts = [0.0] * 7 if found is None else [*(us for _, us in found.parts[1:]), 0.0]
    keys = ("p50", "p90", "p95", "p99")
    return [
        f"{rate:.3f}",
        *(f"{value:.0f}" for value in parts),
        *(_percentile(level, key) for key in keys),
    ]


def _ours(level: LevelResult) -> list[str]:
    late = level.client.lateness.percentiles.get("p99")
    return [
        level.model,
        str(level.verdict),
        *_ends(level, "p50"),
        *_ends(level, "p99"),
        _percentile(level, "p999"),
        str(level.requests.sent),
        str(level.requests.failed),
        f"{late.value:.0f}" if late else "",
        f"{level.client.cpu_us_per_request:.1f}",
    ]


def _percentile(level: LevelResult, key: str) -> str:
    interval = level.latency.percentiles.get(key)
    return f"{interval.value:.0f}" if interval else ""


def _ends(level: LevelResult, key: str) -> tuple[str, str]:
    interval = level.latency.percentiles.get(key)
    return (f"{interval.low:.0f}", f"{interval.high:.0f}") if interval else ("", "")
