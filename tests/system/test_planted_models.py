"""One folder of twenty models, each with one property: every verdict, and what is served of it."""

import jsonschema
import numpy as np
import pytest

from support.cli import FREE_PORTS, Project
from support.cli_schemas import SCHEMAS
from support.planted_models import plant
from tritongen.errors import EnvironmentProblem
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_client import HttpClient

# Of each model: whether the batch axis is taken, the other axes' verdicts, and codes of warnings.
GOOD = {
    "asks": (True, {}, ["TG201"]),  # refuses whatever is made up
    "baked": (True, {"seq": ("fixed", 16)}, ["TG200"]),
    "caller": (True, {}, ["TG201"]),  # what it calls runs in a server only
    "dense": (True, {}, []),
    "eights": (True, {"seq": ("multiple", 8)}, []),
    "equal": (True, {"first": ("equal", "second"), "second": ("equal", "first")}, []),
    "fourth": (False, {"N": ("free", None)}, []),
    "loud": (False, {"N": ("free", None)}, []),
    "photos": (True, {}, []),
    "quiet": (True, {}, []),  # as loud, without the samples that show it
    "repeat": (True, {}, []),
    "state": (False, {"time": ("free", None), "rows": ("fixed", 1)}, ["TG200"]),
    "table": (True, {"seq": ("bounded", 512)}, []),
}
LOST = {
    "attribute": ("TG145", "Exception during initialization: "),
    "cut": ("TG102", "claims 152 bytes and 76 are left"),
    "latin": ("TG116", "is not UTF-8 text"),
    "operator": ("TG145", "No Op registered for Nope"),
    "shapes": ("TG145", "[ShapeInferenceError] Incompatible dimensions"),
    "twice": ("TG145", "Duplicate definition of name (y)"),
    "types": ("TG145", "Type Error: Type parameter (T) of Optype (Add)"),
}
NOT_COMPARED = {
    "asks": "the local run failed: ValueError: cannot identify image file",
    "caller": "it calls model 'dense', which runs in a server only",
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted") / "project"
    folder.mkdir()
    project = plant(Project(folder))
    project.run("build", "models", expect=1)
    return project


@pytest.fixture(scope="module")
def served(planted, embedded_runtime):
    try:
        planted.run("up", *FREE_PORTS)
        yield planted
    finally:
        planted.run("down")


def test_each_gets_its_verdict(planted):
    document = planted.json("inspect", "models", "--trial", expect=1)
    jsonschema.validate(document, SCHEMAS["inspect"])
    models = {item["name"]: item for item in document["models"]}
    assert len(models) == len(GOOD) + len(LOST) == 20
    assert {name for name, item in models.items() if item["servable"]} == {*GOOD}
    found = {
        name: (
            models[name]["batchable"],
            {axis["symbol"]: (axis["verdict"], axis["bound"]) for axis in models[name]["axes"]},
            [one["code"] for one in models[name]["findings"] if one["severity"] == "warning"],
        )
        for name in GOOD
    }
    assert found == GOOD
    evidence = {name: models[name]["evidence"] for name in GOOD}
    on_samples = {name for name, item in evidence.items() if item["samples"] == "declared"}
    assert on_samples == {"loud", "photos"}
    assert {item["device"] for item in evidence.values()} == {"cpu"}
    assert evidence["quiet"]["rows_tried"] == [1, 2, 3, 16]
    assert "depends on its position" in models["fourth"]["batch_reason"]
    assert "changes with the rows beside it" in models["loud"]["batch_reason"]
    (asked,) = [one for one in models["asks"]["findings"] if one["code"] == "TG201"]
    assert "IMAGE" in asked["message"]
    assert "models.asks.samples" in asked["fix"]
    (called,) = [one for one in models["caller"]["findings"] if one["code"] == "TG201"]
    assert "samples" not in called["fix"], "which would change nothing"


def test_all_that_can_be_served_is_built(planted):
    document = planted.json("build", "models", expect=1)
    jsonschema.validate(document, SCHEMAS["build"])
    assert {item["name"] for item in document["models"]} == {*GOOD}
    assert not document["written"], "the second build finds everything in place"
    lost = {item["name"]: item for item in document["left_out"]}
    assert {name: item["code"] for name, item in lost.items()} == {
        name: code for name, (code, _) in LOST.items()
    }
    for name, (_, words) in LOST.items():
        assert words in lost[name]["message"]
        assert lost[name]["fix"]
    assert not planted.json("build", "models", "--check", expect=1)["drift"]
    assert planted.json("check")["summary"]["errors"] == 0
    texts = {name: planted.config(name).read_text() for name in GOOD}
    merging = {name for name, text in texts.items() if "dynamic_batching {" in text}
    assert not merging & {"fourth", "loud", "state"}
    assert "decoupled: true" in texts["repeat"]
    assert "dims: [ 16, 4 ]" in texts["baked"]
    assert "dims: [ 1, 1, 3 ]" in texts["state"], "the size that the runtime infers"
    assert "# No rate_limiter: it calls dense" in texts["caller"]


def test_all_of_them_are_served_and_compared(served):
    states = {item["name"]: item["ready"] for item in served.json("status")["models"]}
    assert states == dict.fromkeys(GOOD, True)
    models = {item["name"]: item for item in served.json("verify", expect=1)["models"]}
    verdicts = {name: item["verdict"] for name, item in models.items()}
    assert verdicts == dict.fromkeys(GOOD, "equal") | dict.fromkeys(NOT_COMPARED, "not-compared")
    for name, words in NOT_COMPARED.items():
        assert words in models[name]["reason"]
    assert models["loud"]["reason"].startswith("12 samples")
    assert models["photos"]["reason"].startswith("3 samples")


def ask(http, name, **shapes):
    """The answer to zeros of these shapes, None where they are refused."""
    types = {"table": np.int64}
    inputs = {key: np.zeros(shape, types.get(name, np.float32)) for key, shape in shapes.items()}
    try:
        return http.infer(name, inputs)
    except EnvironmentProblem:
        return None


def test_requests_are_answered_as_the_verdicts_say(served):
    endpoints = served.json("status")["endpoints"]
    with HttpClient(endpoints["http"], timeout=60) as http:
        assert ask(http, "baked", x=(2, 16, 4))
        assert not ask(http, "baked", x=(2, 17, 4))
        assert ask(http, "table", ids=(1, 512))
        assert not ask(http, "table", ids=(1, 513))
        assert ask(http, "equal", a=(1, 9, 4), b=(1, 9, 4))
        assert not ask(http, "equal", a=(1, 9, 4), b=(1, 7, 4))
        assert ask(http, "eights", x=(1, 24))
        assert not ask(http, "eights", x=(1, 20))
        assert ask(http, "state", x=(5, 1, 4), h=(1, 1, 3))
        assert not ask(http, "state", x=(5, 1, 4), h=(1, 2, 3))
        # With one core for all, a caller that held it would wait for itself.
        x = np.arange(8, dtype=np.float32).reshape(2, 4)
        expected = http.infer("dense", {"x": x})["y"]
        np.testing.assert_array_equal(http.infer("caller", {"x": x})["y"], expected)
        photo = (served.models / "shots/0.jpg").read_bytes()
        image = np.array([[photo]], dtype=object)
        assert http.infer("asks", {"IMAGE": image}) == http.infer("photos", {"IMAGE": image})
    with GrpcClient(endpoints["grpc"]) as client:
        responses = client.stream("repeat", {"IN": np.ones((1, 3), np.float32)})
    assert [item["OUT"].tolist() for item in responses] == [[[1.0] * 3], [[2.0] * 3], [[3.0] * 3]]
