"""One model's trouble stays its own: the others are built, served, verified, tuned and planned."""

import jsonschema
import pytest

from support import format_models
from support.cli import FREE_PORTS, Project, dense, tree
from support.cli_schemas import SCHEMAS
from support.trial_models import FLOAT, model, node

GOOD = ("dense", "more")
LOST = {
    "cut": "TG102",  # half of a file
    "empty": "TG103",
    "garbage": "TG102",
    "syntax": "TG102",  # a Python model that does not compile
    "text": "TG104",  # a TorchScript file that is none
    "types": "TG145",  # reads well, and fails to load
}
RATES = "models:\n  dense: {rate: 5, latency: 50ms}\n  more: {rate: 5}\n  types: {rate: 5}\n"


@pytest.fixture
def mixed(project: Project) -> Project:
    """Two good models beside six that cannot be served, and two folders without any."""
    whole = dense().SerializeToString()
    project.add("dense/model.onnx", whole)
    project.add("more/model.onnx", dense(seed=3))
    project.write("models/cut/model.onnx", whole[: len(whole) // 2])
    project.write("models/empty/model.onnx", b"")
    project.write("models/garbage/model.onnx", b"\x08\x08garbage" * 50)
    project.write("models/syntax/1/model.py", "class TritonPythonModel:\n  def execute(self, r:\n")
    project.write("models/text/model.pt", b"no torch at all" * 20)
    sizes = [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])]
    project.add("types/model.onnx", model([node("And", "x x", "y")], *sizes))
    project.write("models/notes/readme.txt", "of the models")
    (project.models / "nothing").mkdir()
    project.write("models/tritongen.yaml", RATES)
    return project


def lost(document: dict) -> dict[str, str]:
    """The codes of what a command left out; each has its words and its fix."""
    assert all(item["message"] and item["fix"] for item in document["left_out"])
    return {item["name"]: item["code"] for item in document["left_out"]}


def test_the_others_are_built_and_the_exit_code_says_so(mixed: Project) -> None:
    found = mixed.json("inspect", "models", expect=1)
    assert {item["name"] for item in found["models"] if not item["servable"]} == {*LOST} - {
        "types"
    }  # which only a run shows
    document = mixed.json("build", "models", expect=1)
    jsonschema.validate(document, SCHEMAS["build"])
    assert lost(document) == LOST
    assert [item["name"] for item in document["models"]] == [*GOOD]
    folders = {path.name for path in mixed.repository.iterdir() if path.is_dir()}
    assert folders == {*GOOD}
    for command in ("--check", "--diff", "--dry-run"):
        ran = mixed.run("build", "models", command, expect=1)
        for name, code in LOST.items():
            assert f"{name} [{code}]" in ran.out.partition("not served: ")[2]
    assert "→ Correct the Python code at that line." in ran.out
    assert "types [TG145]" in mixed.run("inspect", "models", expect=1).out
    mixed.run("check")
    mixed.run("export", "compose", "-o", "compose")


def test_strict_writes_nothing(mixed: Project) -> None:
    problem = mixed.error("build", "models", "--strict", expect=2)
    assert problem["code"] == "TG150"
    assert [line.partition(":")[0] for line in problem["details"]] == sorted(LOST)
    assert all("→ " in line for line in problem["details"])
    assert not list(mixed.folder.glob("model_repository/*"))
    assert mixed.error("build", "models", "--check", "--strict", expect=2)["code"] == "TG150"


def test_left_out_on_purpose(mixed: Project) -> None:
    wishes = "".join(f"  {name}: {{serve: false}}\n" for name in LOST)
    rates = RATES.replace("  types: {rate: 5}\n", "")
    mixed.write("models/tritongen.yaml", rates + wishes)
    found = mixed.json("inspect", "models")
    severities = {one["severity"] for item in found["models"] for one in item["findings"]}
    assert severities <= {"info"}
    document = mixed.json("build", "models", "--strict")
    assert (document["left_out"], document["refused"]) == ([], [])
    assert not [item for item in document["findings"] if item["severity"] == "error"]
    assert "not served" not in mixed.run("build", "models", "--check").out
    before = tree(mixed.repository)
    mixed.write("models/tritongen.yaml", rates + wishes.replace("serve: false", "skip: true"))
    assert not mixed.json("build", "models")["written"], "the older word means the same"
    assert tree(mixed.repository) == before


def test_two_words_that_contradict_each_other(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    project.write("models/tritongen.yaml", "models: {dense: {serve: true, skip: true}}")
    assert project.error("build", "models", expect=2)["code"] == "TG305"


def test_the_others_are_served_tuned_and_planned(mixed: Project, embedded_runtime) -> None:
    mixed.run("build", "models", expect=1)
    planned = mixed.json("plan", "models", expect=1)
    assert lost(planned) == LOST
    assert "TG341" not in {item["code"] for item in planned["findings"]}
    assert {item["model"] for item in planned["traffic"]} == {*GOOD}
    words = ("tune", "models", "--budget", "8s", "--goal", "throughput", "--dry-run")
    tuned = mixed.json(*words, "-m", "dense", "-m", "types", expect=1)
    jsonschema.validate(tuned, SCHEMAS["tune"])
    assert lost(tuned) == {"types": "TG145"}
    assert [item["name"] for item in tuned["models"]] == ["dense"]
    try:
        mixed.run("up", *FREE_PORTS)
        mixed.run("verify")
        mixed.run("down")
        # What breaks after it was built takes nothing along, either.
        (mixed.repository / "more/1/model.onnx").write_bytes(b"garbage")
        problem = mixed.error("up", *FREE_PORTS, expect=3)
        assert problem["message"].startswith("more does not serve")
        assert "--keep-going" in problem["details"][0]
        assert "`serve: false`" in problem["details"][0]
        mixed.run("up", "--keep-going", *FREE_PORTS, expect=1)
        verdicts = mixed.json("verify", expect=1)["models"]
    finally:
        mixed.run("down")
    assert {item["name"]: item["verdict"] for item in verdicts} == {
        "dense": "equal", "more": "not-compared"
    }  # fmt: skip


def test_a_pipeline_whose_steps_do_not_fit_is_left_out_alone(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    steps = "steps: [{model: dense}, {model: MODEL, inputs: {x: y}, outputs: {y: z}}], outputs: [z]"
    lines = [f"  {model}: {{{steps.replace('MODEL', model)}}}\n" for model in ("dense", "nobody")]
    text = "pipelines:\n" + "".join(lines).replace("  dense:", "  twice:")
    project.write("models/tritongen.yaml", text)
    document = project.json("build", "models", expect=1)
    assert lost(document) == {"twice": "TG319", "nobody": "TG308"}
    assert project.config("dense").is_file()


def test_explain_says_why_a_model_is_not_served(mixed: Project) -> None:
    mixed.run("build", "models", expect=1)
    for name, code in LOST.items():
        problem = mixed.error("explain", name, expect=2)
        assert problem["code"] == "TG306"
        assert f"[{code}]" in problem["details"][0]
        assert "→ " in problem["details"][0]


def test_a_python_model_beside_a_broken_one_is_tried(mixed: Project) -> None:
    mixed.write("models/plain/1/model.py", format_models.PYTHON)
    document = mixed.json("build", "models", expect=1)
    assert "plain" in {item["name"] for item in document["models"]}
    assert lost(document) == LOST
