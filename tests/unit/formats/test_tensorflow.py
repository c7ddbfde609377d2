"""SavedModels and graphs, read without TensorFlow."""

import pytest

from support import format_models as make
from tritongen.formats import inspect_folder
from tritongen.model.findings import Severity
from tritongen.model.intent import DeclaredTensor, Intent, ModelIntent
from tritongen.model.releases import find
from tritongen.model.tensors import DType, TensorKind

OLD = find("25.02")


def facts_of(folder, intent=None, release=OLD):
    (facts,) = inspect_folder(folder, release, intent=intent).models
    return facts


def codes(facts, severity=Severity.ERROR):
    return [item.code for item in facts.findings if item.severity is severity]


def test_the_signature(tmp_path):
    make.saved_model(
        tmp_path / "m" / "model.savedmodel",
        {"b": make.tensor_info(1, [-1, 4]), "a": make.tensor_info(7, [-1])},
        {"y": make.tensor_info(9, [-1, 2])},
        variables=4096,
    )
    facts = facts_of(tmp_path)
    assert [(spec.name, spec.dtype, spec.shape) for spec in facts.inputs] == [
        ("a", DType.BYTES, (None,)),
        ("b", DType.FP32, (None, 4)),
    ]
    assert [(spec.name, spec.dtype) for spec in facts.outputs] == [("y", DType.INT64)]
    assert (facts.weight_bytes, facts.producer) == (4096, "TensorFlow 2.15.0")
    assert [ref.target for ref in facts.versions[0].files] == [
        "model.savedmodel/saved_model.pb",
        "model.savedmodel/variables/variables.data-00000-of-00001",
        "model.savedmodel/variables/variables.index",
    ]
    assert codes(facts) == []


def test_images_without_the_backend_say_until_when(tmp_path):
    make.saved_model(
        tmp_path / "m", {"x": make.tensor_info(1, [-1])}, {"y": make.tensor_info(1, [-1])}
    )
    facts = facts_of(tmp_path, release=find("26.07"))
    assert codes(facts) == ["TG136"]
    assert "25.02" in facts.findings[-1].message


def test_an_unknown_rank_can_be_declared(tmp_path):
    make.saved_model(
        tmp_path / "m", {"x": make.tensor_info(1, None)}, {"y": make.tensor_info(1, [-1, 1])}
    )
    assert codes(facts_of(tmp_path)) == ["TG121"]
    declared = ModelIntent(inputs={"x": DeclaredTensor("x", dims=(-1, 8))})
    facts = facts_of(tmp_path, Intent(models={"m": declared}))
    assert (facts.inputs[0].shape, codes(facts)) == ((None, 8), [])


def test_a_declaration_that_contradicts_the_signature(tmp_path):
    make.saved_model(
        tmp_path / "m", {"x": make.tensor_info(1, [-1, 4])}, {"y": make.tensor_info(1, [-1])}
    )
    for wrong in (DeclaredTensor("x", DType.INT64), DeclaredTensor("x", dims=(-1, 5))):
        facts = facts_of(tmp_path, Intent(models={"m": ModelIntent(inputs={"x": wrong})}))
        assert codes(facts) == ["TG135"]


def test_other_signatures_and_tags(tmp_path):
    make.saved_model(
        tmp_path / "m",
        {"x": make.tensor_info(1, [1])},
        {"y": make.tensor_info(1, [1])},
        tag="train",
        signature="predict",
    )
    facts = facts_of(tmp_path)
    assert "TG120" in codes(facts)
    assert codes(facts, Severity.WARNING) == ["TG133"]


def test_types_that_are_no_tensors(tmp_path):
    sparse = make.field(4, b"") + make.field(2, 1)
    make.saved_model(tmp_path / "m", {"x": sparse}, {"y": make.tensor_info(8, [1])})
    facts = facts_of(tmp_path)
    assert facts.inputs[0].kind is TensorKind.SPARSE
    assert codes(facts) == ["TG112", "TG113"]


def test_a_graph_names_inputs_and_what_nothing_reads(tmp_path):
    graph = (
        make.node("x", "Placeholder", dtype=1, dims=(-1, 4))
        + make.node("w", "Const", dtype=1)
        + make.node("product", "MatMul", "x", "w:0")
        + make.node("y", "Relu", "product", "^w")
    )
    (tmp_path / "m.graphdef").write_bytes(graph)
    facts = facts_of(tmp_path, Intent())
    assert [(spec.name, spec.dtype, spec.shape) for spec in facts.inputs] == [
        ("x", DType.FP32, (None, 4))
    ]
    assert [spec.name for spec in facts.outputs] == ["y"]
    assert (facts.graph.operators, facts.graph.critical_path) == (2, 2)
    assert codes(facts) == ["TG133"]
    declared = ModelIntent(outputs={"y": DeclaredTensor("y", DType.FP32, (-1, 2))})
    assert codes(facts_of(tmp_path, Intent(models={"m": declared}))) == []


@pytest.mark.parametrize("content", [b"", b"\x12\xff\xff\xff\xff\x7f", b"\x08\x01"])
def test_damage_is_told(tmp_path, content):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "saved_model.pb").write_bytes(content)
    assert codes(facts_of(tmp_path)) == ["TG102"]
