"""Scaffolded steps for images, texts, tables and labels, joined to models and served."""

import numpy as np
import pytest
import yaml

from support.cli import FREE_PORTS, Project
from support.step_models import photo, ranker, words
from tritongen.optimize.onnx_session import OrtRunner
from tritongen.triton.http_client import HttpClient

STEPS = (("image", "photo"), ("labels", "photo"), ("text", "words"), ("table", "ranker"))


@pytest.fixture(scope="module")
def piped(tmp_path_factory, embedded_runtime):
    """A project whose models have steps before and after them, served."""
    folder = tmp_path_factory.mktemp("steps") / "project"
    folder.mkdir()
    project = Project(folder)
    project.add("photo/model.onnx", photo())
    project.add("words/model.onnx", words())
    project.add("ranker/model.onnx", ranker())
    intent = {"target": {"cpus": 7}, "models": {}, "pipelines": {}}
    for kind, model in STEPS:
        found = project.json("init", "models", "--step", kind, "--model", model)
        assert found["written"]
        for key, value in yaml.safe_load(found["pipeline"]).items():
            intent[key] |= value
    # Measured costs choose batch sizes; what clients send is the least of them.
    for name in ("photo", "words", "ranker", *(f"{model}_{kind}" for kind, model in STEPS)):
        intent["models"][name] = intent["models"].get(name, {}) | {"request_batch": 3}
    # Both halves in one.
    intent["pipelines"]["photo_whole"] = {
        "steps": [{"model": "photo_image"}, {"model": "photo"}, {"model": "photo_labels"}],
        "outputs": ["LABEL", "SCORE", "scores"],
    }
    project.write("models/tritongen.yaml", yaml.safe_dump(intent))
    project.run("build", "models")
    try:
        project.run("up", *FREE_PORTS)
        yield project
    finally:
        project.run("down")


@pytest.fixture(scope="module")
def client(piped):
    with HttpClient(piped.json("status")["endpoints"]["http"]) as client:
        yield client


@pytest.mark.smoke
def test_every_step_and_pipeline_is_verified(piped):
    found = {item["name"]: item for item in piped.json("verify")["models"]}
    assert set(found) >= {"photo_whole", "words_with_text", "ranker_with_table"}
    assert {name: item["reason"] for name, item in found.items() if not item["ok"]} == {}
    for name in ("photo_image", "photo_labels", "words_text", "ranker_table"):
        assert "3 rows" in found[name]["reason"]  # a batch axis was proven
    piped.run("build", "models", "--check")


def test_images(client, piped):
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 40, 3)).astype(np.uint8)
    images[:, ::2] = images[:, 1::2]
    found = client.infer("photo_whole", {"IMAGE": images})
    same_size = images[:, :32, :32]
    scaled = (same_size / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    pixels = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)
    own = OrtRunner(piped.models / "photo" / "model.onnx").run({"pixels": pixels})["scores"]
    served = client.infer("photo_with_image", {"IMAGE": np.ascontiguousarray(same_size)})
    np.testing.assert_allclose(served["scores"], own, rtol=1e-4, atol=1e-4)
    # Another size is resized: the best label is that of the greatest score, and scores add up.
    order = np.argsort(-found["scores"], axis=1, kind="stable")[:, :5]
    assert found["LABEL"].tolist() == [[f"class {n}".encode() for n in row] for row in order]
    assert np.all(np.diff(found["SCORE"], axis=1) <= 0)
    assert np.all(found["SCORE"].sum(axis=1) <= 1.0001)


def test_texts(client):
    texts = np.array([["hello, world"], ["hello, world hello, world"], ["é"]], object)
    vectors = client.infer("words_with_text", {"TEXT": texts})["vector"]
    again = client.infer("words_with_text", {"TEXT": texts[:1]})["vector"]
    np.testing.assert_allclose(vectors[:1], again, rtol=1e-5)
    assert len({tuple(row) for row in vectors.round(5).tolist()}) == 3


def test_tables(client, piped):
    rows = np.array([["1", "2.5", "", "red", "-3e2"], [" 4 ", "nan", "0", "0", "7"]], object)
    numbers = np.array([[1, 2.5, 0, 0, -300], [4, 0, 0, 0, 7]], np.float32)
    own = OrtRunner(piped.models / "ranker" / "model.onnx").run({"x": numbers})["y"]
    found = client.infer("ranker_with_table", {"ROW": rows})["y"]
    np.testing.assert_allclose(found, own, rtol=1e-5)


def test_a_step_needs_a_model_that_it_suits(project):
    project.add("words/model.onnx", words(50))
    assert project.error("init", "models", "--step", "image", expect=2)["code"] == "TG009"
    asked = ("init", "models", "--step", "image", "--model")
    assert project.error(*asked, "nobody", expect=2)["code"] == "TG306"
    problem = project.error(*asked, "words", expect=2)
    assert problem["code"] == "TG370"
    assert "input_ids INT64" in problem["message"]
    shown = project.run("init", "models", "--step", "text", "--model", "words", "--stdout")
    assert "class TritonPythonModel" in shown.out
    assert not (project.models / "words_text").exists()
