"""Several models in one container: what their choices are expected to do side by side."""

import pytest

from support.synthetic_triton import CONVNET, TEXT, SyntheticTriton, run_tuning
from tritongen.model.backends import BACKENDS
from tritongen.queueing import ServicePoint, ServiceTimes
from tritongen.tune.search.co_location import CoLocation
from tritongen.tune.search.objective import TuneSettings, parse_goal
from tritongen.tune.search.search_space import SearchSpace
from tritongen.tune.search.tuner import Tuner

HEAVY = ServiceTimes((ServicePoint(1, 1, 0.008), ServicePoint(2, 1, 0.016)), 4.0)
LIGHT = ServiceTimes((ServicePoint(1, 1, 0.006), ServicePoint(2, 1, 0.010)), 4.0)


def tuned(goal, cores, profile, prior):
    settings = TuneSettings(parse_goal(goal), cores, budget_s=30.0)
    space = SearchSpace(BACKENDS["onnxruntime"], cores, batchable=True, max_batch=2)
    tuner = Tuner(settings, space, prior=prior)
    run_tuning(tuner, SyntheticTriton(profile, cores, 1))
    return tuner


def models(goal="latency@150/s", heavy=3, light=1):
    tuners = {
        "heavy": tuned(goal, heavy, CONVNET, HEAVY),
        "light": tuned("latency@20/s", light, TEXT, LIGHT),
    }
    rates = {name: tuner.objective.rate_per_s for name, tuner in tuners.items()}
    return tuners, CoLocation(tuners, rates, 4, seed=0)


def test_side_by_side_they_hold_their_rates():
    tuners, both = models()
    found = both.forecast()
    assert found.feasible
    assert set(found.outcomes) == {"heavy", "light"}
    assert both.moved(found) is None
    for name, outcome in found.outcomes.items():
        assert outcome.cores == tuners[name].best().candidate.total_threads


def test_a_core_moves_to_the_model_that_misses_its_goal():
    _, both = models("p99<60ms@250/s", heavy=2, light=2)
    found = both.forecast()
    assert found.worst == "heavy"
    assert both.moved(found) == {"heavy": 3, "light": 1}


def test_models_without_a_rate_are_left_out():
    tuners, _ = models()
    one = CoLocation(tuners, {"light": 20.0}, 4, seed=0).forecast()
    assert set(one.outcomes) == {"light"}
    assert CoLocation(tuners, {}, 4, seed=0).forecast().outcomes == {}


@pytest.mark.parametrize("cores", [1, 4])
def test_side_by_side_a_model_is_no_faster_than_alone(cores):
    tuner = tuned("latency@20/s", 1, TEXT, LIGHT)
    alone = CoLocation({"a": tuner}, {"a": 20.0}, cores, seed=0).forecast().outcomes["a"]
    twins = CoLocation({"a": tuner, "b": tuner}, {"a": 20.0, "b": 20.0}, cores, seed=0).forecast()
    assert twins.outcomes["a"].latency_s >= 0.9 * alone.latency_s
