"""Schedules as text and by name, and the due times that follow from them."""

from itertools import islice

import numpy as np
import pytest

from tritongen.errors import InvalidInputError
from tritongen.probe.schedule import (
    PATTERNS,
    Period,
    Replay,
    arrivals,
    named_schedule,
    parse_schedule,
)
from tritongen.queueing import OpenLoop, Pacing


def test_periods_are_read():
    schedule = parse_schedule("# a day\n60s 100\n\n5m 100..500  # rising\n500 ms 0/s\n", "day")
    assert schedule.periods == (
        Period(60.0, 100.0, 100.0),
        Period(300.0, 100.0, 500.0),
        Period(0.5, 0.0, 0.0),
    )
    assert schedule.duration_s == 360.5
    assert schedule.mean_rate == pytest.approx((6_000 + 90_000) / 360.5)


def test_time_stamps_begin_at_zero():
    schedule = parse_schedule("100.5\n100.75\n102\n", "trace")
    assert schedule.stamps_ns == (0, 250_000_000, 1_500_000_000)
    assert schedule.mean_rate == pytest.approx(2.0)


def test_time_stamps_may_be_dates():
    schedule = parse_schedule("2026-01-01T00:00:00Z\n2026-01-01T00:00:01.5+00:00\n", "trace")
    assert schedule.stamps_ns == (0, 1_500_000_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no entries"),
        ("# nothing\n", "no entries"),
        ("60s 0\n", "no requests"),
        ("1\n0.5\n", "line 2 is earlier"),
        ("1\nx\n", "one line is not like a time stamp"),
        ("nan\nx\n", "2 lines are not like a time stamp"),
        ("60s 10\n12\n", "one line is not like a period"),
    ],
)
def test_faults_name_the_line(text, says):
    with pytest.raises(InvalidInputError) as caught:
        parse_schedule(text, "bad.txt")
    assert caught.value.where == "bad.txt"
    assert says in " ".join([caught.value.what, *caught.value.details])


def test_only_the_first_faults_are_listed():
    with pytest.raises(InvalidInputError) as caught:
        parse_schedule("1\n" + "x\n" * 50, "bad.txt")
    assert len(caught.value.details) == 11
    assert caught.value.details[-1] == "… and 40 more"


def test_speed_keeps_the_rates_of_periods_and_raises_that_of_stamps():
    periods = parse_schedule("100s 10\n", "a").sped_up(10)
    assert (periods.duration_s, periods.mean_rate) == (10.0, 10.0)
    stamps = parse_schedule("0\n10\n20\n", "b").sped_up(10)
    assert stamps.stamps_ns == (0, 1_000_000_000, 2_000_000_000)


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_patterns_have_the_length_and_the_mean_rate_asked_for(name):
    schedule = named_schedule(name, 100.0, 60.0)
    assert schedule.duration_s == pytest.approx(60.0)
    assert schedule.mean_rate == pytest.approx(100.0)


def test_an_unknown_pattern_lists_the_known_ones():
    with pytest.raises(InvalidInputError) as caught:
        named_schedule("sunday.txt", 1.0, 1.0)
    assert "black-friday" in caught.value.fix


def test_a_black_friday_has_a_peak_day():
    rates = [period.rate for period in named_schedule("black-friday", 10.0, 72.0).periods]
    assert max(rates[24:48]) == pytest.approx(4 * max(rates[:24]))


def first(load, count, seed=0, **options):
    found: list[int] = []
    for block in arrivals(load, seed, **options):
        found += block
        if len(found) >= count:
            break
    return found[:count]


def test_constant_gaps_are_all_the_same():
    assert first(OpenLoop(100.0, cv=0.0), 5) == [0, 10**7, 2 * 10**7, 3 * 10**7, 4 * 10**7]
    late = first(OpenLoop(1_000.0, cv=0.0), 10_000)
    assert late[-1] == 9_999 * 10**6


def test_poisson_gaps_are_exponential():
    times = np.array(first(OpenLoop(1_000.0), 50_000, seed=3))
    gaps = np.diff(times) / 1e6
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(1.0, rel=0.02)
    assert gaps.std() == pytest.approx(1.0, rel=0.02)
    assert np.mean(gaps > 2.0) == pytest.approx(np.exp(-2.0), rel=0.03)


def test_the_seed_decides():
    assert first(OpenLoop(10.0), 100, seed=5) == first(OpenLoop(10.0), 100, seed=5)
    assert first(OpenLoop(10.0), 100, seed=5) != first(OpenLoop(10.0), 100, seed=6)


@pytest.mark.parametrize("parts", [2, 3])
def test_shares_together_are_the_whole_stream(parts):
    load = OpenLoop(200.0)
    shares = [first(load, 6_000 // parts, seed=9, part=i, parts=parts) for i in range(parts)]
    assert sorted(time for share in shares for time in share) == first(load, 6_000, seed=9)


def test_a_trace_is_replayed_as_it_is():
    schedule = parse_schedule("0\n0.5\n0.5\n3\n", "t")
    assert list(arrivals(Replay(schedule), 1)) == [[0, 500_000_000, 500_000_000, 3_000_000_000]]


def test_a_ramp_has_its_requests_where_the_rate_is():
    schedule = parse_schedule("100s 0..200\n", "ramp")
    times = np.array([t for block in arrivals(Replay(schedule, Pacing.CONSTANT), 0) for t in block])
    assert len(times) == pytest.approx(10_000, abs=1)
    assert np.all(np.diff(times) >= 0)
    # Half of the requests of a ramp from nothing come in the last 29 % of the time.
    assert np.median(times) / 1e11 == pytest.approx(np.sqrt(0.5), abs=0.001)


def test_periods_without_requests_are_skipped():
    schedule = parse_schedule("1s 10\n100s 0\n1s 10\n", "gap")
    times = [t / 1e9 for block in arrivals(Replay(schedule, Pacing.CONSTANT), 0) for t in block]
    assert len(times) == 20
    assert not [t for t in times if 1.0 < t < 101.0]


def test_a_poisson_schedule_ends():
    schedule = named_schedule("bursts", 50.0, 40.0)
    count = sum(len(block) for block in islice(arrivals(Replay(schedule), 4), 100))
    assert count == pytest.approx(2_000, rel=0.1)
