"""Random small graphs, each fix: the rewritten model gives what the original gives.

The prover's word is not taken for it: every test runs both models again on inputs that the prover
never saw, and maps the original's outputs by itself.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper
from onnx.reference import ReferenceEvaluator

from support.optimize import faulty, fix, run, samples_for
from support.optimize.fixing import shapes
from support.optimize.graphs import fixed_batch_models, models
from tritongen.optimize.child_jobs import JobResult
from tritongen.optimize.rewritten_graph import set_dims

_CLOSE = {"rtol": 2e-3, "atol": 2e-4}
quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def fixed_by(name: str, model: ModelProto, folder: str, **context: object) -> JobResult:
    """The model after one fix, which must have been proven."""
    result = fix(model, Path(folder), names=[name], **context)
    assert [(step.name, step.applied) for step in result.steps] == [(name, True)], result.steps
    assert result.model
    return result


def outputs(model: ModelProto | Path, inputs: dict, folder: str) -> dict:
    return run(model, inputs, Path(folder))


def tells_rows_apart(model: ModelProto, folder: str) -> bool:
    """Whether the inputs that the prover gets tell rows apart, so that a proof is possible."""
    given = [run(model, sample, Path(folder))["y"] for sample in samples_for(model)]
    return any(not np.array_equal(given[0], other) for other in given[1:])


@quick
@given(fixed_batch_models())
def test_free_batch(case: tuple[ModelProto, int, int]) -> None:
    model, _rows, axis = case
    with TemporaryDirectory() as folder:
        assume(tells_rows_apart(model, folder))
        result = fixed_by("free_batch", model, folder)
        assert shapes(onnx.load(result.model))["x"][0] == "batch"
        fresh = samples_for(model, 5, seed=99)
        wanted = [np.moveaxis(outputs(model, item, folder)["y"], axis, 0) for item in fresh]
        together = {"x": np.concatenate([item["x"] for item in fresh])}
        given_ = outputs(result.model, together, folder)["y"]
        np.testing.assert_allclose(given_, np.concatenate(wanted), **_CLOSE)
        one = outputs(result.model, {"x": fresh[0]["x"][:1]}, folder)["y"]
        np.testing.assert_allclose(one, wanted[0][:1], **_CLOSE)
        assert result.proof is not None
        assert result.proof.rows_equal is True


@quick
@given(models(), st.sampled_from([0, -1]), st.data())
def test_sizes(model: ModelProto, literal: int, data: st.DataObject) -> None:
    """A size of 0 keeps ONNX Runtime from running the original; onnx's reference does then."""
    dims = list(shapes(model)["x"])
    place = data.draw(st.integers(0, len(dims) - 1))
    size, dims[place] = dims[place], literal
    set_dims(model.graph.input[0], dims)
    set_dims(model.graph.output[0], [None] * len(shapes(model)["y"]))
    with TemporaryDirectory() as folder:
        given_ = [with_size(item, place, size) for item in samples_for(model, 3)]
        result = fix(model, Path(folder), given_, names=["sizes"])
        assert [step.applied for step in result.steps] == [True], result.steps
        assert shapes(onnx.load(result.model))["x"][place] is None
        fresh = with_size(samples_for(model, 1, seed=77)[0], place, size)
        wanted = ReferenceEvaluator(model).run(None, fresh)[0]
        given_y = outputs(result.model, fresh, folder)["y"]
        np.testing.assert_allclose(given_y, wanted, **_CLOSE)


def with_size(sample: dict, axis: int, size: int) -> dict:
    """The input with an axis repeated to a size."""
    return {"x": np.take(sample["x"], np.arange(size) % sample["x"].shape[axis], axis)}


@quick
@given(models(), st.lists(st.sampled_from([1, 2, 3, "n", None]), max_size=4))
def test_ranks(model: ModelProto, declared: list) -> None:
    set_dims(model.graph.output[0], declared)
    with TemporaryDirectory() as folder:
        result = fix(model, Path(folder), names=["ranks"])
        fresh = samples_for(model, 1, seed=77)[0]
        shape = outputs(model, fresh, folder)["y"].shape
        after = onnx.load(result.model) if result.model else model
        dims = shapes(after)["y"]
        assert len(dims) == len(shape)
        assert all(not isinstance(a, int) or a == b for a, b in zip(dims, shape, strict=True))
        if result.model:
            same(model, result, fresh, folder)


@quick
@given(models(), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6))
def test_names(model: ModelProto, text: str) -> None:
    assume(text.isprintable() is False)
    model.graph.output[0].name = f"{text}y"
    model.graph.node[-1].output[0] = f"{text}y"
    with TemporaryDirectory() as folder:
        result = fixed_by("names", model, folder)
        (new,) = result.steps[0].renamed.values()
        assert new.isprintable()
        fresh = samples_for(model, 1, seed=77)[0]
        wanted = outputs(model, fresh, folder)[f"{text}y"]
        np.testing.assert_allclose(outputs(result.model, fresh, folder)[new], wanted, **_CLOSE)


@quick
@given(models())
def test_scalars(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("ReduceSum", ["y"], ["s"], keepdims=0))
    model.graph.output.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, []))
    with TemporaryDirectory() as folder:
        result = fixed_by("scalars", model, folder)
        fresh = samples_for(model, 1, seed=77)[0]
        wanted, given_ = outputs(model, fresh, folder), outputs(result.model, fresh, folder)
        assert given_["s"].shape == (1,)
        np.testing.assert_allclose(given_["s"][0], wanted["s"], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(given_["y"], wanted["y"], **_CLOSE)


@quick
@given(models(), st.integers(1, 3))
def test_sequence_of_tensors(model: ModelProto, count: int) -> None:
    names = [f"e{index}" for index in range(count)]
    model.graph.node.extend(helper.make_node("Mul", ["y", "y"], [name]) for name in names)
    model.graph.node.append(helper.make_node("SequenceConstruct", names, ["all"]))
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    model.graph.output.append(helper.make_value_info("all", kind))
    with TemporaryDirectory() as folder:
        result = fixed_by("sequence", model, folder)
        fresh = samples_for(model, 1, seed=77)[0]
        wanted, given_ = outputs(model, fresh, folder), outputs(result.model, fresh, folder)
        assert list(given_) == ["y", *(f"all_{index}" for index in range(count))]
        for index, element in enumerate(wanted["all"]):
            np.testing.assert_allclose(given_[f"all_{index}"], element, **_CLOSE)


@quick
@given(models(), st.data())
def test_sequence_of_parts(model: ModelProto, data: st.DataObject) -> None:
    rank = len(model.graph.output[0].type.tensor_type.shape.dim)
    axis = data.draw(st.integers(0, rank - 1))
    model.graph.node.append(helper.make_node("SplitToSequence", ["y"], ["all"], axis=axis))
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    model.graph.output.append(helper.make_value_info("all", kind))
    with TemporaryDirectory() as folder:
        result = fixed_by("sequence", model, folder)
        fresh = samples_for(model, 1, seed=77)[0]
        wanted, given_ = outputs(model, fresh, folder), outputs(result.model, fresh, folder)
        np.testing.assert_allclose(given_["all"], np.stack(wanted["all"], 1), **_CLOSE)


@quick
@given(models())
def test_optional(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Optional", ["y"], ["o"]))
    inner = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    info = helper.make_value_info("o", helper.make_optional_type_proto(inner))
    model.graph.output.append(info)
    with TemporaryDirectory() as folder:
        result = fixed_by("optional", model, folder)
        fresh = samples_for(model, 1, seed=77)[0]
        wanted, given_ = outputs(model, fresh, folder), outputs(result.model, fresh, folder)
        np.testing.assert_allclose(given_["o"], wanted["y"], **_CLOSE)


@st.composite
def classifiers(draw) -> tuple[ModelProto, list]:
    """A linear classifier with maps for scores, and its classes in order."""
    texts = draw(st.booleans())
    key = st.text("abcXYZ éß", min_size=1, max_size=4) if texts else st.integers(-5, 99)
    classes = draw(st.lists(key, min_size=2, max_size=5, unique=True))
    model = faulty.zipmap(texts=texts, ml=draw(st.sampled_from([1, 2, 3])))
    classifier, maps = model.graph.node
    size = draw(st.integers(1, 4))
    values = np.random.default_rng(size).normal(0, 1, (len(classes), size + 1))
    names = {"classlabels_strings" if texts else "classlabels_ints": classes}
    keys = {"classlabels_strings" if texts else "classlabels_int64s": classes}
    classifier.CopyFrom(
        helper.make_node(
            "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
            coefficients=values[:, 1:].ravel().tolist(), intercepts=values[:, 0].tolist(),
            post_transform="SOFTMAX", **names,
        )
    )  # fmt: skip
    maps.CopyFrom(
        helper.make_node("ZipMap", ["scores"], ["probability"], domain="ai.onnx.ml", **keys)
    )
    set_dims(model.graph.input[0], ["n", size])
    return model, classes


@quick
@given(classifiers())
def test_zipmap(case: tuple[ModelProto, list]) -> None:
    model, classes = case
    with TemporaryDirectory() as folder:
        result = fixed_by("zipmap", model, folder)
        assert list(result.labels) == [str(item) for item in classes]
        fresh = samples_for(model, 1, rows=4, seed=77)[0]
        wanted, given_ = outputs(model, fresh, folder), outputs(result.model, fresh, folder)
        rows = [[item[name] for name in classes] for item in wanted["probability"]]
        np.testing.assert_allclose(given_["probability"], rows, **_CLOSE)
        assert given_["label"].tolist() == wanted["label"].tolist()


@quick
@given(classifiers())
def test_label_indices(case: tuple[ModelProto, list]) -> None:
    model, classes = case
    assume(isinstance(classes[0], str))
    with TemporaryDirectory() as folder:
        result = fixed_by("label_indices", model, folder, string_labels=False)
        fresh = samples_for(model, 1, rows=4, seed=77)[0]
        wanted, given_ = outputs(model, fresh, folder), outputs(result.model, fresh, folder)
        assert [classes[index] for index in given_["label"]] == [
            item.decode() for item in wanted["label"]
        ]


@quick
@given(models(), st.integers(13, 16))
def test_opset(model: ModelProto, target: int) -> None:
    with TemporaryDirectory() as folder:
        result = fixed_by("opset", model, folder, opset=target)
        assert onnx.load(result.model).opset_import[0].version == target
        same(model, result, samples_for(model, 1, seed=77)[0], folder)


@quick
@given(models(), st.integers(4, 7))
def test_ir_version(model: ModelProto, target: int) -> None:
    with TemporaryDirectory() as folder:
        result = fixed_by("ir_version", model, folder, ir=target)
        assert onnx.load(result.model).ir_version == target
        same(model, result, samples_for(model, 1, seed=77)[0], folder)


@quick
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from(["GRU", "LSTM", "RNN"]))
def test_batch_first(steps: int, size: int, kind: str) -> None:
    gates = {"GRU": 3, "LSTM": 4, "RNN": 1}[kind]
    nodes = [
        faulty.node(kind, "x w r", "o h", hidden_size=5),
        faulty.node("Squeeze", "o one", "y"),
    ]
    held = [
        faulty.weights("w", 1, gates * 5, size),
        faulty.weights("r", 1, gates * 5, 5, seed=1),
        faulty.constant("one", [1]),
    ]
    model = faulty.model(
        nodes,
        [faulty.tensor("x", [steps, "batch", size])],
        [faulty.tensor("y", [steps, "batch", 5]), faulty.tensor("h", [1, "batch", 5])],
        held,
    )
    with TemporaryDirectory() as folder:
        # The first open axis is the second one here.
        samples = [
            {"x": np.random.default_rng(n).normal(size=(steps, 1, size)).astype(np.float32)}
            for n in range(4)
        ]
        result = fix(model, Path(folder), samples, names=["batch_first"])
        assert [step.applied for step in result.steps] == [True]
        fresh = np.random.default_rng(77).normal(size=(steps, 5, size)).astype(np.float32)
        wanted = outputs(model, {"x": fresh}, folder)
        given_ = outputs(result.model, {"x": fresh.transpose(1, 0, 2)}, folder)
        for name in ("y", "h"):
            np.testing.assert_allclose(given_[name], wanted[name].transpose(1, 0, 2), **_CLOSE)


def same(model: ModelProto, result: JobResult, inputs: dict, folder: str) -> None:
    """Both models on inputs that the prover has not seen."""
    assert result.model
    wanted, given_ = outputs(model, inputs, folder), outputs(result.model, inputs, folder)
    np.testing.assert_allclose(given_["y"], wanted["y"], **_CLOSE)
