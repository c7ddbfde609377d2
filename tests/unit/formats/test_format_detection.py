"""Formats are told by content, and a name only says what was meant."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import joblib
import pytest
from sklearn.linear_model import LogisticRegression

from support import onnx_models
from tritongen.formats import inspect_folder
from tritongen.formats.format_detection import detect
from tritongen.model.facts import ModelFormat
from tritongen.model.findings import Severity
from tritongen.model.releases import find

ONNX = onnx_models.relu().SerializeToString()
LABELS = b"the cat sat on the mat\n" * 20


def archive(*names: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return target.getvalue()


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def pickled(protocol: int) -> bytes:
    return pickle.dumps(LogisticRegression(), protocol=protocol)


def dumped(**options) -> bytes:
    target = io.BytesIO()
    joblib.dump(LogisticRegression(), target, **options)
    return target.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 4


NODE = field(1, b"x") + field(2, b"Placeholder")
PYTHON = b"import json\n\n\nclass TritonPythonModel:\n    def execute(self, requests): ...\n"
IR = b'<?xml version="1.0"?>\n<net name="m" version="11"><layers></layers></net>'
XGBOOST = b'{"learner":{"attributes":{},"gradient_booster":{}},"version":[2,0,0]}'
UBJ = b"{L" + (7).to_bytes(8, "big") + b"learner{L" + (10).to_bytes(8, "big") + b"attributes{}"
XGBOOST_OLD = (
    struct.pack("<fIiii", 0.5, 4, 0, 0, 0)
    + bytes(120)
    + struct.pack("<Q", 15)
    + b"binary:logistic"
    + struct.pack("<Q", 6)
    + b"gbtree"
)
LIGHTGBM = b"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\n"
TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."

CASES = [
    ("m.onnx", ONNX, ModelFormat.ONNX),
    ("no_suffix", ONNX, ModelFormat.ONNX),
    ("m.pt", archive("m/data.pkl", "m/constants.pkl", "m/code/a.py"), ModelFormat.TORCHSCRIPT),
    ("m.bin", archive("m/data.pkl", "m/constants.pkl", "m/code/a.py"), ModelFormat.TORCHSCRIPT),
    ("m.pt2", archive("m/data/aotinductor/model/w.so", "m/version"), ModelFormat.TORCH_AOTI),
    ("m.pt", archive("m/data.pkl", "m/byteorder", "m/data/0"), ModelFormat.TORCH_PICKLE),
    ("m.pt", TORCH_LEGACY, ModelFormat.TORCH_PICKLE),
    ("m.xml", IR, ModelFormat.OPENVINO),
    ("m.plan", b"ptrt\0\0\0\0" + bytes(64), ModelFormat.TENSORRT),
    ("m.engine", b"ftrt" + bytes(64), ModelFormat.TENSORRT),
    ("m.pb", field(1, NODE) * 3, ModelFormat.GRAPHDEF),
    ("m.json", XGBOOST, ModelFormat.XGBOOST_JSON),
    ("m.ubj", UBJ, ModelFormat.XGBOOST_UBJ),
    ("m.model", XGBOOST_OLD, ModelFormat.XGBOOST_BINARY),
    ("m.model", b"binf" + XGBOOST_OLD, ModelFormat.XGBOOST_BINARY),
    ("m.txt", LIGHTGBM, ModelFormat.LIGHTGBM),
    ("m.tl", struct.pack("<iii", 4, 3, 0) + bytes(32), ModelFormat.TREELITE),
    ("m.py", PYTHON, ModelFormat.PYTHON),
    ("m.py", PYTHON + b"def broken(:\n", ModelFormat.PYTHON),
    ("m.pkl", pickled(2), ModelFormat.SKLEARN_PICKLE),
    ("m.pkl", pickled(5), ModelFormat.SKLEARN_PICKLE),
    ("m.bin", pickled(4), ModelFormat.SKLEARN_PICKLE),
    ("m.joblib", dumped(), ModelFormat.SKLEARN_PICKLE),
    ("m.joblib", dumped(compress=3), ModelFormat.SKLEARN_PICKLE),
    ("m.joblib", dumped(compress=("gzip", 3)), ModelFormat.SKLEARN_PICKLE),
    (
        "m.keras",
        archive("metadata.json", "config.json", "model.weights.h5"),
        ModelFormat.KERAS,
    ),
    ("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(64), ModelFormat.KERAS),
    ("m.safetensors", safetensors(), ModelFormat.SAFETENSORS),
    ("weights", safetensors(), ModelFormat.SAFETENSORS),
    ("m.tflite", b"\x1c\0\0\0TFL3" + bytes(64), ModelFormat.TFLITE),
]


@pytest.mark.parametrize(("name", "content", "expected"), CASES)
def test_formats(tmp_path, name, content, expected):
    assert detect(onnx_models.save(content, tmp_path / name)) is expected


UNSERVED = {
    ModelFormat.KERAS: "TG105",
    ModelFormat.SAFETENSORS: "TG105",
    ModelFormat.TFLITE: "TG105",
    ModelFormat.SKLEARN_PICKLE: "TG129",
    ModelFormat.TORCH_PICKLE: "TG129",
}


@pytest.mark.parametrize(("name", "content", "expected"), CASES)
def test_what_no_backend_loads_is_named_with_the_way_out(tmp_path, name, content, expected):
    onnx_models.save(content, tmp_path / "m" / name)
    (facts,) = inspect_folder(tmp_path, find("26.07")).models
    assert (facts.name, facts.format) == ("m", expected)
    errors = [item for item in facts.findings if item.severity is Severity.ERROR]
    if expected in UNSERVED:
        assert [item.code for item in errors] == [UNSERVED[expected]]
        assert "ONNX" in errors[0].fix or "export" in errors[0].fix
    # The rest of the files here are little more than a head, which their readers say.
    damaged = {"TG102", "TG108", "TG113", "TG116", "TG120", "TG136"}
    assert all(item.code in damaged for item in errors if expected not in UNSERVED)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("labels.txt", LABELS),
        ("config.json", b'{"architectures": ["Bert"], "learner": 3}'),
        ("page.xml", b"<?xml version='1.0'?><html><net version='1'/></html>"),
        ("bomb.xml", b'<!DOCTYPE net [<!ENTITY a "a">]><net version="11">&a;</net>'),
        ("bomb2.xml", b'<?xml version="1.0"?><!DOCTYPE net [<!ENTITY a "a">]><net version="11"/>'),
        ("tool.py", b"class Model:\n    pass\n"),
        ("text.py", b'DOC = """\nclass TritonPythonModel:\n"""\n'),
        ("table.npz", archive("a.npy")),
        ("wheel.whl", archive("a/__init__.py", "a-1.dist-info/METADATA")),
        ("cut.zip", archive("m/data.pkl")[:40]),
        ("data.h5x", b"\x89HDF\r\n\x1a\n" + bytes(64)),
        ("image.png", b"\x89PNG\r\n\x1a\n" + bytes(64)),
        ("zeros.bin", bytes(4096)),
        ("ones.bin", b"\xff" * 4096),
        ("floats.bin", struct.pack("<512f", *range(512))),
        ("rows.pb", b"\x08\x01\x10\x02"),
        ("tensor.pb", onnx_models.tensor("w", [4]).SerializeToString()),
    ],
)
def test_what_is_no_model(tmp_path, name, content):
    assert detect(onnx_models.save(content, tmp_path / name)) is None


def test_a_saved_model_is_a_folder(tmp_path):
    for folder in ("a", "b/model.savedmodel", "c/1", "d.savedmodel"):
        onnx_models.save(b"\x08\x01\x12\x00", tmp_path / folder / "saved_model.pb")
        onnx_models.save(b"weights", tmp_path / folder / "variables" / "variables.index")
    models = inspect_folder(tmp_path, find("26.07")).models
    assert [(facts.name, facts.format) for facts in models] == [
        (name, ModelFormat.SAVEDMODEL) for name in "abcd"
    ]
    for facts in models:
        assert [item.target for item in facts.versions[0].files] == [
            "model.savedmodel/saved_model.pb",
            "model.savedmodel/variables/variables.index",
        ]


def test_an_openvino_model_is_two_files(tmp_path):
    onnx_models.save(IR, tmp_path / "m" / "net.xml")
    onnx_models.save(pickled(4), tmp_path / "m" / "net.bin")
    onnx_models.save(IR, tmp_path / "lost.xml")
    lost, whole = inspect_folder(tmp_path, find("26.07")).models
    assert [(item.source, item.target) for item in whole.versions[0].files] == [
        ("m/net.xml", "model.xml"),
        ("m/net.bin", "model.bin"),
    ]
    assert "TG108" in [item.code for item in lost.findings]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("m.onnx", b"", "TG103"),
        ("m.pt", b"", "TG103"),
        ("m.onnx", b"<html>not found</html>", "TG102"),
        ("m.onnx", ONNX[:-1], "TG102"),
        ("m.pt", b"garbage", "TG104"),
        ("m.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "TG102"),
        ("m.plan", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "TG102"),
    ],
)
def test_a_promise_that_the_content_does_not_keep(tmp_path, name, content, code):
    onnx_models.save(content, tmp_path / name)
    (facts,) = inspect_folder(tmp_path, find("26.07")).models
    assert [(item.code, item.severity) for item in facts.findings] == [(code, Severity.ERROR)]
    assert ("git lfs pull" in facts.findings[0].fix) == content.startswith(b"version https")


def test_a_pickle_is_never_loaded(tmp_path):
    proof = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return Path.touch, (proof,)

    for name in ("a.pkl", "b.joblib", "c.pt", "d.bin"):
        onnx_models.save(pickle.dumps(Trap()) + b"sklearn", tmp_path / "models" / name)
    inspect_folder(tmp_path / "models", find("26.07"))
    assert not proof.exists()


def test_source_that_would_exhaust_a_parser(tmp_path):
    for index, nested in enumerate((b"(" * 100_000, b"-" * 100_000 + b"1", b"a" + b".a" * 100_000)):
        onnx_models.save(PYTHON + b"\nx = " + nested, tmp_path / str(index) / "model.py")
    models = inspect_folder(tmp_path, find("26.07")).models
    assert [facts.format for facts in models] == [ModelFormat.PYTHON] * 3
