"""What was observed, written as a history that `plan` can read."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tritongen.fleet.observe.model_counters import CounterStep, ModelCounters, Observed
from tritongen.fleet.observe.observe_server import history_csv
from tritongen.fleet.traffic.rate_profile import HOUR_S
from tritongen.fleet.traffic.recordings import parse_table

TUESDAY = datetime(2026, 11, 24, 15, 30, tzinfo=UTC).timestamp()


def uneven(steps: int, seconds: float, hole: range = range(0)) -> Observed:
    """Steps whose readings came now early, now late."""
    ends = [TUESDAY + seconds * n + 0.02 * seconds * (n % 3) for n in range(steps + 1)]
    return Observed(
        "ocr",
        tuple(
            CounterStep(
                ends[n], ends[n + 1], ModelCounters(requests=(n % 7) * (ends[n + 1] - ends[n]))
            )
            for n in range(steps)
            if n not in hole
        ),
    )


@pytest.mark.parametrize("hole", [range(0), range(40, 44)])
def test_uneven_readings_become_an_even_clock(hole: range) -> None:
    text = history_csv([uneven(500, 0.5, hole)])
    history = parse_table(text, UTC, "seen.csv")
    profile = history.profiles["ocr"]
    assert len(profile.rates) == pytest.approx(500, abs=2)
    assert profile.step_s == pytest.approx(0.5, rel=0.01)
    assert profile.rates[5] == pytest.approx(5.0, rel=0.01)
    assert profile.phase_s == pytest.approx((24 + 15.5) * HOUR_S, abs=1.0)
    assert bool(history.notes) == bool(hole)


def test_a_replayed_week_is_a_week_from_monday() -> None:
    profile = parse_table(history_csv([uneven(168, 0.5)], speedup=7200.0), UTC, "x").profiles["ocr"]
    assert profile.phase_s == 0.0
    assert profile.step_s == pytest.approx(HOUR_S, rel=0.01)
    assert len(profile.rates) == 168


@pytest.mark.parametrize("name", ["=cmd()", "a,b", 'say "x"', "-x", "@x"])
def test_no_name_becomes_a_formula_or_another_cell(name: str) -> None:
    text = history_csv([replace(uneven(200, 0.5), model=name)])
    assert not any(cell.startswith(("=", "-", "@")) for cell in text.replace("\n", ",").split(","))
    assert list(parse_table(text, UTC, "x").profiles) == [name]
