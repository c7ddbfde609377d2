"""`tritongen optimize` as a user runs it: what it prints, what it keeps, and what it refuses."""

import json

import numpy as np
import onnx
import pytest

from support.cli import Project, tree
from support.optimize import faulty, trained
from support.optimize.running import codes, optimized, steps, variant
from support.trial_models import endless


@pytest.fixture
def digits(project: Project) -> Project:
    """An MLP on digits with samples beside the project's models."""
    project.add("mlp/model.onnx", trained.mlp())
    trained.save_samples(project.folder / "samples.npz", "x", (64,), rows=90)
    return project


def test_a_fix_is_shown_and_nothing_is_written(project: Project) -> None:
    project.add("wine/model.onnx", faulty.zipmap())
    before = tree(project.folder)
    model = optimized(project)
    assert steps(model)["zipmap"] is False
    assert model["steps"][0]["cures"] == ["TG110"]
    assert model["steps"][0]["proof"]["rows_equal"] is True
    assert (model["variants"], model["chosen"]) == ([], None)
    assert tree(project.folder) == before


@pytest.mark.smoke
def test_a_fix_is_kept_beside_the_original(project: Project) -> None:
    original = project.add("wine/model.onnx", faulty.zipmap(texts=True))
    before = original.read_bytes()
    model = optimized(project, "--fix")
    assert (steps(model)["zipmap"], model["chosen"]) == (True, "fixed")
    found = variant(model, "fixed")
    path = project.models / found["path"]
    assert path.stat().st_size == found["size_bytes"]
    assert onnx.load(path).graph.output[1].type.HasField("tensor_type")
    assert (path.parent / "labels.txt").read_text() == "red\ngreen\nblue\n"
    record = json.loads((path.parent / "variant.json").read_text())
    assert record["steps"][0]["name"] == "zipmap"
    assert original.read_bytes() == before
    # Inspection sees the model and not its variants.
    listed = project.json("inspect", "models", expect=1)["models"]
    assert [item["name"] for item in listed] == ["wine"]
    again = optimized(project, "--fix")
    assert again["variants"] == model["variants"]
    assert {path.name for path in (project.models / ".variants").iterdir()} == {"wine"}


def test_labels_as_indices(project: Project) -> None:
    project.add("wine/model.onnx", faulty.zipmap(texts=True, ml=3))
    model = optimized(project, "--fix", "--labels", "indices")
    assert steps(model)["label_indices"]
    fixed = onnx.load(project.models / variant(model, "fixed")["path"])
    assert fixed.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.INT64


@pytest.mark.smoke
def test_quantised_under_the_gate(digits: Project) -> None:
    model = optimized(digits, "--quantize", "--data", "samples.npz", "--budget", "6")
    assert {item["name"] for item in model["variants"]} == {"int8-dynamic", "int8-static"}
    for found in model["variants"]:
        accuracy = found["accuracy"]
        assert (accuracy["metric"], accuracy["basis"]) == ("top1", "the labels")
        assert accuracy["accepted"]
        assert found["speedup"]["low"] <= found["speedup"]["value"] <= found["speedup"]["high"]
        assert found["verdict"] in {"accepted", "slower", "no_gain"}
        assert (found["path"] is not None) == (found["verdict"] != "slower")
    dynamic = variant(model, "int8-dynamic")
    assert dynamic["rows_equal"] is False
    assert "rows change with their neighbours" in dynamic["reason"]
    assert variant(model, "int8-static")["rows_equal"] is True


@pytest.mark.smoke
def test_the_gate_is_not_met(digits: Project) -> None:
    """Not a bit of the original's outputs may change: no 8-bit variant does that."""
    np.savez(digits.folder / "bare.npz", x=trained.digits().test[:60])
    options = ("--quantize", "--data", "bare.npz", "--metric", "mse", "--budget", "3")
    model = optimized(digits, *options, expect=4)
    assert {item["verdict"] for item in model["variants"]} == {"refused"}
    assert all(item["path"] is None for item in model["variants"])
    # Beside an original without error any error is a loss without bound: no number of JSON.
    assert {item["accuracy"]["drop"] for item in model["variants"]} == {None}
    assert model["chosen"] is None
    assert "TG230" in codes(model)
    # The verdicts are remembered for the report; no file is kept that could be served.
    kept = {path.name for path in (digits.models / ".variants" / "mlp").rglob("*.*")}
    assert kept == {"refused.json"}
    digits.run("report", "models", "-o", "r.html")
    assert "refused: mse" in (digits.folder / "r.html").read_text()


def test_without_samples_nothing_is_chosen(digits: Project) -> None:
    model = optimized(digits, "--quantize", "--budget", "3")
    assert model["chosen"] is None
    assert "TG222" in codes(model)
    for found in model["variants"]:
        assert found["verdict"] == "ungated"
        assert found["accuracy"]["metric"] == "cosine"
        assert not found["accuracy"]["accepted"]


def test_the_users_own_metric_and_samples(digits: Project) -> None:
    digits.write(
        "models/mine.py",
        "import numpy as np\n"
        "def samples():\n"
        "    held = np.load(__file__.replace('models/mine.py', 'samples.npz'))\n"
        "    return {'x': held['x'], 'digit': held['labels']}\n"
        "def right(outputs, labels):\n"
        "    print('user code may print')\n"
        "    return float(np.mean(outputs['scores'].argmax(1) == labels))\n",
    )
    digits.write(
        "models/tritongen.yaml",
        "models:\n  mlp:\n    accuracy:\n"
        "      {data: 'mine:samples', callable: 'mine:right', labels: digit, max_drop: 0.05}\n",
    )
    model = optimized(digits, "--quantize", "--budget", "3")
    accuracy = variant(model, "int8-static")["accuracy"]
    assert (accuracy["metric"], accuracy["threshold"]) == ("callable", 0.05)
    assert accuracy["original"] > 0.8


BAD_METRICS = {
    "raises": ("raise ZeroDivisionError('no')", "TG223", "raised ZeroDivisionError"),
    "no_number": ("return 'good'", "TG223", "raised ValueError"),
}


@pytest.mark.parametrize("case", BAD_METRICS)
def test_a_metric_that_fails(digits: Project, case: str) -> None:
    body, code, words = BAD_METRICS[case]
    digits.write("models/bad.py", f"def metric(outputs, labels):\n    {body}\n")
    digits.write("models/tritongen.yaml", "models: {mlp: {accuracy: {callable: 'bad:metric'}}}\n")
    problem = digits.error("optimize", "models", "--quantize", "--data", "samples.npz", expect=2)
    assert problem["code"] == code
    assert words in problem["message"]
    assert not (digits.models / ".variants").exists()


BAD_SAMPLES = {
    "names": ({"y": np.zeros((4, 64))}, "TG221", "there is no array for the input 'x'"),
    "types": ({"x": np.array([["a"] * 64] * 4)}, "TG221", "its type is <U1"),
    "shapes": ({"x": np.zeros((4, 65))}, "TG221", "not [samples, 64]"),
    "none": ({"x": np.zeros((0, 64))}, "TG221", "there are no samples"),
    "labels": (
        {"x": np.zeros((4, 64)), "labels": np.zeros((4, 2))},
        "TG224",
        "labels must be [4]",
    ),
}


@pytest.mark.parametrize("case", BAD_SAMPLES)
def test_samples_that_do_not_fit(digits: Project, case: str) -> None:
    arrays, code, words = BAD_SAMPLES[case]
    np.savez(digits.folder / "bad.npz", **arrays)
    before = tree(digits.models)
    options = ("--quantize", "--data", "bad.npz", "--metric", "top1")
    problem = digits.error("optimize", "models", *options, expect=2)
    assert problem["code"] == code
    assert words in "\n".join([problem["message"], *problem["details"]])
    assert tree(digits.models) == before


@pytest.mark.parametrize("path", ["nowhere.npz", "models", "models/mlp/model.onnx"])
def test_samples_that_cannot_be_read(digits: Project, path: str) -> None:
    problem = digits.error("optimize", "models", "--quantize", "--data", path, expect=2)
    assert problem["code"] == "TG220"


@pytest.mark.parametrize(
    "arguments", [("--max-drop", "2"), ("--max-drop", "x"), ("--isa", "mmx"), ("-m", "nobody")]
)
def test_bad_arguments(digits: Project, arguments: tuple[str, ...]) -> None:
    problem = digits.error("optimize", "models", *arguments, expect=2)
    assert problem["code"] in {"TG009", "TG306"}


def test_a_full_disk_leaves_nothing_half_done(project: Project) -> None:
    original = project.add("net/model.onnx", trained.cnn(batch=1))
    before = original.read_bytes()
    full = project.limited(len(before) // 2)
    problem = full.error("optimize", "models", "--fix", expect=3)
    assert problem["code"] == "TG005"
    assert original.read_bytes() == before
    assert not (project.models / ".variants").exists()


def test_a_failed_run_keeps_the_older_variant(project: Project) -> None:
    project.add("net/model.onnx", trained.cnn(batch=1))
    optimized(project, "--fix")
    before = tree(project.models)
    project.limited(8192).error("optimize", "models", "--fix", expect=3)
    assert tree(project.models) == before


def test_a_models_folder_that_cannot_be_written(project: Project) -> None:
    project.add("net/model.onnx", faulty.zipmap())
    project.models.chmod(0o555)
    try:
        problem = project.powerless().error("optimize", "models", "--fix", expect=3)
    finally:
        project.models.chmod(0o755)
    assert problem["code"] == "TG004"


def test_a_fixed_batch_axis_is_freed_and_the_result_quantised(project: Project) -> None:
    project.add("net/model.onnx", trained.cnn(batch=1))
    samples = trained.save_samples(project.folder / "s.npz", "x", (1, 8, 8), rows=90)
    options = ("--fix", "--quantize", "--data", str(samples), "--budget", "6")
    model = optimized(project, *options)
    assert steps(model)["free_batch"]
    found = variant(model, "int8-static")
    assert found["accuracy"]["accepted"]
    assert {item["batch"] for item in found["speedups"]} == {1, 8}
    recorded = project.models / ".variants" / "net" / "int8-static" / "variant.json"
    if found["path"] is not None:
        names = [step["name"] for step in json.loads(recorded.read_text())["steps"]]
        assert names == ["free_batch", "int8-static"]


def test_operators_are_left_out_until_the_gate_holds(project: Project) -> None:
    """One layer takes inputs of wildly different size: in 8 bits it is lost, and left in float."""
    nodes = [
        faulty.node("MatMul", "x w0", "h", name="harmless"),
        faulty.node("Relu", "h", "r"),
        faulty.node("Mul", "r big", "b"),
        faulty.node("MatMul", "b w1", "m", name="lossy"),
        faulty.node("MatMul", "r w2", "n", name="fine"),
        faulty.node("Add", "m n", "y"),
    ]
    scale = np.ones((1, 8), np.float32)
    scale[0, 0] = 5000.0
    kernel = np.random.default_rng(2).normal(0, 1, (8, 3)).astype(np.float32)
    kernel[0] = 0.0
    held = [
        faulty.weights("w0", 4, 8),
        faulty.constant("big", scale, "float32"),
        faulty.constant("w1", kernel, "float32"),
        faulty.weights("w2", 8, 3, seed=3),
    ]
    proto = faulty.model(
        nodes, [faulty.tensor("x", ["n", 4])], [faulty.tensor("y", ["n", 3])], held
    )
    project.add("net/model.onnx", proto)
    rows = np.random.default_rng(4).normal(0, 1, (60, 4)).astype(np.float32)
    np.savez(project.folder / "s.npz", x=rows)
    options = ("--quantize", "--data", "s.npz", "--metric", "cosine", "--max-drop", "0.01")
    found = variant(optimized(project, *options, "--budget", "20"), "int8-static")
    assert found["accuracy"]["accepted"]
    assert found["recipe"]["left in float"]
    assert found["recipe"]["quantised"] != "0 of 3 operators"


def test_half_precision_for_a_gpu_is_not_measured_here(project: Project) -> None:
    project.add("net/model.onnx", trained.cnn())
    samples = trained.save_samples(project.folder / "s.npz", "x", (1, 8, 8), rows=60)
    project.write("models/tritongen.yaml", "target: {gpus: 1}\n")
    model = optimized(project, "--quantize", "--data", str(samples), "--budget", "3")
    found = variant(model, "fp16")
    assert found["verdict"] == "not_measured"
    assert found["accuracy"]["accepted"]
    assert found["speedup"] is None
    assert model["chosen"] != "fp16"
    (step,) = [item for item in model["steps"] if item["name"] == "tensorrt-fp16"]
    assert "not run here" in step["reason"]
    project.write(
        "models/tritongen.yaml",
        "target: {gpus: 1}\nmodels: {net: {overlay: " + json.dumps(step["overlay"]) + "}}\n",
    )
    project.run("build", "models", "--dry-run", "--no-trial")


def test_dynamic_scales_are_offered_fixed_ones(project: Project) -> None:
    """A model whose rows change with their neighbours gets a variant whose rows do not."""
    from support.trial_models import dynamically_quantised

    project.add("net/model.onnx", dynamically_quantised())
    rows = np.random.default_rng(4).normal(0, 1, (60, 6)).astype(np.float32)
    np.savez(project.folder / "s.npz", x=rows)
    model = optimized(project, "--quantize", "--data", "s.npz", "--budget", "3")
    (found,) = model["variants"]
    assert found["name"] == "int8-fixed-scales"
    assert found["accuracy"]["accepted"]
    if found["path"] is not None:
        types = {node.op_type for node in onnx.load(project.models / found["path"]).graph.node}
        assert "DynamicQuantizeLinear" not in types


def test_the_graph_offline(digits: Project) -> None:
    model = optimized(digits, "--graph")
    (step,) = [item for item in model["steps"] if item["kind"] == "graph"]
    assert step["proof"]["max_abs_diff"] <= step["proof"]["tolerance"]
    assert "loading" in step["reason"]


@pytest.mark.parametrize(
    "wish", [("--graph",), ("--quantize", "--data", "samples.npz", "--budget", "3")]
)
def test_weights_beside_the_model(digits: Project, wish: tuple[str, ...]) -> None:
    """As PyTorch's exporter lays them by default."""
    path = digits.models / "mlp" / "model.onnx"
    onnx.save(
        trained.mlp(), path, save_as_external_data=True, location="w.data", size_threshold=0
    )  # fmt: skip
    assert path.with_name("w.data").stat().st_size > path.stat().st_size
    model = optimized(digits, *wish)
    assert not codes(model) & {"TG210", "TG212", "TG213", "TG231"}
    assert wish[0].removeprefix("--") in {step["kind"] for step in model["steps"]}


@pytest.mark.parametrize("branches", [1, 6])
def test_operators_side_by_side(project: Project, branches: int) -> None:
    """A chain is told by its form; a wide graph is measured, whatever comes out here."""
    names = [f"b{index}" for index in range(branches)]
    nodes = [
        *(faulty.node("MatMul", f"x w{name}", name) for name in names),
        faulty.node("Sum", " ".join(names), "y"),
    ]
    held = [faulty.weights(f"w{name}", 256, 256) for name in names]
    inputs, outputs = [faulty.tensor("x", ["n", 256])], [faulty.tensor("y", ["n", 256])]
    project.add("net/model.onnx", faulty.model(nodes, inputs, outputs, held))
    project.write("models/tritongen.yaml", "target: {cpus: 2}\n")
    model = optimized(project)
    (step,) = [item for item in model["steps"] if item["name"] == "inter_op"]
    if branches == 1:
        assert "a chain, which inter-op threads cannot speed up" in step["reason"]
    else:
        assert "two side by side with 1 threads each" in step["reason"]
        assert "×" in step["reason"]


def test_other_formats_are_left_alone(project: Project) -> None:
    project.write("models/py/model.py", "class TritonPythonModel: pass\n")
    model = optimized(project, "--fix")
    assert model["steps"] == []
    assert codes(model) == {"TG211"}


def test_nothing_to_quantise(project: Project) -> None:
    nodes = [faulty.node("Relu", "x", "y")]
    inputs, outputs = [faulty.tensor("x", ["n", 4])], [faulty.tensor("y", ["n", 4])]
    project.add("net/model.onnx", faulty.model(nodes, inputs, outputs))
    model = optimized(project, "--quantize")
    assert "TG231" in codes(model)
    assert model["variants"] == []


def test_a_model_that_never_ends(project: Project) -> None:
    project.add("net/model.onnx", endless())
    model = optimized(project, "--fix", "--quantize", "--timeout", "3")
    assert {"TG214", "TG212"} <= codes(model)
    assert model["variants"] == []


def test_too_little_memory(project: Project) -> None:
    project.add("net/model.onnx", faulty.zipmap())
    model = optimized(project, "--fix", "--memory", "0.02")
    assert "TG215" in codes(model)


def test_what_a_person_reads(digits: Project) -> None:
    ran = digits.run("optimize", "models", "--quantize", "--data", "samples.npz", "--budget", "3")
    assert "int8-static" in ran.out
    assert "serve: " in ran.out
    assert "top1 0.9" in ran.out


def test_two_runs_at_once(digits: Project) -> None:
    from tritongen.system.user_cache import folder_lock

    with folder_lock(digits.models, "a test"):
        problem = digits.error("optimize", "models", expect=3)
    assert problem["code"] == "TG008"


def test_samples_in_a_folder(digits: Project) -> None:
    folder = digits.folder / "arrays"
    folder.mkdir()
    np.save(folder / "x.npy", trained.digits().test[:60])
    np.save(folder / "labels.npy", trained.digits().test_labels[:60])
    model = optimized(digits, "--quantize", "--data", "arrays", "--budget", "3")
    assert variant(model, "int8-static")["accuracy"]["rows"] == 40
