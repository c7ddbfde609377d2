"""A tuned choice is for what it was tuned for; what changes is told, and simulated where it can."""

from dataclasses import replace

import pytest

from tritongen.model.business import Business, ClientProtocol, Clients
from tritongen.model.cores import budget_of_limit
from tritongen.model.evidence import (
    BatchProof,
    BatchVerdict,
    Cost,
    Evidence,
    ModelEvidence,
    ObservedTensor,
    Served,
    ServedRate,
    Trial,
    Tuned,
)
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.intent import Intent, ModelIntent, Target
from tritongen.model.serving_plan import InstanceKind
from tritongen.model.target_gpu import TargetGpu
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner import plan_serving

FACTS = ModelFacts(
    "m",
    "m/model.onnx",
    ModelFormat.ONNX,
    inputs=(TensorSpec("x", DType.FP32, ("n", 4)),),
    outputs=(TensorSpec("y", DType.FP32, ("n", 2)),),
)
# Merging pays and so the trial's plan has 8 rows and one instance a core.
TRIAL = Trial(
    "onnxruntime 1.32.0",
    ok=True,
    inputs=(ObservedTensor("x", DType.FP32, (1, 4)),),
    outputs=(ObservedTensor("y", DType.FP32, (1, 2)),),
    proof=BatchProof(BatchVerdict.PROVEN, "because"),
    costs=(Cost(1, 1, 2.0), Cost(8, 1, 6.0), Cost(1, 2, 1.2)),
)
SERVED = Served(2.0, "a CPU", (Cost(1, 1, 2.0, 0.05), Cost(1, 2, 1.2, 0.05)), front_end_ms=0.1)
WANTED = ModelIntent(rate=10.0, latency_ms=20.0)
HTTP, GRPC = Clients(), Clients(protocol=ClientProtocol.GRPC)


def tuned(wanted=WANTED, clients=HTTP, cores=2):
    return Tuned(
        "p99<20ms@10/s",
        instances=1,
        threads=2,
        max_batch_size=0,
        queue_delay_us=None,
        cores=cores,
        wanted=wanted.wanted(clients.protocol) if wanted is not None else None,
    )


def planned(own=WANTED, choice=None, served=SERVED, clients=HTTP, cores=2, gpus=0):
    """The model's plan, and what it says of the tuned choice."""
    intent = Intent(
        Target(cpus=cores, gpus=gpus), models={"m": own}, business=Business(clients=clients)
    )
    evidence = ModelEvidence((), TRIAL, choice or tuned(), served)
    plan = plan_serving((FACTS,), intent, Evidence({"m": evidence}), budget_of_limit(cores)).models[
        0
    ]
    return plan, [item.message for item in plan.findings if item.code == "TG317"]


def is_tuned(plan):
    return plan.max_batch_size.value == 0


def test_what_it_was_tuned_for_is_not_worth_a_word():
    plan, told = planned()
    assert is_tuned(plan)
    assert told == []


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (ModelIntent(rate=20.0, latency_ms=20.0), "20 requests/s"),
        (ModelIntent(rate=10.0, latency_ms=15.0), "10 requests/s, p99 within 15 ms"),
        (ModelIntent(latency_ms=20.0), "p99 within 20 ms over http"),
        (ModelIntent(rate=10.0), "10 requests/s over http"),
    ],
)
def test_another_goal_that_it_holds_by_simulation_keeps_it_and_is_told(own, says):
    plan, (told,) = planned(own)
    assert is_tuned(plan)
    assert "was tuned for 10 requests/s, p99 within 20 ms over http; it is to do " + says in told
    assert "which it is expected to: p99" in told


@pytest.mark.parametrize(
    ("own", "why"),
    [
        (ModelIntent(rate=90_000.0, latency_ms=20.0), "too much for it by simulation"),
        # To simulate it until enough requests are answered would take hours.
        (ModelIntent(rate=1e9, latency_ms=20.0), "too much for it by simulation"),
        (ModelIntent(rate=10.0, latency_ms=1.0), "which it is not expected to (p99"),
        (ModelIntent(rate=500.0, latency_ms=5.0), "which it is not expected to (p99"),
    ],
)
def test_another_goal_that_it_does_not_hold_leaves_what_the_trial_gives(own, why):
    plan, (told,) = planned(own)
    assert plan.max_batch_size.value == 8
    assert why in told
    assert "planned from the trial alone" in told
    assert "tuned" not in plan.instances.reason.sentence


def test_without_times_on_a_server_nothing_is_believed():
    plan, (told,) = planned(ModelIntent(rate=20.0, latency_ms=20.0), served=None)
    assert not is_tuned(plan)
    assert "no times on a server say whether it will" in told


def test_what_was_measured_at_a_rate_as_high_counts_before_any_simulation():
    seen = replace(SERVED, rates=(ServedRate(50.0, 1000, ((99.0, 19.0),)),))
    plan, (told,) = planned(ModelIntent(rate=40.0, latency_ms=20.0), served=seen)
    assert is_tuned(plan)
    assert "which it was seen to: p99 19.0 ms" in told


def test_another_protocol_is_another_domain():
    _, (told,) = planned(clients=GRPC)
    assert "over http; it is to do 10 requests/s, p99 within 20 ms over grpc" in told


def test_more_rows_than_it_takes_are_not_what_it_was_tuned_for():
    choice = replace(tuned(), max_batch_size=2)
    plan, (told,) = planned(replace(WANTED, request_batch=4), choice)
    assert plan.max_batch_size.value == 8
    assert "takes 2 rows at most" in told


@pytest.mark.parametrize(("cores", "kept"), [(3, True), (4, True), (1, False)])
def test_other_cores_are_told_and_simulated(cores, kept):
    plan, (told,) = planned(cores=cores)
    assert is_tuned(plan) == kept
    assert str(cores) in told


def test_fewer_cores_that_hold_the_threads_are_told_as_well():
    _, told = planned(ModelIntent(), tuned(ModelIntent(), cores=4))
    assert told == ["m was tuned for 4 cores and has 2 now"]


def test_an_older_lock_keeps_its_choice_and_is_told_of_where_there_is_a_goal():
    plan, (told,) = planned(choice=tuned(None))
    assert is_tuned(plan)
    assert "did not note whether for 10 requests/s" in told
    assert planned(ModelIntent(), tuned(None))[1] == []


def test_what_was_tuned_on_a_cpu_is_not_for_a_gpu():
    plan, (told,) = planned(gpus=1)
    assert plan.max_batch_size.value > 0
    assert "was tuned on a CPU, and the target has a GPU" in told


def test_a_peak_beyond_the_front_end_is_told_though_executions_keep_up():
    light = replace(TRIAL, costs=(Cost(1, 1, 0.002), Cost(8, 1, 0.012), Cost(1, 2, 0.002)))
    intent = Intent(Target(cpus=1), models={"m": ModelIntent(peak_rate=90_000.0)})

    def told(served):
        evidence = Evidence({"m": ModelEvidence((), light, None, served)})
        plan = plan_serving((FACTS,), intent, evidence, budget_of_limit(1)).models[0]
        return [item.message for item in plan.findings if item.code == "TG315"]

    assert "cores busy, 0.05 ms of each in the server itself; the plan has 1" in told(None)[0]
    assert "0.1 ms of each in the server itself" in told(SERVED)[0]
    assert told(replace(SERVED, front_end_ms=0.001)) == []


def on_gpu(card, target):
    """The plan of a choice that was tuned on a card, and what it says of the choice."""
    choice = replace(tuned(cores=8), instances=2, threads=1, max_batch_size=16, gpu=card)
    choice = replace(choice, queue_delay_us=0)
    gpu = TargetGpu(target) if target else None
    intent = Intent(Target(cpus=8, gpus=1, gpu=gpu), models={"m": WANTED})
    evidence = Evidence({"m": ModelEvidence((), TRIAL, choice)})
    plan = plan_serving((FACTS,), intent, evidence, budget_of_limit(8)).models[0]
    return plan, [item.message for item in plan.findings if item.code == "TG317"]


@pytest.mark.parametrize(("card", "target"), [("T4", "T4"), ("GPU", "")])
def test_what_was_tuned_on_a_card_is_for_that_card(card, target):
    plan, told = on_gpu(card, target)
    assert told == []
    assert (plan.instances.value, plan.max_batch_size.value, plan.kind.value) == (
        2, 16, InstanceKind.GPU
    )  # fmt: skip
    assert f"on {card}" in plan.instances.reason.sentence


def test_memory_is_that_of_the_tuned_choice():
    weights = replace(FACTS, weight_bytes=2**30)
    choice = replace(tuned(), instances=3, threads=1, max_batch_size=4, gpu="T4", cores=0)
    intent = Intent(Target(cpus=8, gpus=1, gpu=TargetGpu("T4")), models={"m": WANTED})
    evidence = Evidence({"m": ModelEvidence((), TRIAL, choice)})
    plan = plan_serving((weights,), intent, evidence, budget_of_limit(8))
    assert plan.models[0].gpu_bytes >= 3 * 2**30


@pytest.mark.parametrize(
    ("card", "target", "words"),
    [
        ("T4", "L4", "was tuned on a GPU of the type T4, and the target has a GPU of the type L4"),
        ("GPU", "L4", "was tuned on a GPU, and the target has a GPU of the type L4"),
    ],
)
def test_what_was_tuned_on_another_card_is_not(card, target, words):
    plan, (told,) = on_gpu(card, target)
    assert words in told
    assert plan.instances.value == 1


def test_what_was_tuned_on_a_gpu_is_not_for_a_cpu():
    _, (told,) = planned(choice=replace(tuned(), gpu="T4"))
    assert "was tuned on a GPU of the type T4, and the target has a CPU" in told
