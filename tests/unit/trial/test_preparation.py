import json
import subprocess
import sys
from pathlib import Path

import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.codec import decode, encode
from tritongen.model.facts import (
    FileRef,
    GraphShape,
    ModelFacts,
    ModelFormat,
    ModelVersion,
    OnnxFacts,
    Precision,
)
from tritongen.model.intent import DeclaredTensor, ModelIntent
from tritongen.model.tensors import DType, TensorKind, TensorSpec
from tritongen.trial.child_request import TrialOptions, TrialRequest
from tritongen.trial.preparation import make_request, unfed_input
from tritongen.trial.run_trial import run_trial

X = TensorSpec("x", DType.FP32, ("batch", 3, None))


def facts(*inputs, path="m/model.onnx", **fields):
    fields = {"format": ModelFormat.ONNX, "inputs": inputs or (X,)} | fields
    return ModelFacts(name="m", path=path, **fields)


def request(model, tmp_path=Path("models"), **declared):
    intent = ModelIntent(inputs={"x": DeclaredTensor("x", **declared)} if declared else {})
    return make_request(model, tmp_path, intent, TrialOptions(cores=64))


def test_a_request_survives_its_json():
    made = request(
        facts(X, TensorSpec("s", DType.BYTES, None), outputs=(TensorSpec("y", None, ()),)),
        shape=(2, 3, 9),
        values="normal(0,1)",
    )
    assert decode(TrialRequest, json.loads(json.dumps(encode(made)))) == made


@pytest.mark.parametrize(
    ("declared", "shape", "sizes"),
    [
        ({}, ("batch", 3, None), None),
        ({"shape": (1, 3, 40)}, ("batch", 3, None), (1, 3, 40)),
        ({"shape": (3, 40)}, ("batch", 3, None), (1, 3, 40)),
        ({"dims": (-1, 3, 40)}, ("batch", 3, 40), None),
        ({"dims": (3, 40)}, ("batch", 3, 40), None),
        ({"dims": (-1, -1, -1)}, ("batch", 3, None), None),
    ],
)
def test_declared_sizes_meet_the_models_own(declared, shape, sizes):
    feed = request(facts(), **declared).inputs[0]
    assert (feed.shape, feed.sizes) == (shape, sizes)


def test_dims_and_type_stand_in_where_the_format_carries_none():
    feed = request(facts(TensorSpec("x", None, None)), dtype=DType.INT32, dims=(-1, 7)).inputs[0]
    assert (feed.dtype, feed.shape) == (DType.INT32, (None, 7))


@pytest.mark.parametrize(
    ("declared", "place", "message"),
    [
        ({"shape": (1, 3, 4, 5)}, "shape", "[1, 3, 4, 5] has 4 axes, the model has 3"),
        ({"shape": (1, 4, 40)}, "shape", "axis 1 is fixed at 3 in the model, not 4"),
        ({"dims": (1,)}, "dims", "[1] has 1 axes, the model has 3"),
        ({"values": "int[0,"}, "values", "is not of the form"),
        ({"values": "bool"}, "values", "does not describe"),
    ],
)
def test_what_does_not_suit_the_model_is_refused_with_its_place(declared, place, message):
    with pytest.raises(InvalidInputError) as caught:
        request(facts(), **declared)
    assert caught.value.code == "TG304"
    assert caught.value.where == f"models.m.inputs.x.{place}"
    assert message in caught.value.what


@pytest.mark.parametrize("path", ["../x.onnx", "/etc/passwd", "a/../../x.onnx"])
def test_a_path_that_leaves_the_folder_is_refused(path):
    with pytest.raises(InvalidInputError) as caught:
        request(facts(path=path))
    assert caught.value.code == "TG107"


def test_the_newest_version_is_tried():
    versions = tuple(
        ModelVersion(n, (FileRef(f"m/{n}/model.onnx", "model.onnx", 1),)) for n in (1, 3)
    )
    made = request(facts(versions=versions), Path("/models"))
    assert made.path == "/models/m/3/model.onnx"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Precision.SINGLE),
        ({"precisions": (("FP16", 100), ("FP32", 2))}, Precision.HALF),
        ({"precisions": (("FLOAT16", 100),)}, Precision.HALF),
        ({"precisions": (("FP32", 100), ("FP16", 2))}, Precision.SINGLE),
        ({"outputs": (TensorSpec("y", DType.BF16, (1,)),)}, Precision.BRAIN),
        (
            {"onnx": OnnxFacts(8, (), quantized_operators=(("QLinearConv", 3),))},
            Precision.QUANTIZED,
        ),
    ],
)
def test_precision_is_that_of_most_weights_or_of_quantised_operators(fields, expected):
    assert request(facts(**fields)).precision is expected


def test_threads_stay_within_the_machine_and_parallel_graphs_are_told():
    made = request(facts(graph=GraphShape(30, 10, 4)))
    assert 1 <= made.threads <= 64
    assert made.parallel
    assert not request(facts(graph=GraphShape(12, 10, 2))).parallel


def test_memory_follows_the_weights_unless_stated():
    model = facts(weight_bytes=2**30)
    assert TrialOptions(cores=1).memory_limit(model) == 8 * 2**30
    assert TrialOptions(cores=1, memory_bytes=5).memory_limit(model) == 5


def test_containers_cannot_be_fed_and_optional_inputs_need_not_be():
    sequence = TensorSpec("q", None, None, TensorKind.SEQUENCE, "seq(float)")
    optional = TensorSpec("o", None, None, TensorKind.OPTIONAL)
    assert unfed_input(facts(X, optional), ModelIntent()) is None
    assert unfed_input(facts(X, sequence), ModelIntent()) == sequence
    result = run_trial(facts(X, sequence), Path(), ModelIntent(), TrialOptions(cores=1))
    assert (result.ok, result.code) == (False, "TG201")
    assert result.error == "input 'q' (seq(float)) cannot be generated"


def test_a_format_without_a_runtime_is_not_tried():
    model = facts(format=ModelFormat.TENSORRT)
    result = run_trial(model, Path(), ModelIntent(), TrialOptions(cores=1))
    assert (result.ok, result.code) == (False, "TG208")
    assert "tensorrt_plan" in result.error


def test_preparing_a_trial_loads_neither_numpy_nor_onnxruntime():
    program = (
        "import sys, tritongen.trial; "
        "sys.exit(bool({'numpy', 'onnxruntime', 'onnx'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
