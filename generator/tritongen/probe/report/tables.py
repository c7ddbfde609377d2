"""Results as tables: for people, and as CSV with perf_analyzer's columns first, for its readers."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from tritongen.model.printable import spreadsheet_cell
from tritongen.probe.level import Update
from tritongen.probe.statistics.attribution import Attribution
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import LevelResult
from tritongen.probe.workload import Load, describe
from tritongen.queueing import ClosedLoop, LoadKind
from tritongen.triton.statistics import GpuUse

HEADERS = ("load", "verdict", "requests/s", "p50", "p90", "p95", "p99", "p99.9", "failed")


# Of an estimate, in percent: beyond it an interval says only that nothing is known.
_MAX_SHARE_PERCENT = 999.0


def duration_text(microseconds: float) -> str:
    """Three figures and the unit that suits: ``812 µs``, ``3.91 ms``, ``1.20 s``."""
    for limit, divisor, unit in ((1e3, 1.0, "µs"), (1e6, 1e3, "ms")):
        if microseconds < limit * 0.9995:
            return f"{_figures(microseconds / divisor)} {unit}"
    return f"{_figures(microseconds / 1e6)} s"


def _figures(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def share_text(interval: Interval) -> str:
    """Half the interval as a share of the estimate: ``±4 %``, ``>±999 %`` beyond that."""
    width = interval.relative_width * 100.0
    if width > _MAX_SHARE_PERCENT:
        return f">±{_MAX_SHARE_PERCENT:.0f} %"
    return f"±{width:.0f} %" if width >= 1.5 else f"±{width:.1f} %"


def latency_text(interval: Interval | None) -> str:
    """An estimate with its interval, ``too few`` below the floor."""
    if interval is None:
        return "too few"
    if interval.low == interval.high:
        return duration_text(interval.value)
    return f"{duration_text(interval.value)} {share_text(interval)}"


def rate_text(interval: Interval | None) -> str:
    """Requests per second with their interval."""
    if interval is None:
        return "none"
    value = f"{interval.value:,.0f}" if interval.value >= 100 else f"{interval.value:.3g}"
    return f"{value} {share_text(interval)}"


def load_text(level: LevelResult) -> str:
    """The load, short enough for a column."""
    load = level.load
    if load.kind is LoadKind.CONCURRENCY:
        return f"c = {load.value:g}"
    return describe(load)


def row(level: LevelResult) -> tuple[str, ...]:
    """One line of the table; see `HEADERS`."""
    keys = ("p50", "p90", "p95", "p99", "p999")
    failed = level.requests.failed
    return (
        load_text(level),
        str(level.verdict),
        rate_text(level.throughput),
        *(latency_text(level.latency.percentiles.get(key)) for key in keys),
        f"{failed} ({level.requests.failure_share:.1%})" if failed else "0",
    )


def details(level: LevelResult) -> list[str]:
    """Lines below the table: the reason, where the time went, what it means."""
    lines = [f"{load_text(level)}: {level.verdict}: {level.reason}."]
    attribution = level.attribution
    if attribution is not None:
        parts = [
            f"{name} {duration_text(value)}"
            for name, value in attribution.parts
            if value >= 0.005 * attribution.total_us
        ]
        mean = duration_text(attribution.total_us)
        lines.append(f"  mean {mean} = {' + '.join(parts)}")
        lines.append(f"  {_server_line(attribution)}")
        lines += [
            f"  {item.model}: queue {duration_text(item.queue_us)}, infer "
            f"{duration_text(item.compute_infer_us)}, batch {item.average_batch or 0:.1f}"
            for item in attribution.composing
        ]
    lines.append(f"  {_client_line(level)}")
    for advice in level.advice:
        lines.append(f"  {advice.sentence}" + (f" → `{advice.command}`" if advice.command else ""))
    return lines


def _server_line(attribution: Attribution) -> str:
    own, use = attribution.own, attribution.use
    parts = [f"server: {own.executions:,} executions"]
    if own.average_batch is not None:
        parts.append(f"batch {own.average_batch:.2f}")
    if own.busy_share is not None:
        parts.append(f"instances busy {own.busy_share:.0%}")
    if own.cache_hit_share is not None:
        parts.append(f"cache hits {own.cache_hit_share:.0%}")
    whose = " of its machine" if use.source == "metrics" else ""
    if use.cpu_cores is not None:
        parts.append(f"{use.cpu_cores:.2f} cores{whose}")
    if use.memory_bytes is not None:
        parts.append(f"{use.memory_bytes / 2**20:,.0f} MiB{whose}")
    parts += _gpu_parts(use.gpus)
    return ", ".join(parts)


def _gpu_parts(gpus: GpuUse | None) -> list[str]:
    """Use and memory of the server's GPUs, where it tells of any."""
    if gpus is None:
        return []
    busy = [f"GPU {gpus.utilization:.0%}"] if gpus.utilization is not None else []
    if gpus.memory_bytes is None:
        return busy
    of = f" of {gpus.total_bytes / 2**20:,.0f}" if gpus.total_bytes is not None else ""
    return [*busy, f"{gpus.memory_bytes / 2**20:,.0f}{of} MiB of GPU memory"]


def _client_line(level: LevelResult) -> str:
    client = level.client
    parts = [
        f"client: {level.client_name}, {client.cpu_us_per_request:.1f} µs of CPU a request",
        f"{client.busy_share:.0%} of a core",
    ]
    if level.processes > 1:
        parts.append(f"{level.processes} processes")
    if not isinstance(level.load, ClosedLoop):
        late = client.lateness.percentiles
        p50, p99 = late.get("p50"), late.get("p99")
        if p50 and p99:
            parts.append(
                f"late by {duration_text(p50.value)} (p50), {duration_text(p99.value)} (p99)"
            )
    warm = f", warm-up {level.warmup_s:.1f} s left out" if level.warmup_s else ""
    return f"{', '.join(parts)}; measured {level.duration_s:.1f} s{warm}"


def by_model(levels: Sequence[LevelResult]) -> dict[str, list[LevelResult]]:
    """Levels grouped by model, in order."""
    found: dict[str, list[LevelResult]] = {}
    for level in levels:
        found.setdefault(level.model, []).append(level)
    return found


def live_line(model: str, load: Load, update: Update) -> str:
    """One line of what is known in the middle of a level."""
    rate = f", {update.throughput:,.0f}/s" if update.throughput else ""
    latency = ""
    if update.latency_us:
        latency = f", p{update.percentile:g} {duration_text(update.latency_us)}"
    left = f"{update.elapsed_s:.0f} of at most {update.budget_s:.0f} s"
    return (
        f"{model}, {describe(load)}: {update.phase} {left}, {update.finished:,} requests"
        f"{rate}{latency}"
    )


def _part(place: int) -> Callable[[LevelResult], str]:
    """A part of the mean latency, by its place among them; 0 where they are not known."""
    return lambda level: f"{level.attribution.parts[place][1] if level.attribution else 0:.0f}"


def _latency(key: str, end: str = "value") -> Callable[[LevelResult], str]:
    """A percentile, or an end of its interval."""

    def cell(level: LevelResult) -> str:
        interval = level.latency.percentiles.get(key)
        return f"{getattr(interval, end):.0f}" if interval else ""

    return cell


def _inferences(level: LevelResult) -> str:
    return f"{level.throughput.value * level.batch if level.throughput else 0.0:.3f}"


def _late(level: LevelResult) -> str:
    late = level.client.lateness.percentiles.get("p99")
    return f"{late.value:.0f}" if late else ""


# perf_analyzer's columns, and ours behind them. The client's part of a latency is its CPU time as a
# whole; it is not divided into sending and receiving.
_COLUMNS: Mapping[str, Callable[[LevelResult], str]] = MappingProxyType(
    {
        "Inferences/Second": _inferences,
        "Client Send": _part(1),
        "Network+Server Send/Recv": _part(2),
        "Server Queue": _part(3),
        "Server Compute Input": _part(4),
        "Server Compute Infer": _part(5),
        "Server Compute Output": _part(6),
        "Client Recv": lambda _: "0",
        "p50 latency": _latency("p50"),
        "p90 latency": _latency("p90"),
        "p95 latency": _latency("p95"),
        "p99 latency": _latency("p99"),
        "Model": lambda level: level.model,
        "Verdict": lambda level: str(level.verdict),
        "p50 low": _latency("p50", "low"),
        "p50 high": _latency("p50", "high"),
        "p99 low": _latency("p99", "low"),
        "p99 high": _latency("p99", "high"),
        "p99.9 latency": _latency("p999"),
        "Requests": lambda level: str(level.requests.sent),
        "Failed": lambda level: str(level.requests.failed),
        "Lateness p99": _late,
        "Client CPU": lambda level: f"{level.client.cpu_us_per_request:.1f}",
        "Client": lambda level: level.client_name,
    }
)


def csv_text(levels: Sequence[LevelResult]) -> str:
    """One line a level; durations in microseconds, empty where there are too few requests.

    The first column is `Concurrency` where every loop is closed, else `Request Rate`.
    """
    closed = all(isinstance(level.load, ClosedLoop) for level in levels)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("Concurrency" if closed else "Request Rate", *_COLUMNS))
    for level in levels:
        cells = (f"{level.load.value:g}", *(cell(level) for cell in _COLUMNS.values()))
        writer.writerow(map(spreadsheet_cell, cells))
    return text.getvalue()
