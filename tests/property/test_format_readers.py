"""Every reader on cut, changed and foreign files: findings, never an exception or a long wait."""

import pickle
import zipfile
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import format_models as make
from support.engine_models import DALI_PIPELINE, VLLM
from tritongen.formats import inspect_folder
from tritongen.model.findings import Severity
from tritongen.model.intent import Intent
from tritongen.model.releases import find

RELEASE = find("26.07")

MAKERS = {
    "m.pt": make.torch_image,
    "m.xml": make.openvino_image,
    "m.json": make.xgboost_forest,
    "m.ubj": make.xgboost_forest,
    "m.txt": make.lightgbm_forest,
    "m.tl": make.treelite_forest,
}

OTHERS = (
    "m.model", "m.pb", "m.py", "m.plan", "m.pt2", "m.safetensors", "m.pkl", "m.dali", "d.py",
    "model.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    found = {name: maker(folder / name).read_bytes() for name, maker in MAKERS.items()}
    found["m.model"] = make.xgboost_old_binary()
    found["m.pb"] = make.node("x", "Placeholder", dtype=1, dims=(-1, 4)) + make.node(
        "y", "Relu", "x"
    )
    found["m.py"] = make.PYTHON.encode()
    found["m.plan"] = b"ptrt" + bytes(60)
    found["m.pt2"] = make.aoti_package()
    found["m.safetensors"] = b"\x02" + bytes(7) + b"{}" + bytes(20)
    found["m.pkl"] = pickle.dumps({"a": [1, 2.5, "text"], "b": (None, True)})
    found["m.dali"] = make.field(1, 4) + make.field(2, 64)
    found["d.py"] = DALI_PIPELINE.encode()
    found["model.json"] = VLLM["opt/1/model.json"].encode()
    return found


def inspected(folder):
    """Facts of the only file, None when it is no model at all."""
    # A model beside it, so that a folder without any is no reason to refuse.
    (folder / "other.plan").write_bytes(b"ptrt" + bytes(60))
    models = inspect_folder(folder, RELEASE, intent=Intent()).models
    return next((facts for facts in models if facts.name != "other"), None)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize(
    "name",
    [*MAKERS, *OTHERS],
)
def test_changed_and_cut_files(tmp_path_factory, samples, name, data):
    content = bytearray(samples[name])
    kind = data.draw(st.sampled_from(["cut", "change", "insert", "claim"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if kind == "cut":
        del content[place:]
    elif kind == "change":
        content[place] = data.draw(st.integers(0, 255))
    elif kind == "insert":
        content[place:place] = data.draw(st.binary(max_size=40))
    else:
        content[place : place + 8] = b"\xff" * 8
    folder = tmp_path_factory.mktemp("models")
    (folder / name).write_bytes(content)
    inspected(folder)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.binary(max_size=200), name=st.sampled_from([*MAKERS, "m.pt2", "m.plan", "m.pb"]))
def test_foreign_files(tmp_path_factory, content, name):
    folder = tmp_path_factory.mktemp("models")
    (folder / name).write_bytes(content)
    inspected(folder)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("name", ["m.pt", "m.pt2"])
def test_changed_members_of_sound_archives(tmp_path_factory, samples, name, data):
    """The archive's own checks pass, so that readers meet what is inside."""
    with zipfile.ZipFile(BytesIO(samples[name])) as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    target = data.draw(st.sampled_from(sorted(members)))
    content = bytearray(members[target])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(0, len(content) - 1)))
        if data.draw(st.booleans()):
            content[place : place + 1] = data.draw(st.binary(max_size=12))
        else:
            del content[place : place + data.draw(st.integers(1, 200))]
    members[target] = bytes(content)
    folder = tmp_path_factory.mktemp("models")
    with zipfile.ZipFile(folder / name, "w") as archive:
        for item, body in members.items():
            archive.writestr(item, body)
    inspected(folder)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_saved_models(tmp_path_factory, data):
    info = make.tensor_info(1, [-1, 4])
    folder = tmp_path_factory.mktemp("models")
    make.saved_model(folder / "m.savedmodel", {"x": info}, {"y": info})
    path = folder / "m.savedmodel" / "saved_model.pb"
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=12))
    path.write_bytes(content)
    inspected(folder)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=60), protocol=st.sampled_from([b"", b"\x80\x02", b"\x80\x04"]))
def test_any_pickle_in_an_archive(tmp_path_factory, body, protocol):
    folder = tmp_path_factory.mktemp("models")
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("m/data.pkl", protocol + body)
        archive.writestr("m/constants.pkl", b"\x80\x02).")
        archive.writestr("m/code/__torch__.py", "class A(Module):\n  def forward(self, x: Tensor")
    (folder / "m.pt").write_bytes(packed.getvalue())
    facts = inspected(folder)
    assert any(item.severity is Severity.ERROR for item in facts.findings)


def test_hostile_documents_end_soon(tmp_path):
    hostile = {
        "deep.json": b'{"learner":' + b"[" * 2_000_000,
        "keys.json": b'{"learner":{' + b'"a":1,' * 300_000,
        "text.json": b'{"learner":{"a":"' + b"\\" * 3_000_000,
        "deeper.ubj": b"{L" + bytes(7) + b"\x07learner" + b"[" * 2_000_000,
        "noop.ubj": b"{L" + bytes(7) + b"\x07learner" + b"N" * 2_000_000,
        "count.ubj": b"{L" + bytes(7) + b"\x07learner[$T#L\x7f" + b"\xff" * 7,
    }
    for name, content in hostile.items():
        (tmp_path / name).write_bytes(content)
    for facts in inspect_folder(tmp_path, RELEASE).models:
        assert [item.code for item in facts.findings if item.severity is Severity.ERROR] == [
            "TG102"
        ]
