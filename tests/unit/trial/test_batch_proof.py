import time

import numpy as np
import pytest

from tritongen.model.evidence import BatchVerdict
from tritongen.model.facts import ModelFormat, Precision
from tritongen.model.samples import InputRecipe
from tritongen.model.tensors import DType
from tritongen.trial.batch_proof import Prover, obstacle
from tritongen.trial.child_request import Feed, Limits, TrialRequest
from tritongen.trial.runtime import RuntimeRefusal, numbered

F = DType.FP32
WEIGHTS = np.random.default_rng(0).normal(size=(6, 3))


class FunctionSession:
    """A model that is a Python function of one input."""

    inputs = ()
    outputs = ()

    def __init__(self, function):
        self.function = function

    def run(self, inputs):
        result = self.function(inputs["x"])
        return result if isinstance(result, dict) else {"y": np.asarray(result)}


def request(precision=Precision.SINGLE, *, dynamic=False):
    return TrialRequest(
        format=ModelFormat.ONNX,
        path="",
        inputs=(Feed("x", F, (None, 6)),),
        batch=None,
        precision=precision,
        dynamic_quantization=dynamic,
        parallel=False,
        threads=1,
        seed=0,
        limits=Limits(60, 0, 1, 0, 1),
    )


def prover_of(function, *, values="", dtype=F, stages=None, seconds=60.0, **wishes):
    return Prover(
        FunctionSession(function),
        (InputRecipe("x", dtype, (1, 6), values),),
        request(**wishes),
        time.monotonic() + seconds,
        (stages if stages is not None else []).append,
    )


def prove(function, **wishes):
    return prover_of(function, **wishes).prove()


def prove_most(function, **wishes):
    """After a proof of few rows, that of many."""
    prover = prover_of(function, **wishes)
    assert prover.prove().verdict is BatchVerdict.PROVEN
    return prover.prove_most()


def recurrent(x):
    state, rows = np.zeros(3), []
    for item in x:
        state = np.tanh(item @ WEIGHTS + state)
        rows.append(state)
    return np.array(rows)


def refuse(limit):
    def run(x):
        if len(x) > limit:
            raise RuntimeRefusal("no more rows")
        return x @ WEIGHTS

    return run


def attention(x):
    scores = np.exp(x @ x.T)
    return (scores / scores.sum(axis=1, keepdims=True)) @ x


def quantised(x):
    scale = max(np.abs(x).max() / 127, 1e-9)
    return (np.round(x / scale) * scale).astype(np.float32) @ WEIGHTS


def test_as_many_responses_as_rows_are_no_batch():
    """A decoupled model that answers each row by itself gives other outputs for two rows."""
    later = numbered([{"y": np.ones((1, 3))}, {"y": np.ones((1, 3))}])
    assert list(later) == ["y", "y (response 2)"]
    proof = prove(lambda x: {f"y{index}": x @ WEIGHTS for index in range(len(x))})
    assert proof.verdict is BatchVerdict.DISPROVEN
    assert "number of responses" in proof.reason


def test_independent_rows_prove_the_batch_axis():
    stages = []
    proof = prove(lambda x: x @ WEIGHTS, stages=stages)
    assert proof.verdict is BatchVerdict.PROVEN
    assert proof.rows == (1, 2, 3)
    assert proof.max_abs_diff <= proof.tolerance
    assert stages[:3] == [1, 2, 3]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: np.cumsum(x, axis=0), "position"),
        (recurrent, "position"),
        (lambda x: recurrent(x[::-1])[::-1], "position"),
        (lambda x: np.exp(x) / np.exp(x).sum(axis=0), "number of rows"),
        (lambda x: x - x.mean(axis=0), "rows beside it"),
        (attention, "rows beside it"),
        (lambda x: x.mean(axis=0, keepdims=True), "has 1 in axis 0 for 2 rows"),
        (lambda x: x.T, "has 6 in axis 0 for 1 row"),
        (lambda x: x.sum(), "is a scalar"),
        (lambda x: x @ x.T, "is [1, 1] for one row and [2, 2] for 2 rows"),
        (lambda x: x[::-1], "rows beside it"),
        (lambda x: np.repeat(x, 2, axis=0)[: 2 * len(x) - 1], "has 3 in axis 0 for 2 rows"),
        (refuse(1), "the runtime refuses 2 rows: no more rows"),
        (refuse(2), "the runtime refuses 3 rows: no more rows"),
        (lambda x: (x.sum(axis=1) > x.sum(axis=1).mean()).astype(np.int64), "rows"),
    ],
)
def test_other_axes_are_disproven_with_the_reason(function, words):
    proof = prove(function)
    assert proof.verdict is BatchVerdict.DISPROVEN
    assert words in proof.reason


def test_the_reason_names_the_output_at_fault():
    proof = prove(lambda x: {"fine": x @ WEIGHTS, "sum": np.cumsum(x, axis=0)})
    assert proof.verdict is BatchVerdict.DISPROVEN
    assert "'sum'" in proof.reason


def test_a_small_influence_of_neighbours_is_coupling():
    proof = prove(lambda x: x @ WEIGHTS + 0.01 * x.mean())
    assert proof.verdict is BatchVerdict.COUPLED
    assert proof.max_abs_diff > proof.tolerance


def test_dynamic_quantisation_shows_and_is_named():
    proof = prove(quantised, dynamic=True)
    assert proof.verdict is BatchVerdict.COUPLED
    assert "dynamic quantisation" in proof.reason


def test_rows_of_different_magnitude_reveal_a_shared_scale():
    # Coupled only when one row is far greater than the others.
    def clipped(x):
        scale = max(float(np.abs(x).max()), 2.0) / 127
        return np.round(x / scale) * scale

    assert prove(clipped).verdict is BatchVerdict.PROVEN
    assert prove(clipped, dynamic=True).verdict is BatchVerdict.COUPLED


def test_static_quantisation_may_tip_a_rounding_over():
    def model(x):
        noise = 1e-3 if len(x) > 1 else 0.0
        return np.round((x @ WEIGHTS + noise) * 128) / 128

    assert prove(model).verdict is not BatchVerdict.PROVEN
    assert prove(model, precision=Precision.QUANTIZED).verdict is BatchVerdict.PROVEN


def test_rounding_noise_of_single_precision_is_no_coupling():
    def model(x):
        return (x @ WEIGHTS) * (1 + 3e-5 * (len(x) > 1))

    assert prove(model).verdict is BatchVerdict.PROVEN


@pytest.mark.parametrize(
    ("function", "values", "words"),
    [
        (lambda x: np.ones((len(x), 2)), "", "the same for every input"),
        (lambda x: np.full((len(x), 2), np.nan), "", "the same for every input"),
        (lambda x: np.ones((len(x), 0)), "", "the same for every input"),
        (lambda x: x @ WEIGHTS, "zeros", "only equal rows"),
    ],
)
def test_outputs_that_say_nothing_prove_nothing(function, values, words):
    proof = prove(function, values=values)
    assert proof.verdict is BatchVerdict.UNTESTED
    assert words in proof.reason


def test_memory_says_nothing_of_the_axis():
    def model(x):
        if len(x) > 2:
            raise RuntimeRefusal("failed to allocate", out_of_memory=True)
        return x @ WEIGHTS

    proof = prove(model)
    assert proof.verdict is BatchVerdict.UNTESTED
    assert "3 rows need too much memory" in proof.reason
    assert proof.rows == (1, 2)


def test_texts_and_labels_are_compared_exactly():
    def labels(x):
        names = np.array([[b"low", b"high"][int(v > 3)] for v in x.sum(axis=1)], dtype=object)
        return {"label": names, "index": (x.sum(axis=1) * 1000).astype(np.int64)}

    assert prove(labels).verdict is BatchVerdict.PROVEN


@pytest.mark.parametrize(
    ("feeds", "batch", "verdict", "words"),
    [
        ([Feed("x", F, ("b", 2))], None, None, ""),
        ([Feed("x", F, None)], None, None, ""),
        ([Feed("x", F, ("b", 2))], False, BatchVerdict.UNTESTED, "switches batching off"),
        ([], None, BatchVerdict.DISPROVEN, "no inputs"),
        ([Feed("x", F, ("b",)), Feed("k", F, ())], True, BatchVerdict.DISPROVEN, "'k' is a scalar"),
        ([Feed("x", F, (1, 2))], None, BatchVerdict.DISPROVEN, "[1, 2] is fixed at 1"),
        ([Feed("x", F, (8, 2))], None, BatchVerdict.DISPROVEN, "fixed at 8"),
        (
            [Feed("x", F, ("b", 2)), Feed("h", F, (2, "b", 4))],
            None,
            BatchVerdict.DISPROVEN,
            "its rows ('b') stand on axis 1",
        ),
        ([Feed("x", F, ("n", "n"))], None, BatchVerdict.DISPROVEN, "the same size 'n' as axis 0"),
    ],
)
def test_syntax_alone_rules_some_axes_out(feeds, batch, verdict, words):
    found = obstacle(feeds, batch)
    assert (found.verdict if found else None) is verdict
    assert words in (found.reason if found else "")


def right_up_to(limit):
    def run(x):
        found = x @ WEIGHTS
        found[limit:] += 1.0
        return found

    return run


def test_as_many_rows_as_will_be_allowed_are_compared():
    stages = []
    proof = prove_most(lambda x: x @ WEIGHTS, stages=stages)
    assert (proof.verdict, proof.rows, proof.bound) == (BatchVerdict.PROVEN, (1, 2, 3, 16), 0)
    assert "and 16 rows together" in proof.reason
    assert stages[-1] == 16


@pytest.mark.parametrize("limit", [3, 4, 15])
def test_rows_that_are_wrong_from_some_on_disprove_it(limit):
    proof = prove_most(right_up_to(limit))
    assert proof.verdict is BatchVerdict.DISPROVEN
    assert "position" in proof.reason


@pytest.mark.parametrize(("limit", "bound"), [(3, 3), (4, 4), (7, 4), (8, 8), (15, 8), (16, 0)])
def test_a_runtime_that_takes_only_so_many_rows_bounds_it(limit, bound):
    proof = prove_most(refuse(limit))
    assert (proof.verdict, proof.bound) == (BatchVerdict.PROVEN, bound)
    assert proof.rows[-1] == (bound or 16)


def test_what_would_take_too_long_is_not_run():
    def slow(x):
        time.sleep(0.02 * len(x))
        return x @ WEIGHTS

    proof = prove_most(slow, seconds=0.5)
    assert (proof.verdict, proof.bound) == (BatchVerdict.PROVEN, 0)
    assert proof.rows == (1, 2, 3)
