"""Replicas over a trace of load, for each policy."""

import pytest

from tritongen.fleet.capacity.replicas import (
    LoadTrace,
    Policy,
    by_hour,
    by_load,
    hour_of,
    replicas_for,
    scheduled,
    static,
)
from tritongen.model.business import Scaling

MINUTES = Scaling(start_up_s=60.0, interval_s=60.0, cool_down_s=180.0)


@pytest.mark.parametrize(
    ("load", "least", "replicas"),
    [
        (0.0, 1, 1), (0.2, 1, 1), (1.0, 1, 1), (1.01, 1, 2), (3.5, 1, 4), (3.5, 6, 6),
        # 0.1 + 0.2 is a little more than 0.3: no replica is bought for the rounding.
        ((0.1 + 0.2) / 0.3 * 3.0, 1, 3), (1.1 * 10 - 10.0, 1, 1),
    ],
)  # fmt: skip
def test_a_load_needs_whole_replicas(load: float, least: int, replicas: int):
    assert replicas_for(load, least) == replicas


def test_a_fixed_number_holds_the_peak_at_every_step():
    counts = static(LoadTrace(60.0, 0.0, (0.4, 2.6, 1.0)), 2)
    assert counts.policy is Policy.STATIC
    assert counts.serving == counts.paid == (3, 3, 3)
    assert (counts.least, counts.most, counts.mean_paid) == (3, 3, 3.0)
    assert static(LoadTrace(60.0, 0.0, (0.4, 2.6, 1.0)), 2, load=0.5).serving == (2, 2, 2)


def test_a_schedule_knows_the_greatest_load_of_each_hour_and_the_mean_of_weeks():
    week = [0.0] * (2 * 7 * 24 * 2)  # two weeks of half hours
    week[2 * 9], week[2 * 9 + 1] = 1.0, 3.0  # Monday from nine to ten
    week[2 * 9 + 7 * 48] = 5.0  # and a week later
    hourly = by_hour(LoadTrace(1800.0, 0.0, tuple(week)))
    assert len(hourly) == 7 * 24
    assert hourly[9] == 4.0
    assert sum(hourly) == 4.0


def test_an_hour_that_was_not_seen_is_as_its_nearest_neighbour():
    hourly = by_hour(LoadTrace(3600.0, 10 * 3600.0, (1.0, 7.0)))  # Monday from ten to twelve
    assert (hourly[10], hourly[11], hourly[0], hourly[100]) == (1.0, 7.0, 1.0, 7.0)


def test_a_step_lies_in_the_hour_of_its_middle():
    trace = LoadTrace(1800.0, 3600.0 * 23, (1.0,) * 4)  # from Monday 23:00
    assert [hour_of(trace, index) for index in range(4)] == [23, 23, 24, 24]
    assert hour_of(trace, 0, 3600.0) == 24


def test_the_clock_starts_replicas_before_they_must_serve_and_pays_for_that():
    trace = LoadTrace(3600.0, 0.0, (1.0, 1.0, 2.5, 1.0))
    counts = scheduled(trace, 1, Scaling(start_up_s=3600.0))
    assert counts.serving == (1, 1, 3, 1)
    assert counts.paid == (1, 3, 3, 1)
    assert scheduled(trace, 1, Scaling(start_up_s=0.0)).paid == counts.serving
    # The trace repeats: what its first step needs is asked for in its last.
    first = scheduled(LoadTrace(3600.0, 0.0, (2.5, 1.0, 1.0)), 1, Scaling(start_up_s=3600.0))
    assert first.paid == (3, 1, 3)


def test_an_autoscaler_sees_the_load_one_interval_late_and_waits_for_the_start():
    counts = by_load(LoadTrace(60.0, 0.0, (1.0, 3.0, 3.0, 3.0, 3.0)), 1, MINUTES, 1.0)
    assert counts.policy is Policy.LOAD
    assert counts.paid == (1, 1, 3, 3, 3)
    assert counts.serving == (1, 1, 1, 3, 3)
    assert (counts.least, counts.most) == (1, 3)


def test_an_autoscaler_that_aims_lower_holds_more_in_reserve():
    trace = LoadTrace(60.0, 0.0, (2.0,) * 4)
    assert by_load(trace, 1, MINUTES, 1.0).paid == (2, 2, 2, 2)
    assert by_load(trace, 1, MINUTES, 0.5).paid == (4, 4, 4, 4)


def test_replicas_go_only_when_the_load_was_lower_for_the_whole_cool_down():
    counts = by_load(LoadTrace(60.0, 0.0, (3.0, 1.0, 1.0, 1.0, 1.0, 1.0)), 1, MINUTES, 1.0)
    assert counts.paid == (3, 3, 3, 3, 1, 1)
    assert counts.serving == counts.paid


def test_the_clock_is_a_floor_for_the_autoscaler():
    floor = (2,) * (7 * 24)
    counts = by_load(LoadTrace(60.0, 0.0, (1.0, 1.0, 4.0, 4.0, 4.0)), 1, MINUTES, 1.0, floor=floor)
    assert counts.policy is Policy.BOTH
    assert counts.paid == (2, 2, 2, 4, 4)
    assert counts.hourly == floor
