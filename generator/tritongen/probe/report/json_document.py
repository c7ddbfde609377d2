"""Results as JSON, and back: what `--format json` prints and `--compare` reads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.probe.arrivals.workload import Closed
from tritongen.probe.statistics.attribution import Attribution, Execution
from tritongen.probe.statistics.histogram import Histogram
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import (
    PERCENTILES,
    LatencySummary,
    LevelResult,
    Moment,
    RequestCounts,
    percentile_key,
)

KIND = "tritongen.probe"
_MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and how a probe ran.

    Attributes:
        started: wall-clock time in ISO 8601, UTC.
        tool: version of tritongen.
        server: name and version as the server says.
        endpoint: address and protocol.
        machine: CPU model, cores, system of the client.
        seed: of inputs and arrivals.
        configurations: hash of each model's configuration in force.
        command: as it was typed.
    """

    started: str
    tool: str
    server: str
    endpoint: str
    machine: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    configurations: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


def document(
    environment: Environment, levels: Sequence[LevelResult], *, histograms: bool = True
) -> dict[str, Any]:
    """The whole result as plain data, without the schema version that the printer adds."""
    return {
        "kind": KIND,
        "environment": {
            "started": environment.started,
            "tool": environment.tool,
            "server": environment.server,
            "endpoint": environment.endpoint,
            "machine": dict(environment.machine),
            "seed": environment.seed,
            "configurations": dict(environment.configurations),
            "command": environment.command,
        },
        "levels": [level_json(level, histograms=histograms) for level in levels],
    }


def level_json(level: LevelResult, *, histograms: bool = True) -> dict[str, Any]:
    """One level as plain data."""
    own = level.attribution.own if level.attribution else None
    found: dict[str, Any] = {
        "model": level.model,
        "version": level.version,
        "protocol": level.protocol,
        "engine": level.engine,
        "load": _load_json(level),
        "batch": level.batch,
        "verdict": str(level.verdict),
        "reason": level.reason,
        "duration_s": round(level.duration_s, 6),
        "warmup_s": round(level.warmup_s, 6),
        "throughput_per_s": interval_json(level.throughput, 3),
        "inferences_per_s": interval_json(
            level.throughput.scaled(level.batch) if level.throughput else None, 3
        ),
        "latency_us": latency_json(level.latency),
        "latency_all_us": latency_json(level.latency_all),
        "service_us": latency_json(level.service),
        "requests": _requests_json(level.requests),
        "client": {
            "cpu_us_per_request": round(level.client.cpu_us_per_request, 3),
            "busy_share": round(level.client.busy_share, 4),
            "processes": level.client.processes,
            "lateness_us": _lateness_json(level),
        },
        "server": _server_json(level.attribution, own),
        "attribution": attribution_json(level.attribution),
        "advice": [{"sentence": a.sentence, "command": a.command} for a in level.advice],
        "timeline": [_moment_json(moment) for moment in level.timeline],
    }
    if histograms:
        found["histograms"] = {
            "latency_ns": level.latency.histogram.to_json(),
            "lateness_ns": level.client.lateness.histogram.to_json(),
        }
    return found


def _requests_json(requests: RequestCounts) -> dict[str, Any]:
    return {
        "sent": requests.sent,
        "ok": requests.ok,
        "failed": requests.failed,
        "failures_by_code": dict(requests.failures_by_code),
        "examples": dict(requests.examples),
        "unfinished": requests.unfinished,
        "unsent": requests.unsent,
    }


def _load_json(level: LevelResult) -> dict[str, Any]:
    load: dict[str, Any] = {"kind": str(level.load.kind), "value": level.load.value}
    if not isinstance(level.load, Closed):
        load["arrivals"] = str(level.load.pacing)
        load["max_outstanding"] = level.load.max_outstanding
    load["loop"] = "closed" if isinstance(level.load, Closed) else "open"
    load["share"] = round(level.share, 6)
    return load


def interval_json(interval: Interval | None, digits: int = 1) -> dict[str, float] | None:
    """``{value, low, high}``, None without an interval."""
    if interval is None:
        return None
    return {
        "value": round(interval.value, digits),
        "low": round(interval.low, digits),
        "high": round(interval.high, digits),
    }


def latency_json(summary: LatencySummary) -> dict[str, Any]:
    """Percentiles by key and the mean; null where there are too few samples."""
    keys = [percentile_key(p) for p in PERCENTILES]
    found: dict[str, Any] = {key: interval_json(summary.percentiles.get(key)) for key in keys}
    found["mean"] = interval_json(summary.mean)
    found["max"] = round(summary.max_us, 1)
    return found


def _lateness_json(level: LevelResult) -> dict[str, float | None]:
    """A closed loop sends whenever an answer is there: it is never late."""
    if isinstance(level.load, Closed):
        return {"p50": 0.0, "p99": 0.0}
    found = level.client.lateness.percentiles
    return {
        key: round(value.value, 1) if (value := found.get(key)) else None for key in ("p50", "p99")
    }


def _server_json(attribution: Attribution | None, own: Execution | None) -> dict[str, Any] | None:
    if attribution is None or own is None:
        return None
    return {
        "queue_us": round(attribution.queue_us, 1),
        "compute_input_us": round(attribution.compute_input_us, 1),
        "compute_infer_us": round(attribution.compute_infer_us, 1),
        "compute_output_us": round(attribution.compute_output_us, 1),
        "average_batch": _rounded(own.average_batch, 3),
        "executions": own.executions,
        "instance_busy_share": _rounded(own.busy_share, 4),
        "cache_hit_share": _rounded(own.cache_hit_share, 4),
        "cpu_cores": _rounded(attribution.use.cpu_cores, 3),
        "memory_bytes": attribution.use.memory_bytes,
        "use_source": attribution.use.source,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def attribution_json(attribution: Attribution | None) -> dict[str, Any] | None:
    """Where the time went; the parts add up to the total."""
    if attribution is None:
        return None
    return {
        "total_us": round(attribution.total_us, 3),
        "parts_us": {name.replace(" ", "_"): round(value, 3) for name, value in attribution.parts},
        "composing": [
            {
                "model": item.model,
                "requests": item.requests,
                "queue_us": round(item.queue_us, 1),
                "compute_input_us": round(item.compute_input_us, 1),
                "compute_infer_us": round(item.compute_infer_us, 1),
                "compute_output_us": round(item.compute_output_us, 1),
                "average_batch": _rounded(item.average_batch, 3),
                "instance_busy_share": _rounded(item.busy_share, 4),
            }
            for item in attribution.composing
        ],
    }


def _moment_json(moment: Moment) -> dict[str, Any]:
    return {
        "at_s": round(moment.at_s, 3),
        "seconds": round(moment.seconds, 3),
        "completed": moment.completed,
        "failed": moment.failed,
        "mean_us": _rounded(moment.mean_us, 1),
        "p50_us": _rounded(moment.p50_us, 1),
        "p99_us": _rounded(moment.p99_us, 1),
        "outstanding": moment.outstanding,
        "warmup": moment.warmup,
    }


@dataclass(frozen=True, slots=True)
class SavedLevel:
    """What a comparison needs of a saved level.

    Attributes:
        model: its name.
        load: kind and value, such as ``concurrency 8``.
        verdict: as it was.
        throughput: requests per second.
        percentiles: of latency by key, microseconds, None below their floors.
        requests: successful and failed ones.
        failure_share: failed requests divided by all.
        latency: its histogram, nanoseconds.
    """

    model: str
    load: str
    verdict: str
    throughput: Interval | None
    percentiles: Mapping[str, Interval | None]
    requests: int
    failure_share: float
    latency: Histogram


def read_saved(path: Path) -> tuple[SavedLevel, ...]:
    """The levels of a saved result.

    Raises:
        InvalidInputError: TG002 there is no such file; TG912 it is not a result.
    """
    try:
        with path.open("rb") as file:  # a device or a pipe tells no size
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise InvalidInputError("TG912", "the file is larger than 256 MiB", where=str(path))
        content = json.loads(text)
    except FileNotFoundError:
        raise InvalidInputError("TG002", "there is no such file", where=str(path)) from None
    except OSError as fault:
        raise InvalidInputError("TG003", str(fault.strerror), where=str(path)) from None
    except (ValueError, RecursionError):
        raise InvalidInputError("TG912", "the file is not JSON", where=str(path)) from None
    try:
        if content["kind"] != KIND:
            raise ValueError(content["kind"])
        return tuple(_saved(level) for level in content["levels"])
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise InvalidInputError(
            "TG912", f"its content has another form ({type(fault).__name__})", where=str(path)
        ) from None


def _saved(level: Mapping[str, Any]) -> SavedLevel:
    load, requests = level["load"], level["requests"]
    whole = int(requests["ok"]) + int(requests["failed"])
    latency = level["latency_us"]
    return SavedLevel(
        model=str(level["model"]),
        load=f"{load['kind']} {float(load['value']):g}",
        verdict=str(level["verdict"]),
        throughput=_interval(level["throughput_per_s"]),
        percentiles={
            key: _interval(latency.get(key)) for key in [percentile_key(p) for p in PERCENTILES]
        },
        requests=whole,
        failure_share=int(requests["failed"]) / whole if whole else 0.0,
        latency=Histogram.from_json(level["histograms"]["latency_ns"]),
    )


def _interval(data: Any) -> Interval | None:  # noqa: ANN401  (content of a file)
    if data is None:
        return None
    return Interval(float(data["value"]), float(data["low"]), float(data["high"]))
