import argparse

import pytest

from tritongen.cli.parser import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120.0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("120s", 120.0),
        ("2m", 120.0),
        ("1.5 min", 90.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
    ],
)
def test_times_are_plain_seconds_or_have_a_unit(text, expected):
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "0", "-1", "2 weeks", "1e3", "s", "nan", "0ms", "9" * 400])
def test_other_times_are_told(text):
    with pytest.raises(argparse.ArgumentTypeError, match="such as 30, 500ms, 120s or 2m"):
        seconds(text)
