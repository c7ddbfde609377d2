"""A trial that is made again keeps the plan, unless what it measured is clearly something else."""

import math
import random
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
from tritongen.model.intent import Intent, ModelIntent, Target
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner import plan_serving
from tritongen.repository.gather_evidence import steadied

FACTS = ModelFacts(
    "m",
    "m/model.onnx",
    ModelFormat.ONNX,
    inputs=(TensorSpec("x", DType.FP32, ("n", 4)),),
    outputs=(TensorSpec("y", DType.FP32, ("n", 2)),),
)
POINTS = ((1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (1, 2))
SEEDS = range(60)


def trial(share, noise=None, level=1.0, ms=2.0):
    """A trial whose items cost that share of one alone from four rows on, with noise or without."""
    noise = noise or random.Random(0)
    scale = {1: 1.0, 2: (1.0 + share) / 2, 4: share, 8: share, 16: share}
    costs = tuple(
        Cost(
            batch,
            threads,
            float(f"{ms * level * scale[batch] * batch / threads**0.8 * noise.gauss(1, 0.02):.4g}"),
            0.03,
        )
        for batch, threads in POINTS
    )
    return Trial(
        "onnxruntime 1.32.0",
        ok=True,
        inputs=(ObservedTensor("x", DType.FP32, (1, 4)),),
        outputs=(ObservedTensor("y", DType.FP32, (1, 2)),),
        proof=BatchProof(BatchVerdict.PROVEN, "because"),
        costs=costs,
        peak_bytes=round(30e6 * noise.gauss(1, 0.02)),
        cpu="a CPU",
    )


def plan_of(tried, own=None):
    intent = Intent(Target(cpus=2), models={"m": own or ModelIntent(rate=600.0, latency_ms=9.0)})
    evidence = Evidence({"m": ModelEvidence((), tried)})
    return plan_serving((FACTS,), intent, evidence, budget_of_limit(2)).models


@pytest.mark.parametrize("share", [0.6, 0.82, 0.86, 0.88, 0.895, 0.91, 1.0])
def test_another_trial_of_the_same_model_gives_the_same_plan(share):
    flips = 0
    for seed in SEEDS:
        noise = random.Random(seed)
        first = trial(share, noise)
        again = steadied(trial(share, noise, level=math.exp(noise.gauss(0, 0.08))), first)
        flips += plan_of(again) != plan_of(first)
    assert flips == 0


@pytest.mark.parametrize(("before", "now"), [(0.95, 0.6), (0.6, 0.95), (0.7, 1.1)])
def test_a_clear_effect_changes_the_plan(before, now):
    for seed in SEEDS:
        noise = random.Random(seed)
        first, fresh = trial(before, noise), trial(now, noise)
        assert steadied(fresh, first) is fresh
        assert (plan_of(fresh)[0].batching is None) == (now > 0.9)


@pytest.mark.parametrize(("share", "merged"), [(0.86, True), (0.88, False), (0.91, False)])
def test_near_the_threshold_it_is_the_simpler_and_says_why(share, merged):
    exact = trial(share, type("Still", (), {"gauss": staticmethod(lambda *_: 1.0)}))
    (plan,) = plan_of(exact, ModelIntent())
    assert (plan.batching is not None) == merged
    if share == 0.88:
        assert "the gain may be noise" in plan.batching_off.sentence


def test_what_is_known_stays_to_the_byte_and_grows_by_what_is_new():
    first = trial(0.8)
    assert steadied(replace(trial(0.8), peak_bytes=first.peak_bytes + 1), first) == first
    unmeasured = replace(first, peak_bytes=0)
    assert steadied(replace(trial(0.8, level=1.1), peak_bytes=0), unmeasured) == unmeasured
    short = replace(first, costs=first.costs[:4])
    grown = steadied(first, short)
    assert grown.costs == first.costs


def test_what_was_measured_beside_other_work_gives_way_to_what_was_not():
    fresh = trial(0.8)
    *quiet, last = fresh.costs
    disturbed = replace(fresh, costs=(*quiet, replace(last, ms=last.ms * 1.6, spread=0.9)))
    assert steadied(fresh, disturbed) is fresh
    assert steadied(disturbed, fresh) == fresh


@pytest.mark.parametrize(
    "other",
    [
        {"runtime": "onnxruntime 1.33.0"},
        {"cpu": "another CPU"},
        {"deterministic": False},
        {"declared": ("inputs.x.values: int[0,2)",)},
        {"peak_bytes": 90_000_000},
    ],
)
def test_another_machine_runtime_or_result_counts_as_it_is(other):
    first = trial(0.8)
    fresh = replace(first, **other)
    assert steadied(fresh, first) is fresh


def test_another_speed_of_the_whole_machine_counts():
    first = trial(0.8)
    assert steadied(trial(0.8, level=1.6), first) != first
    assert steadied(trial(0.8, level=1.1), first) == first
