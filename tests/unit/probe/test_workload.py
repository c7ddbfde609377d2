import pytest

from tritongen.errors import InvalidInputError
from tritongen.probe.schedule import Period, Replay, Schedule
from tritongen.probe.workload import (
    GoalMetric,
    describe,
    parse_concurrency,
    parse_goals,
    parse_rates,
)
from tritongen.queueing import ClosedLoop, OpenLoop


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("8", (8,)),
        ("1,2,4", (1, 2, 4)),
        ("1, 3", (1, 3)),
        ("1:64", (1, 2, 4, 8, 16, 32, 64)),
        ("3:20", (3, 6, 12, 20)),
        ("2:10:4", (2, 6, 10)),
        ("5:5", (5,)),
    ],
)
def test_concurrency_is_read(text, levels):
    assert parse_concurrency(text) == levels


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "8,", "64:1", "1:64:0", "1:2:3:4", "99999", "1:1000:1", "x", "٣"]
)
def test_what_is_no_concurrency_is_refused_with_an_example(text):
    with pytest.raises(InvalidInputError) as caught:
        parse_concurrency(text)
    assert caught.value.code == "TG905"
    assert "--concurrency" in str(caught.value)


def test_rates_may_be_fractions():
    assert parse_rates("0.5,100") == (0.5, 100.0)
    assert parse_rates("50:200") == (50.0, 100.0, 200.0)
    assert parse_rates("10:30:10") == (10.0, 20.0, 30.0)


@pytest.mark.parametrize("text", ["0", "1e9", "9999999", "10:", "nan"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(InvalidInputError):
        parse_rates(text)


def test_goals_are_read():
    latency, mean, failures = parse_goals("p99<5ms, mean<800us,failures<0.1%")
    assert (latency.metric, latency.limit, latency.percentile) == (
        GoalMetric.LATENCY,
        5_000.0,
        99.0,
    )
    assert (mean.metric, mean.limit) == (GoalMetric.MEAN, 800.0)
    assert (failures.metric, failures.limit) == (GoalMetric.FAILURES, 0.001)
    assert parse_goals("p99.9 <= 1.5s")[0].limit == 1_500_000.0


@pytest.mark.parametrize(
    "text", ["", "p99", "p99<5", "p100<5ms", "p0<5ms", "mean>5ms", "failures<5ms", "p99<0ms", "p5%"]
)
def test_what_is_no_goal_is_refused(text):
    with pytest.raises(InvalidInputError) as caught:
        parse_goals(text)
    assert caught.value.code == "TG905"


def test_loads_name_their_loop():
    assert describe(ClosedLoop(8)) == "concurrency 8"
    assert describe(OpenLoop(100, cv=0.0)) == "100/s constant"
    assert describe(OpenLoop(100, max_outstanding=4)) == "100/s poisson, at most 4 outstanding"
    replay = Replay(Schedule("day", periods=(Period(60.0, 10.0, 10.0),)))
    assert describe(replay) == "schedule day, 60 s"
    assert (ClosedLoop(8).kind, ClosedLoop(8).value) == ("concurrency", 8)
    assert (OpenLoop(5).kind, replay.kind, replay.value) == ("rate", "schedule", 10.0)
