"""`build` and its trials: what they show, how long they hold, and what is refused for them."""

import onnx

from support.cli import FREE_PORTS, Project, dense
from support.trial_models import FLOAT, INT64, model, node, unloadable, weights
from support.triton import EmbeddedRuntime


def kinds(document: dict) -> dict[str, str]:
    return {item["path"]: item["kind"] for item in document["differences"]}


def codes(document: dict) -> set[str]:
    return {item["code"] for item in document["findings"]}


def errors(document: dict) -> set[str]:
    return {item["code"] for item in document["findings"] if item["severity"] == "error"}


def _failed(finding: dict) -> bool:
    return finding["code"] == "TG201"


def recurrent() -> onnx.ModelProto:
    """A recurrent cell over one sequence, whose last state leaves the number of sequences open."""
    return model(
        [node("GRU", "x w r", "_ last", hidden_size=4)],
        [("x", FLOAT, ["steps", 1, 3])],
        [("last", FLOAT, [1, "sequences", 4])],
        [weights("w", 1, 12, 3), weights("r", 1, 12, 4)],
    )


def picky() -> onnx.ModelProto:
    """It wants to be told the sizes of the two parts that it cuts its input into."""
    return model(
        [node("Split", "x sizes", "y z", axis=0)],
        [("x", FLOAT, [6]), ("sizes", INT64, [2])],
        [("y", FLOAT, ["a"]), ("z", FLOAT, ["b"])],
    )


def test_without_trial_it_is_conservative_and_says_so(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    document = project.json("build", "models", "--no-trial")
    (model,) = document["models"]
    assert model["max_batch_size"] == 0
    assert not model["dynamic_batching"]
    assert "TG312" in codes(document)
    text = project.config("dense").read_text()
    assert "model_warmup {" not in text
    assert "TG312" in text
    # A later build with the trial proves what was left open.
    (model,) = project.json("build", "models")["models"]
    assert model["max_batch_size"] > 0


def test_a_trial_that_a_limit_cut_off_is_tried_again(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    cut = project.json("build", "models", "--trial-timeout", "0.05")
    assert "TG202" in codes(cut)
    assert "the trial failed" in project.config("dense").read_text().replace("\n# ", " ")
    assert not project.json("build", "models", "--check")["drift"]
    whole = project.json("build", "models")
    assert "TG202" not in codes(whole)
    assert kinds(whole)["dense/config.pbtxt"] == "changed"


def test_what_is_said_of_a_wrong_declaration_is_true(project: Project) -> None:
    """The backend compares with what the runtime makes of it, not with what came back."""
    sizes = [("x", FLOAT, [2, 3])], [("y", FLOAT, [2, 4])]
    project.add("liar/model.onnx", model([node("Relu", "x", "y")], *sizes))
    (told,) = [
        item for item in project.json("build", "models")["findings"] if item["code"] == "TG207"
    ]
    assert "declared as [2, 4] and came back as [2, 3]" in told["message"]
    assert "the trial's shape is used" not in told["fix"].lower()
    assert "what the runtime reports" in told["fix"]
    assert "dims: [ 2, -1 ]" in project.config("liar").read_text()
    assert project.json("check")["summary"]["errors"] == 0


def test_sizes_that_only_the_runtime_knows(
    project: Project, embedded_runtime: EmbeddedRuntime
) -> None:
    """A state's middle axis is open in the file; ONNX Runtime infers that it is 1."""
    project.add("dense/model.onnx", dense())
    project.add("gru/model.onnx", recurrent())
    project.run("build", "models")
    text = project.config("gru").read_text()
    assert "dims: [ 1, 1, 4 ]" in text
    assert project.json("check")["summary"]["errors"] == 0
    try:
        project.run("up", *FREE_PORTS)
        project.run("verify")
    finally:
        project.run("down")
    # What the file declares is what the server refuses.
    project.config("gru").write_text(text.replace("dims: [ 1, 1, 4 ]", "dims: [ 1, -1, 4 ]"))
    assert errors(project.json("check", expect=1)) == {"TG510"}
    # Where nobody has asked the runtime, a declaration is no proof against a narrower text.
    project.config("gru").write_text(text)
    (project.repository / "tritongen.lock").unlink()
    found = project.json("check")
    assert (errors(found), found["summary"]["errors"]) == (set(), 0)
    assert "TG510" in codes(found)


def test_a_trial_holds_for_the_inputs_that_it_fed(project: Project) -> None:
    """The cure that a failed trial prints works, and so does changing one's mind."""
    project.add("dense/model.onnx", dense())
    project.add("picky/model.onnx", picky())
    project.add("long/model.onnx", recurrent())
    (told,) = [item for item in project.json("build", "models")["findings"] if _failed(item)]
    assert "declare real input shapes or ranges in tritongen.yaml" in told["fix"]
    before = project.lock()["models"]

    def says(inputs: str) -> dict:
        project.write("models/tritongen.yaml", f"models: {{{inputs}}}")
        stale = project.json("build", "models", "--check", expect=None)
        built = project.json("build", "models")
        assert not project.json("build", "models", "--check")["drift"]
        assert project.lock()["models"]["dense"] == before["dense"], "nothing was said of it"
        return {"stale": stale, "built": built}

    values = "picky: {inputs: {sizes: {values: 'int[3,4)'}}}"
    found = says(values)
    (reason,) = [item for item in found["stale"]["findings"] if item["code"] == "TG707"]
    assert (reason["model"], "inputs.sizes.values" in reason["message"]) == ("picky", True)
    assert not any(map(_failed, found["built"]["findings"]))
    says(f"{values}, long: {{inputs: {{x: {{shape: [9, 1, 3]}}}}}}")
    assert project.lock()["models"]["long"]["evidence"]["trial"]["inputs"][0]["shape"] == [9, 1, 3]
    # What is no longer said counts as little as what is said otherwise.
    found = says("long: {batch: false}")
    assert any(map(_failed, found["built"]["findings"]))
    assert "TG707" not in codes(project.json("build", "models", "--check"))


def test_what_the_runtime_does_not_load_is_refused(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    proto, words = unloadable()["types"]
    project.add("types/model.onnx", proto)
    # The library with its operator is the server's: that it is not here is not the model's fault.
    domain = model([node("Own", "x", "y", domain="acme")], [("x", FLOAT, [1])], [("y", FLOAT, [1])])
    domain.opset_import.add(domain="acme", version=1)
    project.add("domain/model.onnx", domain)
    library = "overlay: {model_operations: {op_library_filename: [libacme.so]}}"
    project.write("models/tritongen.yaml", f"models: {{domain: {{{library}}}}}")
    # It loads, and does not run on what was made up for it: a question, no verdict.
    project.add("picky/model.onnx", picky())
    document = project.json("build", "models", expect=1)
    assert [item["name"] for item in document["models"]] == ["dense", "domain", "picky"]
    assert document["refused"] == [{"name": "types", "codes": ["TG145"]}]
    told = {
        (item["model"], item["code"], item["severity"]): item["message"]
        for item in document["findings"]
        if item["code"] in {"TG145", "TG201"}
    }
    assert words in told.pop(("types", "TG145", "error"))
    assert set(told) == {("domain", "TG145", "warning"), ("picky", "TG201", "warning")}
