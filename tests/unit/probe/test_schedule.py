import pytest

from tritongen.errors import InvalidInputError
from tritongen.probe.arrivals.schedule import PATTERNS, Period, named_schedule, parse_schedule


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
