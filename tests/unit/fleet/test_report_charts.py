"""What the report reads of the journals that tuning leaves."""

import json

from tritongen.fleet.report.report_charts import measured_configurations
from tritongen.model.evidence import Tuned
from tritongen.queueing import ClosedLoop
from tritongen.tune.journal import Journal, JournalHeader
from tritongen.tune.search.measurement_records import LoadReading, Purpose, Task, TaskRecord
from tritongen.tune.search.search_space import Candidate

HEADER = JournalHeader("m", "throughput", 2, 0, "abc")
TUNED = Tuned("throughput", 2, 1, 8, 500)


def record(candidate: Candidate, purpose: Purpose, per_s: float | None) -> TaskRecord:
    reading = None if per_s is None else LoadReading(per_s, ((50.0, 0.01), (99.0, 0.02)), 100)
    return TaskRecord(Task(candidate, ClosedLoop(8), purpose, 1, 1.0), reading, 0.0, 1.0)


def test_every_configuration_is_told_with_its_best_reading(tmp_path):
    folder = tmp_path / "tune"
    folder.mkdir(mode=0o700)
    journal = Journal(folder, HEADER)
    journal.begin(resume=False)
    for item in (
        record(Candidate(1, 1), Purpose.BASELINE, 50.0),
        record(Candidate(2, 1, 8, 500), Purpose.RACE, 90.0),
        record(Candidate(2, 1, 8, 500), Purpose.RACE, 100.0),
        record(Candidate(1, 2), Purpose.RACE, None),
    ):
        journal.append(item)
    found = measured_configurations(tmp_path, "m", TUNED)
    merged = "2 instances × 1 thread, requests merged into batches of up to 8 within 500 µs"
    assert [(one.text, one.throughput, one.chosen, one.baseline) for one in found] == [
        (merged, 100.0, True, False),
        ("1 instance × 1 thread", 50.0, False, True),
    ]
    assert found[0].p99_ms == 20.0


def test_older_journals_are_read_and_damaged_lines_passed_by(tmp_path):
    (tmp_path / "tune").mkdir(mode=0o700)
    older = {
        "candidate": {"instances": 4, "threads": 1, "max_batch_size": 8, "queue_delay_us": 0},
        "purpose": "race",
        "reading": {"throughput_per_s": 10.0, "latencies_s": [[99.0, 0.1]]},
    }
    lines = ["{}", json.dumps(older), "[1]", "null", '{"candidate": 3}', '{"cut": ']
    (tmp_path / "tune/m.jsonl").write_text("\n".join(lines))
    (found,) = measured_configurations(tmp_path, "m", None)
    assert (found.throughput, found.p99_ms, found.chosen) == (10.0, 100.0, False)
