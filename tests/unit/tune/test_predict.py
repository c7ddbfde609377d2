"""Prediction: bounds hold, and what is left out could not have been best."""

import pytest

from tritongen.model.backends import BACKENDS
from tritongen.queueing import ClosedLoop, OpenLoop, ServicePoint, ServiceTimes
from tritongen.tune.search.objective import parse_goal
from tritongen.tune.search.predict import Predictor, nearest_goals, shortlist
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.server_model import Calibration

ORT = BACKENDS["onnxruntime"]
SERVICE = ServiceTimes(
    (
        ServicePoint(1, 1, 0.010, cv=0.1),
        ServicePoint(8, 1, 0.050),
        ServicePoint(1, 2, 0.006),
    ),
    2.0,
    contention=0.4,
)
CALIBRATION = Calibration(SERVICE, front_end_s=0.0001, transport_s=0.0002)
SPACE = SearchSpace(ORT, 2, batchable=True, max_batch=8, delays_us=(5000,))


def predictor(goal, **options):
    return Predictor(CALIBRATION, parse_goal(goal), **options)


def simulated_all(goal):
    one = predictor(goal)
    return [one.forecast(candidate) for candidate in SPACE.candidates()]


@pytest.mark.parametrize("goal", ["throughput", "throughput@3", "p99<60ms", "latency@50/s"])
def test_no_simulation_beats_its_bound(goal):
    one = predictor(goal)
    for forecast in simulated_all(goal):
        bound = one.bound(forecast.candidate)
        assert forecast.outcome.throughput_per_s <= bound.throughput_per_s * 1.05
        assert forecast.outcome.latency_s >= bound.latency_s * 0.8


@pytest.mark.parametrize(
    "goal",
    ["throughput", "p99<60ms", "latency@50/s", "p99<30ms@50/s", "cores@50/s,p99<60ms"],
)
def test_the_best_prediction_survives_the_pruning(goal):
    one = predictor(goal)
    objective = one.objective
    forecasts = shortlist(one, SPACE.candidates(), 0.25)
    assert len(forecasts) == len(SPACE.candidates())
    best = min(simulated_all(goal), key=lambda f: objective.rank(f.outcome))
    kept = [forecast for forecast in forecasts if not forecast.reason]
    first = kept[0].outcome
    assert objective.shortfall(first) == pytest.approx(objective.shortfall(best.outcome), abs=0.03)
    assert objective.gain(first) >= objective.gain(best.outcome) - 0.04


def test_what_is_left_out_has_a_reason():
    forecasts = shortlist(predictor("throughput"), SPACE.candidates(), 0.25)
    dropped = [forecast for forecast in forecasts if forecast.reason]
    assert any(not forecast.simulated for forecast in dropped)
    assert {forecast.candidate for forecast in dropped} >= {Candidate(1, 1)}


def test_equal_predictions_are_led_by_the_simpler():
    calibration = Calibration(ServiceTimes((ServicePoint(1, 1, 0.010),), 2.0))
    one = Predictor(calibration, parse_goal("latency@5/s"))
    forecasts = shortlist(one, SearchSpace(ORT, 2, batchable=True, max_batch=4).candidates(), 0.25)
    same = [f for f in forecasts if f.candidate.threads == forecasts[0].candidate.threads]
    assert same[0].candidate.max_batch_size == 0
    assert same[0].candidate.instances == 1


def test_the_load_follows_the_goal():
    candidate = Candidate(2, 1, 8, 0)
    assert predictor("latency@50/s").load_for(candidate) == OpenLoop(50.0)
    assert predictor("throughput@3").load_for(candidate) == ClosedLoop(3)
    assert predictor("throughput").load_for(candidate) == ClosedLoop(32)
    assert predictor("throughput", max_concurrency=16).load_for(candidate) == ClosedLoop(16)
    assert predictor("throughput").load_for(Candidate(1, 1)) == ClosedLoop(2)


def test_under_a_limit_as_many_clients_as_it_allows():
    one = predictor("p99<60ms")
    load = one.load_for(Candidate(2, 1))
    levels = one.levels()
    more = ClosedLoop(levels[levels.index(load.concurrency) + 1])
    assert one.under(Candidate(2, 1), load).outcome.latency_s <= 0.060
    assert one.under(Candidate(2, 1), more).outcome.latency_s > 0.060


def test_predictions_are_the_same_for_the_same_seed():
    first, second = predictor("p99<60ms", seed=3), predictor("p99<60ms", seed=3)
    assert first.forecast(Candidate(2, 1)) == second.forecast(Candidate(2, 1))


def test_an_overload_is_saturated():
    forecast = predictor("latency@1000/s").forecast(Candidate(1, 1))
    assert forecast.outcome.saturated


class TestNearest:
    def test_a_limit_that_cannot_be_held_gives_one_that_can(self):
        one = predictor("p99<5ms@50/s")
        forecast = one.forecast(Candidate(1, 2))
        limit, *_ = nearest_goals(one, forecast.candidate, forecast.load, forecast.outcome)
        assert limit.rate_per_s == 50.0
        assert limit.feasible(forecast.outcome)
        assert limit.limit_s <= forecast.outcome.latency_s * 1.2

    def test_a_rate_that_cannot_be_served_gives_one_that_can(self):
        one = predictor("p99<100ms@1000/s")
        forecast = one.forecast(Candidate(2, 1))
        (rate,) = nearest_goals(one, forecast.candidate, forecast.load, forecast.outcome)
        assert rate.limit_s == pytest.approx(0.1)
        assert 80.0 < rate.rate_per_s < 170.0
        assert rate.feasible(one.under(Candidate(2, 1), OpenLoop(rate.rate_per_s)).outcome)

    def test_a_closed_loop_has_a_limit_only(self):
        one = predictor("p99<1ms")
        forecast = one.forecast(Candidate(1, 2))
        goals = nearest_goals(one, forecast.candidate, forecast.load, forecast.outcome)
        assert [goal.rate_per_s for goal in goals] == [None]
        assert goals[0].limit_s >= forecast.outcome.latency_s
