"""One exchange with a server has a bound of time and of bytes."""

import time

import pytest

from tritongen.triton.foreign_answer import AnswerBounds, ForeignAnswerError, read_json


def test_the_time_that_is_left_is_counted_from_the_question():
    bounds = AnswerBounds(30.0)
    assert 20.0 < bounds.seconds_left() <= 30.0
    short = AnswerBounds(0.01)
    time.sleep(0.02)
    with pytest.raises(TimeoutError, match=r"no whole answer within 0\.01 s"):
        short.seconds_left()


def test_bytes_are_counted_over_all_parts_of_an_answer():
    bounds = AnswerBounds(30.0, 1_000)
    bounds.count(600)
    bounds.count(400)
    with pytest.raises(ForeignAnswerError, match="more than 1,000 bytes"):
        bounds.count(1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[1,", r"not JSON \(line 1, column 4\)"),
        (b"\xff", "not text in UTF-8"),
        (b"[NaN]", "a number that is too large, or none"),
        (b"[1e999]", "a number that is too large, or none"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_json_that_is_none_is_refused(content: bytes, said: str):
    with pytest.raises(ForeignAnswerError, match=said):
        read_json(content)


def test_json_is_read_from_any_buffer():
    assert read_json(memoryview(b'{"a": [1, 2.5, "\xc3\xa4"]}')) == {"a": [1, 2.5, "ä"]}
