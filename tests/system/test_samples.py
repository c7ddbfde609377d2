"""A user's real samples, given once: the trial runs on them, and no repository holds them."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from onnx import helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from support.cli import FREE_PORTS, Project, dense
from support.python_models import photos
from support.serving_models import graph_model, value
from support.step_models import words
from support.triton import EmbeddedRuntime

ROOT = Path(__file__).resolve().parents[2]


def forest(project: Project) -> None:
    """A forest on the iris data, its rows beside it, and a model without samples."""
    values, labels = load_iris(return_X_y=True)
    values = values.astype(np.float32)
    fitted = RandomForestClassifier(5, random_state=0).fit(values, labels)
    proto = to_onnx(fitted, values[:1], target_opset=17, options={"zipmap": False})
    project.write("models/iris/model.onnx", proto.SerializeToString())
    np.savez(project.models / "iris" / "samples.npz", X=values[::2], label=labels[::2])
    project.write("models/tritongen.yaml", "models: {iris: {samples: iris/samples.npz}}\n")
    project.add("dense/model.onnx", dense())


def inspected(project: Project, expect: int = 0) -> dict[str, dict]:
    document = project.json("inspect", "models", "--trial", expect=expect)
    return {item["name"]: item for item in document["models"]}


def told(project: Project, *arguments: str, expect: int | None = None) -> dict[str, str]:
    document = project.json("build", "models", *arguments, expect=expect)
    return {item["code"]: item["message"] for item in document["findings"]}


def test_the_trial_runs_on_them_and_says_so(project: Project) -> None:
    forest(project)
    models = inspected(project)
    evidence = models["iris"]["evidence"]
    assert (evidence["samples"], evidence["rows_tried"]) == ("declared", [1, 2, 3, 16])
    assert "different rows of 64 of 75 samples, and 16 rows" in models["iris"]["batch_reason"]
    assert models["dense"]["evidence"]["samples"] == "made-up"
    assert "different rows of made-up values" in models["dense"]["batch_reason"]
    project.json("build", "models")
    assert "batch axis proven on samples" in project.config("iris").read_text()
    assert "batch axis proven on made-up values" in project.config("dense").read_text()
    assert not list(project.repository.rglob("*.npz"))


def test_other_content_is_a_new_trial_and_a_finding_of_check(project: Project) -> None:
    forest(project)
    project.json("build", "models")
    first = project.lock()["models"]["iris"]["evidence"]["trial"]
    assert sum(item.startswith("samples: ") for item in first["declared"]) == 1
    project.json("build", "models", "--check")
    values = load_iris().data.astype(np.float32)
    np.savez(project.models / "iris" / "samples.npz", X=values[::12])
    assert told(project, "--check", expect=1)["TG707"] == (
        "the samples have changed since it was tried: samples"
    )
    project.json("build", "models")
    second = project.lock()["models"]["iris"]["evidence"]["trial"]
    assert "of 13 samples" in second["proof"]["reason"]
    assert first["declared"] != second["declared"]
    project.json("build", "models", "--check")
    # A lock of a tool that knew no samples holds a trial on made-up values.
    lock = project.lock()
    del lock["models"]["iris"]["evidence"]["trial"]["declared"]
    (project.repository / "tritongen.lock").write_text(json.dumps(lock))
    assert "samples" in told(project, "--check", expect=1)["TG707"]


def test_where_they_are_not_at_hand_the_known_trial_holds_and_says_so(project: Project) -> None:
    forest(project)
    project.json("build", "models")
    (project.models / "iris" / "samples.npz").unlink()
    message = told(project, "--check", expect=0)["TG906"]
    assert "iris/samples.npz matches no file" in message


def test_encoded_photos_are_tried_and_batched(project: Project) -> None:
    photos(project)
    assert not project.json("inspect", "models")["findings"], "a folder of samples is no model"
    model = inspected(project)["photos"]
    assert model["batchable"], model["batch_reason"]
    assert "of 3 samples" in model["batch_reason"]


def test_a_photo_that_is_none_is_named_and_other_models_go_on(project: Project) -> None:
    photos(project)
    project.add("dense/model.onnx", dense())
    project.write("models/shots/1.jpg", "<html>not found</html>")
    models = inspected(project)
    (finding,) = models["photos"]["findings"]
    assert finding["code"] == "TG201"
    assert "models/shots/1.jpg" in finding["message"]
    assert "cannot identify image file" in finding["message"]
    assert models["dense"]["batchable"]
    project.write("models/shots/0.jpg", "")
    (finding,) = inspected(project)["photos"]["findings"]
    assert "on models/shots/0.jpg: " in finding["message"]


def test_sizes_as_they_come_all_run(project: Project) -> None:
    project.add("words/model.onnx", words(vocabulary=40))
    rows = [
        {"input_ids": [index + number for number in range(size)], "attention_mask": [1] * size}
        for index, size in enumerate((3, 7, 3, 5, 3))
    ]
    project.write("models/words/samples.json", json.dumps({"data": rows}))
    project.write("models/tritongen.yaml", "models: {words: {samples: words/samples.json}}\n")
    model = inspected(project)["words"]
    assert "of 5 samples" in model["batch_reason"]
    rows[3]["input_ids"][0] = 40
    project.write("models/words/samples.json", json.dumps({"data": rows}))
    (finding,) = inspected(project)["words"]["findings"]
    assert "on models/words/samples.json, data[3]" in finding["message"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"rows": np.zeros((3, 4), np.float32)}, "holds none of the inputs X"),
        ({"X": np.array([["a"] * 4])}, "the model wants FP32"),
        ({"X": np.zeros((3, 5), np.float32)}, "X has shape [5], the model wants [4]"),
        ({"X": np.zeros((0, 4), np.float32)}, "holds nothing"),
        ({"X": np.array([[{}]])}, "Python objects, which are never loaded"),
    ],
    ids=["name", "type", "shape", "empty", "pickle"],
)
def test_what_does_not_fit_is_said_of_that_model_alone(
    project: Project, arrays: dict[str, np.ndarray], words: str
) -> None:
    forest(project)
    np.savez(project.models / "iris" / "samples.npz", **arrays)
    models = inspected(project)
    (finding,) = models["iris"]["findings"]
    assert finding["code"] == "TG906"
    assert "models/iris/samples.npz" in finding["message"]
    assert words in finding["message"]
    assert models["dense"]["batchable"]


def test_nan_that_the_model_passes_on_proves_nothing(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    np.save(project.models / "x.npy", np.array([[1, 2, 3, np.nan]], np.float32))
    project.write("models/tritongen.yaml", "models: {dense: {samples: x.npy}}\n")
    (finding,) = inspected(project)["dense"]["findings"]
    assert "on models/x.npy, row 1: it holds NaN, and so does the answer" in finding["message"]


@pytest.mark.parametrize("samples", ["../secret.npz", "/etc/*.npz", "away/*.npz", "none/*.npz"])
def test_paths_stay_in_the_folder(project: Project, samples: str) -> None:
    forest(project)
    np.savez(project.folder / "secret.npz", X=np.zeros((3, 4), np.float32))
    (project.models / "away").mkdir()
    (project.models / "away" / "x.npz").symlink_to(project.folder / "secret.npz")
    project.write("models/tritongen.yaml", f"models: {{iris: {{samples: '{samples}'}}}}\n")
    (finding,) = inspected(project)["iris"]["findings"]
    assert finding["code"] == "TG906"
    wanted = "matches no file" if "none" in samples else "leads out of the folder"
    assert wanted in finding["message"]


def test_fewer_than_three_leave_the_proof_to_made_up_values_too(project: Project) -> None:
    project.add("dense/model.onnx", dense())
    np.save(project.models / "x.npy", np.ones((1, 4), np.float32))
    project.write("models/tritongen.yaml", "models: {dense: {samples: x.npy}}\n")
    model = inspected(project)["dense"]
    assert "of 1 sample and made-up values" in model["batch_reason"]
    assert model["batchable"]


def test_a_model_without_a_batch_axis_runs_on_whole_samples(project: Project) -> None:
    image = value("x", shape=(1, 3, 8, 8))
    proto = graph_model(
        [helper.make_node("GlobalAveragePool", ["x"], ["y"])],
        [image],
        [value("y", shape=(1, 3, 1, 1))],
        [],
    )
    project.add("pool/model.onnx", proto)
    np.savez(project.models / "pool.npz", x=np.random.default_rng(0).normal(size=(5, 3, 8, 8)))
    project.write("models/tritongen.yaml", "models: {pool: {samples: pool.npz}}\n")
    model = inspected(project)["pool"]
    assert model["evidence"]["samples"] == "declared"
    assert not model["batchable"]
    assert [item["code"] for item in model["findings"]] == ["TG122"]


def test_verify_compares_them_and_what_is_expected(
    project: Project, embedded_runtime: EmbeddedRuntime
) -> None:
    forest(project)
    values, labels = load_iris(return_X_y=True)
    right = {"X": values[::15], "label": labels[::15]}
    np.savez(project.models / "iris" / "samples.npz", **right)
    project.run("build", "models")
    try:
        project.run("up", *FREE_PORTS)
        found = {one["name"]: one for one in project.json("verify")["models"]}
        assert found["iris"]["reason"] == (
            "10 samples, 10 of them with their expected outputs, compared"
        )
        assert found["dense"]["reason"] == "1 and 3 rows compared"
        # Another file on the command line, with one wrong answer.
        wrong = right | {"label": np.where(np.arange(10) == 4, 3, right["label"])}
        np.savez(project.folder / "wrong.npz", **wrong)
        document = project.json("verify", "--data", "iris=wrong.npz", expect=1)
        verdicts = {one["name"]: one for one in document["models"]}
        assert verdicts["dense"]["verdict"] == "equal"
        assert verdicts["iris"]["verdict"] == "different"
        assert verdicts["iris"]["reason"].startswith("label differs by")
        assert verdicts["iris"]["reason"].endswith("from what is expected on wrong.npz, row 5")
        # What does not fit is said of that model alone.
        np.savez(project.models / "iris" / "samples.npz", X=np.zeros((2, 3)))
        document = project.json("verify", expect=1)
        verdicts = {one["name"]: one for one in document["models"]}
        assert verdicts["dense"]["verdict"] == "equal"
        assert verdicts["iris"]["verdict"] == "not-compared"
        assert "samples.npz: X has shape [3], the model wants [4]" in verdicts["iris"]["reason"]
        error = project.error("verify", "--data", "none.npz", expect=2)
        assert error["code"] == "TG002"
    finally:
        project.run("down")


def test_probe_and_tune_send_them_as_they_come(
    project: Project, embedded_runtime: EmbeddedRuntime
) -> None:
    photos(project)  # which nothing made up would pass for
    project.run("build", "models")
    try:
        project.run("up", *FREE_PORTS)
        document = project.json("probe", "-m", "photos", "--time-budget", "3")
        (level,) = document["levels"]
        assert level["requests"]["ok"]
        assert not level["requests"]["failed"]
        for protocol in ("http", "grpc"):
            wish = ("--values", "IMAGE=choice(a,b)", "--protocol", protocol)
            refused = project.error("probe", "-m", "photos", *wish, expect=2)
            assert refused["code"] == "TG904"
            assert "cannot identify image file" in refused["message"]
        for path in (project.models / "shots").iterdir():
            path.unlink()
        assert "matches no file" in project.error("probe", expect=2)["message"]
    finally:
        project.run("down")
    photos(project)
    (tuned,) = project.json("tune", "models", "--budget", "20s", expect=None)["models"]
    assert tuned["verdict"] in {"separated", "immaterial", "budget"}
    for measured in (tuned["default"], tuned["best"]):
        assert measured["throughput_per_s"]["value"] > 0, "the model answers photos alone"
    project.write("models/tritongen.yaml", "models: {}\n")
    problem = project.error("tune", "models", "--budget", "20s", expect=3)
    assert problem["code"] == "TG952"
    assert "cannot identify image file" in problem["message"]


def test_a_pipeline_of_encoded_photos_is_verified_on_them(
    project: Project, embedded_runtime: EmbeddedRuntime
) -> None:
    photos(project)
    project.add("double/model.onnx", graph_model(
        [helper.make_node("Add", ["MEAN", "MEAN"], ["TWICE"])],
        [value("MEAN", shape=("n", 1))], [value("TWICE", shape=("n", 1))], [],
    ))  # fmt: skip
    steps = "steps: [{model: photos}, {model: double}], outputs: [TWICE]"
    text = f"pipelines: {{graded: {{{steps}, SAMPLES}}}}\n"
    given = "samples: {IMAGE: shots/*.jpg}"
    project.write("models/tritongen.yaml", text.replace(", SAMPLES", ""))
    project.run("build", "models")
    try:
        project.run("up", *FREE_PORTS)
        found = {one["name"]: one for one in project.json("verify", expect=1)["models"]}
        assert found["graded"]["verdict"] == "not-compared"
        assert "no trial and no sample says what to send as 'IMAGE'" in found["graded"]["reason"]
        project.write("models/tritongen.yaml", text.replace("SAMPLES", given))
        found = {one["name"]: one for one in project.json("verify", expect=1)["models"]}
        assert found["graded"]["verdict"] == "equal", found["graded"]["reason"]
        assert found["graded"]["reason"].startswith("3 samples")
        (level,) = project.json("probe", "-m", "graded", "--time-budget", "2")["levels"]
        assert level["requests"]["ok"]
        assert not level["requests"]["failed"]
        assert not project.json("inspect", "models")["findings"], "shots/ is no model"
    finally:
        project.run("down")


def test_the_client_example_sends_one_that_people_can_read(
    project: Project, embedded_runtime: EmbeddedRuntime
) -> None:
    forest(project)
    np.save(project.models / "x.npy", np.full((2, 4), np.nan, np.float32))
    intent = "models: {iris: {samples: iris/samples.npz}, dense: {samples: NAMED}}\n"
    project.write("models/tritongen.yaml", intent.replace("NAMED", "x.npy"))
    project.run("build", "models")
    sent = json.loads(project.run("client", "iris").out.partition("-d '")[2].rpartition("'")[0])
    assert sent["inputs"][0]["data"] == [5.1, 3.5, 1.4, 0.2], "the first row of the iris data"
    assert "[[5.1, 3.5, 1.4, 0.2]]" in project.run("client", "iris", "--lang", "python").out
    for named in ("x.npy", "nothing.npy"):  # what is no request, and what is not there
        project.write("models/tritongen.yaml", intent.replace("NAMED", named))
        assert "nan" not in project.run("client", "dense").out.lower()
    try:
        project.run("up", *FREE_PORTS)
        example = project.run("client", "iris").out
        done = subprocess.run(["bash", "-c", example], capture_output=True, check=True)
        outputs = {item["name"]: item["data"] for item in json.loads(done.stdout)["outputs"]}
        assert outputs["label"] == [0]
    finally:
        project.run("down")


def test_init_drafts_what_lies_beside_a_model(project: Project) -> None:
    for name in ("inside", "folder", "alone", "none"):
        project.add(f"{name}.onnx" if name == "alone" else f"{name}/model.onnx", dense())
    for path in ("inside/samples.npz", "folder/samples/a.json", "alone.npy"):
        project.write(f"models/{path}", b"")
    project.run("init", "models")
    models = yaml.safe_load((project.models / "tritongen.yaml").read_text())["models"]
    assert {name: entry.get("samples") for name, entry in models.items()} == {
        "inside": "inside/samples.npz",
        "folder": "folder/samples",
        "alone": "alone.npy",
        "none": None,
    }


def test_what_a_torchscript_file_leaves_open_is_taken_from_them(project: Project) -> None:
    import torch  # for a second, and one test

    class Scaled(torch.nn.Module):
        def forward(self, ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
            return self.table(ids.sum(1)) * rows[:, 0, :3]

        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(40, 3)

    path = project.models / "scaled" / "model.pt"
    path.parent.mkdir(parents=True)
    torch.jit.script(Scaled()).save(str(path))
    rng = np.random.default_rng(0)
    ids, rows = rng.integers(0, 4, (8, 5)), rng.normal(size=(8, 2, 7)).astype(np.float32)
    np.savez(path.with_name("samples.npz"), ids=ids, rows=rows)
    project.write("models/tritongen.yaml", "models: {scaled: {samples: scaled/samples.npz}}\n")
    model = inspected(project)["scaled"]
    assert "of 8 samples" in model["batch_reason"]
    assert {item["name"]: item["dtype"] for item in model["inputs"]} == {
        "ids": "INT64",
        "rows": "FP32",
    }
