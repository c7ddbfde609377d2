"""A folder of models whose axes take some sizes and not others: built, served, verified, asked."""

import json

import jsonschema
import numpy as np
import pytest

from support import axis_models as axes
from support import trial_models as made
from support.cli import FREE_PORTS, Project, scalar
from support.cli_schemas import SCHEMAS
from tritongen.errors import EnvironmentProblem
from tritongen.triton.http_client import HttpClient

MODELS = {
    "baked": axes.baked_in(),
    "eights": axes.eights(),
    "equal": axes.equal_lengths(),
    "fourth": axes.wrong_from_the_fourth_row_on(),
    "image": made.conv(),
    "positions": axes.added_positions(128),
    "product": axes.product(),
    "recurrent": axes.recurrent(),
    "rows": made.mlp(),
    "scalar": scalar(),
    "steps": axes.per_step(),
    "table": axes.table_of_positions(),
    "two": axes.two_free(),
}
VERDICTS = {
    "baked": {"seq": ("fixed", 16)},
    "eights": {"seq": ("multiple", 8)},
    "equal": {"first": ("equal", "second"), "second": ("equal", "first")},
    "fourth": {"N": ("free", None)},
    "image": {"height": ("free", None), "width": ("free", None)},
    "positions": {"seq": ("fixed", 128)},
    "product": {"k": ("equal", "l"), "l": ("equal", "k")},
    "recurrent": {"time": ("free", None), "rows": ("fixed", 1)},
    "rows": {},
    "scalar": {},
    "steps": {"seq": ("free", None)},
    "table": {"seq": ("bounded", 512)},
    "two": {"seq": ("free", None), "other": ("free", None)},
}
INTENT = """\
target: { cpus: 4 }
models:
  two: { axes: { seq: { min: 1, typical: 32, max: 300 } } }
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory, embedded_runtime):
    folder = tmp_path_factory.mktemp("axes") / "project"
    folder.mkdir()
    project = Project(folder)
    for name, proto in MODELS.items():
        project.add(f"{name}/model.onnx", proto)
    project.write("models/tritongen.yaml", INTENT)
    project.run("build", "models")
    try:
        project.run("up", *FREE_PORTS)
        yield project
    finally:
        project.run("down")


@pytest.fixture(scope="module")
def http(served):
    with HttpClient(served.state()["endpoints"]["http"]) as client:
        yield client


def test_inspect_tells_every_verdict_and_what_it_holds_for(served):
    document = served.json("inspect", "models")
    jsonschema.validate(document, SCHEMAS["inspect"])
    found = {
        item["name"]: {axis["symbol"]: (axis["verdict"], axis["bound"]) for axis in item["axes"]}
        for item in document["models"]
    }
    assert found == VERDICTS
    evidence = {item["name"]: item["evidence"] for item in document["models"]}
    assert evidence["rows"]["runtime"] == "onnxruntime"
    assert evidence["rows"]["rows_tried"] == [1, 2, 3, 16]
    assert {item["samples"] for item in evidence.values()} == {"made-up"}


def test_what_takes_one_size_says_so_in_the_configuration_and_how_to_mend_it(served):
    document = served.json("build", "models", "--dry-run")
    told = {item["model"]: item for item in document["findings"] if item["code"] == "TG200"}
    assert set(told) == {"baked", "positions", "recurrent"}
    assert "models.baked.axes: { seq: { min: 16, max: 16 } }" in told["baked"]["fix"]
    assert "dims: [ 16, 4 ]" in served.config("baked").read_text()
    (dims,) = served.json("explain", "baked", "input[0].dims")["values"]
    assert "axis 1 (seq): fixed, no size but 16 runs" in dims["reason"]
    served.write(
        "models/tritongen.yaml", INTENT + "  baked: { axes: { seq: { min: 16, max: 16 } } }\n"
    )
    try:
        document = served.json("inspect", "models", "--trial")
        told = {item["name"]: item["findings"] for item in document["models"]}
        assert told["baked"] == []
    finally:
        served.write("models/tritongen.yaml", INTENT)


def test_every_configuration_is_in_order_and_every_answer_right(served):
    assert served.json("check")["summary"]["errors"] == 0
    answers = {item["name"]: item for item in served.json("verify")["models"]}
    assert {name for name, item in answers.items() if item["ok"]} == set(MODELS)
    assert answers["steps"]["reason"] == "1 and 3 rows, seq of 17 compared"
    assert answers["two"]["reason"] == "1 and 3 rows, seq of 33, other of 17 compared"


def ask(http, name, **shapes):
    """Whether a request of these shapes is answered."""
    types = {"table": np.int64}
    inputs = {key: np.zeros(shape, types.get(name, np.float32)) for key, shape in shapes.items()}
    try:
        return bool(http.infer(name, inputs))
    except EnvironmentProblem:
        return False


@pytest.mark.parametrize("size", [1, 8, 16, 40, 100, 512, 600])
def test_a_request_is_answered_exactly_where_the_verdict_says_so(size, http):
    assert ask(http, "steps", x=(1, size, 4))
    assert ask(http, "two", x=(1, size, 4), k=(1, 3, 4))
    assert ask(http, "eights", x=(1, size)) is (size % 8 == 0)
    assert ask(http, "table", ids=(1, size)) is (size <= 512)
    assert ask(http, "baked", x=(1, size, 4)) is (size == 16)
    assert not ask(http, "positions", x=(1, size, 4))
    assert ask(http, "equal", a=(1, size, 4), b=(1, size, 4))
    assert not ask(http, "equal", a=(1, size, 4), b=(1, size + 2, 4)) or size == 1
    assert ask(http, "recurrent", x=(size, 1, 4), h=(1, 1, 3))
    assert ask(http, "recurrent", x=(16, 1, 4), h=(1, size, 3)) is (size == 1)
    assert ask(http, "product", a=(1, 3, size), b=(1, size, 5))


def test_an_axis_that_the_model_does_not_have_leaves_out_that_model_alone(served):
    served.write("models/tritongen.yaml", INTENT + "  steps: { axes: { length: { max: 3 } } }\n")
    try:
        document = served.json("build", "models", "--dry-run", "--output", "other", expect=None)
    finally:
        served.write("models/tritongen.yaml", INTENT)
    assert document["refused"] == [{"name": "steps", "codes": ["TG135"]}]
    (told,) = [item for item in document["findings"] if item["code"] == "TG135"]
    assert "axes.length: the model has no such dynamic axis; it has N, seq" in told["message"]


def test_axes_of_an_older_lock_are_untested(served):
    lock = served.lock()
    for model in lock["models"].values():
        model["evidence"]["trial"].pop("axes", None)
    served.write("old/tritongen.lock", json.dumps(lock))
    document = served.json("inspect", "models", "--output", "old")
    (steps,) = [item for item in document["models"] if item["name"] == "steps"]
    assert steps["batchable"]
    assert [(axis["symbol"], axis["verdict"]) for axis in steps["axes"]] == [("seq", "untested")]
