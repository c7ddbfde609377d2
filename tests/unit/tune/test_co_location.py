"""Several models in one container: shares, one search each, and a look at them together."""

from dataclasses import replace

import pytest

from support.synthetic_triton import CONVNET, TEXT, SyntheticTriton
from tritongen.errors import InvalidInputError
from tritongen.model.backends import BACKENDS
from tritongen.queueing import ServicePoint, ServiceTimes
from tritongen.tune.search.co_location import JointTuner, Member
from tritongen.tune.search.objective import parse_goal
from tritongen.tune.search.search_settings import TuneSettings
from tritongen.tune.search.search_space import SearchSpace

SPACE = SearchSpace(BACKENDS["onnxruntime"], 1, batchable=True, max_batch=2)
SETTINGS = TuneSettings(parse_goal("throughput"), 4, budget_s=60.0)
HEAVY = Member(
    "heavy",
    parse_goal("latency@150/s"),
    SPACE,
    prior=ServiceTimes((ServicePoint(1, 1, 0.008), ServicePoint(2, 1, 0.016)), 4.0),
)
LIGHT = Member(
    "light",
    parse_goal("latency@20/s"),
    SPACE,
    prior=ServiceTimes((ServicePoint(1, 1, 0.006), ServicePoint(2, 1, 0.010)), 4.0),
)
PROFILES = {"heavy": CONVNET, "light": TEXT}


def run(joint):
    histories = {}
    tritons = {
        name: SyntheticTriton(PROFILES[name], share, 1) for name, share in joint.shares.items()
    }
    while (found := joint.next(histories)) is not None:
        name, step = found
        records = tuple(tritons[name].measure(task) for task in step.tasks)
        histories[name] = histories.get(name, ()) + records
    return histories


@pytest.fixture(scope="module")
def tuned():
    joint = JointTuner((HEAVY, LIGHT), 4, SETTINGS)
    return joint, run(joint)


def test_shares_follow_rate_times_service_time(tuned):
    joint, _ = tuned
    assert joint.shares == {"heavy": 3, "light": 1}


def test_no_model_exceeds_its_share(tuned):
    joint, histories = tuned
    for name, choice in joint.best(histories).items():
        assert choice.candidate.total_threads <= joint.shares[name]
    total = sum(c.candidate.total_threads for c in joint.best(histories).values())
    assert total <= 4


def test_every_model_is_tuned_within_its_part_of_the_budget(tuned):
    _, histories = tuned
    assert set(histories) == {"heavy", "light"}
    assert all(history[-1].ended_s <= 32.0 for history in histories.values())


def test_together_they_hold_their_rates(tuned):
    joint, histories = tuned
    together = joint.together(histories)
    assert together.feasible
    assert set(together.outcomes) == {"heavy", "light"}
    assert joint.moved(histories) is None


def test_a_core_moves_to_the_model_that_misses_its_goal():
    hungry = replace(HEAVY, objective=parse_goal("p99<60ms@250/s"))
    joint = JointTuner((hungry, LIGHT), 4, SETTINGS, shares={"heavy": 2, "light": 2})
    histories = run(joint)
    together = joint.together(histories)
    assert together.worst == "heavy"
    assert joint.moved(histories) == {"heavy": 3, "light": 1}


def test_more_models_than_cores_get_one_each():
    members = [replace(LIGHT, name=f"m{i}") for i in range(3)]
    joint = JointTuner(members, 2, SETTINGS)
    assert set(joint.shares.values()) == {1}


def test_models_without_a_rate_are_left_out_of_the_look_together():
    joint = JointTuner((replace(LIGHT, objective=parse_goal("throughput")),), 1, SETTINGS)
    assert joint.together(run(joint)).outcomes == {}


@pytest.mark.parametrize(
    "make",
    [
        lambda: JointTuner((), 2, SETTINGS),
        lambda: JointTuner((HEAVY, HEAVY), 2, SETTINGS),
        lambda: JointTuner((HEAVY, LIGHT), 2, SETTINGS, shares={"heavy": 2, "light": 1}),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(InvalidInputError):
        make()
