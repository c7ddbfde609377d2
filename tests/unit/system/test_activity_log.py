"""The file that says what the tool did: bounded, whole, and never in the way of a command."""

import logging

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.system import activity_log
from tritongen.system.activity_log import LOG_FILE, MAX_LOG_BYTES, ActivityLog, LogLines


@pytest.fixture(name="state")
def state_folder(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


def record(message: str, **more: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "tritongen.x", "levelname": "INFO", "msg": message})
    made.__dict__.update(more)
    return made


@pytest.mark.parametrize(("size", "moved"), [(MAX_LOG_BYTES, False), (MAX_LOG_BYTES + 1, True)])
def test_a_log_beyond_its_size_makes_room(state, size, moved):
    with (state / LOG_FILE).open("wb") as file:
        file.truncate(size)
    ActivityLog(state).emit(record("next"))
    assert (state / f"{LOG_FILE}.1").exists() is moved
    assert ((state / LOG_FILE).stat().st_size < 1000) is moved
    assert (state / LOG_FILE).read_text().endswith("tritongen.x: next\n")


def test_of_many_lines_that_wait_the_last_are_kept(tmp_path):
    log = ActivityLog(tmp_path / "state")
    most = activity_log._MAX_WAITING_LINES
    for number in range(most):
        log.emit(record(f"line {number}"))
    (tmp_path / "state").mkdir(mode=0o700)
    log.emit(record("last"))
    lines = (tmp_path / "state" / LOG_FILE).read_text().splitlines()
    assert len(lines) == most
    assert (lines[0][-7:], lines[-1][-5:]) == (" line 1", " last")
    log.emit(record("another"))
    assert len((tmp_path / "state" / LOG_FILE).read_text().splitlines()) == most + 1


def test_what_cannot_be_written_is_remembered_and_not_tried_again(state):
    (state / LOG_FILE).mkdir()
    log = ActivityLog(state)
    log.emit(record("one"))
    assert isinstance(log.problem, EnvironmentProblem | OSError)
    (state / LOG_FILE).rmdir()
    log.emit(record("two"))
    assert not (state / LOG_FILE).exists()


def test_a_line_has_its_moment_in_utc_and_a_traceback_is_indented():
    made = record("done", created=0.0, msecs=7.0, process=42)
    assert LogLines().format(made) == "1970-01-01T00:00:00.007Z 42 INFO tritongen.x: done"
    error = ValueError("no")
    text = LogLines().format(record("bad", exc_info=(ValueError, error, None)))
    assert text.endswith("tritongen.x: bad\n  ValueError: no")
