"""What observations are held against: each figure from where it is known, None where it is not."""

from dataclasses import replace
from datetime import UTC

import pytest

from support.capacity import capacity_input, trial_evidence
from tritongen.fleet.capacity.capacity_plan import PlanFile
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.fleet.observe.expected import Expectations
from tritongen.fleet.observe.model_counters import CounterStep, ModelCounters, Observed
from tritongen.model.business import Business, Grouping, Pattern, PatternKind
from tritongen.model.evidence import Cost, Served
from tritongen.model.facts import ModelFormat
from tritongen.model.intent import Intent, ModelIntent
from tritongen.model.lock import Lock, LockedModel, LockedTarget

RATE = ModelIntent(rate=20.0, latency_ms=200.0, request_batch=2)
COSTS = (Cost(1, 1, 4.0), Cost(8, 1, 9.0), Cost(1, 2, 3.0), Cost(2, 2, 5.0, inter_op=2))


def seen(batch: float = 1.0, steps: int = 1) -> Observed:
    counters = ModelCounters(requests=40.0, inferences=40.0, executions=40.0 / batch)
    return Observed(
        "m", tuple(CounterStep(i * 60.0, i * 60.0 + 60.0, counters) for i in range(steps))
    )


def known(
    intent: Intent | None = None,
    served: tuple[Cost, ...] | None = None,
    threads: int = 1,
    plan: PlanFile | None = None,
) -> Expectations:
    evidence = trial_evidence(4.0)
    if served is not None:
        evidence = replace(evidence, served=Served(4.0, "", served))
    model = LockedModel("m/model.onnx", ModelFormat.ONNX, "onnxruntime", threads, 3, evidence)
    lock = Lock("t", LockedTarget("26.06", 4), models={"m": model})
    return Expectations(intent or Intent(models={"m": RATE}), lock, plan, UTC)


def test_a_model_is_known_by_the_lock_else_by_the_intent():
    full = known(Intent(models={"n": RATE}))
    assert (full.known("m"), full.known("n")) == (True, False)
    for lock in (None, replace(full.lock, models={})):
        assert replace(full, lock=lock).known("n")
        assert not replace(full, lock=lock).known("m")


def test_what_a_trial_s_request_costs():
    assert known().costs(["m", "n"]) == {"m": 8.0}


@pytest.mark.parametrize(
    ("costs", "threads", "batch", "ms"),
    [
        (COSTS, 1, 1.0, 4.0),
        (COSTS, 1, 4.4, 4.0),
        (COSTS, 1, 4.6, 9.0),
        (COSTS, 2, 8.0, 3.0),
        (COSTS, 4, 2.0, 5.0),
        ((), 1, 1.0, None),
        (None, 1, 1.0, None),
    ],
)
def test_an_execution_is_compared_with_the_nearest_that_was_measured_served(
    costs, threads, batch, ms
):
    assert known(served=costs, threads=threads).of(seen(batch), None).execution_ms == ms


def test_without_executions_or_a_lock_there_is_no_time_of_one():
    idle = Observed("m", (CounterStep(0.0, 60.0, ModelCounters()),))
    assert known(served=COSTS).of(idle, None).execution_ms is None
    assert replace(known(served=COSTS), lock=None).of(seen(), None).execution_ms is None


@pytest.mark.parametrize(
    ("batching", "delay"),
    [
        ({"max_queue_delay_microseconds": "250"}, 250.0),
        ({"max_queue_delay_microseconds": 0}, 0.0),
        ({}, 0.0),
        ({"max_queue_delay_microseconds": "soon"}, None),
        (None, None),
    ],
)
def test_the_delay_in_force_is_the_server_s(batching, delay):
    config = {"max_batch_size": 4, "instance_group": [{"count": 2, "kind": "KIND_CPU"}]}
    if batching is not None:
        config["dynamic_batching"] = batching
    found = known().of(seen(), config)
    assert (found.queue_delay_us, found.instances) == (delay, 2)


def test_instances_are_the_server_s_else_the_lock_s():
    assert known().of(seen(), None).instances == 3
    assert replace(known(), lock=None).of(seen(), None).instances is None


def test_the_rate_of_the_steps_is_the_pattern_s_at_their_time():
    assert known().of(seen(), None).window_rate == pytest.approx(20.0)
    assert known().of(Observed("m", ()), None).window_rate is None
    assert known(Intent()).of(seen(), None).window_rate is None
    night = Pattern(PatternKind.WEEKDAY_WEEKEND, busy=(9, 17), night=0.1)
    intent = Intent(models={"m": RATE}, business=Business(pattern=night))
    dark = known(intent).of(seen(steps=2), None).window_rate
    assert 0.0 < dark < 10.0, "at midnight there is a tenth of the day's"
    stored = Intent(models={"m": replace(RATE, pattern=Pattern(PatternKind.HISTORY, file="a"))})
    assert known(stored).of(seen(), None).window_rate == 20.0


@pytest.mark.parametrize("together", [True, False])
def test_a_replica_s_rate_is_told_where_the_model_has_it_alone(together):
    business = Business(grouping=Grouping.TOGETHER if together else Grouping.SEPARATE)
    given = capacity_input({"m": (4.0, RATE), "n": (4.0, RATE)}, business)
    plan = PlanFile("t", plan_capacity(given, refined=1), 0)
    found = known(plan=plan).of(seen(), None)
    service = next(
        one for one in plan.option.services if "m" in {m.name for m in one.placement.models}
    )
    assert (found.service, found.replicas) == (service.name, service.most)
    assert found.replica_rate == (None if together else service.rate_per_s)
    assert (found.average, found.latency_ms, found.request_batch) == (20.0, 200.0, 2)
    absent = known(plan=plan).of(replace(seen(), model="x"), None)
    assert (absent.service, absent.replicas) == ("", None)
