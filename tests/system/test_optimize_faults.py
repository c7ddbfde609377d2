"""What goes wrong while a model is quantised: a code, a cure, the original as it was, no half."""

import json

import numpy as np
import pytest

from support.cli import Project, tree
from support.optimize import faulty, trained
from support.optimize.running import codes, optimized, steps, variant


@pytest.fixture
def net(project: Project) -> Project:
    """A CNN on digits with samples beside the project's models."""
    project.add("net/model.onnx", trained.cnn())
    trained.save_samples(project.folder / "samples.npz", "x", (1, 8, 8), rows=30)
    return project


# body of the function: (words of the message)
BAD_CALLABLES = {
    "raises": ("raise OSError('the share is not mounted')", "raised OSError: the share is not"),
    "returns": ("return [1, 2]", "returned list, no mapping"),
}


@pytest.mark.parametrize("case", BAD_CALLABLES)
def test_samples_from_a_callable_that_fails(net: Project, case: str) -> None:
    body, words = BAD_CALLABLES[case]
    net.write("models/mine.py", f"def samples():\n    {body}\n")
    net.write("models/tritongen.yaml", "models: {net: {accuracy: {data: 'mine:samples'}}}\n")
    before = tree(net.models)
    problem = net.error("optimize", "models", "--quantize", expect=2)
    assert problem["code"] == "TG220"
    assert words in problem["message"]
    assert problem["where"]
    assert problem["fix"]
    after = tree(net.models)
    assert {path: after[path] for path in before} == before
    assert not (net.models / ".variants").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere:samples", "cannot be imported: ModuleNotFoundError"),
        ("mine:nothing", "the module has no such function"),
        ("broken:samples", "cannot be imported: SyntaxError"),
    ],
)
def test_samples_from_a_callable_that_is_not_there(net: Project, name: str, words: str) -> None:
    net.write("models/mine.py", "def samples():\n    return {}\n")
    net.write("models/broken.py", "def samples(:\n")
    net.write(
        "models/tritongen.yaml", json.dumps({"models": {"net": {"accuracy": {"data": name}}}})
    )
    problem = net.error("optimize", "models", "--quantize", expect=2)
    assert problem["code"] == "TG220"
    assert words in problem["message"]


@pytest.mark.parametrize("size", [2_000, 20_000, 45_000])
def test_a_disk_that_fills_up_while_quantising(net: Project, size: int) -> None:
    """At whatever file it happens, an older variant stays whole and nothing else is left."""
    samples = ("--quantize", "--data", "samples.npz", "--budget", "1")
    original = (net.models / "net" / "model.onnx").read_bytes()
    ran = net.limited(size).run("optimize", "models", *samples, expect=None)
    assert ran.code in {0, 3, 4}
    if ran.code == 3:
        assert "TG005" in ran.err
    assert (net.models / "net" / "model.onnx").read_bytes() == original
    kept = net.models / ".variants" / "net"
    for folder in kept.iterdir() if kept.exists() else ():
        if (folder / "refused.json").exists():
            # What was refused leaves its reasons, whole, and nothing that could be served.
            assert json.loads((folder / "refused.json").read_text())["name"] == folder.name
            assert [path.name for path in folder.iterdir()] == ["refused.json"]
            continue
        record = json.loads((folder / "variant.json").read_text())
        for name, _sha in record["files"]:
            assert (folder / name).stat().st_size > 0
    assert not list(net.models.glob(".variants/.staging-*"))


def test_weights_beyond_two_gigabytes(project: Project) -> None:
    """Weights in a sparse file beside the model: read from there, linked, never copied."""
    width, layers = 8192, 9
    size = width * width * 4
    nodes, held, last = [], [], "x"
    for index in range(layers):
        held.append(faulty.outside(f"w{index}", (width, width), "weights.bin", size * index))
        nodes.append(faulty.node("MatMul", f"{last} w{index}", f"m{index}"))
        last = f"m{index}"
    nodes.append(faulty.node("Identity", "x", "y"))
    outputs = [faulty.tensor("y", [1, width]), faulty.tensor(last, [1, width])]
    project.add(
        "big/model.onnx", faulty.model(nodes, [faulty.tensor("x", [1, width])], outputs, held)
    )
    weights = project.models / "big" / "weights.bin"
    with weights.open("wb") as sink:
        sink.truncate(size * layers)
    model = optimized(project, "--fix")
    assert steps(model)["free_batch"]
    found = variant(model, "fixed")
    assert found["size_bytes"] > 2**31
    placed = project.models / ".variants" / "big" / "fixed" / "weights.bin"
    assert placed.stat().st_ino == weights.stat().st_ino


def test_a_model_that_is_quantised_already(project: Project) -> None:
    nodes = [
        faulty.node("QuantizeLinear", "x s z", "q"),
        faulty.node("DequantizeLinear", "q s z", "d"),
        faulty.node("MatMul", "d w", "y"),
    ]
    held = [
        faulty.constant("s", 0.1, "float32"),
        faulty.constant("z", 0, "int8"),
        faulty.weights("w", 4, 3),
    ]
    inputs, outputs = [faulty.tensor("x", ["n", 4])], [faulty.tensor("y", ["n", 3])]
    path = project.add("net/model.onnx", faulty.model(nodes, inputs, outputs, held))
    before = path.read_bytes()
    model = optimized(project, "--quantize")
    assert "TG231" in codes(model)
    assert model["variants"] == []
    assert path.read_bytes() == before


def test_too_few_samples(net: Project) -> None:
    rows = trained.digits().test[:1].reshape(-1, 1, 8, 8)
    np.savez(net.folder / "one.npz", x=rows, labels=trained.digits().test_labels[:1])
    before = tree(net.models)
    problem = net.error("optimize", "models", "--quantize", "--data", "one.npz", expect=2)
    assert problem["code"] == "TG225"
    assert tree(net.models) == before
