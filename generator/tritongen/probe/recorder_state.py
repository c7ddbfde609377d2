"""From what a level recorded to what its result keeps for merging, and back."""

import numpy as np

from tritongen.probe.level import Run, ServerReading
from tritongen.probe.recorder import Durations, Recorder
from tritongen.probe.statistics.histogram import Histogram
from tritongen.probe.statistics.measurement import RequestCounts
from tritongen.probe.statistics.recording import (
    SLOTS,
    RecordedServer,
    RecordedSlot,
    Recording,
)
from tritongen.triton.statistics import ModelStatistics


def recording_of(run: Run, index: int, left_out: int) -> Recording:
    """What is needed to merge one model's part of a level with those of other probes.

    Args:
        run: the level.
        index: of the model.
        left_out: leading slots of the window that still are warm-up.
    """
    recorder, precision = run.records.main[index], run.conditions.precision
    left_out_ns = left_out * recorder.slot_ns
    # The slots of a server that fell silent do not reach the window's end.
    while run.end_ns - run.mark_ns > SLOTS * recorder.slot_ns:
        recorder.join()
    return Recording(
        begin_ns=run.mark_ns + run.wall_ns,
        # A level may be ended before its window begins.
        end_ns=max(run.end_ns, run.mark_ns + 1) + run.wall_ns,
        slot_ns=recorder.slot_ns,
        left_out=left_out_ns // recorder.slot_ns,
        slots=tuple(_slot(recorder, slot) for slot in range(recorder.used_slots(run.end_ns))),
        cpu_ns=run.at_end.cpu_ns - run.at_mark.cpu_ns,
        request_ns=run.at_end.request_ns - run.at_mark.request_ns,
        finished=run.at_end.finished - run.at_mark.finished,
        capped=run.at_end.capped,
        due=run.records.due,
        unanswered=run.records.unfinished,
        percentile=precision.percentile,
        width=precision.width,
        confidence=precision.confidence,
        server=_server(run.before, run.after),
    )


def _slot(recorder: Recorder, slot: int) -> RecordedSlot:
    counts = recorder.latencies[slot]
    used = np.flatnonzero(counts).tolist()
    return RecordedSlot(
        completed=int(recorder.completed[slot]),
        failed=int(recorder.failed[slot]),
        outstanding=int(recorder.outstanding[slot]),
        sum_ns=int(recorder.sums[slot]),
        latencies=" ".join(f"{bucket}:{counts[bucket]}" for bucket in used),
    )


def _server(before: ServerReading | None, after: ServerReading | None) -> RecordedServer | None:
    if before is None or after is None or not after.statistics:
        return None
    statistics = {
        name: reading.since(before.statistics.get(name, reading))
        for name, reading in after.statistics.items()
    }
    cpu_s = None
    if before.cpu_s is not None and after.cpu_s is not None:
        cpu_s = after.cpu_s - before.cpu_s
    return RecordedServer(statistics, after.configs, cpu_s, after.use)


def readings(server: RecordedServer) -> tuple[ServerReading, ServerReading]:
    """Two readings between which the server did what was recorded."""
    none = {name: ModelStatistics() for name in server.statistics}
    statistics, configs = dict(server.statistics), dict(server.configs)
    return (
        ServerReading(none, configs, None if server.cpu_s is None else 0.0),
        ServerReading(statistics, configs, server.cpu_s, server.use),
    )


def recorder_of(
    recording: Recording, requests: RequestCounts, histograms: dict[str, Histogram]
) -> Recorder:
    """The recorder of a level whose window begins at 0.

    Args:
        recording: of the level.
        requests: what became of them.
        histograms: by name: ``latency_ns``, ``all_ns``, ``service_ns`` and ``lateness_ns``.

    Raises:
        ValueError, OverflowError: the parts contradict each other.
    """
    found = Recorder(0)
    found.slot_ns = recording.slot_ns
    for index, slot in enumerate(recording.slots):
        for bucket, count in slot.counts():
            found.latencies[index, bucket] = count
        found.sums[index], found.completed[index] = slot.sum_ns, slot.completed
        found.failed[index], found.outstanding[index] = slot.failed, slot.outstanding
    found.counts = found.latencies.sum(axis=1, dtype=np.int64)
    if found.successes != requests.ok or requests.failed != sum(requests.failures_by_code.values()):
        raise ValueError("the requests are other ones than those of the slots")
    if requests.ok:
        latency = histograms["latency_ns"]
        found.least, found.most = latency.min_ns, latency.max_ns
    found.everything = _durations(histograms["all_ns"])
    found.service = _durations(histograms["service_ns"])
    found.lateness = _durations(histograms["lateness_ns"])
    found.codes, found.examples = dict(requests.failures_by_code), dict(requests.examples)
    return found


def _durations(histogram: Histogram) -> Durations:
    found = Durations()
    if histogram.total:
        for bucket, count in histogram.counts:
            found.counts[bucket] = count
        found.total_ns = histogram.sum_ns
        found.least, found.most = histogram.min_ns, histogram.max_ns
    return found
