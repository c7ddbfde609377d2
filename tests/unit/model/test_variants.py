import json
import random

import pytest

from tritongen.model.codec import decode, encode
from tritongen.model.evidence import ModelEvidence
from tritongen.model.variants import (
    Accuracy,
    Proof,
    Speedup,
    Step,
    StepKind,
    Variant,
    Verdict,
    choose,
    gate_missed,
    judge,
)
from tritongen.optimize.paired_speed import paired_speedup

GOOD = Accuracy("top1", 0.98, 0.975, 0.005, 0.01, accepted=True, rows=200)
BAD = Accuracy("top1", 0.98, 0.90, 0.08, 0.01, accepted=False, rows=200)
FASTER = Speedup(2.0, 1.8, 2.2)
SLOWER = Speedup(0.8, 0.7, 0.9)
SAME = Speedup(1.01, 0.97, 1.05)


@pytest.mark.parametrize(
    ("accuracy", "speed", "verdict", "words"),
    [
        (GOOD, FASTER, Verdict.ACCEPTED, "faster: ×2.00"),
        (GOOD, SLOWER, Verdict.SLOWER, "slower: ×0.80"),
        (GOOD, SAME, Verdict.NO_GAIN, "no measurable difference"),
        (GOOD, None, Verdict.NO_GAIN, "not measured"),
        (BAD, FASTER, Verdict.REFUSED, "a loss of 0.08, more than 0.01"),
        (None, FASTER, Verdict.UNGATED, "no evaluation data"),
    ],
)
def test_verdicts(accuracy: Accuracy, speed: Speedup, verdict: Verdict, words: str) -> None:
    found, reason = judge(accuracy, speed, data=True)
    assert found is verdict
    assert words in reason


def test_without_data_nothing_is_accepted() -> None:
    assert judge(GOOD, FASTER, data=False)[0] is Verdict.UNGATED


def test_a_variant_for_a_gpu_is_not_measured_here() -> None:
    verdict, reason = judge(GOOD, None, data=True, device="a GPU")
    assert verdict is Verdict.NOT_MEASURED
    assert "this machine lacks" in reason


def test_coupled_rows_must_pay_for_the_batching_that_they_forfeit() -> None:
    assert judge(GOOD, FASTER, data=True, forfeit=1.5)[0] is Verdict.ACCEPTED
    verdict, reason = judge(GOOD, FASTER, data=True, forfeit=2.6)
    assert verdict is Verdict.NO_GAIN
    assert "batching alone gives the original ×2.60" in reason


def variant(name: str, verdict: Verdict, speed: Speedup | None = None, **fields: object) -> Variant:
    given = {"path": f"{name}/model.onnx", "verdict": verdict, "speedup": speed} | fields
    return Variant(name=name, model="m", **given)  # type: ignore[arg-type]  # pass through


def test_the_fastest_accepted_variant_is_chosen() -> None:
    assert choose([]) is None
    assert choose([variant("a", Verdict.SLOWER), variant("b", Verdict.UNGATED)]) is None
    fixed = variant("fixed", Verdict.ACCEPTED)
    assert choose([fixed]) == "fixed"
    assert choose([fixed, variant("int8", Verdict.ACCEPTED, FASTER)]) == "int8"
    assert choose([fixed, variant("int8", Verdict.ACCEPTED, FASTER, path="")]) == "fixed"


def test_the_gate_is_missed_when_every_gated_variant_fails() -> None:
    refused = variant("a", Verdict.REFUSED, accuracy=BAD)
    assert gate_missed([refused])
    assert gate_missed([variant("fixed", Verdict.ACCEPTED), refused])
    assert not gate_missed([refused, variant("b", Verdict.SLOWER, accuracy=GOOD)])
    assert not gate_missed([variant("b", Verdict.UNGATED, accuracy=GOOD)])
    assert not gate_missed([])


def test_pairs_give_the_median_ratio_and_its_interval() -> None:
    rng = random.Random(1)
    first = [2.0 * rng.lognormvariate(0, 0.1) for _ in range(60)]
    second = [1.0 * rng.lognormvariate(0, 0.1) for _ in range(60)]
    speed = paired_speedup(first, second, batch=8, threads=2)
    assert speed.low < 2.0 < speed.high
    assert speed.low < speed.value < speed.high
    assert (speed.batch, speed.threads, speed.pairs) == (8, 2, 60)


def test_a_disturbance_of_both_sides_of_a_pair_changes_nothing() -> None:
    calm = paired_speedup([2.0] * 20, [1.0] * 20)
    noisy = paired_speedup([2.0, 20.0] * 10, [1.0, 10.0] * 10)
    assert (calm.value, calm.low, calm.high) == (noisy.value, noisy.low, noisy.high)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(7)
    held = 0
    for _ in range(400):
        first = [rng.lognormvariate(0, 0.2) for _ in range(15)]
        second = [rng.lognormvariate(0, 0.2) for _ in range(15)]
        speed = paired_speedup(first, second)
        held += speed.low <= 1.0 <= speed.high
    assert held >= 0.93 * 400


def test_a_record_survives_the_lock() -> None:
    step = Step(
        "zipmap", StepKind.FIX, True, "maps are scores", Proof(4, 0.0, 1e-4, True), ("TG110",),
        {"p": "q"}, {"parameters": {"a": {"string_value": "1"}}},
    )  # fmt: skip
    record = variant(
        "int8", Verdict.ACCEPTED, FASTER, steps=(step,), accuracy=GOOD, speedups=(FASTER,),
        recipe={"weights": "int8", "calibrated": 100}, files=(("model.onnx", "ab"),),
    )  # fmt: skip
    evidence = ModelEvidence((("1/model.onnx", "ab"),), variant=record)
    assert decode(ModelEvidence, json.loads(json.dumps(encode(evidence)))) == evidence
    assert record.folder == ".variants/m/int8"
