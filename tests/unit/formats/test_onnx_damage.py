"""ONNX files that are damaged, made to do harm, or without their data."""

import os
from pathlib import Path

import pytest
from onnx import helper

from support import onnx_models
from support.onnx_models import save, value
from tritongen.formats.onnx_reader import read_onnx
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.reading import ModelSource
from tritongen.model.facts import ModelFacts
from tritongen.trial.onnx_runtime import OnnxRuntime


def read(message, tmp_path: Path, name: str = "m/net.onnx") -> ModelFacts:
    onnx_models.save(message, tmp_path / name)
    return read_onnx(ModelSource(tmp_path.resolve(), name, "m"))


def messages(reading: ModelFacts) -> list[tuple[str, str]]:
    return [(item.code, item.message) for item in reading.findings]


# External data.


@pytest.mark.parametrize(
    ("location", "code", "message"),
    [
        ("missing.bin", "TG108", "cannot be found"),
        ("short.bin", "TG108", "has 4 bytes and the model reads up to byte 8"),
        ("folder", "TG108", "is not a regular file"),
        ("pipe", "TG108", "is not a regular file"),
        ("/etc/hostname", "TG107", "leaves the model's folder"),
        ("../fine.bin", "TG107", "leaves the model's folder"),
        ("folder/../fine.bin", "TG107", "leaves the model's folder"),
        ("a\0b", "TG107", "leaves the model's folder"),
        ("out.bin", "TG107", "is a link that leaves the models folder"),
        ("out/x.bin", "TG107", "is a link that leaves the models folder"),
        ("round.bin", "TG108", "cannot be found"),
        ("net.onnx", "TG102", "is the model file itself"),
        ("./net.onnx", "TG102", "is the model file itself"),
        ("self.bin", "TG102", "is the model file itself"),
        ("model.onnx", "TG109", "would be overwritten"),
        (".", "TG102", "is a folder"),
        ("x" * 300, "TG108", "cannot be found"),
    ],
)
def test_external_data_that_cannot_be_used(tmp_path, location, code, message):
    root = tmp_path / "models"
    folder = root / "m"
    (folder / "folder").mkdir(parents=True)
    (root / "fine.bin").write_bytes(bytes(8))
    (folder / "short.bin").write_bytes(bytes(4))
    (folder / "model.onnx").write_bytes(bytes(8))
    (tmp_path / "x.bin").write_bytes(bytes(8))
    os.mkfifo(folder / "pipe")
    (folder / "out.bin").symlink_to("../../x.bin")
    (folder / "out").symlink_to("../..")
    (folder / "round.bin").symlink_to("round.bin")
    (folder / "self.bin").symlink_to("net.onnx")
    reading = read(onnx_models.with_weights(onnx_models.external("w", [2], location)), root)
    found = messages(reading)
    assert [code for code, _ in found] == [code]
    assert message in found[0][1]
    assert reading.versions[0].files == ()


def test_external_data_beside_the_model_and_below(tmp_path):
    for name in ("a.bin", "sub/b.bin", ".store/c"):
        onnx_models.save(bytes(8), tmp_path / "m" / name)
    (tmp_path / "m" / "c.bin").symlink_to(".store/c")
    weights = [
        onnx_models.external("u", [1], "a.bin", offset=0, length=4),
        onnx_models.external("v", [1], "a.bin", offset=4, length=4),
        onnx_models.external("w", [2], "./sub/b.bin"),
        onnx_models.external("z", [2], "c.bin"),
    ]
    reading = read(onnx_models.with_weights(*weights), tmp_path)
    assert reading.findings == ()
    assert [(item.source, item.target) for item in reading.versions[0].files] == [
        ("m/sub/b.bin", "sub/b.bin"),
        ("m/a.bin", "a.bin"),
        ("m/c.bin", "c.bin"),
    ]
    assert reading.weight_bytes == 24


# Damage.


def test_edges_that_lead_nowhere(tmp_path):
    nodes = [helper.make_node("Add", ["x", "lost"], ["y"])]
    message = onnx_models.model(nodes, [value("x")], [value("y"), value("gone")])
    assert messages(read(message, tmp_path)) == [
        ("TG102", "nothing in the graph produces the value 'lost'"),
        ("TG102", "nothing in the graph produces the value 'gone'"),
    ]


def test_operators_in_a_circle(tmp_path):
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]
    message = onnx_models.model(nodes, [value("x")], [value("a")])
    assert messages(read(message, tmp_path)) == [
        ("TG102", "operators wait for each other in a circle")
    ]


def test_versions_that_no_runtime_reads(tmp_path):
    message = onnx_models.relu()
    message.ClearField("ir_version")
    del message.opset_import[:]
    assert [text for _, text in messages(read(message, tmp_path))] == [
        "the file names no IR version",
        "the file names no opset",
    ]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_old_versions_that_the_runtime_reads(version, tmp_path):
    message = onnx_models.relu(ir_version=version)
    assert messages(read(message, tmp_path)) == []
    session = OnnxRuntime().load(save(message, tmp_path / "old.onnx"), threads=1)
    assert len(session.outputs) == 1


def length(number: int, content: bytes) -> bytes:
    size, out = len(content), bytearray([number << 3 | 2])
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes(out) + bytes([size]) + content


def nested_types(depth: int) -> bytes:
    kind = b""
    for _ in range(depth):
        kind = length(4, length(1, kind))
    return length(7, length(11, length(1, b"x") + length(2, kind)))


def nested_graphs(depth: int) -> bytes:
    graph = b""
    for _ in range(depth):
        graph = length(1, length(4, b"If") + length(5, length(6, graph)))
    return length(7, graph)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x08\x08", "holds no ONNX graph"),
        (b"\x08\x08\x3a\xff\xff\xff\xff\x0f", "claims 4294967295 bytes and 0 are left"),
        (b"\x08\x08\x3a\x7fabc", "claims 127 bytes and 3 are left"),
        (b"\x08\x08\x3a" + b"\xff" * 10 + b"\x01", "too long"),
        (b"\x08", "cut off"),
        (b"\x80" * 20, "too long"),
        (b"\x00\x00", "field number 0"),
        (b"\x0b", "unknown kind"),
        (b"\x0d\x00", "cut off"),
        (length(7, length(5, b"\x08" + b"\xff" * 9 + b"\x01")), "sizes that no tensor can have"),
        (length(7, length(5, b"\x08\x01" * 65)), "sizes that no tensor can have"),
        (length(7, length(5, (b"\x08" + b"\xff" * 8 + b"\x7f") * 2)), "sizes that no tensor"),
        (length(7, length(1, length(1, b"x" * (wire.MAX_TEXT_BYTES + 1)))), "a name at byte"),
        (nested_types(200), "nested without end"),
        (nested_types(20_000), "nested without end"),
        (nested_graphs(40), "nested deeper"),
        (nested_graphs(2_000), "nested deeper"),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    with pytest.raises(DamagedError) as caught:
        read(content, tmp_path)
    assert caught.value.code == "TG102"
    assert message in caught.value.what


@pytest.mark.parametrize("entry", ["-4", "1e3", "9" * 25, "٣", " 1", ""])
def test_external_numbers_that_are_none(tmp_path, entry):
    weight = onnx_models.external("w", [2], "w.bin", offset=0)
    weight.external_data[1].value = entry
    with pytest.raises(DamagedError):
        read(onnx_models.with_weights(weight), tmp_path)


def test_an_empty_file(tmp_path):
    assert messages(read(b"", tmp_path)) == [("TG103", "the file is empty")]


def test_unknown_fields_are_passed_over(tmp_path):
    extra = b"\xc2\x3e\x08anything\xc8\x3e\x01"
    reading = read(onnx_models.relu().SerializeToString() + extra, tmp_path)
    assert [spec.name for spec in reading.inputs] == ["x"]


def test_sizes_may_be_packed(tmp_path):
    packed = length(1, b"\x02\x03") + b"\x10\x01" + length(8, b"w") + length(9, bytes(24))
    content = onnx_models.relu().SerializeToString() + length(7, length(5, packed))
    assert read(content, tmp_path).parameters == 6
