"""The main job as a user does it: from a folder of models to answers of a real Triton."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from support.cli import FREE_PORTS, SERVED, Project, furnish, sequence
from support.cli_schemas import SCHEMAS
from support.triton import EmbeddedRuntime

pytestmark = pytest.mark.smoke


def checked(document: dict[str, Any], command: str) -> dict[str, Any]:
    jsonschema.validate(document, SCHEMAS[command])
    return document


def names(document: dict[str, Any], key: str) -> list[str]:
    return [item["name"] for item in document["models"] if item[key]]


def test_from_models_to_answers(project: Project, embedded_runtime: EmbeddedRuntime) -> None:
    furnish(project)
    project.add("sequence/model.onnx", sequence())
    (project.models / "tritongen.yaml").unlink()

    draft = checked(project.json("init", "models"), "init")
    assert set(draft["models"]) == {*SERVED, "sequence"}
    assert (project.models / "tritongen.yaml").read_text() == draft["text"]

    found = checked(project.json("inspect", "models", expect=1), "inspect")
    assert names(found, "servable") == [*SERVED]

    written = checked(project.json("build", "models", expect=1), "build")
    assert written["written"]
    assert written["refused"] == [{"name": "sequence", "codes": ["TG110"]}]
    assert [item["name"] for item in written["models"]] == [*SERVED]

    lint = checked(project.json("check"), "check")
    assert lint["summary"]["errors"] == 0
    assert lint["summary"]["warnings"] == 0
    again = checked(project.json("build", "models", "--check", expect=1), "build")
    assert not again["drift"]

    try:
        up = checked(project.json("up", *FREE_PORTS), "up")
        assert names(up, "ready") == [*SERVED]
        status = checked(project.json("status"), "status")
        assert status["endpoints"] == up["endpoints"]
        assert names(status, "ready") == [*SERVED]
        answers = checked(project.json("verify"), "verify")
        assert names(answers, "ok") == [*SERVED]
        assert all(item["outputs"] for item in answers["models"])
        lines = checked(project.json("logs", "-n", "500"), "logs")["lines"]
        assert any("Started HTTPService" in line for line in lines)
    finally:
        down = checked(project.json("down"), "down")
    assert down["stopped"] == [up["endpoints"]["http"]]
    assert checked(project.json("down"), "down")["stopped"] == []
    assert checked(project.error_document("status", expect=3), "error")["error"]["code"] == "TG809"


def test_inspect_proves_the_batch_axis_on_wish(built: Project) -> None:
    built.add("sequence/model.onnx", sequence())
    found = built.json("inspect", "models", "--trial", expect=1)
    verdicts = {item["name"]: (item["batchable"], item["batch_reason"]) for item in found["models"]}
    assert verdicts["dense"][0]
    assert "1, 2 and 3 different rows" in verdicts["dense"][1]
    assert not verdicts["fixed"][0]
    assert "cannot be served" in verdicts["sequence"][1]


def test_explain(built: Project) -> None:
    document = checked(built.json("explain", "dense"), "explain")
    fields = {item["field"]: item for item in document["values"]}
    assert fields["max_batch_size"]["source"] == "trial"
    assert fields["server.cores"]["value"] == "4"
    assert 'parameters["intra_op_thread_count"]' in fields
    (only,) = built.json("explain", "dense", "max_batch")["values"]
    assert only["field"] == "max_batch_size"
    assert only["reason"] in built.config("dense").read_text().replace("\n# ", " ")
    assert built.error("explain", "nobody", expect=2)["code"] == "TG306"
    assert built.error("explain", "dense", "no_such_field", expect=2)["code"] == "TG304"


def test_init_never_overwrites(built: Project) -> None:
    before = (built.models / "tritongen.yaml").read_text()
    assert built.error("init", "models", expect=2)["code"] == "TG703"
    draft = checked(built.json("init", "models", "--stdout"), "init")
    assert not draft["written"]
    assert (built.models / "tritongen.yaml").read_text() == before
    built.run("init", "models", "--force")
    assert (built.models / "tritongen.yaml").read_text() == draft["text"]
    assert not built.json("build", "models", "--cpus", "4", "--dry-run")["written"]


def test_the_schema_of_the_yaml_accepts_the_draft(built: Project) -> None:
    import yaml

    document = checked(built.json("init", "--schema"), "init --schema")
    draft = built.json("init", "models", "--stdout")["text"]
    jsonschema.validate(yaml.safe_load(draft), document["schema"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"modells": {}}, document["schema"])


def test_a_project_with_an_unusual_path(
    built: Project, tmp_path: Path, embedded_runtime: EmbeddedRuntime
) -> None:
    """Triton starts its backends by a shell's line that quotes no path."""
    moved = Project(built.folder.rename(built.folder.with_name("Prüf ⟨1⟩ 'x' $(touch y) ünï")))
    assert not moved.json("build", "models", "--check")["drift"]
    assert moved.json("check")["summary"]["errors"] == 0
    temporary = {"TMPDIR": str(tmp_path)}
    try:
        up = moved.json("up", *FREE_PORTS, "--timeout", "60", **temporary)
        assert names(up, "ready") == [*SERVED]
        assert names(moved.json("status"), "ready") == [*SERVED]
        assert names(moved.json("verify"), "ok") == [*SERVED]
    finally:
        moved.run("down")
    assert not list(tmp_path.rglob("y"))
