"""Configurations stay readable for many inputs, and no comment says what means nothing."""

import pytest

from support.plans import warmup_lines
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
from tritongen.model.intent import Intent, Target
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner import plan_serving
from tritongen.planner.model_settings import MAX_WARMUP_LINES
from tritongen.repository.render_repository import render_models


def rendered(inputs=1, costs=(), gpus=0):
    names = [f"input_{number}" for number in range(inputs)]
    facts = ModelFacts(
        "m",
        "m/model.onnx",
        ModelFormat.ONNX,
        inputs=tuple(TensorSpec(name, DType.FP32, ("n", 1)) for name in names),
        outputs=(TensorSpec("y", DType.FP32, ("n", 1)),),
    )
    trial = Trial(
        "onnxruntime 1.32.0",
        ok=True,
        inputs=tuple(ObservedTensor(name, DType.FP32, (1, 1)) for name in names),
        outputs=(ObservedTensor("y", DType.FP32, (1, 1)),),
        proof=BatchProof(BatchVerdict.PROVEN, "because"),
        zeros_ok=True,
        costs=costs,
    )
    evidence = Evidence({"m": ModelEvidence((), trial)})
    plan = plan_serving((facts,), Intent(Target(cpus=2, gpus=gpus)), evidence, budget_of_limit(2))
    (model,) = render_models(plan, (facts,))
    return model


@pytest.mark.parametrize(
    ("inputs", "sizes"),
    [
        (1, (1, 2, 4, 8, 16, 32)),
        (5, (1, 4, 16, 32)),
        (14, (1, 16, 32)),
        (20, (1, 32)),
        (30, (32,)),
        (53, (32,)),
        (2000, (32,)),
    ],
)
def test_warm_ups_take_at_most_sixty_lines_and_keep_the_largest_batch(inputs, sizes):
    model = rendered(inputs, gpus=1)
    samples = model.config.message.model_warmup
    assert tuple(sample.batch_size for sample in samples) == sizes
    assert all(len(sample.inputs) == inputs for sample in samples)
    assert 0 < warmup_lines(model.text) <= MAX_WARMUP_LINES


@pytest.mark.parametrize(
    ("two_threads_ms", "said"),
    [
        (1000.0, "two threads are no faster than one"),
        (0.97, "two threads are no faster than one"),
        (0.52, "two threads are 1.9 times as fast"),
        (0.53, "two threads are 1.9 times as fast"),
    ],
)
def test_a_second_thread_is_told_of_in_steps_that_mean_something(two_threads_ms, said):
    model = rendered(costs=(Cost(1, 1, 1.0), Cost(1, 2, two_threads_ms)))
    assert f"# 1: {said}, two instances do twice the work" in model.text
