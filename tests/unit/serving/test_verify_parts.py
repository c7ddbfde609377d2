"""What `verify` sends, what it holds against each other, and the words of its verdict."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.evidence import AxisProof, AxisVerdict, ObservedTensor, Trial
from tritongen.model.facts import FileRef, ModelFacts, ModelFormat, ModelVersion, Precision
from tritongen.model.intent import Intent
from tritongen.model.samples import InputRecipe
from tritongen.model.tensors import DType, TensorSpec
from tritongen.repository.inspect import StoredModel
from tritongen.serving import verify
from tritongen.serving.verify import VerifiedModel
from tritongen.serving.verify_runs import (
    Pair,
    RemoteModel,
    _interface,
    _size,
    is_decoupled,
    run_steps,
)
from tritongen.serving.verify_samples import (
    GivenSamples,
    at_other_sizes,
    pipeline_recipes,
    trial_recipes,
)
from tritongen.system.sample_files import SampleFile, SampleFiles
from tritongen.trial.runtime import RuntimeRefusal
from tritongen.triton.http_channel import MAX_BODY_BYTES
from tritongen.triton.messages import ModelMeta, TensorMeta
from tritongen.triton.sample_tensors import Sample


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def judged(*pairs: Pair) -> VerifiedModel:
    return verify._judge("m", Precision.SINGLE, pairs, "3 rows")


def test_equal_outputs_are_told_by_what_was_compared():
    found = judged(Pair({"y": array(1, 2)}, {"y": array(1, 2).reshape(2, 1)}))
    assert (found.ok, found.reason, found.verdict) == (True, "3 rows compared", "equal")
    assert found.outputs == (verify.VerifiedOutput("y", 0.0, True),)


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (Pair({"y": array(1)}, {"y": array(3)}), "y differs by 2"),
        (Pair({"y": array(1)}, {"y": array(3)}, "a.json"), "y differs by 2 on a.json"),
        (Pair({"y": array(1)}, {"y": array(3)}, "a.json", by_user=True),
         "y differs by 2 from what is expected on a.json"),
        (Pair({"y": array(1)}, {"y": array(1, 1)}), "y has shape (2,), locally (1,)"),
        (Pair({"y": array(1)}, {"y": array(1, 1)}, by_user=True),
         "y has shape (2,), expected (1,)"),
        (Pair({"y": array(1)}, {}), "y is not among the server's outputs"),
        (Pair({}, {"y": array(1)}), "y is not among the local run's outputs"),
    ],
)  # fmt: skip
def test_what_differs_is_named(pair, reason):
    found = judged(pair)
    assert (found.ok, found.reason, found.verdict) == (False, reason, "different")


def test_of_many_reasons_four_are_told():
    pairs = [Pair({"y": array(1)}, {"y": array(2)}, f"{n}") for n in range(5)]
    assert judged(*pairs[:4]).reason.count("differs") == 4
    assert "more" not in judged(*pairs[:4]).reason
    assert judged(*pairs).reason.endswith("on 3; and 1 more")


def test_an_output_that_one_request_lacks_on_both_sides_is_no_difference():
    both = Pair({"a": array(1), "b": array(1)}, {"a": array(1), "b": array(1)})
    assert judged(both, Pair({"a": array(1)}, {"a": array(1)})).ok


def test_a_user_s_expectation_is_compared_beside_the_local_run():
    sent = [
        Sample("one", {"x": array(1)}, {"y": array(5), "other": array(1)}),
        Sample("two", {"x": array(2)}, {}),
    ]
    pairs = verify._pairs(sent, lambda x: {"y": x["x"]}, lambda x, _: {"y": x["x"]})
    assert [(one.place, one.by_user, sorted(one.expected)) for one in pairs] == [
        ("one", False, ["y"]), ("one", True, ["y"]), ("two", False, ["y"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ok", "outputs", "stale", "verdict"),
    [
        (True, (), False, "equal"),
        (False, (), False, "not-compared"),
        (False, (verify.VerifiedOutput("y", 1.0, False),), False, "different"),
        (False, (), True, "stale"),
        (True, (), True, "stale"),
    ],
)
def test_verdicts(ok, outputs, stale, verdict):
    assert VerifiedModel("m", ok, outputs, stale=stale).verdict == verdict


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (RuntimeRefusal("no kernel"), "the local run failed: no kernel"),
        (InvalidInputError("TG906", "is ragged", where="a.json"), "a.json: is ragged"),
        (InvalidInputError("TG836", "no version", where="m"), "no version"),
        (EnvironmentProblem("TG815", "refused", where="host"), "refused"),
    ],
)
def test_one_model_s_trouble_is_its_own(problem, reason):
    def fails(_name: str) -> VerifiedModel:
        raise problem

    assert verify._verdict("m", fails) == VerifiedModel("m", False, (), reason)


@pytest.mark.parametrize("code", ["TG006", "TG814"])
def test_what_all_models_would_meet_is_told_once(code):
    def fails(_name: str) -> VerifiedModel:
        raise EnvironmentProblem(code, "gone")

    with pytest.raises(EnvironmentProblem):
        verify._verdict("m", fails)


FACTS = ModelFacts(
    "m", "m/model.onnx", ModelFormat.ONNX, inputs=(TensorSpec("x", DType.FP32, ("n", 0, 4)),)
)


def stored(*numbers: int) -> StoredModel:
    versions = tuple(
        ModelVersion(number, (FileRef(f"m/{number}", f"{number}/model.onnx", 1),))
        for number in numbers
    )
    return StoredModel(replace(FACTS, versions=versions), Path(), Path("m"))


def test_every_version_that_is_served_has_its_file():
    found = verify._served_versions(["10", "2"], stored(2, 10, 11))
    assert list(found.items()) == [(2, Path("m/2")), (10, Path("m/10"))]
    with pytest.raises(InvalidInputError, match="no readable file of version 3, 4"):
        verify._served_versions(["3", "2", "4"], stored(2))
    with pytest.raises(InvalidInputError, match="no readable file of any version"):
        verify._served_versions([], stored(2))


def test_made_up_inputs_are_the_trial_s_else_of_size_one():
    seen = (ObservedTensor("x", DType.FP32, (1, 7)),)
    served = [TensorMeta("x", "FP32", (-1, -1, 4)), TensorMeta("z", "INT64", (-1, 2))]
    ran = Trial("", ok=True, inputs=seen)
    assert trial_recipes(FACTS, served, ran)[0].shape == (1, 7)
    for trial in (None, Trial("", ok=False, inputs=seen), Trial("", ok=True)):
        found = trial_recipes(FACTS, served, trial)
        assert [(one.name, one.dtype, one.shape) for one in found] == [
            ("x", DType.FP32, (1, 1, 4)), ("z", DType.INT64, (1, 2)),
        ]  # fmt: skip


def test_inputs_of_a_pipeline_are_what_the_trial_of_a_step_was_fed():
    config = {"input": [{"name": "IMAGE"}, {"name": "SIZE"}]}
    steps = [
        {"model_name": "a", "input_map": {"x": "IMAGE"}},
        {"model_name": "b", "input_map": {"y": "IMAGE", "z": "SIZE"}},
    ]
    fed = (ObservedTensor("y", DType.FP32, (1, 3)), ObservedTensor("x", DType.FP32, (9,)))
    found = pipeline_recipes(config, steps, {"a": None, "b": Trial("", True, inputs=fed)})
    assert [(one.name, one.shape) for one in found] == [("IMAGE", (1, 3))]


class Session:
    """A model on this machine that doubles its input."""

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"out": 2 * inputs["in"]}


def step(model: str, taken: str, given: str) -> dict[str, object]:
    return {"model_name": model, "input_map": {"in": taken}, "output_map": {"out": given}}


def test_steps_run_once_what_they_wait_for_is_there():
    steps = [step("b", "mid", "end"), step("a", "begin", "mid")]
    sessions = {"a": Session(), "b": Session()}
    found = run_steps(steps, sessions, ["end", "mid"], {"begin": array(1)})
    assert {name: value.tolist() for name, value in found.items()} == {"end": [4], "mid": [2]}
    with pytest.raises(RuntimeRefusal, match="step b waits for a missing tensor"):
        run_steps(steps[:1], sessions, ["end"], {"begin": array(1)})


class Http:
    """Remembers what was asked of a server."""

    def infer(self, name, sent, **options):
        self.asked = (name, {key: value.shape for key, value in sent.items()}, options)
        return {"y": array(1)}


def test_a_request_has_the_rank_and_the_room_of_the_server():
    http = Http()
    model = RemoteModel(http, None, "m", {"x": 2, "y": 1}, False)
    expected = {"y": array(1, 2), "text": np.array([b"abc"], dtype=object)}
    model.run({"x": array(1, 2), "y": array(3), "z": array(4)}, expected, version=3)
    name, shapes, options = http.asked
    assert (name, shapes) == ("m", {"x": (2, 1), "y": (1,), "z": (1,)})
    assert (options["version"], options["sequence"]) == ("3", None)
    assert options["most_bytes"] == MAX_BODY_BYTES + 2 * (8 + 3)
    with pytest.raises(InvalidInputError, match="decoupled"):
        RemoteModel(http, None, "m", {}, True).run({}, {}, version=1)
    assert _size(np.array([b"ab", b"c"], dtype=object)) == 3


def test_what_a_configuration_says_of_an_interface():
    config = {
        "max_batch_size": 8, "model_transaction_policy": {"decoupled": True},
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["-1", "4"]}],
        "parameters": {"a": {"string_value": "b"}},
    }  # fmt: skip
    found = _interface(config)
    assert (found.max_batch_size, found.decoupled, found.parameters) == (8, True, {"a": "b"})
    assert found.inputs[0].name == "x"
    assert found.outputs == ()
    assert not is_decoupled({})
    assert not is_decoupled({"model_transaction_policy": {}})


META = ModelMeta(
    "m", ("1",), "p", (TensorMeta("x", "FP32", (-1, 2)),), (TensorMeta("y", "FP32", (-1, 1)),)
)
RECIPES = (InputRecipe("x", DType.FP32, (1, 2)),)


def given(*files: SampleFile, model: str = "") -> GivenSamples:
    data = {model: SampleFiles(files, len(files))} if files else {}
    return GivenSamples(Path(), Intent(), data)


def rows(samples: list[Sample]) -> list[int]:
    return [len(one.inputs["x"]) for one in samples]


@pytest.mark.parametrize(
    ("limit", "sizes", "words"),
    [(0, [1], "1 row"), (1, [1, 1], "1 and 1 rows"), (2, [1, 2], "1 and 2 rows"),
     (9, [1, 3], "1 and 3 rows")],
)  # fmt: skip
def test_without_samples_a_row_and_several_are_made_up(limit, sizes, words):
    sent, told = given().requests(META, {"max_batch_size": limit}, RECIPES, 1)
    assert (rows(sent), told) == (sizes, words)


def json_file(count: int, expected: int = 0) -> SampleFile:
    import json

    document = {
        "data": [{"x": [n, n]} for n in range(count)],
        "validation_data": [{"y": [1]} for _ in range(expected)],
    }
    return SampleFile("x.json", json.dumps(document).encode())


@pytest.mark.parametrize(
    ("count", "expected", "limit", "sizes", "words"),
    [
        (1, 0, 8, [1, 3], "1 sample"),
        (4, 0, 8, [1, 1, 1, 1, 3], "4 samples"),
        (4, 0, 1, [1, 1, 1, 1], "4 samples"),
        (2, 1, 8, [1, 1, 3], "2 samples, 1 of them with their expected outputs,"),
        (40, 0, 8, [1] * 16 + [3], "16 samples"),
    ],
)
def test_samples_are_sent_alone_and_several_together(count, expected, limit, sizes, words):
    samples = given(json_file(count, expected))
    sent, told = samples.requests(META, {"max_batch_size": limit}, RECIPES, 1)
    assert (rows(sent), told) == (sizes, words)


def test_files_of_the_command_line_are_for_a_model_or_for_any():
    assert given(json_file(1), model="m").files("m") is not None
    assert given(json_file(1), model="m").files("n") is None
    assert given(json_file(1)).files("n") is not None


def axis(name: str, place: int, symbol: str, verdict: AxisVerdict = AxisVerdict.FREE) -> AxisProof:
    return AxisProof(name, place, symbol, verdict, None, (4, 6))


def sizes_of(config: dict[str, object], *axes: AxisProof) -> dict[str, list[tuple[int, ...]]]:
    recipes = (InputRecipe("x", DType.FP32, (1, 4)), InputRecipe("z", DType.FP32, (1, 4, 3)))
    found = at_other_sizes(config, recipes, axes)
    return {words: [one.shape for one in made] for words, made in found.items()}


OPEN = {"max_batch_size": 8, "input": [{"name": "x", "dims": [-1]}, {"name": "z", "dims": [-1, 3]}]}


def test_a_free_axis_is_sent_at_another_size_wherever_it_stands():
    both = (axis("x", 1, "seq"), axis("z", 1, "seq"))
    assert sizes_of(OPEN, *both) == {"seq of 6": [(1, 6), (1, 6, 3)]}
    assert list(sizes_of(OPEN, axis("x", 1, "seq")).values()) == [[(1, 6), (1, 4, 3)]]
    bound = axis("x", 1, "seq", AxisVerdict.UNTESTED)
    assert sizes_of(OPEN, bound) == {}


def test_an_axis_that_others_rest_on_or_that_is_held_to_a_size_is_left():
    assert sizes_of(OPEN, axis("x", 1, "seq"), axis("z", 1, "seq + 1", AxisVerdict.UNTESTED)) == {}
    held = {"max_batch_size": 8, "input": [{"name": "x", "dims": ["4"]}]}
    assert sizes_of(held, axis("x", 1, "seq")) == {}
    unbatched = {"max_batch_size": 0, "input": [{"name": "x", "dims": [1, "-1"]}]}
    assert list(sizes_of(unbatched, axis("x", 1, "seq")).values()) == [[(1, 6), (1, 4, 3)]]
