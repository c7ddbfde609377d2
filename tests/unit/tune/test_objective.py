"""Goals: what is read, what is refused, and how outcomes are ranked."""

import math

import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.intent import ModelIntent
from tritongen.tune.search.objective import (
    EXAMPLES,
    GoalKind,
    Objective,
    Performance,
    goal_of_intent,
    parse_goal,
    show_duration,
)


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("throughput", Objective(GoalKind.THROUGHPUT)),
        ("throughput@16", Objective(GoalKind.THROUGHPUT, concurrency=16)),
        ("p99<20ms", Objective(GoalKind.THROUGHPUT, 99.0, 0.020)),
        ("P99.9 < 1.5 s", Objective(GoalKind.THROUGHPUT, 99.9, 1.5)),
        ("p50<500us", Objective(GoalKind.THROUGHPUT, 50.0, 0.0005)),
        ("p50<500µs", Objective(GoalKind.THROUGHPUT, 50.0, 0.0005)),
        ("p99<50ms@300/s", Objective(GoalKind.LATENCY, 99.0, 0.050, 300.0)),
        ("latency@300/s", Objective(GoalKind.LATENCY, rate_per_s=300.0)),
        ("p95@0.5/s", Objective(GoalKind.LATENCY, 95.0, rate_per_s=0.5)),
        ("cores@300/s,p99<50ms", Objective(GoalKind.CORES, 99.0, 0.050, 300.0)),
        ("rate=300,p99<50ms", Objective(GoalKind.CORES, 99.0, 0.050, 300.0)),
        ("rate=300/s, p95<1s", Objective(GoalKind.CORES, 95.0, 1.0, 300.0)),
        ("rate=12.5", Objective(GoalKind.LATENCY, 99.0, None, 12.5)),
        ("cores@p99<50ms@300/s", Objective(GoalKind.CORES, 99.0, 0.050, 300.0)),
    ],
)
def test_goals_are_read(text, objective):
    found = parse_goal(text)
    assert found.kind is objective.kind
    assert found.percentile == objective.percentile
    assert found.limit_s == pytest.approx(objective.limit_s)
    assert found.rate_per_s == objective.rate_per_s
    assert found.concurrency == objective.concurrency


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_goals_text_reads_as_the_same_goal(text):
    assert parse_goal(parse_goal(text).text) == parse_goal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fast",
        "p99<20",
        "p99<20 bananas",
        "p99<-5ms",
        "p99<0ms",
        "p0<5ms",
        "p100<5ms",
        "p99>20ms",
        "latency@0/s",
        "latency@300",
        "throughput@0",
        "cores@300/s",
        "rate=fast",
        "rate=0,p99<50ms",
        "p99<20ms@300/s; rm",
        "p99<1e999ms",
    ],
)
def test_nonsense_is_refused_with_examples(text):
    with pytest.raises(InvalidInputError) as caught:
        parse_goal(text)
    assert caught.value.code == "TG304"
    assert "cores@300/s,p99<50ms" in caught.value.fix


def test_goals_from_the_users_intent():
    assert goal_of_intent(ModelIntent()).text == "throughput"
    assert goal_of_intent(ModelIntent(latency_ms=20.0)).text == "p99<20ms"
    both = ModelIntent(rate=100.0, peak_rate=300.0, latency_ms=50.0, percentile=95.0)
    assert goal_of_intent(both).text == "p95<50ms@300/s"


def test_feasible_comes_before_fast():
    goal = parse_goal("p99<20ms")
    slow, fast = Performance(100.0, 0.019, 1), Performance(500.0, 0.021, 2)
    assert sorted([fast, slow], key=goal.rank) == [slow, fast]
    assert goal.shortfall(fast) == pytest.approx(0.05)


def test_among_infeasible_the_nearest_comes_first():
    goal = parse_goal("p99<20ms")
    near, far = Performance(10.0, 0.025, 1), Performance(500.0, 0.060, 1)
    assert min([far, near], key=goal.rank) == near


def test_equal_outcomes_are_ranked_by_simplicity():
    goal = parse_goal("throughput")
    outcome = Performance(100.0, 0.01, 2)
    assert goal.rank(outcome, (1, 0)) < goal.rank(outcome, (2, 0))


def test_a_rate_that_is_not_served_is_infeasible():
    goal = parse_goal("latency@300/s")
    assert goal.feasible(Performance(290.0, 5.0, 1))
    assert not goal.feasible(Performance(200.0, 0.01, 1))
    assert not goal.feasible(Performance(300.0, 0.01, 1, saturated=True))


def test_fewest_cores_and_then_lowest_latency():
    goal = parse_goal("cores@300/s,p99<50ms")
    one, two = Performance(300.0, 0.049, 1), Performance(300.0, 0.010, 2)
    other = Performance(300.0, 0.030, 1)
    assert sorted([two, one, other], key=goal.rank) == [other, one, two]


def test_gains_are_relative():
    goal = parse_goal("latency@10/s")
    better = goal.gain(Performance(10.0, 0.010, 1)) - goal.gain(Performance(10.0, 0.011, 1))
    assert better == pytest.approx(math.log(1.1))


def test_a_missing_latency_is_infeasible():
    assert not parse_goal("p99<20ms").feasible(Performance(0.0, math.nan, 1))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.02, "20ms"), (0.0005, "500us"), (1.5, "1.5s"), (0.0015, "1.5ms")]
)
def test_durations_for_people(seconds, text):
    assert show_duration(seconds) == text
