"""What the commands print for people."""

import pytest

from tritongen.cli.output import suggest
from tritongen.cli.probe_output import answer_text
from tritongen.planner.context import show_rate
from tritongen.probe.questions.goal_and_knee import SearchAnswer


def test_the_next_command_is_told_where_there_is_no_terminal(capfd):
    """In a notebook or in CI."""
    suggest("tritongen build models")
    assert capfd.readouterr().out == "\nnext: tritongen build models\n"


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.25, "0.25"), (50.0, "50"), (999.9, "999.9"), (999.99, "1,000"), (11_000.0, "11,000")],
)
def test_a_rate_has_no_exponent(rate, text):
    assert show_rate(rate) == text


def test_an_answer_names_its_rates_in_full():
    answer = SearchAnswer("m", "goal", "p99<5ms", "rate", 11_000.0, 12_500.0, None, 13_000.0)
    told = "m: p99<5ms holds up to 11,000 requests/s (p99 unknown); 12,500 does not"
    assert answer_text(answer) == told
