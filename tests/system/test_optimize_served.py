"""Optimised models in the real Triton: fixed, freed and quantised, built and verified."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import numpy as np
import pytest

from support.cli import FREE_PORTS, Project, tree
from support.cli_schemas import SCHEMAS
from support.optimize import faulty, trained
from support.optimize.classifiers import KINDS, classifier
from support.triton import EmbeddedRuntime
from tritongen.optimize.fixes import FIXES
from tritongen.triton.http_client import HttpClient

# One model for each fix, served as what the fix made of it.
FAULTY = {
    "sequence": faulty.sequence(),
    "sequence_split": faulty.sequence(split=True),
    "optional": faulty.optional_output(),
    "optional_input": faulty.optional_input(),
    "names": faulty.bad_names(),
    "sizes": faulty.literal_sizes(),
    "ranks": faulty.wrong_rank(),
    "free_batch": faulty.fixed_batch(),
    "free_batch_lstm": faulty.fixed_batch_lstm(),
    "batch_first": faulty.second_axis(),
    "scalars": faulty.scalar_output(),
    "opset": faulty.new_versions(opset=99),
    "ir_version": faulty.new_versions(ir=99),
}

# A busy machine's models are tried again so often.
TRIES = 3


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, embedded_runtime: EmbeddedRuntime
) -> Iterator[Project]:
    """A project with faulty models, fixed and quantised by the tool, on a running Triton."""
    project = Project(tmp_path_factory.mktemp("served") / "project")
    project.folder.mkdir()
    for kind in KINDS:
        project.add(f"{kind}/model.onnx", classifier(kind).export)
    for name, model in FAULTY.items():
        project.add(f"{name}/model.onnx", model)
    project.add("label_indices/model.onnx", classifier("linear").export)
    project.add("cnn/model.onnx", trained.cnn(batch=1))
    project.add("mlp/model.onnx", trained.mlp())
    project.add("mlp_dynamic/model.onnx", trained.mlp())
    moved = "".join(
        f"  {name}: {{accept: layout}}\n" for name in ("batch_first", "free_batch_lstm")
    )
    # The default release's ONNX Runtime counts the forest's votes wrongly.
    project.write("models/tritongen.yaml", f'target: {{triton: "26.08"}}\nmodels:\n{moved}')
    before = originals(project)
    indices = ("-m", "label_indices", "--fix", "--labels", "indices")
    project.run("optimize", "models", *indices)
    # Without samples the variants are offered, whatever their speed on this machine.
    wanted = ("-m", "mlp", "-m", "mlp_dynamic", "--quantize", "--budget", "1")
    project.run("optimize", "models", *wanted)
    variants = ("mlp=int8-static", "mlp_dynamic=int8-dynamic")
    chosen = [word for item in variants for word in ("--variant", item)]
    document = project.json("build", "models", "--fix", *chosen)
    jsonschema.validate(document, SCHEMAS["build"])
    assert document["refused"] == []
    for _ in range(TRIES):
        if not any(is_noise(project, model) for model in ("cnn", "mlp")):
            break
        project.run("build", "models", "--fix", "--remeasure", *chosen)
    assert originals(project) == before
    try:
        project.run("up", *FREE_PORTS)
        yield project
    finally:
        project.run("down")


def is_noise(project: Project, model: str) -> bool:
    """Whether the trial says that the machine was too busy to tell what merging gains."""
    words = project.config(model).read_text().replace("#", "").split()
    return "and the gain may be noise" in " ".join(words)


def originals(project: Project) -> dict[str, bytes]:
    """The user's own files below models/."""
    return {
        path: data
        for path, data in tree(project.models).items()
        if not path.startswith(".variants")
    }


@pytest.fixture(scope="module")
def client(served: Project) -> Iterator[HttpClient]:
    with HttpClient(served.json("status")["endpoints"]["http"]) as found:
        yield found


def ask(client: HttpClient, model: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Answers for all rows, in requests as large as the model takes; that is a measured value.

    A model that is not batched by Triton takes any number of rows as its full shape.
    """
    limit = client.model_config(model)["max_batch_size"] or len(rows)
    (given,) = client.model_metadata(model).inputs
    parts = [
        client.infer(model, {given.name: rows[begin : begin + limit]})
        for begin in range(0, len(rows), limit)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def variant_of(project: Project, model: str) -> dict[str, Any] | None:
    return project.lock()["models"][model]["evidence"]["variant"]


def test_every_output_is_what_the_file_gives(served: Project) -> None:
    answers = served.json("verify")["models"]
    assert {item["name"] for item in answers} == {
        *KINDS, *FAULTY, "label_indices", "cnn", "mlp", "mlp_dynamic",
    }  # fmt: skip
    assert [item for item in answers if not item["ok"]] == []


def test_every_fix_is_served(served: Project) -> None:
    applied = {
        step["name"]
        for model in served.lock()["models"].values()
        for step in (model["evidence"]["variant"] or {"steps": []})["steps"]
        if step["applied"]
    }
    assert applied >= set(FIXES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_answers_as_scikit_learn_does(client: HttpClient, kind: str) -> None:
    known = classifier(kind)
    answer = ask(client, kind, known.rows[:16])
    scores, labels = answer["output_probability"], answer["output_label"]
    assert (scores.dtype, scores.shape) == (np.float32, (16, len(known.classes)))
    np.testing.assert_allclose(
        scores, known.fitted.predict_proba(known.rows[:16]), rtol=1e-4, atol=1e-5
    )
    texts = [item.decode() if isinstance(item, bytes) else str(item) for item in labels.ravel()]
    assert texts == [str(item) for item in known.fitted.predict(known.rows[:16])]


@pytest.mark.parametrize("kind", ["linear", "forest"])
def test_the_classes_are_named_to_triton(served: Project, client: HttpClient, kind: str) -> None:
    config = client.model_config(kind)
    named = {item["name"]: item["label_filename"] for item in config["output"]}
    assert named == {"output_label": "", "output_probability": "labels.txt"}
    text = (served.repository / kind / "labels.txt").read_text()
    assert text.splitlines() == classifier(kind).classes


def test_labels_as_indices(served: Project, client: HttpClient) -> None:
    known = classifier("linear")
    answer = ask(client, "label_indices", known.rows[:16])
    names = (served.repository / "label_indices" / "labels.txt").read_text().splitlines()
    assert answer["output_label"].dtype == np.int64
    found = [names[index] for index in answer["output_label"].ravel()]
    assert found == list(known.fitted.predict(known.rows[:16]))


def test_a_freed_batch_axis_is_batched(client: HttpClient) -> None:
    config = client.model_config("cnn")
    assert config["max_batch_size"] > 1
    assert "dynamic_batching" in config
    rows = trained.digits().test[:8].reshape(-1, 1, 8, 8)
    together = ask(client, "cnn", rows)["scores"]
    alone = [client.infer("cnn", {"x": rows[n : n + 1]})["scores"] for n in range(8)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-4, atol=1e-6)


def test_rows_that_change_with_their_neighbours_are_served_alone(client: HttpClient) -> None:
    assert "dynamic_batching" not in client.model_config("mlp_dynamic")
    assert "dynamic_batching" in client.model_config("mlp")


def test_the_lock_holds_recipe_and_proof(served: Project) -> None:
    fixed = variant_of(served, "linear")
    assert fixed is not None
    assert fixed["name"] == "fixed"
    (step,) = [item for item in fixed["steps"] if item["name"] == "zipmap"]
    assert step["proof"]["rows_equal"] is True
    assert step["proof"]["inputs"] > 1
    quantised = variant_of(served, "mlp")
    assert quantised is not None
    assert quantised["recipe"]["method"] == "static"
    assert quantised["accuracy"]["accepted"] is False
    assert quantised["speedup"]["low"] > 0
    header = served.config("mlp").read_text().splitlines()[0]
    assert header == "# mlp: generated by tritongen from .variants/mlp/int8-static/model.onnx."


def test_the_next_build_serves_the_same(served: Project) -> None:
    assert not served.json("build", "models", "--check")["drift"]
    again = served.json("build", "models", "--fix")
    assert not again["written"]
    assert {item["name"]: item["variant"] for item in again["models"]}["forest"] == "fixed"
    explained = served.run("explain", "cnn", "max_batch").out
    assert "batch axis proven" in explained


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--variant", "mlp"), "TG009"),
        (("--variant", "nobody=fixed"), "TG306"),
        (("--variant", "mlp=fp4"), "TG240"),
        (("--fix", "--check"), "TG009"),
        (("--fix", "--dry-run"), "TG009"),
    ],
)
def test_bad_choices(served: Project, arguments: tuple[str, ...], code: str) -> None:
    before = tree(served.repository)
    assert served.error("build", "models", *arguments, expect=2)["code"] == code
    assert tree(served.repository) == before
