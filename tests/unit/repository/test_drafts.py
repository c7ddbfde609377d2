"""Which steps suit a model, and what is drafted for it."""

import ast
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from support.onnx_models import save
from support.serving_models import graph_model, identity, value
from support.step_models import photo, ranker, words
from tritongen.errors import InvalidInputError
from tritongen.formats import inspect_folder
from tritongen.intent.reader import parse_intent
from tritongen.model.releases import find
from tritongen.repository.drafts import ScaffoldKind, draft_step, write_step
from tritongen.repository.project import load_project


@pytest.fixture
def root(tmp_path):
    models = tmp_path / "models"
    save(photo(), models / "photo" / "model.onnx")
    save(words(100), models / "words" / "model.onnx")
    save(ranker(), models / "ranker" / "model.onnx")
    return models


def draft(root, kind, model, name=""):
    project = load_project(root, root.parent / "repository")
    return draft_step(project, ScaffoldKind(kind), model, name)


CASES = [("image", "photo"), ("labels", "photo"), ("text", "words"), ("table", "ranker")]


@pytest.mark.parametrize(("kind", "model"), CASES)
def test_a_step_is_read_back_with_the_tensors_of_its_model(root, kind, model):
    step = draft(root, kind, model)
    write_step(root, step, force=False)
    found = {item.name: item for item in inspect_folder(root, find("26.07")).models}
    own, served = found[step.name], found[model]
    assert own.servable
    assert own.python.max_batch_size == 8
    meeting = (served.outputs, own.inputs) if kind == "labels" else (own.outputs, served.inputs)
    for given, taken in zip(*meeting, strict=True):
        assert (given.name, given.dtype, given.rank) == (taken.name, taken.dtype, taken.rank)
    document = parse_intent(step.pipeline, "tritongen.yaml")
    assert document.faults == ()
    assert len(yaml.safe_load(step.pipeline)["pipelines"][f"{model}_with_{kind}"]["steps"]) == 2


def run(step):
    """The module of a step, with a stand-in for the server's own module."""
    (text,) = [text for path, text in step.files.items() if path.endswith("model.py")]
    names = {"__file__": "/nowhere/model.py", "__name__": "step"}
    source = text.replace("import triton_python_backend_utils as pb_utils\n", "")
    exec(compile(source, "model.py", "exec"), names)  # noqa: S102  (the draft under test)
    return SimpleNamespace(**names)


def test_pixels_keep_their_places_when_resized(root):
    module = run(draft(root, "image", "photo"))
    flat = np.full((1, 7, 9, 3), 128, np.uint8)
    out = module.prepare(flat)
    assert out.shape == (1, 3, 32, 32)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[0, :, 0, 0], out[0, :, 31, 31], rtol=1e-5)
    ramp = np.arange(64, dtype=np.float32).reshape(1, 1, 64, 1)
    half = module.resize(ramp, 1, 32)
    np.testing.assert_allclose(half.ravel(), np.arange(32) * 2 + 0.5)


def test_words_are_cut_into_the_longest_pieces(root, tmp_path):
    module = run(draft(root, "text", "words"))
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nplay\n##ing\n##i\n!")
    tokens = module.Tokens(path)
    found = module.encode(tokens, ["Playing!", "other", ""])
    assert found["ids"][0, :6].tolist() == [2, 4, 5, 7, 3, 0]
    assert found["ids"][1, :4].tolist() == [2, 1, 3, 0]
    assert found["mask"].sum(axis=1).tolist() == [5, 3, 2]
    long = module.encode(tokens, ["play " * 500])
    assert long["ids"].shape == (1, 128)
    assert long["ids"][0, -1] == 3


def test_without_its_vocabulary_the_numbers_are_those_that_the_model_knows(root):
    for rows in (1000, 37, 2, 40_000):
        save(words(rows), root / "words" / "model.onnx")
        module = run(draft(root, "text", "words"))
        assert rows == module.VOCABULARY
        found = module.encode(module.Tokens(root / "none.txt"), ["many words, each a number"])
        assert 0 <= found["ids"].min() <= found["ids"].max() < rows
    (root / "tritongen.yaml").write_text(
        "models: {words: {inputs: {input_ids: {values: 'int[0, 99)'}}}}"
    )
    assert run(draft(root, "text", "words")).VOCABULARY == 99


@pytest.mark.parametrize(
    ("kind", "model", "words"),
    [
        ("image", "words", "one float input of four axes"),
        ("text", "photo", "integer inputs of two axes"),
        ("table", "photo", "one float input [rows, columns]"),
        ("labels", "texts", "one float output [rows, classes]"),
    ],
)
def test_steps_that_do_not_suit(root, kind, model, words):
    save(identity("TYPE_STRING"), root / "texts" / "model.onnx")
    with pytest.raises(InvalidInputError) as caught:
        draft(root, kind, model)
    assert caught.value.code == "TG370"
    assert words in caught.value.what


def test_names_of_a_model_cannot_break_out(root):
    name = "x'\"]}); import os #\n{{ 1 }}" + '"""\nimport os\n'
    node_in, node_out = value(name, shape=("n", 5)), value("y", shape=("n", 5))
    from onnx import helper

    model = graph_model([helper.make_node("Identity", [name], ["y"])], [node_in], [node_out])
    save(model, root / "odd" / "model.onnx")
    (text,) = draft(root, "table", "odd").files.values()
    constants = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    assert name in constants
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import)]
    assert {alias.name for node in imports for alias in node.names} == {
        "numpy",
        "triton_python_backend_utils",
    }


def test_files_are_not_replaced_unasked(root):
    step = draft(root, "table", "ranker")
    write_step(root, step, force=False)
    with pytest.raises(InvalidInputError, match="exists already"):
        write_step(root, step, force=False)
    write_step(root, step, force=True)


@pytest.mark.parametrize("name", ["../out", "a/b", "", "stats"])
def test_names_of_steps(root, name):
    if not name:
        assert draft(root, "table", "ranker", name).name == "ranker_table"
        return
    with pytest.raises(InvalidInputError):
        draft(root, "table", "ranker", name)


def test_unknown_models(root):
    with pytest.raises(InvalidInputError, match="there is no model 'nobody'"):
        draft(root, "table", "nobody")
