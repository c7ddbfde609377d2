"""What stands against serving a model, told with its name and its cure."""

import pytest

from tritongen.formats import validate
from tritongen.model.facts import FileRef, ModelFacts, ModelFormat, ModelVersion, OnnxFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.releases import find
from tritongen.model.tensors import DType, Shape, TensorKind, TensorSpec


def tensor(
    name: str = "x", dtype: DType | None = DType.FP32, shape: Shape | None = (None, 3)
) -> TensorSpec:
    return TensorSpec(name, dtype, shape, declared_type="FLOAT" if dtype else "COMPLEX64")


X, Y = tensor("x"), tensor("y")


def model(
    inputs=(X,),
    outputs=(Y,),
    *,
    ir=8,
    opsets=(("ai.onnx", 17),),
    custom=(),
    size=100,
) -> ModelFacts:
    return ModelFacts(
        name="ocr",
        path="ocr.onnx",
        format=ModelFormat.ONNX,
        versions=(ModelVersion(1, (FileRef("ocr.onnx", "model.onnx", size),)),),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        onnx=OnnxFacts(ir, opsets, custom_domains=custom),
    )


def check(facts: ModelFacts, tag: str = "26.07", **options) -> list[Finding]:
    found = list(validate(facts, find(tag), **options))
    assert all(item.model == "ocr" and item.fix for item in found)
    return found


def only(facts: ModelFacts, tag: str = "26.07", **options) -> tuple[str, str, str, str]:
    (item,) = check(facts, tag, **options)
    return item.code, str(item.severity), item.message, item.location.field


def test_a_plain_model_has_nothing_against_it():
    assert check(model()) == []


@pytest.mark.parametrize(
    ("kind", "text", "code", "cure"),
    [
        (TensorKind.SEQUENCE, "seq(map(int64,float))", "TG110", "zipmap"),
        (TensorKind.SEQUENCE, "seq(tensor(float))", "TG110", "optimize --fix"),
        (TensorKind.MAP, "map(string,float)", "TG110", "optimize --fix"),
        (TensorKind.OPAQUE, "opaque(a,b)", "TG110", "optimize --fix"),
        (TensorKind.OPTIONAL, "optional(tensor(float))", "TG111", "always present"),
        (TensorKind.SPARSE, "sparse_tensor(float)", "TG112", "dense"),
    ],
)
def test_what_is_no_tensor(kind, text, code, cure):
    spec = TensorSpec("probabilities", None, None, kind, text)
    (item,) = check(model(outputs=[tensor("label"), spec]))
    assert (item.code, item.severity) == (code, Severity.ERROR)
    assert item.message == f"output 'probabilities' is {text}; Triton serves tensors only"
    assert item.location.field == "probabilities"
    assert cure in item.fix


def test_a_type_that_triton_has_no_name_for():
    assert only(model(inputs=[tensor("x", None)])) == (
        "TG113",
        "error",
        "input 'x' is COMPLEX64, which Triton has no name for",
        "x",
    )


def test_no_type_at_all():
    code, severity, message, _ = only(model(outputs=[TensorSpec("y", None, (None,))]))
    assert (code, severity, message) == ("TG113", "error", "output 'y' declares no element type")


@pytest.mark.parametrize(
    ("tag", "served"), [("24.04", False), ("26.02", False), ("26.03", True), ("26.11", True)]
)
def test_bf16_depends_on_the_release(tag, served):
    facts = model(inputs=[tensor("x", DType.BF16)])
    if served:
        assert check(facts, tag) == []
        return
    (item,) = check(facts, tag)
    assert (item.code, item.severity, item.location.field) == ("TG114", Severity.ERROR, "x")
    assert tag in item.message
    assert "26.03" in item.fix


def test_scalars_are_explained():
    code, severity, message, field = only(model(inputs=[tensor("x"), tensor("n", shape=())]))
    assert (code, severity, message, field) == ("TG115", "info", "input 'n' is a scalar", "n")


def test_an_undeclared_shape_is_a_warning():
    code, severity, message, field = only(model(outputs=[tensor("y", shape=None)]))
    assert (code, severity, field) == ("TG121", "warning", "y")
    assert "scalar" in message


def test_a_size_of_zero():
    code, severity, message, _ = only(model(inputs=[tensor("x", shape=(None, 0))]))
    assert (code, severity) == ("TG128", "error")
    assert "[?, 0]" in message


@pytest.mark.parametrize(
    "name", ["x", "input:0", "a/b", "a b", "a.b", "größe", "日本", 'say "hi"', "a\\b", "x" * 70_000]
)
def test_names_that_a_server_was_seen_to_take(name):
    assert check(model(inputs=[tensor(name)])) == []


@pytest.mark.parametrize(
    ("inputs", "severity", "message"),
    [
        ([tensor("")], "error", "an input has no name"),
        ([tensor("a\0b")], "error", "input 'a\\x00b': Triton cuts a name at its NUL character"),
        ([tensor("x"), tensor("x")], "error", "2 inputs have the name 'x'"),
        (
            [tensor("a\nb")],
            "warning",
            "input 'a\\nb' has invisible characters; clients must spell them exactly",
        ),
    ],
)
def test_names_that_cannot_be_served(inputs, severity, message):
    assert only(model(inputs=inputs))[:3] == ("TG116", severity, message)


def test_an_input_may_be_an_output():
    assert check(model(inputs=[tensor("x")], outputs=[tensor("x"), tensor("y")])) == []


def test_no_inputs_and_no_outputs():
    assert only(model(outputs=[]))[:2] == ("TG120", "error")
    assert only(model(inputs=[]))[:2] == ("TG120", "warning")


def test_a_fixed_first_axis_names_who_fixes_it():
    fixed = [tensor("a", shape=(1, 3)), tensor("b", shape=("n", 3)), tensor("c", shape=(2,))]
    code, severity, message, field = only(model(inputs=fixed))
    assert (code, severity, field) == ("TG122", "info", "a")
    assert "'a', 'c'" in message


@pytest.mark.parametrize(
    ("ir", "tag", "newer"),
    [(9, "24.04", None), (10, "24.04", "24.05"), (11, "25.07", "25.08"), (13, "26.01", "26.02")],
)
def test_the_ir_version_against_the_release(ir, tag, newer):
    found = check(model(ir=ir), tag)
    if newer is None:
        assert found == []
        return
    (item,) = found
    assert (item.code, item.severity) == ("TG117", Severity.ERROR)
    assert f"IR version {ir}" in item.message
    assert find(tag).onnxruntime in item.message
    assert f"target.triton to {newer} or later" in item.fix


@pytest.mark.parametrize(
    ("domain", "version", "tag", "newer"),
    [
        ("ai.onnx", 21, "24.04", "24.05"),
        ("ai.onnx", 22, "25.02", "25.03"),
        ("ai.onnx", 26, "26.06", "26.07"),
        ("ai.onnx.ml", 5, "24.04", "24.05"),
    ],
)
def test_the_opset_against_the_release(domain, version, tag, newer):
    (item,) = check(model(opsets=((domain, version),)), tag)
    assert (item.code, item.severity) == ("TG118", Severity.ERROR)
    assert item.message.startswith(f"opset {version} of {domain}: ")
    assert f"target.triton to {newer} or later" in item.fix


def test_versions_that_no_known_release_reads():
    codes = {item.code: item for item in check(model(ir=99, opsets=(("ai.onnx", 99),)))}
    assert set(codes) == {"TG117", "TG127"}
    assert all("no release known here" in item.fix for item in codes.values())
    assert only(model(opsets=(("ai.onnx", 17), ("com.microsoft", 2))))[0] == "TG127"


def test_an_opset_that_the_runtime_no_longer_supports():
    assert only(model(opsets=(("ai.onnx", 6),)))[:2] == ("TG132", "warning")


def test_custom_operators_need_a_library():
    facts = model(custom=("acme",))
    code, severity, message, _ = only(facts)
    assert (code, severity) == ("TG119", "error")
    assert "acme" in message
    assert only(facts, library=True)[:2] == ("TG119", "info")


@pytest.mark.parametrize(("size", "served"), [((1 << 31) - 1, True), (1 << 31, False)])
def test_protobufs_limit(size, served):
    found = check(model(size=size))
    assert [item.code for item in found] == ([] if served else ["TG123"])
