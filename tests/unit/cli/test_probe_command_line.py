import pytest

from tritongen.cli.main import build_parser
from tritongen.cli.probe import _request


def budget(*words: str) -> float:
    return _request(build_parser("probe").parse_args(["probe", *words])).conditions.budget_s


def test_a_schedule_is_replayed_as_a_whole_unless_a_time_is_given(tmp_path):
    path = tmp_path / "day.txt"
    path.write_text("1h 5\n1h 5..80\n")
    day = ("--schedule", str(path))
    assert budget(*day) == 7_200.0
    assert budget(*day, "--speedup", "60") == 120.0
    assert budget(*day, "--time-budget", "1m") == 60.0
    assert budget("--schedule", "bursts", "--rate", "5") == 10.0


@pytest.mark.parametrize(
    ("words", "expected"),
    [((), 10.0), (("--time-budget", "500ms"), 0.5), (("--duration", "2m", "--rate", "5"), 120.0)],
)
def test_times_of_other_loads(words, expected):
    assert budget(*words) == expected
