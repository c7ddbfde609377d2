"""Models on the target's GPUs: memory before anything is launched, and which card has which."""

from dataclasses import replace

import pytest

from tritongen.model.cores import budget_of_limit
from tritongen.model.evidence import (
    BatchProof,
    BatchVerdict,
    Evidence,
    ModelEvidence,
    ObservedTensor,
    Trial,
)
from tritongen.model.facts import GraphShape, ModelFacts, ModelFormat
from tritongen.model.graph_work import GraphWork, Work
from tritongen.model.intent import Intent, ModelIntent, Target
from tritongen.model.lock import CONTEXT_BYTES
from tritongen.model.serving_plan import InstanceKind
from tritongen.model.target_gpu import TargetGpu
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner import plan_serving

MIB, GB = 2**20, 10**9
T4 = TargetGpu("T4")
# A row: a billion operations, 40 MB moved, 10 MB alive at once; one of each further row the same.
ROW = Work(10**9, 40 * 10**6, 10**6, 10**6, 50, 10**7)
TRIAL = Trial(
    "onnxruntime 1.32.0",
    ok=True,
    inputs=(ObservedTensor("x", DType.FP32, (1, 4)),),
    outputs=(ObservedTensor("y", DType.FP32, (1, 2)),),
    proof=BatchProof(BatchVerdict.PROVEN, "because"),
    work=GraphWork(ROW, replace(ROW, kernels=0)),
)


def facts(name: str, weight_bytes: int) -> ModelFacts:
    return ModelFacts(
        name,
        f"{name}/model.onnx",
        ModelFormat.ONNX,
        inputs=(TensorSpec("x", DType.FP32, ("n", 4)),),
        outputs=(TensorSpec("y", DType.FP32, ("n", 2)),),
        weight_bytes=weight_bytes,
    )


def plan(weights, gpus=1, gpu=T4, own=None, trial=TRIAL, **changes):
    models = [replace(facts(name, size), **changes) for name, size in weights.items()]
    intent = Intent(Target(cpus=8, gpus=gpus, gpu=gpu), models=own or {})
    evidence = Evidence({name: ModelEvidence((), trial) for name in weights})
    return plan_serving(models, intent, evidence, budget_of_limit(8))


def cards(plan):
    return {model.name: model.gpus and model.gpus.value for model in plan.models}


def test_all_on_every_card_where_they_fit_and_one_card_needs_no_number():
    assert cards(plan({"a": GB, "b": GB})) == {"a": None, "b": None}
    both = plan({"a": GB, "b": GB}, gpus=2)
    assert cards(both) == {"a": (0, 1), "b": (0, 1)}
    needed = sum(model.gpu_bytes for model in both.models) + CONTEXT_BYTES
    assert both.server.gpu_bytes == (needed, needed)
    assert needed < 16 * GB * 0.85


def test_what_does_not_fit_on_one_card_is_packed_by_memory_and_load():
    packed = plan({"a": 9 * GB, "b": 8 * GB, "c": 2 * GB}, gpus=2)
    assert cards(packed) == {"a": (0,), "b": (1,), "c": (1,)}
    assert max(packed.server.gpu_bytes) <= 16 * GB * 0.85
    busy = {"b": ModelIntent(rate=5000.0)}
    assert cards(plan({"a": 9 * GB, "b": 8 * GB, "c": 2 * GB}, gpus=2, own=busy))["c"] == (0,)


def test_what_fits_nowhere_is_refused_with_the_arithmetic_and_the_others_are_served():
    left = plan({"a": 14 * GB, "b": GB})
    assert [model.name for model in left.models] == ["b"]
    assert left.refused == (("a", ("TG160",)),)
    (fault,) = (item for item in left.findings if item.code == "TG160")
    assert fault.message == (
        "a does not fit: 1 × (13 GiB weights + 29 MiB activations) = 13.1 GiB; of T4's 14.9 GiB "
        "models may take 12.2 GiB: 85% without 512 MiB for CUDA's context and Triton's pools; "
        "the most that is left on one is 12.2 GiB"
    )
    assert fault.fix


def test_without_what_does_not_fit_the_others_have_its_room():
    tight = TargetGpu("T4", 2 * GB)  # a GB and 161 MB for models
    left = plan({"a": 600 * MIB, "b": 500 * MIB}, gpu=tight)
    assert [model.name for model in left.models] == ["a"]
    (alone,) = plan({"a": 600 * MIB}, gpu=tight).models
    assert left.models[0] == alone
    assert alone.max_batch_size.value > 1


def test_one_row_is_not_merged_with_others():
    (model,) = plan({"a": 600 * MIB}, gpu=TargetGpu("T4", 1_425_000_000)).models
    assert (model.max_batch_size.value, model.batching) == (1, None)
    assert model.batching_off is not None


def test_more_instances_than_memory_are_refused():
    left = plan({"a": GB}, own={"a": ModelIntent(instances=20)})
    assert left.models == ()
    assert "20 × (954 MiB weights" in left.findings[0].message
    fitting = plan({"a": GB}, own={"a": ModelIntent(instances=3)}).models[0]
    assert (fitting.instances.value, fitting.kind.value) == (3, InstanceKind.GPU)
    assert fitting.gpu_bytes >= 3 * GB


@pytest.mark.parametrize("memory", [2, 4, 16, 80])
def test_no_plan_takes_more_than_the_card_has(memory):
    gpu = TargetGpu("A100-80", memory * GB)
    found = plan({"a": GB // 2, "b": GB // 4}, gpu=gpu)
    assert sum(found.server.gpu_bytes) <= memory * GB * 0.85
    assert len(found.models) == 2


def test_convolutions_have_room_to_work_in():
    plain, graph = plan({"a": GB}), GraphShape(2, 2, 1, (("Conv", 1),))
    rows = {"a": ModelIntent(max_batch_size=8, instances=1)}
    plain, conv = plan({"a": GB}, own=rows), plan({"a": GB}, own=rows, graph=graph)
    assert conv.models[0].gpu_bytes - plain.models[0].gpu_bytes == 256 * MIB


def test_reasons_name_memory_and_roofline():
    model = plan({"a": GB}).models[0]
    rows, instances = model.max_batch_size.reason.sentence, model.instances.reason.sentence
    assert "by roofline" in rows
    assert "not measured" in rows
    assert "MiB weights" in rows
    assert "by roofline" in instances


def test_a_card_that_rests_between_kernels_has_two_instances():
    small = replace(TRIAL, work=GraphWork(Work(1000, 1000, 10, 10, 60, 100), Work(1000, 1000)))
    model = plan({"a": MIB}, trial=small).models[0]
    assert model.instances.value == 2
    assert "rests for" in model.instances.reason.sentence
    assert plan({"a": MIB}).models[0].instances.value == 1


def test_without_a_count_of_operations_the_trial_says_the_memory():
    trial = replace(TRIAL, work=None, peak_bytes=GB + 400 * MIB)
    model = plan({"a": GB}, trial=trial).models[0]
    assert "roofline" not in model.max_batch_size.reason.sentence
    assert model.gpu_bytes <= 16 * GB * 0.85
    assert model.max_batch_size.value == 16


def test_of_a_target_without_a_card_nothing_is_new():
    model = plan({"a": GB}, gpus=2, gpu=None).models[0]
    assert (model.gpus, model.gpu_bytes, model.max_batch_size.value) == (None, 0, 32)


@pytest.mark.parametrize(("rate", "goal"), [(50.0, None), (200.0, 100.0), (1000.0, 40.0)])
def test_the_size_serves_rate_and_goal_at_twice_the_estimate(rate, goal):
    own = {"a": ModelIntent(rate=rate, latency_ms=goal)}
    model = plan({"a": 100 * MIB}, gpu=TargetGpu("L4"), own=own).models[0]
    said = model.max_batch_size.reason.sentence
    assert "by simulation" in said or "no size serves" in said
    if goal is not None and "by simulation" in said:
        assert f"within {goal:g} ms" in said
        assert model.batching is not None
        assert "by roofline" in model.batching.queue_delay_us.reason.sentence
