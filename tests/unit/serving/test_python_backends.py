"""The Python-based backends without a server: the class that Triton's stub drives is driven here.

What the stub provides is stood in for by the module that trials run models of the python backend
with. The C++ backends' words are held against a real Triton elsewhere.
"""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from support.backend_stub import BACKENDS, FP32, Loaded, backend, entry, given
from support.format_models import openvino_image, torch_cell, torch_linear, xgboost_forest
from tritongen.trial.backend_utils import InferenceRequest, TritonModelException

# -- forests -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fil() -> ModuleType:
    return backend("fil")


@pytest.fixture(scope="module")
def forests(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("forests")
    xgboost_forest(folder / "1/xgboost.json")
    xgboost_forest(folder / "1/multi.json", "multi:softprob")
    return folder


ROWS = np.linspace(-1, 1, 20, dtype=np.float32).reshape(4, 5)


def forest(fil, forests, width: int = 1, *, file: str = "", batch: int = 8, **parameters: str):
    stated = {"model_type": "xgboost_json", "output_class": "false", **parameters}
    return Loaded(fil, forests, {
        "max_batch_size": batch, "default_model_filename": file,
        "input": [entry("input__0", [5])], "output": [entry("output__0", [width])],
        "parameters": given(**{key: text for key, text in stated.items() if text != "-"}),
    })  # fmt: skip


def answers(loaded: Loaded, rows: np.ndarray = ROWS) -> np.ndarray:
    (found,) = loaded.ask({"input__0": rows}, outputs=("output__0",))
    assert isinstance(found, dict), found
    return found["output__0"]


def test_scores_classes_and_probabilities_of_two_classes(fil, forests):
    scores = answers(forest(fil, forests))
    assert scores.shape == (4, 1)
    assert ((scores > 0) & (scores < 1)).all()
    pairs = answers(
        forest(fil, forests, 2, output_class="true", threshold="0.5", predict_proba="true")
    )
    assert np.allclose(pairs, np.hstack([1 - scores, scores]))
    for threshold in (0.0, float(np.median(scores)), 1.0):
        classes = answers(forest(fil, forests, output_class="true", threshold=str(threshold)))
        assert np.array_equal(classes, (scores > threshold).astype(np.float32))
    newer = {"output_class": "-", "is_classifier": "true", "threshold": "0.5"}
    assert np.array_equal(answers(forest(fil, forests, **newer)), (scores > 0.5).astype(np.float32))


def test_of_several_classes_the_best_one(fil, forests):
    scores = answers(forest(fil, forests, 3, file="multi.json"))
    best = answers(forest(fil, forests, 1, file="multi.json", output_class="true", threshold="0.5"))
    assert np.array_equal(best[:, 0], scores.argmax(axis=1))
    proba = {"output_class": "true", "threshold": "0.5", "predict_proba": "true"}
    whole = answers(forest(fil, forests, 3, file="multi.json", **proba))
    assert np.allclose(whole.sum(axis=1), 1.0, atol=1e-5)


def test_requests_of_a_batch_get_their_own_rows_and_too_many_are_refused(fil, forests):
    loaded = forest(fil, forests, batch=4)
    one, two = loaded.ask({"input__0": ROWS[:1]}, {"input__0": ROWS[1:4]}, outputs=("output__0",))
    together = answers(loaded)
    assert np.array_equal(np.vstack([one["output__0"], two["output__0"]]), together)
    refused = loaded.ask({"input__0": ROWS}, {"input__0": ROWS[:1]}, outputs=("output__0",))
    assert refused == ["batch size 5 for 'm', max allowed is 4"] * 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "sklearn"}, "sklearn not recognized as a valid serialization format"),
        ({"output_class": "-"}, "Required parameter is_classifier not found in config"),
        (
            {"output_class": "yes", "is_classifier": "yes"},
            "Bad input for parameter is_classifier: yes",
        ),
        ({"output_class": "true"}, "Required parameter threshold not found in config"),
        ({"output_class": "true", "threshold": "x"}, "Bad input for parameter threshold: x"),
        ({"predict_proba": "True"}, "Bad input for parameter predict_proba: True"),
        ({"cpu_nthread": "many"}, "Bad input for parameter cpu_nthread: many"),
        ({"file": "absent.json"}, "unable to find"),
        ({"model_type": "lightgbm", "file": "xgboost.json"}, ""),
    ],
)
def test_what_a_forest_s_configuration_must_say(fil, forests, changes, says):
    with pytest.raises(TritonModelException) as caught:
        forest(fil, forests, **changes)
    assert says in str(caught.value)


def test_a_forest_s_width_is_held_against_the_configuration(fil, forests):
    loaded = forest(fil, forests, 2)
    (found,) = loaded.ask({"input__0": ROWS}, outputs=("output__0",))
    assert found == "the forest answers with 1 numbers a row, the configuration states 2"


@pytest.mark.parametrize(
    ("inputs", "outputs", "says"),
    [
        (["x"], ["output__0"], "no tensor input__0"),
        (["input__0"], ["y"], "no tensor output__0"),
        (["input__0"], ["output__0", "treeshap_output"], "computes no SHAP values"),
    ],
)
def test_a_forest_s_tensors_have_their_names(fil, forests, inputs, outputs, says):
    config = {
        "max_batch_size": 8, "input": [entry(name, [5]) for name in inputs],
        "output": [entry(name, [1]) for name in outputs],
        "parameters": given(model_type="xgboost_json", output_class="false"),
    }  # fmt: skip
    with pytest.raises(TritonModelException, match=says):
        Loaded(fil, forests, config)


@pytest.mark.parametrize(
    ("limit", "asked", "threads"),
    [("3", -1, 3), ("3", 0, 3), ("3", 2, 2), ("3", 3, 3), ("3", 4, 3), ("0", 1, 1), ("x", 1, 1)],
)
def test_openmp_bounds_a_forest_s_threads(fil, monkeypatch, limit, asked, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert fil._within(asked) == threads


# -- TorchScript ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch_backend() -> ModuleType:
    return backend("pytorch")


@pytest.fixture(scope="module")
def modules(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("modules")
    torch_linear(folder / "1/model.pt")
    torch_cell(folder / "1/cell.pt")
    return folder


LINEAR = {"max_batch_size": 4, "input": [entry("x", [6])], "output": [entry("y", [3])]}


def test_a_module_answers_by_the_configuration_s_names(torch_backend, modules):
    loaded = Loaded(torch_backend, modules, LINEAR)
    x = np.ones((2, 6), np.float32)
    one, two = loaded.ask({"x": x}, {"x": x[:1]})
    assert (one["y"].shape, two["y"].shape) == ((2, 3), (1, 3))
    assert np.allclose(one["y"][:1], two["y"], atol=1e-6)
    (failed,) = loaded.ask({"x": np.ones((1, 5), np.float32)})
    assert failed.startswith("PyTorch execute failure: ")
    plain = {
        **LINEAR,
        "max_batch_size": 0,
        "input": [entry("x", [2, 6])],
        "output": [entry("y", [2, 3])],
    }
    single = Loaded(torch_backend, modules, plain)
    assert [item["y"].shape for item in single.ask({"x": x}, {"x": x})] == [(2, 3), (2, 3)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"default_model_filename": "model.py"}, "serves no modules in Python"),
        ({"default_model_filename": "absent.pt"}, "unable to find"),
        ({"input": []}, "configuration expects 0 inputs, model provides 1"),
        ({"output": []}, "must contain at least one output, none were specified"),
        ({"input": [entry("x", [6]), entry("z", [6])]}, "expects 2 inputs, model provides 1"),
        ({"batch_input": [{}]}, "expects 2 inputs, model provides 1"),
        ({"input": [entry("x", [6], "TYPE_BF16")]}, "unsupported datatype TYPE_BF16 for input 'x'"),
        (
            {"output": [entry("y", [3], "TYPE_STRING")]},
            "only supports 1 dimensional List of String",
        ),
        ({"parameters": given(INFERENCE_MODE="yes")}, "failed to convert 'yes' to boolean"),
        ({"parameters": given(INTRA_OP_THREAD_COUNT="x")}, "failed to convert 'x' to integral"),
    ],
)
def test_what_a_module_s_configuration_must_say(torch_backend, modules, changes, says):
    with pytest.raises(TritonModelException) as caught:
        Loaded(torch_backend, modules, {**LINEAR, **changes})
    assert says in str(caught.value)


def test_an_output_of_another_type_or_that_is_not_there(torch_backend, modules):
    other = {**LINEAR, "output": [entry("y", [3], "TYPE_FP16")]}
    (told,) = Loaded(torch_backend, modules, other).ask({"x": np.ones((1, 6), np.float32)})
    assert told == (
        "configuration expects datatype TYPE_FP16 for output 'y', model provides TYPE_FP32"
    )
    more = {**LINEAR, "output": [entry("OUTPUT__0", [3]), entry("OUTPUT__1", [3])]}
    (told,) = Loaded(torch_backend, modules, more).ask({"x": np.ones((1, 6), np.float32)})
    assert told == "output tensor 'OUTPUT__1' is not found"


def test_a_state_goes_from_one_request_of_a_sequence_to_the_next(
    torch_backend, modules, monkeypatch
):
    config = {
        "max_batch_size": 2, "default_model_filename": "cell.pt", "input": [entry("x", [3])],
        "output": [entry("y__0", [2])],
        "sequence_batching": {"state": [
            {"input_name": "h", "output_name": "new__1", "data_type": FP32, "dims": [4]}]},
    }  # fmt: skip
    loaded = Loaded(torch_backend, modules, config)
    x, zero = np.ones((1, 3), np.float32), np.zeros((1, 4), np.float32)

    def step(flags: int) -> np.ndarray:
        monkeypatch.setattr(InferenceRequest, "flags", lambda _: flags)
        (found,) = loaded.ask({"x": x, "h": zero}, outputs=("y__0",))
        return found["y__0"]

    monkeypatch.setattr(InferenceRequest, "correlation_id", lambda _: 7)
    first, second, again = step(1), step(0), step(1)
    assert not np.allclose(first, second)
    assert np.allclose(first, again)


@pytest.mark.parametrize(
    ("names", "arguments", "places"),
    [
        (["b", "a"], ["a", "b"], {"b": 1, "a": 0}),
        (["IN__1", "IN__0"], ["a", "b"], {"IN__1": 1, "IN__0": 0}),
        (["x__", "y__1"], [], {"x__": 0, "y__1": 1}),
        (["b", "IN__0"], ["a", "b"], {"b": 0, "IN__0": 1}),
        (["x__a", "y"], [], {"x__a": 0, "y": 1}),
    ],
)
def test_the_position_of_a_name(torch_backend, names, arguments, places):
    assert torch_backend._positions(names, arguments) == places


def test_texts_are_lists_and_arrays_stay_what_they_are(torch_backend):
    assert torch_backend._value(np.array([b"a", b"\xff"], dtype=object)) == ["a", "�"]
    assert torch_backend._value(np.ones((2, 2), np.int64)).tolist() == [[1, 1], [1, 1]]


# -- OpenVINO ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def openvino_backend() -> ModuleType:
    return backend("openvino")


@pytest.fixture(scope="module")
def graphs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    openvino_image(folder / "1/model.xml")
    openvino_image(folder / "1/bounded.xml", (1, 4))
    return folder


IMAGE = {
    "max_batch_size": 2, "input": [entry("a_name", [3, 8, 8])], "output": [entry("score", [4])],
    "parameters": given(ENABLE_BATCH_PADDING="YES"),
}  # fmt: skip


def image(rows: int) -> np.ndarray:
    return np.linspace(0, 1, rows * 192, dtype=np.float32).reshape(rows, 3, 8, 8)


def test_a_graph_is_filled_up_to_its_batch(openvino_backend, graphs):
    loaded = Loaded(openvino_backend, graphs, IMAGE)
    (whole,) = loaded.ask({"a_name": image(2)}, outputs=("score",))
    (first,) = loaded.ask({"a_name": image(2)[:1]}, outputs=("score",))
    assert (whole["score"].shape, first["score"].shape) == ((2, 4), (1, 4))
    assert np.allclose(whole["score"][:1], first["score"], atol=1e-5)
    strict = Loaded(openvino_backend, graphs, {**IMAGE, "parameters": {}})
    (refused,) = strict.ask({"a_name": image(1)}, outputs=("score",))
    assert refused.startswith("expected requests with batch size '2', got '1'...")
    assert strict.ask({"a_name": image(2)}, outputs=("score",))[0]["score"].shape == (2, 4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"input": [entry("z", [3, 8, 8])]}, "unexpected inference input 'z', allowed inputs are:"),
        ({"output": [entry("z", [4])]}, "unexpected inference output 'z'"),
        ({"input": []}, "configuration expects 0 inputs, model provides 1"),
        ({"input": [entry("a_name", [3, 8, 9])]}, "complete shape [2,3,8,9]"),
        ({"input": [entry("a_name", [3, 8])]}, "the model expects 4 dimensions (shape [-1,3,8,8])"),
        ({"output": [entry("score", [5])]}, "specifies 2 dimensions"),
        ({"max_batch_size": 0, "input": [entry("a_name", [9, 3, 8, 9])]}, "(shape [9,3,8,9])"),
        ({"output": [entry("score", [4], "TYPE_STRING")]}, "unsupported datatype TYPE_STRING"),
        ({"default_model_filename": "absent.xml"}, "unable to find"),
        ({"parameters": given(TARGET_DEVICE="GPU")}, "serves on CPU, not on GPU"),
        ({"parameters": given(INFERENCE_NUM_THREADS="-1")}, "to be a non-negative number, got -1"),
        ({"parameters": given(HINT_BF16="no")}, "'HINT_BF16' to be YES, got no"),
        ({"parameters": given(NUM_STREAMS="many")}, "to be either AUTO/NUMA/<int_value>, got many"),
        ({"parameters": given(PERFORMANCE_HINT="fast")}, "LATENCY/THROUGHPUT"),
    ],
)
def test_what_a_graph_s_configuration_must_say(openvino_backend, graphs, changes, says):
    with pytest.raises(TritonModelException) as caught:
        Loaded(openvino_backend, graphs, {**IMAGE, **changes})
    assert says in str(caught.value)


def test_a_dimension_in_bounds_fits_between_them(openvino_backend):
    import openvino

    bounded, free, fixed = openvino.Dimension(1, 4), openvino.Dimension(), openvino.Dimension(3)
    assert [openvino_backend._fits(bounded, size) for size in (-1, 1, 2, 3, 4, 5)] == [
        False, False, True, True, False, False,
    ]  # fmt: skip
    assert openvino_backend._fits(free, 7)
    assert [openvino_backend._fits(fixed, size) for size in (3, 4)] == [True, False]


def test_threads_are_shared_among_the_instances(openvino_backend):
    def properties(count: int, **parameters: str) -> dict[str, object]:
        return openvino_backend._properties(parameters, count)

    assert properties(2, INFERENCE_NUM_THREADS="6")["INFERENCE_NUM_THREADS"] == 3
    assert properties(9, INFERENCE_NUM_THREADS="6")["INFERENCE_NUM_THREADS"] == 1
    found = properties(
        1, TARGET_DEVICE="cpu", COMPILATION_NUM_THREADS="0", HINT_BF16="yes", NUM_STREAMS="auto",
        PERFORMANCE_HINT="latency",
    )  # fmt: skip
    assert found["COMPILATION_NUM_THREADS"] == 0
    assert found["INFERENCE_PRECISION_HINT"] == "bf16"
    assert found["PERFORMANCE_HINT"] == "LATENCY"
    assert set(properties(1)) == {"INFERENCE_NUM_THREADS", "NUM_STREAMS"}
    for streams in ("2", "NUMA", ""):
        assert properties(1, NUM_STREAMS=streams)["NUM_STREAMS"] == 1


# -- ONNX ----------------------------------------------------------------------------------------


def test_onnx_is_served_by_the_same_class(tmp_path):
    from support.cli import dense
    from support.onnx_models import save

    save(dense(), tmp_path / "1/model.onnx")
    sys.path.append(str(BACKENDS / "onnxruntime"))
    try:
        module = backend("onnxruntime")
    finally:
        sys.path.remove(str(BACKENDS / "onnxruntime"))
    config = {"max_batch_size": 4, "input": [entry("x", [4])], "output": [entry("y", [3])]}
    loaded = Loaded(module, tmp_path, config)
    one, two = loaded.ask({"x": np.ones((2, 4), np.float32)}, {"x": np.ones((1, 4), np.float32)})
    assert (one["y"].shape, two["y"].shape) == ((2, 3), (1, 3))
    (nothing,) = loaded.ask({"x": np.ones((1, 4), np.float32)}, outputs=())
    assert nothing == {}
    completed = module.TritonPythonModel.auto_complete_config
    assert callable(completed)
    with pytest.raises(TritonModelException, match="unexpected inference input 'z'"):
        Loaded(module, tmp_path, {**config, "input": [entry("z", [4])]})
