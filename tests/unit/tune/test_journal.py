"""The journal: what was measured survives a kill, and nothing else is taken for it."""

import math

import pytest

from tritongen.errors import InvalidInputError
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.tune.journal import JournalHeader, decode, encode, line_of
from tritongen.tune.search.measurement_records import LoadReading, Purpose, Task, TaskRecord
from tritongen.tune.search.search_space import Candidate

HEADER = JournalHeader("ocr", "p99<20ms", 2, 0, "abc")
TASK = Task(Candidate(2, 1, 8, 500), ClosedLoop(16), Purpose.RACE, 3, 1.5, 250, 12.0)
READING = LoadReading(
    310.5, ((50.0, 0.01), (99.0, 0.02)), 465, mean_batch=3.2, execution_s=0.009, saturated=False
)
RECORD = TaskRecord(TASK, READING, 10.0, 12.25)
FAILED = TaskRecord(
    Task(Candidate(1, 2), OpenLoop(20.0), Purpose.CALIBRATE, 0, 1.0),
    None,
    12.25,
    13.0,
    error="load failed: «no memory»",
)


def test_records_come_back_as_they_were():
    assert decode(encode(HEADER, (RECORD, FAILED)), HEADER) == (RECORD, FAILED)


def test_unknown_numbers_come_back_as_unknown():
    record = TaskRecord(TASK, LoadReading(1.0, (), 5), 0.0, 1.0)
    assert decode(encode(HEADER, (record,)), HEADER) == (record,)


def test_one_line_a_record():
    assert encode(HEADER, (RECORD, FAILED)).count("\n") == 3
    assert line_of(RECORD).endswith("}\n")


def test_an_empty_journal_has_no_records():
    assert decode("", HEADER) == ()
    assert decode(line_of(HEADER), HEADER) == ()


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_line_that_was_cut_off_is_dropped(kept):
    last = line_of(FAILED)
    text = encode(HEADER, (RECORD,)) + last[:kept]
    assert decode(text, HEADER) == (RECORD,)


def test_a_header_that_was_cut_off_is_no_journal_yet():
    assert decode(line_of(HEADER)[:10], HEADER) == ()


@pytest.mark.parametrize(
    "other",
    [
        JournalHeader("other", "p99<20ms", 2, 0, "abc"),
        JournalHeader("ocr", "throughput", 2, 0, "abc"),
        JournalHeader("ocr", "p99<20ms", 4, 0, "abc"),
        JournalHeader("ocr", "p99<20ms", 2, 1, "abc"),
        JournalHeader("ocr", "p99<20ms", 2, 0, "def"),
    ],
)
def test_a_journal_of_something_else_is_refused(other):
    with pytest.raises(InvalidInputError, match="cannot be continued") as caught:
        decode(encode(other, (RECORD,)), HEADER, "tune.jsonl")
    assert caught.value.code == "TG950"
    assert caught.value.where == "tune.jsonl:1"


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        "{}",
        "null",
        line_of(RECORD).strip().replace('"round":3', '"round":"x"'),
        line_of(RECORD).strip().replace('"instances":2', '"instances":0'),
        line_of(RECORD).strip().replace('"race"', '"nap"'),
    ],
)
def test_a_damaged_line_is_refused_with_its_number(line):
    text = encode(HEADER, (RECORD,)) + line + "\n" + line_of(FAILED)
    with pytest.raises(InvalidInputError) as caught:
        decode(text, HEADER, "tune.jsonl")
    assert caught.value.where == "tune.jsonl:3"


class TestReading:
    def test_percentiles_between_those_known(self):
        assert READING.latency_s(50.0) == 0.01
        assert READING.latency_s(74.5) == pytest.approx(0.015)
        assert READING.latency_s(99.9) == 0.02
        assert READING.latency_s(10.0) == 0.01
        assert math.isnan(LoadReading(1.0, (), 1).latency_s(99.0))

    def test_many_failures_make_a_reading_useless(self):
        assert LoadReading(1.0, (), 100, failures=1).sound
        assert not LoadReading(1.0, (), 100, failures=5).sound
        assert not LoadReading(0.0, (), 0).sound

    def test_overhead_is_what_the_measurement_did_not_take(self):
        assert RECORD.overhead_s == pytest.approx(0.75)
