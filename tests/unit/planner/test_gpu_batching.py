"""For a GPU nothing is planned from what a CPU took: merging is on, sized by rate and memory."""

from dataclasses import replace

import pytest

from tritongen.model.cores import budget_of_limit
from tritongen.model.evidence import (
    BatchProof,
    BatchVerdict,
    Cost,
    Evidence,
    ModelEvidence,
    ObservedTensor,
    Trial,
)
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.intent import Intent, ModelIntent, Overload, Target
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner import plan_serving

FACTS = ModelFacts(
    "m",
    "m/model.onnx",
    ModelFormat.ONNX,
    inputs=(TensorSpec("x", DType.FP32, ("n", 4)),),
    outputs=(TensorSpec("y", DType.FP32, ("n", 2)),),
    weight_bytes=2**20,
)
# On a CPU an item of four costs 1.37 of its cost alone.
DEARER = (Cost(1, 1, 2.0), Cost(4, 1, 10.96))


def planned(own=None, peak=2**20, verdict=BatchVerdict.PROVEN, gpus=1, costs=DEARER):
    trial = Trial(
        "onnxruntime 1.32.0",
        ok=True,
        inputs=(ObservedTensor("x", DType.FP32, (1, 4)),),
        outputs=(ObservedTensor("y", DType.FP32, (1, 2)),),
        proof=BatchProof(verdict, "because"),
        costs=costs,
        peak_bytes=peak,
    )
    intent = Intent(Target(cpus=2, gpus=gpus), models={"m": own or ModelIntent()})
    evidence = Evidence({"m": ModelEvidence((), trial)})
    return plan_serving((FACTS,), intent, evidence, budget_of_limit(2)).models[0]


def test_merging_is_on_where_the_axis_is_proven_whatever_a_cpu_took():
    assert planned(gpus=0).batching is None
    plan = planned()
    assert (plan.max_batch_size.value, plan.batching is not None) == (32, True)
    assert "a CPU's times do not count for a GPU" in plan.max_batch_size.reason.sentence
    times = [replace(cost, ms=cost.ms * 7) for cost in DEARER]
    assert planned(costs=tuple(times)) == plan
    said = [plan.max_batch_size.reason, plan.instances.reason, plan.batching.queue_delay_us.reason]
    assert not any("cost alone" in reason.sentence or "tune" in reason.sentence for reason in said)


@pytest.mark.parametrize("verdict", [BatchVerdict.COUPLED, BatchVerdict.DISPROVEN])
def test_without_proof_it_stays_off(verdict):
    assert planned(verdict=verdict).batching is None


@pytest.mark.parametrize(
    ("own", "rows"),
    [
        (ModelIntent(rate=10.0), 8),
        (ModelIntent(rate=1000.0), 64),
        (ModelIntent(rate=1000.0, latency_ms=40.0), 32),
        (ModelIntent(rate=1e6), 128),
        (ModelIntent(rate=1e6, max_batch_size=16), 16),
        (ModelIntent(request_batch=200), 200),
    ],
)
def test_the_stated_rate_makes_the_size_and_what_clients_send_fits(own, rows):
    assert planned(own).max_batch_size.value == rows


@pytest.mark.parametrize(("mib", "rows"), [(4 * 1024, 8), (4 * 2000, 6)])
def test_memory_of_the_trial_limits_the_size(mib, rows):
    plan = planned(peak=mib * 2**20)
    assert plan.max_batch_size.value == rows
    assert f"a row took {mib // 4} MiB in the trial" in plan.max_batch_size.reason.sentence


def test_what_will_be_late_is_refused_by_the_goal_alone():
    own = ModelIntent(latency_ms=40.0, overload=Overload.REJECT)
    policy = planned(own).batching.queue_policy
    assert (policy.timeout_us, policy.max_queue_size) == (20_000, 0)
