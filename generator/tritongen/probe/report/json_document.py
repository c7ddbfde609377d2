"""Results as JSON, and back: what `--format json` prints and `--compare` reads."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tritongen.errors import InvalidInputError
from tritongen.model.codec import encode, view
from tritongen.probe.statistics.attribution import Attribution
from tritongen.probe.statistics.histogram import Histogram
from tritongen.probe.statistics.intervals import Interval
from tritongen.probe.statistics.measurement import (
    PERCENTILES,
    LatencySummary,
    LevelResult,
    percentile_key,
)
from tritongen.queueing import ClosedLoop
from tritongen.triton.statistics import ServerUse

T = TypeVar("T")
KIND = "tritongen.probe"
_SERVER_US = ("queue_us", "compute_input_us", "compute_infer_us", "compute_output_us")
# Of a saved result, which is read into memory as a whole. Chosen.
_MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and how a probe ran.

    Attributes:
        started: wall-clock time in ISO 8601, UTC.
        tool: version of tritongen.
        server: name and version as the server says.
        measured_on: whose backend figures are of where it is known not to be NVIDIA's, else empty.
        endpoint: address and protocol.
        machine: CPU model, cores, system of the client.
        seed: of inputs and arrivals.
        configurations: hash of each model's configuration in force.
        command: as it was typed, without values of headers.
        headers: names of those that were sent with every request.
    """

    started: str
    tool: str
    server: str
    endpoint: str
    machine: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    configurations: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    headers: tuple[str, ...] = ()
    measured_on: str = ""


def document(environment: Environment, levels: Sequence[LevelResult]) -> dict[str, Any]:
    """The whole result as plain data, without the schema version that the printer adds."""
    whole = {
        "kind": KIND,
        "environment": environment,
        "levels": [_level_json(level) for level in levels],
    }
    found: dict[str, Any] = encode(whole, whole=True)
    return found


def _level_json(level: LevelResult) -> dict[str, Any]:
    return {
        **view(level, "model", "version", "protocol", "engine"),
        "load": _load_json(level),
        **view(level, "batch", "verdict", "reason", "duration_s", "warmup_s"),
        "throughput_per_s": interval_json(level.throughput, 3),
        "inferences_per_s": interval_json(
            level.throughput.scaled(level.batch) if level.throughput else None, 3
        ),
        "latency_us": _latency_json(level.latency),
        "latency_all_us": _latency_json(level.latency_all),
        "service_us": _latency_json(level.service),
        "requests": level.requests,
        "client": {
            "name": level.client_name,
            **view(level.client, "cpu_us_per_request", "busy_share"),
            "processes": level.processes,
            "lateness_us": _lateness_json(level),
        },
        "server": _server_json(level.attribution) if level.attribution else None,
        "attribution": _attribution_json(level.attribution) if level.attribution else None,
        "advice": level.advice,
        "timeline": level.timeline,
        "histograms": {
            "latency_ns": level.latency.histogram.to_json(),
            "lateness_ns": level.client.lateness.histogram.to_json(),
            **_kept_histograms(level),
        },
        **({} if level.recording is None else {"recording": level.recording}),
    }


def _kept_histograms(level: LevelResult) -> dict[str, Any]:
    """What merging needs beside the usual ones."""
    if level.recording is None:
        return {}
    kept = {"all_ns": level.latency_all, "service_ns": level.service}
    return {name: summary.histogram.to_json() for name, summary in kept.items()}


def _load_json(level: LevelResult) -> dict[str, Any]:
    load: dict[str, Any] = {"kind": str(level.load.kind), "value": level.load.value}
    if not isinstance(level.load, ClosedLoop):
        load["arrivals"] = str(level.load.pacing)
        load["max_outstanding"] = level.load.max_outstanding
    load["loop"] = "closed" if isinstance(level.load, ClosedLoop) else "open"
    load["share"] = round(level.share, 6)
    return load


def interval_json(interval: Interval | None, digits: int = 1) -> dict[str, Any] | None:
    """``{value, low, high}``, None without an interval."""
    if interval is None:
        return None
    return {end: round(value, digits) for end, value in asdict(interval).items()}


def _latency_json(summary: LatencySummary) -> dict[str, Any]:
    """Percentiles by key and the mean; null where there are too few samples."""
    keys = [percentile_key(p) for p in PERCENTILES]
    found: dict[str, Any] = {key: interval_json(summary.percentiles.get(key)) for key in keys}
    found["mean"] = interval_json(summary.mean)
    found["max"] = round(summary.max_us, 1)
    return found


def _lateness_json(level: LevelResult) -> dict[str, float | None]:
    """A closed loop sends whenever an answer is there: it is never late."""
    if isinstance(level.load, ClosedLoop):
        return {"p50": 0.0, "p99": 0.0}
    found = level.client.lateness.percentiles
    return {
        key: round(value.value, 1) if (value := found.get(key)) else None for key in ("p50", "p99")
    }


def _server_json(attribution: Attribution) -> dict[str, Any]:
    own = attribution.own
    return {
        **view(attribution, *_SERVER_US),
        **view(own, "average_batch", "executions", "busy_share", "cache_hit_share"),
        **view(attribution.use, "cpu_cores", "memory_bytes", "source"),
        **_gpu_json(attribution.use),
    }


def _gpu_json(use: ServerUse) -> dict[str, Any]:
    """Of a server with GPUs."""
    if use.gpus is None:
        return {}
    return view(use.gpus, "utilization", "memory_bytes", "total_bytes")


def _attribution_json(attribution: Attribution) -> dict[str, Any]:
    """Where the time went; the parts add up to the total."""
    names = ("model", "requests", *_SERVER_US, "average_batch", "busy_share")
    return {
        "total_us": round(attribution.total_us, 3),
        "parts_us": {name.replace(" ", "_"): round(value, 3) for name, value in attribution.parts},
        "composing": [view(item, *names) for item in attribution.composing],
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
    return read_result(path, lambda content: tuple(_saved(level) for level in content["levels"]))


def read_result(path: Path, read: Callable[[Mapping[str, Any]], T]) -> T:
    """What a function reads of a saved result.

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
        return read(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as fault:
        raise InvalidInputError(
            "TG912", f"its content has another form ({type(fault).__name__})", where=str(path)
        ) from None


def _saved(level: Mapping[str, Any]) -> SavedLevel:
    def interval(data: Any) -> Interval | None:  # noqa: ANN401  (content of a file)
        if data is None:
            return None
        return Interval(float(data["value"]), float(data["low"]), float(data["high"]))

    load, requests = level["load"], level["requests"]
    whole = int(requests["ok"]) + int(requests["failed"])
    latency = level["latency_us"]
    return SavedLevel(
        model=str(level["model"]),
        load=f"{load['kind']} {float(load['value']):g}",
        verdict=str(level["verdict"]),
        throughput=interval(level["throughput_per_s"]),
        percentiles={
            key: interval(latency.get(key)) for key in [percentile_key(p) for p in PERCENTILES]
        },
        requests=whole,
        failure_share=int(requests["failed"]) / whole if whole else 0.0,
        latency=Histogram.from_json(level["histograms"]["latency_ns"]),
    )
