"""Axes of charts: round ticks that hold every value."""

from itertools import pairwise

import pytest

from tritongen.pages.svg import linear_axis, log_axis, plain_number


@pytest.mark.parametrize(
    ("high", "ticks"),
    [
        (60.0, (0, 10, 20, 30, 40, 50, 60)),
        (61.0, (0, 20, 40, 60, 80)),
        (1.0, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (14_000.0, (0, 2_500, 5_000, 7_500, 10_000, 12_500, 15_000)),
    ],
)
def test_a_linear_axis_has_round_ticks_from_0_to_beyond_the_greatest(
    high: float, ticks: tuple[float, ...]
):
    axis = linear_axis(high, 100.0, 700.0)
    assert [value for value, _ in axis.ticks] == pytest.approx(ticks)
    assert [label for _, label in axis.ticks] == [plain_number(value) for value, _ in axis.ticks]
    assert axis.high == pytest.approx(ticks[-1])
    assert (axis.at(0.0), axis.at(axis.high), axis.at(axis.high / 2)) == (100.0, 700.0, 400.0)
    assert (axis.at(-5.0), axis.at(axis.high * 3)) == (100.0, 700.0)


def test_an_axis_of_nothing_can_be_drawn():
    axis = linear_axis(0.0, 0.0, 10.0)
    assert axis.high > 0.0
    assert len(axis.ticks) >= 2


@pytest.mark.parametrize(("low", "high"), [(3.0, 40.0), (1.0, 1.0), (0.07, 900.0), (10.0, 100.0)])
def test_a_logarithmic_axis_holds_its_values_between_round_ticks(low: float, high: float):
    axis = log_axis(low, high, 0.0, 100.0, plain_number)
    assert axis.low <= low * 1.001
    assert high * 0.999 <= axis.high
    values = [value for value, _ in axis.ticks]
    assert (values[0], values[-1]) == (axis.low, axis.high)
    assert all(first < second for first, second in pairwise(values))
    assert axis.at((axis.low * axis.high) ** 0.5) == pytest.approx(50.0)
