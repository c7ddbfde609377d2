"""Flags of tritonserver: their names, values and first releases."""

import pytest

from tritongen.model.server_flags import SERVER_FLAGS, flag_fault, missing_since


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("http-thread-count", "16", ""),
        ("http-thread-count", "many", "a whole number"),
        ("allow-metrics", "false", ""),
        ("allow-metrics", "no", "true or false"),
        ("metrics-interval-ms", "0.5", ""),
        ("metrics-interval-ms", "1e3", "a number"),
        ("trace-config", "level=TIMESTAMPS", ""),
        ("trace-config", "", "a text"),
        ("trace-config", "a\nb", "a text"),
        ("disable-auto-complete-config", "", "no value"),
        ("http-threads-count", "16", "did you mean --http-thread-count?"),
        ("x", "16", "tritonserver has no flag --x"),
    ],
)
def test_a_name_and_a_value_are_checked(flag, value, said):
    fault = flag_fault(flag, value)
    assert said in fault
    assert bool(fault) == bool(said)


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("25.05", True), ("2.58.0", True), ("25.06", False), ("2.59.1", False), ("26.11", False),
        ("", False), ("my own", False),
    ],
)  # fmt: skip
def test_an_older_release_lacks_a_later_flag(version, missing):
    said = missing_since("http-max-input-size", version)
    assert said == ("25.06 (2.59.0)" if missing else "")
    assert missing_since("http-thread-count", version) == ""


def test_every_flag_stands_once():
    assert len(SERVER_FLAGS) == 91
