"""The trial on real models, each with one property."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    quantize_dynamic,
    quantize_static,
)
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from support import trial_models as made
from support.trial_models import FLOAT, INT64, model, node, try_model, weights
from tritongen.errors import CODES, InvalidInputError
from tritongen.model.cores import budget_of
from tritongen.model.evidence import BatchVerdict, ReportedTensor
from tritongen.model.intent import DeclaredTensor, ModelIntent
from tritongen.model.samples import InputRecipe, make_inputs
from tritongen.model.tensors import DType
from tritongen.system.machine import read_cpus

pytestmark = pytest.mark.smoke


PROVEN, DISPROVEN = BatchVerdict.PROVEN, BatchVerdict.DISPROVEN
COUPLED, UNTESTED = BatchVerdict.COUPLED, BatchVerdict.UNTESTED


def declare(**inputs):
    return ModelIntent(
        inputs={name: DeclaredTensor(name, **given) for name, given in inputs.items()}
    )


def bfloat16_layer():
    return model(
        [
            node("Cast", "x", "f", to=FLOAT),
            node("MatMul", "f w", "m"),
            node("Cast", "m", "y", to=TensorProto.BFLOAT16),
        ],
        [("x", TensorProto.BFLOAT16, ["N", 6])],
        [("y", TensorProto.BFLOAT16, ["N", 3])],
        [weights("w", 6, 3)],
    )


def two_inputs(second):
    return model(
        [node("MatMul", "x w", "m"), node("Add", "m k", "y")],
        [("x", FLOAT, ["N", 6]), ("k", FLOAT, second)],
        [("y", FLOAT, ["N", 3])],
        [weights("w", 6, 3)],
    )


def strings():
    return model(
        [node("Identity", "x", "y")],
        [("x", TensorProto.STRING, ["N", 2])],
        [("y", TensorProto.STRING, ["N", 2])],
    )


@pytest.mark.parametrize(
    ("proto", "verdict", "words"),
    [
        (made.mlp(), PROVEN, ""),
        (made.mlp(None), PROVEN, ""),
        (made.mlp(dtype=TensorProto.FLOAT16), PROVEN, ""),
        (bfloat16_layer(), PROVEN, ""),
        (made.conv(), PROVEN, ""),
        (strings(), PROVEN, ""),
        (two_inputs(["N", 3]), PROVEN, ""),
        (made.mlp(1), DISPROVEN, "fixed at 1"),
        (made.mlp(4), DISPROVEN, "fixed at 4"),
        (two_inputs([]), DISPROVEN, "'k' is a scalar"),
        (made.time_first("GRU"), DISPROVEN, "position"),
        (made.time_first("LSTM"), DISPROVEN, "position"),
        (made.along_axis_0("CumSum"), DISPROVEN, "position"),
        (made.along_axis_0("Softmax", axis=0), DISPROVEN, "number of rows"),
        (made.along_axis_0("ReduceMean", axes=[0], keepdims=1), DISPROVEN, "1 in axis 0 for 2"),
        (made.along_axis_0("ReduceMean", axes=[0], keepdims=0), DISPROVEN, "6 in axis 0 for 1"),
        (made.along_axis_0("ReduceSum"), DISPROVEN, "1 in axis 0 for 2"),
        (made.along_axis_0("Transpose", perm=[1, 0]), DISPROVEN, "6 in axis 0 for 1"),
        (made.along_axis_0("Shape", INT64), DISPROVEN, "2 in axis 0 for 1"),
        (made.along_axis_0("Size", INT64), DISPROVEN, "is a scalar"),
        (made.minus_batch_mean(), COUPLED, "rows beside it"),
        (made.dynamically_quantised(), COUPLED, "dynamic quantisation"),
        (made.along_axis_0("IsNaN", TensorProto.BOOL), UNTESTED, "the same for every input"),
    ],
    ids=lambda item: item.graph.name if isinstance(item, onnx.ModelProto) else str(item),
)
def test_verdict_on_axis_0(proto, verdict, words, tmp_path):
    trial = try_model(proto, tmp_path)
    assert (trial.ok, trial.code) == (True, "")
    assert trial.proof.verdict is verdict, trial.proof
    assert words in trial.proof.reason
    assert trial.deterministic
    assert trial.runtime.startswith("onnxruntime ")


def test_what_was_fed_and_returned_is_recorded_and_can_be_made_again(tmp_path):
    trial = try_model(made.mlp(), tmp_path, seed=5)
    (fed,), (returned,) = trial.inputs, trial.outputs
    assert (fed.name, fed.dtype, fed.shape, fed.values) == ("x", DType.FP32, (1, 6), "float[0,1)")
    assert (returned.name, returned.dtype, returned.shape) == ("y", DType.FP32, (1, 3))
    assert trial.reported_inputs == (ReportedTensor("x", (-1, 6)),)
    assert trial.reported_outputs == (ReportedTensor("y", (-1, 3)),)
    assert trial.seed == 5
    assert trial.zeros_ok
    assert trial.peak_bytes > 0
    assert trial.mismatches == ()
    recipe = InputRecipe(fed.name, fed.dtype, fed.shape, fed.values)
    assert make_inputs([recipe], trial.seed)["x"].shape == (1, 6)


def test_bfloat16_and_strings_pass_in_both_directions(tmp_path):
    assert try_model(bfloat16_layer(), tmp_path).outputs[0].dtype is DType.BF16
    assert try_model(strings(), tmp_path).outputs[0].dtype is DType.BYTES


def test_images_get_a_usual_size(tmp_path):
    assert try_model(made.conv(), tmp_path).inputs[0].shape == (1, 3, 224, 224)


def test_values_that_the_model_refuses_are_replaced(tmp_path):
    trial = try_model(made.embedding(2), tmp_path)
    assert trial.ok
    assert trial.inputs[0].values == "int[0,2)"
    assert trial.proof.verdict is PROVEN


def test_a_table_of_one_row_can_only_be_fed_zeros(tmp_path):
    trial = try_model(made.embedding(1), tmp_path)
    assert trial.inputs[0].values == "zeros"
    assert trial.proof.verdict is UNTESTED
    assert "only equal rows" in trial.proof.reason


def test_the_users_values_and_sizes_are_used(tmp_path):
    trial = try_model(
        made.embedding(40), tmp_path, declare(ids={"values": "int[20,40)", "shape": (3, 7)})
    )
    assert (trial.inputs[0].shape, trial.inputs[0].values) == ((1, 7), "int[20,40)")
    assert trial.proof.verdict is PROVEN


def test_values_of_the_user_are_not_replaced(tmp_path):
    trial = try_model(made.embedding(3), tmp_path, declare(ids={"values": "int[0,40)"}))
    assert (trial.ok, trial.code) == (False, "TG201")
    assert "out of data bounds" in trial.error


def test_unsuitable_declarations_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="has 3 axes"):
        try_model(made.mlp(), tmp_path, declare(x={"shape": (1, 2, 3)}))


def test_the_users_length_of_a_time_axis_is_run_after_the_verdict(tmp_path):
    trial = try_model(made.time_first("GRU"), tmp_path, declare(x={"shape": (20, 6)}))
    assert trial.proof.verdict is DISPROVEN
    assert trial.inputs[0].shape == (20, 6)
    assert trial.outputs[0].shape == (20, 5)


def test_a_model_that_needs_several_rows_has_no_batch_axis(tmp_path):
    proto = model(
        [node("Reshape", "x eight", "y")],
        [("x", FLOAT, ["time", 6])],
        [("y", FLOAT, [8, None])],
        [made.constant("eight", [8, -1])],
    )
    trial = try_model(proto, tmp_path)
    assert trial.ok
    assert trial.inputs[0].shape == (16, 6)
    assert trial.proof.verdict is DISPROVEN
    assert "refuses a single row" in trial.proof.reason


def test_batching_switched_off_by_the_user_is_not_tested(tmp_path):
    trial = try_model(made.mlp(), tmp_path, ModelIntent(batch=False))
    assert trial.ok
    assert trial.proof.verdict is UNTESTED


def test_declared_outputs_that_are_lies_are_told(tmp_path):
    nodes = [*made.from_values("target", "shape"), node("Reshape", "x shape", "y")]
    held = [made.constant("target", [-1, 6]), made.constant("zero", 0)]
    proto = model(nodes, [("x", FLOAT, ["N", 2, 3])], [("y", FLOAT, ["N", 2, 3])], held)
    trial = try_model(proto, tmp_path)
    assert trial.mismatches == ("output 'y' is declared as [N, 2, 3] and came back as [1, 6]",)
    assert trial.proof.verdict is PROVEN

    fixed = model(nodes, [("x", FLOAT, ["N", 2, 3])], [("y", FLOAT, ["N", 7])], held)
    trial = try_model(fixed, tmp_path)
    assert trial.mismatches == ("output 'y' is declared as [N, 7] and came back as [1, 6]",)


def test_outputs_that_change_from_run_to_run_cannot_prove_anything(tmp_path):
    proto = model(
        [node("RandomNormalLike", "x", "r"), node("Add", "x r", "y")],
        [("x", FLOAT, ["N", 6])],
        [("y", FLOAT, ["N", 6])],
    )
    trial = try_model(proto, tmp_path)
    assert trial.ok
    assert not trial.deterministic
    assert trial.proof.verdict is UNTESTED
    assert "'y' differs between two runs" in trial.proof.reason


def test_axes_of_size_zero_are_fed_as_they_are(tmp_path):
    proto = model(
        [node("Concat", "x e", "y", axis=1)],
        [("x", FLOAT, ["N", 2]), ("e", FLOAT, ["N", 0])],
        [("y", FLOAT, ["N", 2])],
    )
    trial = try_model(proto, tmp_path)
    assert trial.ok
    assert {item.name: item.shape for item in trial.inputs}["e"] == (1, 0)
    assert trial.proof.verdict is PROVEN


def test_zero_inputs_that_the_model_refuses_are_noted(tmp_path):
    proto = model(
        [node("Sub", "ids thirty", "i"), node("Gather", "table i", "y")],
        [("ids", INT64, ["N", 1])],
        [("y", FLOAT, ["N", 1])],
        [made.constant("thirty", 30), made.constant("table", range(10), "float32")],
    )
    trial = try_model(proto, tmp_path, declare(ids={"values": "int[30,40)"}))
    assert trial.ok
    assert not trial.zeros_ok


def test_costs_are_measured_for_rows_and_threads(tmp_path):
    trial = try_model(made.mlp(), tmp_path, cores=2, time_budget_s=1.0)
    points = [(cost.batch, cost.threads, cost.inter_op) for cost in trial.costs]
    assert points[:5] == [(1, 1, 1), (2, 1, 1), (4, 1, 1), (8, 1, 1), (16, 1, 1)]
    assert set(points[5:]) <= {(1, 2, 1)}
    assert all(cost.ms > 0 and cost.spread >= 0 for cost in trial.costs)
    assert trial.cost_ms(1, 1) is not None


def test_operators_side_by_side_are_measured_for_parallel_graphs_only(tmp_path):
    several = budget_of(read_cpus()).value > 1
    for proto, parallel in ((made.branches(), True), (made.mlp(), False)):
        trial = try_model(proto, tmp_path, cores=2, time_budget_s=0.5)
        measured = [cost for cost in trial.costs if cost.inter_op > 1]
        assert [(cost.batch, cost.threads, cost.inter_op) for cost in measured] == (
            [(1, 1, 2)] if parallel and several else []
        )


def test_a_budget_of_no_time_measures_nothing(tmp_path):
    assert try_model(made.mlp(), tmp_path, time_budget_s=0).costs == ()


def test_without_a_batch_axis_only_the_inputs_as_they_are_are_measured(tmp_path):
    trial = try_model(made.time_first("GRU"), tmp_path, time_budget_s=0.5)
    assert [(cost.batch, cost.threads) for cost in trial.costs] == [(1, 1)]


def test_a_quantised_network_of_the_quantiser(tmp_path):
    source = tmp_path / "float.onnx"
    onnx.save(made.mlp(), source)

    class Data(CalibrationDataReader):
        def __init__(self):
            self.left = iter(np.random.default_rng(0).random((20, 1, 6), dtype=np.float32))

        def get_next(self):
            item = next(self.left, None)
            return None if item is None else {"x": item}

    quantize_static(source, tmp_path / "static.onnx", Data(), quant_format=QuantFormat.QDQ)
    quantize_dynamic(source, tmp_path / "dynamic.onnx")
    static = try_model(onnx.load(tmp_path / "static.onnx"), tmp_path)
    dynamic = try_model(onnx.load(tmp_path / "dynamic.onnx"), tmp_path)
    assert static.proof.verdict is PROVEN, static.proof
    assert dynamic.proof.verdict is COUPLED, dynamic.proof


def test_models_of_scikit_learn(tmp_path):
    features, labels = load_iris(return_X_y=True)
    features = features.astype(np.float32)
    forest = RandomForestClassifier(20, random_state=0).fit(features, labels)
    plain = to_onnx(forest, features[:1], options={"zipmap": False})
    trial = try_model(plain, tmp_path)
    assert trial.proof.verdict is PROVEN, trial.proof
    assert [item.name for item in trial.outputs] == ["label", "probabilities"]

    mapped = to_onnx(forest, features[:1])
    trial = try_model(mapped, tmp_path)
    assert trial.ok
    assert [item.name for item in trial.outputs] == ["output_label"]

    digits, names = load_digits(return_X_y=True)
    regression = LogisticRegression(max_iter=500).fit(digits / 16, names)
    proto = to_onnx(regression, digits[:1].astype(np.float32), options={"zipmap": False})
    trial = try_model(proto, tmp_path, declare(X={"values": "float[0,1]"}))
    assert trial.proof.verdict is PROVEN, trial.proof


def test_texts_as_categories_of_scikit_learn(tmp_path):
    colours = np.array([["red", "big"], ["red", "small"], ["blue", "big"], ["green", "small"]])
    pipeline = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(
        colours, [0, 1, 0, 1]
    )
    kind = StringTensorType([None, 2])
    proto = to_onnx(pipeline, initial_types=[("x", kind)], options={"zipmap": False})
    trial = try_model(proto, tmp_path, declare(x={"values": "choice(red,blue,green,big,small)"}))
    assert trial.ok, trial.error
    assert trial.proof.verdict is PROVEN, trial.proof


def test_a_locale_that_is_missing_is_named_with_both_cures(tmp_path):
    lower = node("StringNormalizer", "x", "y", case_change_action="LOWER", locale="xx_XX.UTF-8")
    text = model([lower], [("x", TensorProto.STRING, [1])], [("y", TensorProto.STRING, [1])])
    trial = try_model(text, tmp_path)
    assert (trial.ok, trial.code) == (False, "TG218")
    assert "xx_XX.UTF-8" in trial.error
    assert "localedef" in CODES["TG218"].fix
    assert "locale: C" in CODES["TG218"].fix
