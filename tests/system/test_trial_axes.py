"""What the trial says of dynamic axes, on real models with one property each."""

import pytest

from support import axis_models as axes
from support import trial_models as made
from support.trial_models import FLOAT, INT64, constant, model, node, try_model, weights
from tritongen.model.evidence import AxisVerdict, BatchVerdict, ReportedTensor
from tritongen.model.facts import FileRef, ModelFacts, ModelFormat, ModelVersion, PythonFacts
from tritongen.model.intent import AxisIntent, DeclaredTensor, ModelIntent
from tritongen.model.tensors import DType, TensorSpec
from tritongen.trial.child_request import TrialOptions
from tritongen.trial.run_trial import run_trial

FREE, BOUNDED, MULTIPLE = AxisVerdict.FREE, AxisVerdict.BOUNDED, AxisVerdict.MULTIPLE
EQUAL, FIXED, UNTESTED = AxisVerdict.EQUAL, AxisVerdict.FIXED, AxisVerdict.UNTESTED


DIES = """
import os
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            if x.shape[1] > 100:
                os.abort()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x * 2)]))
        return answers
"""


def verdicts(trial):
    return {(item.input, item.axis): (item.verdict, item.bound) for item in trial.axes}


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (axes.per_step(), {("x", 1): (FREE, None)}),
        (axes.baked_in(), {("x", 1): (FIXED, 16)}),
        (axes.baked_in(128), {("x", 1): (FIXED, 128)}),
        (axes.added_positions(128), {("x", 1): (FIXED, 128)}),
        (axes.table_of_positions(), {("ids", 1): (BOUNDED, 512)}),
        (axes.table_of_positions(77), {("ids", 1): (BOUNDED, 77)}),
        (axes.eights(), {("x", 1): (MULTIPLE, 8)}),
        (axes.equal_lengths(), {("a", 1): (EQUAL, "second"), ("b", 1): (EQUAL, "first")}),
        (axes.product(), {("a", 2): (EQUAL, "l"), ("b", 1): (EQUAL, "k")}),
        (axes.two_free(), {("x", 1): (FREE, None), ("k", 1): (FREE, None)}),
        (made.conv(), {("x", 2): (FREE, None), ("x", 3): (FREE, None)}),
        (made.mlp(), {}),
    ],
)
def test_each_dynamic_axis_gets_its_verdict(proto, expected, tmp_path):
    trial = try_model(proto, tmp_path)
    assert trial.ok
    assert trial.code == ""
    assert trial.proof.verdict is BatchVerdict.PROVEN
    assert verdicts(trial) == expected
    assert all(len(item.tried) <= 24 for item in trial.axes)


def test_the_first_axis_is_one_like_others_where_it_is_no_batch(tmp_path):
    running = made.along_axis_0("CumSum")
    assert verdicts(try_model(running, tmp_path)) == {("x", 0): (FREE, None)}
    single = model(
        [node("Reshape", "x s", "y")],
        [("x", FLOAT, ["N", 6])],
        [("y", FLOAT, ["N", 6])],
        [constant("s", [1, 6])],
    )
    trial = try_model(single, tmp_path)
    assert trial.proof.verdict is BatchVerdict.DISPROVEN
    assert verdicts(trial) == {("x", 0): (FIXED, 1)}


def test_a_row_of_state_that_the_runtime_infers_is_fixed(tmp_path):
    trial = try_model(axes.recurrent(), tmp_path)
    assert trial.reported_outputs == (ReportedTensor("y", (1, 1, 3)),)
    assert verdicts(trial) == {("x", 0): (FREE, None), ("h", 1): (FIXED, 1)}


@pytest.mark.parametrize(("most", "right"), [(3, True), (4, False), (None, False)])
def test_rows_are_compared_up_to_the_most_that_are_allowed(most, right, tmp_path):
    intent = ModelIntent(max_batch_size=most)
    proof = try_model(axes.wrong_from_the_fourth_row_on(), tmp_path, intent).proof
    assert proof.verdict is (BatchVerdict.PROVEN if right else BatchVerdict.DISPROVEN)


def test_rows_of_large_client_requests_are_compared(tmp_path):
    trial = try_model(made.mlp(), tmp_path, ModelIntent(request_batch=100))
    assert trial.proof.rows == (1, 2, 3, 100)


def test_axes_are_tried_as_far_as_is_stated_from_the_typical_size_on(tmp_path):
    intent = ModelIntent(axes={"seq": AxisIntent(1, 128, 512)})
    trial = try_model(axes.per_step(), tmp_path, intent)
    assert trial.inputs[0].shape == (1, 128, 4)
    (axis,) = trial.axes
    assert axis.verdict is FREE
    assert axis.tried[0] == 128
    assert {1, 129, 512} <= set(axis.tried)
    assert max(axis.tried) == 512


def test_values_that_are_at_fault_fix_no_axis(tmp_path):
    """A place in a table is computed from the sum: 15 ones and all zeros give a place in it."""
    proto = model(
        [
            node("ReduceSum", "x axes", "sum", keepdims=0),
            node("Sub", "sum fifteen", "less"),
            node("Mul", "sum less", "place"),
            node("Gather", "t place", "y", axis=0),
        ],
        [("x", INT64, ["N", "seq"])],
        [("y", FLOAT, ["N", 4])],
        [weights("t", 6, 4), constant("axes", [1]), constant("fifteen", 15)],
    )
    given = DeclaredTensor("x", shape=(1, 15), values="const(1)")
    trial = try_model(proto, tmp_path, ModelIntent(inputs={"x": given}))
    (_, axis) = trial.axes
    assert axis.verdict is UNTESTED
    assert "zeros only" in axis.reason


def test_a_size_that_ends_the_process_costs_only_what_is_above_it(tmp_path):
    """A program that dies beyond 100 steps."""
    (tmp_path / "model.py").write_text(DIES)
    specs = [TensorSpec(name, DType.FP32, (None, None)) for name in ("x", "y")]
    facts = ModelFacts(
        name="m",
        path="model.py",
        format=ModelFormat.PYTHON,
        versions=(ModelVersion(1, (FileRef("model.py", "model.py", 1),)),),
        inputs=(specs[0],),
        outputs=(specs[1],),
        weight_bytes=0,
        python=PythonFacts(),
    )
    trial = run_trial(facts, tmp_path, ModelIntent(), TrialOptions(1, time_budget_s=0.3))
    assert (trial.ok, trial.code) == (True, "TG204")
    assert "running x[1] of 256" in trial.error
    assert trial.proof.verdict is BatchVerdict.PROVEN
    assert trial.costs
    assert verdicts(trial) == {("x", 1): (BOUNDED, 64)}
    assert trial.axes[0].tried == (16, 17, 64, 256)
