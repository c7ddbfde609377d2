"""From a folder to facts and findings, in one go."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from support import onnx_models
from support.onnx_models import value
from support.optimize import faulty
from tritongen.errors import InvalidInputError
from tritongen.formats import inspect_folder
from tritongen.model.facts import FileRef, ModelFacts
from tritongen.model.findings import Severity
from tritongen.model.releases import find
from tritongen.model.tensors import DType, TensorKind

RELEASE = find("26.07")
MODEL = onnx_models.relu().SerializeToString()
ZIPMAP = faulty.zipmap().SerializeToString()
PICKLE = b"\x80\x04."


def single(root: Path, **options) -> ModelFacts:
    (facts,) = inspect_folder(root, RELEASE, **options).models
    return facts


def codes(facts: ModelFacts) -> list[str]:
    return [item.code for item in facts.findings]


def test_a_real_classifier_with_zipmap_is_refused_and_without_it_is_not(tmp_path):
    rows, labels = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)
    classifier = LogisticRegression(max_iter=500).fit(rows, labels)
    onnx_models.save(to_onnx(classifier, rows[:1]), tmp_path / "zipmap.onnx")
    plain = to_onnx(classifier, rows[:1], options={"zipmap": False})
    onnx_models.save(plain, tmp_path / "plain.onnx")
    good, bad = inspect_folder(tmp_path, RELEASE).models
    assert (good.name, good.servable) == ("plain", True)
    assert [(spec.name, spec.dtype, spec.rank) for spec in good.outputs] == [
        ("label", DType.INT64, 1),
        ("probabilities", DType.FP32, 2),
    ]
    assert good.parameters >= 15
    assert (bad.name, bad.servable) == ("zipmap", False)
    assert bad.outputs[1].kind is TensorKind.SEQUENCE
    assert bad.outputs[1].declared_type == "seq(map(int64,float))"
    assert codes(bad) == ["TG110"]
    assert bad.findings[0].location.field == bad.outputs[1].name
    assert "zipmap" in bad.findings[0].fix


def test_files_of_every_version_under_tritons_names(tmp_path):
    weight = onnx_models.external("w", [2], "w.bin", length=8)
    onnx_models.save(onnx_models.with_weights(weight), tmp_path / "ocr" / "1" / "net.onnx")
    onnx_models.save(bytes(8), tmp_path / "ocr" / "1" / "w.bin")
    onnx_models.save(MODEL, tmp_path / "ocr" / "12" / "model.onnx")
    onnx_models.save(b"cat\n", tmp_path / "ocr" / "12" / "labels.txt")
    facts = single(tmp_path)
    assert [version.number for version in facts.versions] == [1, 12]
    first = tmp_path / "ocr" / "1" / "net.onnx"
    assert facts.versions[0].files == (
        FileRef("ocr/1/net.onnx", "model.onnx", first.stat().st_size),
        FileRef("ocr/1/w.bin", "w.bin", 8),
    )
    assert facts.versions[1].files == (FileRef("ocr/12/model.onnx", "model.onnx", len(MODEL)),)
    assert facts.servable
    assert facts.parameters == 0


def test_the_folder_form_of_onnx_is_flattened(tmp_path):
    weight = onnx_models.external("w", [2], "w.bin", length=8)
    folder = tmp_path / "ocr" / "model.onnx"
    onnx_models.save(onnx_models.with_weights(weight), folder / "model.onnx")
    onnx_models.save(bytes(8), folder / "w.bin")
    facts = single(tmp_path)
    assert [(item.source, item.target) for item in facts.versions[0].files] == [
        ("ocr/model.onnx/model.onnx", "model.onnx"),
        ("ocr/model.onnx/w.bin", "w.bin"),
    ]


def test_versions_that_one_configuration_cannot_serve(tmp_path):
    onnx_models.save(MODEL, tmp_path / "m" / "1" / "model.onnx")
    onnx_models.save(onnx_models.relu(("n", 4)), tmp_path / "m" / "2" / "model.onnx")
    onnx_models.save(onnx_models.relu(("n", 4)), tmp_path / "m" / "3" / "model.onnx")
    facts = single(tmp_path)
    assert [(item.code, item.message) for item in facts.findings] == [
        ("TG130", "version 1 has other inputs or outputs than version 3")
    ]
    assert facts.servable


def test_a_damaged_older_version_is_told_with_its_path(tmp_path):
    onnx_models.save(MODEL[:-1], tmp_path / "m" / "1" / "model.onnx")
    onnx_models.save(MODEL, tmp_path / "m" / "2" / "model.onnx")
    facts = single(tmp_path)
    assert (codes(facts), facts.findings[0].location.path) == (
        ["TG102", "TG130"],
        "m/1/model.onnx",
    )
    assert [spec.name for spec in facts.inputs] == ["x"]


def test_one_bad_model_does_not_hide_the_others(tmp_path):
    onnx_models.save(MODEL, tmp_path / "good.onnx")
    onnx_models.save(b"\x08\x08\x3a\xff\xff\xff\xff\x0f", tmp_path / "huge.onnx")
    onnx_models.save(b"", tmp_path / "nothing.onnx")
    onnx_models.save(MODEL, tmp_path / "a b.onnx")
    found = {facts.name: codes(facts) for facts in inspect_folder(tmp_path, RELEASE).models}
    assert found == {"a b": ["TG106"], "good": [], "huge": ["TG102"], "nothing": ["TG103"]}


def test_a_library_makes_custom_operators_servable(tmp_path):
    node = helper.make_node("Fold", ["x"], ["y"], domain="acme")
    message = onnx_models.model([node], [value("x")], [value("y")], domains=[("acme", 1)])
    onnx_models.save(message, tmp_path / "m.onnx")
    assert not single(tmp_path).servable
    assert single(tmp_path, libraries={"m"}).servable


def test_every_finding_names_its_model(tmp_path):
    onnx_models.save(onnx_models.relu((1, 0), opset=99), tmp_path / "m.onnx")
    found = single(tmp_path).findings
    assert len(found) >= 3
    assert {item.model for item in found} == {"m"}
    assert {item.location.path for item in found} == {"m.onnx"}


def test_no_folder_and_no_models(tmp_path):
    with pytest.raises(InvalidInputError):
        inspect_folder(tmp_path, RELEASE)
    with pytest.raises(InvalidInputError):
        inspect_folder(tmp_path / "missing", RELEASE)


def test_weights_are_never_in_memory(tmp_path):
    weights = [onnx_models.tensor(f"w{index}", [1 << 20]) for index in range(8)]
    onnx_models.save(onnx_models.with_weights(*weights), tmp_path / "m.onnx")
    del weights
    tracemalloc.start()
    facts = single(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert facts.weight_bytes == 32 << 20
    assert peak < 2 << 20


def test_the_same_folder_gives_the_same_facts(tmp_path):
    for name in ("b", "a", "c"):
        onnx_models.save(MODEL, tmp_path / f"{name}.onnx")
    assert inspect_folder(tmp_path, RELEASE) == inspect_folder(tmp_path, RELEASE)


@pytest.mark.parametrize(
    ("files", "taken", "servable", "told"),
    [
        pytest.param(
            {"rf.joblib": PICKLE, "rf.onnx": MODEL}, "rf.onnx", True,
            [("TG148", Severity.INFO, "rf.joblib")], id="a-pickle-first",
        ),
        pytest.param(
            {"rf.onnx": MODEL, "rf.pkl": PICKLE}, "rf.onnx", True,
            [("TG148", Severity.INFO, "rf.pkl")], id="a-pickle-last",
        ),
        pytest.param(
            {"rf/model.pkl": PICKLE, "rf.onnx": MODEL}, "rf.onnx", True,
            [("TG148", Severity.INFO, "rf")], id="a-folder-and-a-file",
        ),
        pytest.param(
            {"rf.onnx": b"broken", "rf/model.onnx": MODEL}, "rf", True,
            [("TG148", Severity.WARNING, "rf.onnx")], id="a-broken-one",
        ),
        pytest.param(
            {"rf.joblib": PICKLE, "rf.onnx": ZIPMAP}, "rf.onnx", False,
            [("TG148", Severity.INFO, "rf.joblib")], id="one-that-can-be-fixed",
        ),
        pytest.param(
            {"rf.joblib": PICKLE, "rf.pkl": PICKLE}, "rf.joblib", False,
            [("TG148", Severity.INFO, "rf.pkl")], id="pickles-alone",
        ),
        pytest.param(
            {"rf.onnx": MODEL, "rf/model.onnx": MODEL, "rf.pkl": PICKLE}, "rf", False,
            [("TG148", Severity.INFO, "rf.pkl"), ("TG125", Severity.ERROR, "rf")],
            id="two-that-can-be-served",
        ),
    ],
)  # fmt: skip
def test_one_file_is_the_model_and_the_others_are_named(tmp_path, files, taken, servable, told):
    for path, content in files.items():
        onnx_models.save(content, tmp_path / path)
    onnx_models.save(MODEL, tmp_path / "other.onnx")
    other, facts = inspect_folder(tmp_path, RELEASE).models
    assert (other.name, other.findings) == ("other", ())
    assert (facts.name, facts.path, facts.servable) == ("rf", taken, servable)
    found = [
        (item.code, item.severity, item.location.path)
        for item in facts.findings
        if item.code in {"TG125", "TG148"}
    ]
    assert found == told
    assert all(item.model == "rf" for item in facts.findings)


def test_each_file_of_one_name_is_told_why_or_how_to_choose(tmp_path):
    for path, content in {"rf.onnx": MODEL, "rf/model.onnx": MODEL, "rf.pkl": PICKLE}.items():
        onnx_models.save(content, tmp_path / path)
    (facts,) = inspect_folder(tmp_path, RELEASE).models
    message, refusal = (item for item in facts.findings if item.code in {"TG125", "TG148"})
    assert message.message.startswith("rf.pkl is not used: rf is the model of that name; ")
    assert refusal.message == "2 models have the name 'rf': rf, rf.onnx"
    assert "Rename all but the one" in refusal.fix
