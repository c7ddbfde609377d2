"""Machine types with GPUs: replicas and cost by an estimate, and what is left out."""

import math
from dataclasses import replace

import pytest

from tritongen.fleet.capacity.gpu_options import gpu_options
from tritongen.fleet.catalogue import parse_catalogue
from tritongen.model.evidence import (
    BatchProof,
    BatchVerdict,
    Evidence,
    ModelEvidence,
    ObservedTensor,
    Trial,
)
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.graph_work import GraphWork, Work
from tritongen.model.intent import Intent, ModelIntent
from tritongen.model.tensors import DType, TensorSpec
from tritongen.resources import template_text

MACHINES = parse_catalogue(template_text("data/gpu_instance_types.csv"), "").machines
ROW = Work(8 * 10**9, 90 * 10**6, 17 * 10**6, 150 * 10**6, 120, 10**7)
TRIAL = Trial(
    "onnxruntime 1.32.0",
    ok=True,
    inputs=(ObservedTensor("x", DType.FP32, (1, 4)),),
    proof=BatchProof(BatchVerdict.PROVEN, "because"),
    work=GraphWork(ROW, replace(ROW, kernels=0)),
)
FACTS = ModelFacts(
    "m", "m/model.onnx", ModelFormat.ONNX, inputs=(TensorSpec("x", DType.FP32, ("n", 4)),),
    outputs=(TensorSpec("y", DType.FP32, ("n", 2)),), weight_bytes=100 * 2**20,
)  # fmt: skip


def options(rate=1000.0, trial=TRIAL, facts=FACTS, **own):
    intent = Intent(models={"m": ModelIntent(rate=rate, **own)})
    evidence = Evidence({"m": ModelEvidence((), trial)})
    return gpu_options(MACHINES, (facts,), intent, evidence, {"m": rate})


def test_the_shipped_list_has_a_card_for_most_machines_and_no_shares():
    found = options()
    cards = {option.card for option in found}
    assert cards == {
        "T4",
        "L4",
        "A10",
        "A10G",
        "L40S",
        "A100-40",
        "A100-80",
        "H100",
        "H200",
        "B200",
    }
    assert len(found) > 60
    assert not any("/" in option.machine.gpu or "NVL" in option.machine.gpu for option in found)
    p4d = next(option for option in found if option.machine.name == "p4d.24xlarge")
    assert p4d.card == "A100-40"


def test_the_cheapest_comes_first_and_replicas_follow_the_peak():
    found = options()
    assert [option.usd_per_month for option in found] == sorted(one.usd_per_month for one in found)
    t4 = next(option for option in found if option.card == "T4" and option.machine.gpus == 1)
    rows = t4.rows["m"]
    busy = 1000.0 * t4.execution_ms / 1e3 / rows
    assert t4.replicas == math.ceil(busy * 2 / 0.7)
    assert t4.fewest == max(1, math.ceil(busy / 2 / 0.7))
    assert t4.usd_per_month == pytest.approx(t4.machine.usd_per_hour * 730 * t4.replicas)
    name = t4.machine.name
    twice = next(option for option in options(2000.0) if option.machine.name == name)
    assert twice.replicas in {2 * t4.replicas, 2 * t4.replicas - 1}


def test_several_cards_share_the_load():
    found = {option.machine.name: option for option in options(20_000.0)}
    one, four = found["g4dn.xlarge"], found["g4dn.12xlarge"]
    assert (one.machine.gpus, four.machine.gpus) == (1, 4)
    assert four.replicas == pytest.approx(one.replicas / 4, abs=1)


def test_what_does_not_fit_or_misses_the_goal_is_left_out():
    large = replace(FACTS, weight_bytes=30 * 2**30)
    assert {"T4", "L4", "A10G"}.isdisjoint(option.card for option in options(facts=large))
    assert options(facts=large)
    assert options(latency_ms=0.5) == ()
    within = {option.card for option in options(latency_ms=10.0)}
    assert "H100" in within
    assert "T4" not in within


def test_without_a_count_of_operations_none_is_offered():
    assert options(trial=replace(TRIAL, work=None)) == ()
