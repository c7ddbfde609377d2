"""Several files of one name: one model, and a word on the others."""

import pytest

from support import onnx_models
from support.optimize import faulty
from tritongen.formats import inspect_folder
from tritongen.model.findings import Severity
from tritongen.model.releases import find

RELEASE = find("26.07")
GOOD = onnx_models.relu().SerializeToString()
ZIPMAP = faulty.zipmap().SerializeToString()
PICKLE = b"\x80\x04."


@pytest.mark.parametrize(
    ("files", "taken", "servable", "told"),
    [
        pytest.param(
            {"rf.joblib": PICKLE, "rf.onnx": GOOD}, "rf.onnx", True,
            [("TG148", Severity.INFO, "rf.joblib")], id="a-pickle-first",
        ),
        pytest.param(
            {"rf.onnx": GOOD, "rf.pkl": PICKLE}, "rf.onnx", True,
            [("TG148", Severity.INFO, "rf.pkl")], id="a-pickle-last",
        ),
        pytest.param(
            {"rf/model.pkl": PICKLE, "rf.onnx": GOOD}, "rf.onnx", True,
            [("TG148", Severity.INFO, "rf")], id="a-folder-and-a-file",
        ),
        pytest.param(
            {"rf.onnx": b"broken", "rf/model.onnx": GOOD}, "rf", True,
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
            {"rf.onnx": GOOD, "rf/model.onnx": GOOD, "rf.pkl": PICKLE}, "rf", False,
            [("TG148", Severity.INFO, "rf.pkl"), ("TG125", Severity.ERROR, "rf")],
            id="two-that-can-be-served",
        ),
    ],
)  # fmt: skip
def test_one_file_is_the_model_and_the_others_are_named(tmp_path, files, taken, servable, told):
    for path, content in files.items():
        onnx_models.save(content, tmp_path / path)
    onnx_models.save(GOOD, tmp_path / "other.onnx")
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
    for path, content in {"rf.onnx": GOOD, "rf/model.onnx": GOOD, "rf.pkl": PICKLE}.items():
        onnx_models.save(content, tmp_path / path)
    (facts,) = inspect_folder(tmp_path, RELEASE).models
    message, refusal = (item for item in facts.findings if item.code in {"TG125", "TG148"})
    assert message.message.startswith("rf.pkl is not used: rf is the model of that name; ")
    assert refusal.message == "2 models have the name 'rf': rf, rf.onnx"
    assert "Rename all but the one" in refusal.fix
