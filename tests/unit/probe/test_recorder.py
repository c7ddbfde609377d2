import tracemalloc

import numpy as np
import pytest

from support.probe import SECOND, filled_log
from tritongen.probe.generator import Progress, Records
from tritongen.probe.load_processes import merge_records, packed, unpacked
from tritongen.probe.recorder import Durations, Recorder
from tritongen.probe.statistics.recording import FIRST_SLOT_NS, SLOTS

BEGIN = 5_000 * SECOND
FOREVER = (BEGIN, BEGIN + 10_000 * SECOND)
MILLI = 1_000_000


def steady(count: int, gap_ns: int, latency_ns: int, begin: int = BEGIN):
    sent = [begin + index * gap_ns for index in range(count)]
    return filled_log(sent, [time + latency_ns for time in sent])


def test_requests_are_put_where_they_were_due_and_answers_where_they_came():
    recorder = Recorder(BEGIN)
    recorder.take(
        filled_log([BEGIN + 1], [BEGIN + 3 * FIRST_SLOT_NS + 1]), closed=True, window=FOREVER
    )
    assert recorder.counts[0] == 1
    assert recorder.completed[3] == 1
    assert recorder.successes == 1


def test_latency_counts_from_when_a_request_was_due():
    recorder = Recorder(BEGIN)
    log = filled_log([BEGIN + 30 * MILLI], [BEGIN + 40 * MILLI], [BEGIN + 10 * MILLI])
    recorder.take(log, closed=False, window=FOREVER)
    found = recorder.stretch(0, BEGIN + SECOND).summary()
    assert found.histogram.mean_ns == 30 * MILLI
    assert recorder.service.histogram().mean_ns == 10 * MILLI
    assert recorder.lateness.histogram().mean_ns == 20 * MILLI


def test_only_requests_that_were_due_in_the_window_count():
    recorder = Recorder(BEGIN)
    log = steady(10, MILLI, MILLI // 2, BEGIN - 5 * MILLI)
    recorder.take(log, closed=True, window=(BEGIN, BEGIN + 3 * MILLI))
    assert recorder.successes == 3


def test_failures_are_counted_by_code_with_an_example():
    recorder = Recorder(BEGIN)
    log = filled_log([], [])
    log.fail(BEGIN, BEGIN, BEGIN + MILLI, "HTTP 503", "busy")
    log.fail(BEGIN, BEGIN, BEGIN + MILLI, "HTTP 503", "still busy")
    log.fail(BEGIN, BEGIN, BEGIN + MILLI, "TIMEOUT", "nothing")
    recorder.take(log, closed=True, window=FOREVER)
    assert recorder.codes == {"HTTP 503": 2, "TIMEOUT": 1}
    assert recorder.examples["HTTP 503"] == "busy"
    assert recorder.everything.histogram().total == 3
    assert recorder.successes == 0


def test_slots_become_longer_instead_of_more():
    recorder = Recorder(BEGIN)
    size = recorder.latencies.nbytes
    for minute in range(30):
        recorder.take(
            steady(60, SECOND, 7 * MILLI, BEGIN + minute * 60 * SECOND), closed=True, window=FOREVER
        )
    end = BEGIN + 1_800 * SECOND
    assert recorder.latencies.nbytes == size
    assert recorder.used_slots(end) <= SLOTS
    assert recorder.successes == 1_800
    assert int(recorder.latencies.sum()) == 1_800
    assert int(recorder.completed.sum()) == 1_800


def test_ten_million_requests_take_no_more_memory_than_a_few():
    recorder, log, peaks = Recorder(BEGIN), filled_log([], []), []
    steps = np.arange(100_000, dtype=np.int64) * 10_000
    tracemalloc.start()
    for index in range(100):
        sent = steps + (BEGIN + index * SECOND)
        log.sent.frombytes(sent.tobytes())
        log.done.frombytes((sent + 500_000).tobytes())
        recorder.take(log, closed=True, window=FOREVER)
        log.clear()
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert recorder.successes == 10_000_000
    assert peaks[-1] <= peaks[10] + 100_000
    assert recorder.stretch(0, BEGIN + 100 * SECOND).summary().percentiles[
        "p999"
    ].value == pytest.approx(500.0, rel=0.008)


def test_outstanding_keeps_its_greatest_value_and_knows_where_nobody_looked():
    recorder = Recorder(BEGIN)
    recorder.see_outstanding(BEGIN + 1, 5)
    recorder.see_outstanding(BEGIN + 2, 3)
    recorder.see_outstanding(BEGIN + 2 * FIRST_SLOT_NS, 9)
    assert recorder.outstanding[:3].tolist() == [5, -1, 9]
    recorder.join()
    assert recorder.outstanding[:2].tolist() == [5, 9]


def test_processes_merge_into_what_one_would_have_recorded():
    whole, parts = Recorder(BEGIN), [Recorder(BEGIN), Recorder(BEGIN)]
    for index in range(40):
        log = steady(25, 4 * MILLI, (index + 1) * MILLI, BEGIN + index * 100 * MILLI)
        whole.take(log, closed=True, window=FOREVER)
        parts[index % 2].take(log, closed=True, window=FOREVER)
    parts[0].merge(parts[1])
    end = BEGIN + 4 * SECOND
    assert parts[0].stretch(0, end).summary() == whole.stretch(0, end).summary()
    assert parts[0].slot_ns == whole.slot_ns
    assert (parts[0].completed == whole.completed).all()


def test_a_warm_up_in_the_records_is_found():
    recorder = Recorder(BEGIN)
    recorder.take(steady(200, MILLI, 50 * MILLI), closed=True, window=FOREVER)
    later = BEGIN + 200 * MILLI
    recorder.take(steady(2_000, MILLI, 2 * MILLI, later), closed=True, window=FOREVER)
    assert recorder.warmup_slots(BEGIN + 2_200 * MILLI) == 10


def test_records_travel_between_processes_unchanged():
    records = Records([Recorder(BEGIN)], [Recorder(BEGIN)], due=7, unsent=1, unfinished=2)
    records.main[0].take(steady(500, MILLI, 3 * MILLI), closed=True, window=FOREVER)
    log = filled_log([], [])
    log.fail(BEGIN, BEGIN, BEGIN + MILLI, "HTTP 500", "é")
    records.main[0].take(log, closed=True, window=FOREVER)
    found = unpacked(packed(records))
    end = BEGIN + SECOND
    assert found.main[0].stretch(0, end).summary() == records.main[0].stretch(0, end).summary()
    assert found.main[0].codes == {"HTTP 500": 1}
    assert found.main[0].examples == {"HTTP 500": "é"}
    assert (found.due, found.unsent, found.unfinished) == (7, 1, 2)
    assert merge_records([found, records]).main[0].successes == 1_000


def test_progress_travels_between_processes_unchanged():
    progress = Progress(1, 2, 3, 4, 5, exhausted=True, cpu_ns=7, request_ns=2, finished=8)
    assert unpacked(packed(progress)) == progress


def test_a_quick_quantile_is_about_the_right_one():
    durations = Durations()
    durations.add(np.arange(1, 100_001, dtype=np.int64) * 1_000)
    assert durations.quantile(0.99) == pytest.approx(99_000_000, rel=0.01)
