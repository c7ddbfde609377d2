"""TorchScript archives, pickled weights and AOT Inductor packages, read without torch."""

import json
import zipfile

import pytest

from support import format_models as make
from tritongen.formats import inspect_folder
from tritongen.model.findings import Severity
from tritongen.model.intent import DeclaredTensor, Intent, ModelIntent
from tritongen.model.releases import find
from tritongen.model.tensors import DType

RELEASE = find("26.07")


def facts_of(folder, intent=None):
    (facts,) = inspect_folder(folder, RELEASE, intent=intent).models
    return facts


def codes(facts, severity=Severity.ERROR):
    return [item.code for item in facts.findings if item.severity is severity]


def test_a_scripted_module_says_its_arguments_and_weights(tmp_path):
    make.torch_linear(tmp_path / "m" / "model.pt")
    facts = facts_of(tmp_path, Intent())
    assert [spec.name for spec in facts.inputs] == ["x"]
    assert [spec.name for spec in facts.outputs] == ["OUTPUT__0"]
    assert facts.inputs[0].dtype is None
    assert facts.torch.weights[0] == ("first.weight", "FP32", (8, 6))
    assert (facts.parameters, facts.weight_bytes) == (83, 332)
    assert facts.precisions == (("FP32", 83),)
    assert codes(facts) == []
    assert codes(facts, Severity.INFO) == ["TG133"]


def test_a_traced_module_keeps_types_and_ranks(tmp_path):
    make.torch_image(tmp_path / "m.pt")
    facts = facts_of(tmp_path)
    assert (facts.inputs[0].name, facts.inputs[0].dtype) == ("image", DType.FP32)
    assert facts.inputs[0].shape == (None,) * 4
    assert facts.torch.examples == ((1, 3, 8, 8),)
    assert [spec.name for spec in facts.outputs] == ["OUTPUT__0", "OUTPUT__1"]


def test_the_users_declaration_completes_it(tmp_path):
    make.torch_linear(tmp_path / "m.pt")
    declared = ModelIntent(
        inputs={"INPUT__0": DeclaredTensor("INPUT__0", DType.FP32, (-1, 6))},
        outputs={"scores__0": DeclaredTensor("scores__0", DType.FP32, (-1, 3))},
    )
    facts = facts_of(tmp_path, Intent(models={"m": declared}))
    assert [(spec.name, spec.shape) for spec in facts.inputs] == [("INPUT__0", (None, 6))]
    assert [(spec.name, spec.shape) for spec in facts.outputs] == [("scores__0", (None, 3))]
    assert facts.findings == ()


def test_numbers_beyond_the_arguments_are_told(tmp_path):
    make.torch_linear(tmp_path / "m.pt")
    declared = ModelIntent(inputs={"INPUT__3": DeclaredTensor("INPUT__3", DType.FP32, (-1, 6))})
    facts = facts_of(tmp_path, Intent(models={"m": declared}))
    assert facts.inputs[0].name == "x" or "TG137" in codes(facts)


@pytest.mark.parametrize("dtype", [DType.UINT16, DType.BF16])
def test_types_that_the_backend_refuses(tmp_path, dtype):
    make.torch_linear(tmp_path / "m.pt")
    declared = ModelIntent(inputs={"x": DeclaredTensor("x", dtype, (-1, 6))})
    assert "TG114" in codes(facts_of(tmp_path, Intent(models={"m": declared})))


def test_arguments_and_results_that_cannot_be_passed(tmp_path):
    make.torch_refused(tmp_path / "m.pt")
    messages = [item.message for item in facts_of(tmp_path).findings if item.code == "TG142"]
    assert any("'scale'" in text and "float" in text for text in messages)
    assert any("Dict[str, Tensor]" in text for text in messages)


def test_weights_alone_are_refused_with_the_way_out(tmp_path):
    make.torch_weights(tmp_path / "m.pt")
    facts = facts_of(tmp_path)
    assert codes(facts) == ["TG129"]
    assert facts.parameters == 21
    assert "torch.onnx.export" in facts.findings[0].fix


def repacked(source, target, change):
    """An archive whose entries went through `change(name, data)`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            for changed, data in change(name, old.read(name)):
                new.writestr(changed, data)
    return target


def test_a_pickle_that_calls_something_else_is_never_called(tmp_path):
    made = b"\x80\x02c__torch__\nNet\n)\x81}(X\x01\x00\x00\x00a"
    evil = made + b"cos\nsystem\nX\x02\x00\x00\x00id\x85Rub."
    source = make.torch_linear(tmp_path / "source.pt")

    def change(name, data):
        yield name, evil if name.endswith("data.pkl") else data

    repacked(source, tmp_path / "models" / "m.pt", change)
    facts = facts_of(tmp_path / "models")
    assert not facts.servable
    assert any(item.code in {"TG138", "TG102"} for item in facts.findings)


def test_foreign_names_in_a_sound_pickle_are_told(tmp_path):
    source = make.torch_linear(tmp_path / "source.pt")

    def change(name, data):
        if name.endswith("constants.pkl"):
            data = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R\x85."
        yield name, data

    repacked(source, tmp_path / "models" / "m.pt", change)
    facts = facts_of(tmp_path / "models")
    (fault,) = [item for item in facts.findings if item.code == "TG138"]
    assert "os.system" in fault.message


def test_paths_that_leave_the_archive_and_bombs_are_told(tmp_path):
    source = make.torch_linear(tmp_path / "source.pt")

    def change(name, data):
        yield name, data
        if name.endswith("version"):
            yield "../../etc/passwd", b"x"

    repacked(source, tmp_path / "models" / "m.pt", change)
    assert "TG138" in codes(facts_of(tmp_path / "models"))


@pytest.mark.parametrize(
    "type_", ["-" * 2000 + "1", "a" + ".a" * 2000], ids=["signs", "attributes"]
)
def test_types_that_are_nested_without_end_are_told(tmp_path, type_):
    source = make.torch_linear(tmp_path / "source.pt")

    def change(name, data):
        if "/code/" in name:
            data = data.replace(b"x: Tensor", f"x: {type_}".encode())
        yield name, data

    repacked(source, tmp_path / "models" / "m.pt", change)
    assert codes(facts_of(tmp_path / "models")) == ["TG102"]


def test_a_deflated_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", b"\0" * (96 << 20))
        archive.writestr("m/constants.pkl", b"\x80\x02).")
        archive.writestr("m/code/__torch__.py", b"")
    facts = facts_of(tmp_path)
    assert codes(facts) == ["TG102"]


def test_an_exported_program_that_is_not_compiled_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/models/model.json", "{}")
    facts = facts_of(tmp_path)
    assert codes(facts) == ["TG105"]
    assert "aoti_compile_and_package" in facts.findings[0].fix


def test_a_compiled_package_says_types_sizes_and_names(tmp_path):
    (tmp_path / "m.pt2").write_bytes(make.aoti_package())
    facts = facts_of(tmp_path)
    assert [(spec.name, spec.dtype, spec.shape) for spec in facts.inputs] == [
        ("ARGS[0]", DType.FP32, (None, 6)),
        ("KWARGS[mask]", DType.INT64, (4,)),
    ]
    assert [spec.name for spec in facts.outputs] == ["RESULT"]
    assert facts.producer == "cpu x86_64"
    (old,) = inspect_folder(tmp_path, find("25.12")).models
    assert codes(old) == ["TG136"]


@pytest.mark.parametrize(
    "specification",
    [
        {"type": "builtins.tuple", "children_spec": 2},
        {"children_spec": [{"type": "builtins.tuple", "children_spec": "ab"}, {"type": "a"}]},
        {"type": "builtins.dict", "context": "[" * 100_000, "children_spec": [{}, {}]},
    ],
)
def test_a_package_whose_call_has_no_form_is_no_traceback(tmp_path, specification):
    text = json.dumps([1, specification])
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/data/aotinductor/model/a.wrapper.so", b"\x7fELF")
        source = f'in_spec_ = R"({text})";\nout_spec_ = R"({text})";\n'
        archive.writestr("m/data/aotinductor/model/a.wrapper.cpp", source)
    assert codes(facts_of(tmp_path)) == []
