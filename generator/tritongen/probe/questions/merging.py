"""`probe --merge`: probes that made load at the same time become one result.

Each was started with the same command and the same `--start-at`. Rates add up; latencies are those
of all requests, slot by slot of the window, so that their intervals are the merged load's; the
server did what it did once, whoever read it.
"""

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError
from tritongen.model.codec import decode
from tritongen.probe.generator import Progress, Records
from tritongen.probe.level import Conditions, Run, throughput
from tritongen.probe.probe_request import ProbeReport
from tritongen.probe.recorder import Recorder
from tritongen.probe.recorder_state import readings, recorder_of
from tritongen.probe.report.json_document import Environment, read_result
from tritongen.probe.results import level_result
from tritongen.probe.statistics.histogram import Histogram
from tritongen.probe.statistics.measurement import (
    LevelLabels,
    LevelResult,
    RequestCounts,
    WantedPrecision,
)
from tritongen.probe.statistics.recording import Recording
from tritongen.probe.workload import Load, describe
from tritongen.queueing import ClosedLoop, OpenLoop, Pacing

_NS = 1_000_000_000
# Of each window, that all windows have in common: beyond it a part of the load was missing for
# longer than a tenth of the time. Chosen.
_COMMON = 0.9
# Counts have 32 bits.
_MAX_REQUESTS = 2**31


@dataclass(frozen=True, slots=True)
class _LoadPart:
    """One probe's part of a level."""

    labels: LevelLabels
    load: Load
    requests: RequestCounts
    recording: Recording
    recorder: Recorder
    warmup_s: float

    @property
    def told(self) -> str:
        """What must be the same in every part."""
        labels = self.labels
        version = f"/{labels.version}" if labels.version else ""
        share = f", share {labels.share:g}" if labels.share != 1.0 else ""
        return (
            f"{labels.model}{version} at {describe(self.load)} over {labels.protocol}, "
            f"batch {labels.batch}{share}"
        )

    @property
    def left_out_ns(self) -> int:
        """Of the window, that still is warm-up."""
        return self.recording.left_out * self.recording.slot_ns

    @property
    def rate_per_s(self) -> float:
        """Successful requests per second of its own window."""
        recording = self.recording
        rate = throughput(
            self.recorder, recording.left_out, recording.length_ns, recording.confidence
        )
        return rate.value if rate is not None else 0.0


@dataclass(frozen=True, slots=True)
class _Saved:
    """One probe's result."""

    path: Path
    environment: Environment
    parts: tuple[_LoadPart, ...]


def merge_files(paths: Sequence[Path]) -> ProbeReport:
    """The results of probes that made one load together.

    Raises:
        InvalidInputError: TG905 fewer than two; TG002 or TG912 a file is no result of a probe with
            `--start-at`; TG923 they measured different things; TG924 not at the same time.
    """
    if len(paths) < 2:
        raise InvalidInputError("TG905", "--merge takes two results or more")
    saved = [_read(path) for path in paths]
    for one, other in combinations(saved, 2):
        _refuse_different(one, other)
    levels = list(zip(*(one.parts for one in saved), strict=True))
    for level in levels:
        _refuse_apart(paths, level)
        if sum(part.requests.ok for part in level) >= _MAX_REQUESTS:
            where = ", ".join(map(str, paths))
            raise InvalidInputError("TG912", "more requests than can be merged", where=where)
    first = saved[0].environment
    environment = replace(
        first,
        started=min(one.environment.started for one in saved),
        command=shlex.join(["tritongen", "probe", "--merge", *map(str, paths)]),
        machine={**first.machine, "probes": len(saved)},
    )
    return ProbeReport(environment, [_merged(level) for level in levels])


def _read(path: Path) -> _Saved:
    return read_result(path, lambda content: _saved(path, content))


def _saved(path: Path, content: Mapping[str, Any]) -> _Saved:
    levels = content["levels"]
    if not levels or any("recording" not in level for level in levels):
        what = "nothing was measured" if not levels else "its begin was not set, as others' was"
        fix = "Probe again, every probe with the same --start-at."
        raise InvalidInputError("TG912", what, where=str(path), fix=fix)
    environment = decode(Environment, content["environment"])
    return _Saved(path, environment, tuple(map(_part, levels)))


def _part(level: Mapping[str, Any]) -> _LoadPart:
    client = level["client"]
    requests = decode(RequestCounts, level["requests"])
    recording = decode(Recording, level["recording"])
    histograms = {name: Histogram.from_json(one) for name, one in level["histograms"].items()}
    return _LoadPart(
        labels=LevelLabels(
            model=str(level["model"]),
            version=str(level["version"]),
            batch=int(level["batch"]),
            share=float(level["load"]["share"]),
            protocol=str(level["protocol"]),
            engine=str(level["engine"]),
            client_name=str(client["name"]),
            processes=int(client["processes"]),
        ),
        load=_load(level["load"]),
        requests=requests,
        recording=recording,
        recorder=recorder_of(recording, requests, histograms),
        warmup_s=float(level["warmup_s"]),
    )


def _load(load: Mapping[str, Any]) -> Load:
    kind, value = load["kind"], float(load["value"])
    if kind not in {ClosedLoop.kind, OpenLoop.kind} or not 0.0 < value < math.inf:
        raise ValueError(f"{kind} {value}")
    if kind == ClosedLoop.kind:
        return ClosedLoop(int(value))
    cap = load["max_outstanding"]
    pacing = Pacing(load["arrivals"])
    return OpenLoop.paced(value, pacing, None if cap is None else int(cap))


def _refuse_different(one: _Saved, other: _Saved) -> None:
    """Two probes of one load differ in where they ran, and in their seed."""
    ours, theirs = one.environment, other.environment
    same = "Give every probe the same command; only --seed differs."
    compared: tuple[tuple[str, object, object, str], ...] = (
        ("target", ours.endpoint, theirs.endpoint, "Give every probe the same address with -u."),
        ("release of the server", ours.server, theirs.server, "Probe while it is not updated."),
        ("release of the tool", ours.tool, theirs.tool, "Probe with one release of tritongen."),
        ("configuration of the models", ours.configurations, theirs.configurations,
         "Probe while the server is not updated."),
        ("levels", _told(one), _told(other), same),
    )  # fmt: skip
    where = f"{one.path}, {other.path}"
    for what, first, second, fix in compared:
        if first != second:
            shown = f": {first} and {second}" if isinstance(first, str) else ""
            raise InvalidInputError("TG923", f"not the same {what}{shown}", where=where, fix=fix)
    recorded = [[part.recording for part in saved.parts] for saved in (one, other)]
    if recorded[0] == recorded[1]:
        fix = "Give the file of each probe once."
        raise InvalidInputError("TG923", "they are one probe's result", where=where, fix=fix)
    open_loop = any(isinstance(part.load, OpenLoop) for part in one.parts)
    if open_loop and ours.seed == theirs.seed:
        what = f"both drew their arrivals from seed {ours.seed}: their requests came together"
        fix = "Give every probe a --seed of its own."
        raise InvalidInputError("TG923", what, where=where, fix=fix)


def _told(saved: _Saved) -> str:
    return "; ".join(part.told for part in saved.parts)


def _refuse_apart(paths: Sequence[Path], level: Sequence[_LoadPart]) -> None:
    """Windows that have too little in common are no load together."""
    windows = [part.recording for part in level]
    first = min(windows, key=lambda one: one.end_ns)
    last = max(windows, key=lambda one: one.begin_ns)
    longest = max(one.length_ns for one in windows)
    common = max(first.end_ns - last.begin_ns, 0)
    if common < _COMMON * longest:
        names = [paths[windows.index(one)] for one in (first, last)]
        raise InvalidInputError(
            "TG924",
            f"{level[0].told}: {common / _NS:.1f} s in common of {longest / _NS:.1f} s; "
            f"{names[0]} ended at {_clock(first.end_ns)}, {names[1]} began at "
            f"{_clock(last.begin_ns)}",
            where=", ".join(map(str, paths)),
        )


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / _NS, UTC).isoformat(timespec="milliseconds")


def _merged(level: Sequence[_LoadPart]) -> LevelResult:
    """One level of all probes together."""
    rate = sum(part.rate_per_s for part in level)  # before the recorders are merged into one
    first = level[0]
    recorder = first.recorder
    for part in level[1:]:
        recorder.merge(part.recorder)
    run = _run(level, recorder)
    left_out = -(-max(part.left_out_ns for part in level) // recorder.slot_ns)
    labels = replace(first.labels, processes=_sum(level, lambda part: part.labels.processes))
    found = level_result(run, 0, labels, left_out)
    per_s = found.throughput
    if per_s is not None:
        # Windows differ by milliseconds, and each probe's rate is that of its own.
        per_s = per_s.scaled(rate / per_s.value)
    warmup_s = max(part.warmup_s for part in level)
    return replace(found, throughput=per_s, warmup_s=warmup_s)


def _run(level: Sequence[_LoadPart], recorder: Recorder) -> Run:
    """The level as if one probe had made the whole load, its window beginning at 0."""
    recording = level[0].recording
    server = next((one.recording.server for one in level if one.recording.server), None)
    before, after = (None, None) if server is None else readings(server)
    return Run(
        load=_joined([part.load for part in level]),
        conditions=Conditions(
            precision=WantedPrecision(recording.percentile, recording.width, recording.confidence)
        ),
        records=Records(
            warmup=[Recorder(0)],
            main=[recorder],
            due=_sum(level, lambda part: part.recording.due),
            unsent=_sum(level, lambda part: part.requests.unsent),
            unfinished=_sum(level, lambda part: part.recording.unanswered),
        ),
        end_ns=max(part.recording.length_ns for part in level),
        before=before,
        after=after,
        at_end=Progress(
            cpu_ns=_sum(level, lambda part: part.recording.cpu_ns),
            request_ns=_sum(level, lambda part: part.recording.request_ns),
            finished=_sum(level, lambda part: part.recording.finished),
            capped=_sum(level, lambda part: part.recording.capped),
        ),
    )


def _sum(level: Sequence[_LoadPart], of: Callable[[_LoadPart], int]) -> int:
    return sum(map(of, level))


def _joined(loads: Sequence[Load]) -> Load:
    """The load that equal ones are together."""
    first = loads[0]
    if isinstance(first, ClosedLoop):
        return ClosedLoop(first.concurrency * len(loads))
    assert isinstance(first, OpenLoop)  # noqa: S101  (what `_load` reads)
    cap = first.max_outstanding
    whole = None if cap is None else cap * len(loads)
    return OpenLoop(first.rate_per_s * len(loads), first.cv, whole)
