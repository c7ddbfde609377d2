"""Which models a folder holds, and what is wrong with it."""

import os
from pathlib import Path

import pytest

from support import onnx_models
from tritongen.errors import InvalidInputError
from tritongen.formats.discovery import Discovery, ModelCandidate, find_models, name_fault
from tritongen.model.facts import ModelFormat
from tritongen.model.findings import Severity

MODEL = onnx_models.relu().SerializeToString()


def lay_out(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        onnx_models.save(content, root / name)
    return root


def only(discovery: Discovery) -> ModelCandidate:
    assert len(discovery.candidates) == 1, discovery
    return discovery.candidates[0]


def versions(candidate: ModelCandidate) -> list[tuple[int, str]]:
    return [(version.number, version.path) for version in candidate.versions]


def codes(candidate: ModelCandidate) -> list[tuple[str, str]]:
    return [(item.code, str(item.severity)) for item in candidate.findings]


@pytest.mark.parametrize(
    ("files", "name", "path", "found"),
    [
        (["ocr.onnx"], "ocr", "ocr.onnx", [(1, "ocr.onnx")]),
        (["ocr.v2.onnx"], "ocr.v2", "ocr.v2.onnx", [(1, "ocr.v2.onnx")]),
        (["weights"], "weights", "weights", [(1, "weights")]),
        (["ocr/model.onnx"], "ocr", "ocr", [(1, "ocr/model.onnx")]),
        (["ocr/net.onnx", "ocr/README.md"], "ocr", "ocr", [(1, "ocr/net.onnx")]),
        (
            ["ocr/10/model.onnx", "ocr/2/model.onnx"],
            "ocr",
            "ocr",
            [(2, "ocr/2/model.onnx"), (10, "ocr/10/model.onnx")],
        ),
        (["ocr/model.onnx/model.onnx"], "ocr", "ocr", [(1, "ocr/model.onnx/model.onnx")]),
        (["ocr/1/model.onnx/model.onnx"], "ocr", "ocr", [(1, "ocr/1/model.onnx/model.onnx")]),
        (["ocr.onnx/model.onnx"], "ocr", "ocr.onnx", [(1, "ocr.onnx/model.onnx")]),
    ],
)
def test_layouts(tmp_path, files, name, path, found):
    candidate = only(find_models(lay_out(tmp_path, dict.fromkeys(files, MODEL))))
    assert (candidate.name, candidate.path, candidate.format) == (name, path, ModelFormat.ONNX)
    assert versions(candidate) == found
    assert candidate.findings == ()


def test_models_come_in_the_same_order_however_they_were_written(tmp_path):
    lay_out(tmp_path, {"b.onnx": MODEL, "a/model.onnx": MODEL, "C.onnx": MODEL, "a.b.onnx": MODEL})
    names = [candidate.name for candidate in find_models(tmp_path).candidates]
    assert names == ["C", "a", "a.b", "b"]


def test_an_existing_repository_is_read_without_its_configuration(tmp_path):
    lay_out(
        tmp_path,
        {
            "ocr/config.pbtxt": b'name: "ocr"',
            "ocr/1/model.onnx": MODEL,
            "ocr/configs/gpu.pbtxt": b"",
            "ocr/warmup/first": b"\0" * 12,
            "ocr/labels.txt": b"cat\ndog\n",
        },
    )
    candidate = only(find_models(tmp_path))
    assert codes(candidate) == [("TG124", "info")]
    assert versions(candidate) == [(1, "ocr/1/model.onnx")]


def test_what_is_no_model_is_passed_over(tmp_path):
    lay_out(
        tmp_path,
        {
            "ocr.onnx": MODEL,
            "tritongen.yaml": b"models: {}",
            ".hidden.onnx": MODEL,
            ".git/model.onnx": MODEL,
            "README.onnx": MODEL,
            "labels.txt": b"cat\n",
            "data.json": b'{"rows": []}',
            "table.csv": b"1,2\n",
            "script.py": b"print('hello')\n",
            "model_repository/tritongen.lock": b"{}",
            "model_repository/ocr/1/model.onnx": MODEL,
            "empty_file": b"",
        },
    )
    (tmp_path / "empty_folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    discovery = find_models(tmp_path)
    assert only(discovery).name == "ocr"
    assert discovery.findings == ()


def test_a_folder_without_a_known_model_is_told(tmp_path):
    lay_out(tmp_path, {"ocr.onnx": MODEL, "other/weights.pdmodel": b"\1\2\3"})
    discovery = find_models(tmp_path)
    (remark,) = discovery.findings
    assert (remark.code, remark.severity, remark.location.path) == (
        "TG104",
        Severity.WARNING,
        "other",
    )


@pytest.mark.parametrize(
    "files", [{}, {"notes.txt": b"nothing"}, {"a/notes.txt": b"nothing"}, {".a.onnx": MODEL}]
)
def test_no_models(tmp_path, files):
    with pytest.raises(InvalidInputError) as caught:
        find_models(lay_out(tmp_path, files))
    assert caught.value.code == "TG101"


def test_no_folder(tmp_path):
    with pytest.raises(InvalidInputError) as caught:
        find_models(tmp_path / "missing")
    assert caught.value.code == "TG002"


def test_a_file_is_its_folder_with_that_model_alone(tmp_path):
    lay_out(tmp_path, {"m.onnx": MODEL, "n.onnx": MODEL, "notes.txt": b"nothing"})
    found = find_models(tmp_path / "m.onnx")
    assert (found.root, [item.path for item in found.candidates]) == (tmp_path, ["m.onnx"])
    with pytest.raises(InvalidInputError, match="this is no model file") as caught:
        find_models(tmp_path / "notes.txt")
    assert caught.value.code == "TG101"


@pytest.mark.parametrize(
    "files",
    [
        ["m/a.onnx", "m/b.onnx"],
        ["m/model.onnx", "m/1/model.onnx"],
        ["m/1/a.onnx", "m/1/b.onnx"],
        ["m/model.onnx", "m/other.onnx/model.onnx"],
    ],
)
def test_several_models_in_one_folder(tmp_path, files):
    candidate = only(find_models(lay_out(tmp_path, dict.fromkeys(files, MODEL))))
    assert ("TG109", "error") in codes(candidate)
    message = candidate.findings[0].message
    assert all(Path(name).name in message for name in files)
    assert candidate.versions == ()


def test_external_data_is_part_of_its_model(tmp_path):
    # The data file happens to look like a model itself.
    message = onnx_models.with_weights(onnx_models.external("w", [1], "data.onnx", length=4))
    lay_out(tmp_path, {"m/net.onnx": message.SerializeToString(), "m/data.onnx": MODEL})
    assert versions(only(find_models(tmp_path))) == [(1, "m/net.onnx")]


def test_what_training_left_behind_does_not_hide_the_model(tmp_path):
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    safetensors = len(header).to_bytes(8, "little") + header + b"\0" * 4
    lay_out(
        tmp_path,
        {"m/model.onnx": MODEL, "m/model.safetensors": safetensors, "m/m.pkl": b"\x80\x04."},
    )
    assert versions(only(find_models(tmp_path))) == [(1, "m/model.onnx")]


def test_a_python_model_owns_what_lies_beside_it(tmp_path):
    code = b"class TritonPythonModel:\n    def execute(self, requests): ...\n"
    lay_out(tmp_path, {"m/1/model.py": code, "m/1/net.onnx": MODEL})
    candidate = only(find_models(tmp_path))
    assert candidate.format is ModelFormat.PYTHON
    assert versions(candidate) == [(1, "m/1/model.py")]


def test_models_of_one_name_are_all_found(tmp_path):
    lay_out(tmp_path, {"ocr.onnx": MODEL, "ocr/model.onnx": MODEL, "fine.onnx": MODEL})
    found = find_models(tmp_path).candidates
    assert [(item.name, item.path) for item in found] == [
        ("fine", "fine.onnx"),
        ("ocr", "ocr"),
        ("ocr", "ocr.onnx"),
    ]


def test_version_folders_that_triton_would_not_take_as_meant(tmp_path):
    lay_out(
        tmp_path,
        {
            "m/1/model.onnx": MODEL,
            "m/01/model.onnx": MODEL,
            "m/v2/model.onnx": MODEL,
            "m/3/notes.txt": b"",
            "m/other/notes.txt": b"",
        },
    )
    candidate = only(find_models(tmp_path))
    assert versions(candidate) == [(1, "m/1/model.onnx")]
    assert [(item.code, item.location.path) for item in candidate.findings] == [
        ("TG104", "m/3"),
        ("TG131", "m/01"),
        ("TG131", "m/v2"),
    ]


# Names.


@pytest.mark.parametrize("name", ["ocr", "OCR_v2", "a", "1", "x.dot-ted", "_", "a" * 200])
def test_names_that_can_be_served(name):
    assert name_fault(name) is None


@pytest.mark.parametrize(
    ("name", "code", "cure"),
    [
        ("", "TG106", "Rename"),
        (".", "TG106", "Rename"),
        ("..", "TG106", "Rename"),
        ("../x", "TG106", "to x"),
        ("a/b", "TG106", "to a_b"),
        ("a b", "TG106", "to a_b"),
        ("a\nb", "TG106", "to a_b"),
        ("a\0b", "TG106", "to a_b"),
        (".hidden", "TG106", "to hidden"),
        ("-x", "TG106", "to x"),
        # Prometheus's templates and queries, and Grafana's variables.
        ('a{{ query "up" }}', "TG106", "to a_query_up"),
        ('a"} or vector(1) #', "TG106", "to a_or_vector_1"),
        ("a${datasource}", "TG106", "to a_datasource"),
        ("größe", "TG106", "to gr_e"),
        ("日本", "TG106", "Rename"),
        ("a" * 201, "TG106", "200"),
        ("stats", "TG126", "Rename"),
        ("tritongen.lock", "TG126", "Rename"),
    ],
)
def test_names_that_cannot_be_served(name, code, cure):
    fault = name_fault(name)
    assert fault is not None
    assert (fault.code, fault.severity) == (code, Severity.ERROR)
    assert cure in fault.fix


def test_a_bad_name_is_told_with_its_path(tmp_path):
    lay_out(tmp_path, {"a b.onnx": MODEL, "ocr model/model.onnx": MODEL, "stats.onnx": MODEL})
    found = find_models(tmp_path).candidates
    assert [(item.name, item.path, codes(item)) for item in found] == [
        ("a b", "a b.onnx", [("TG106", "error")]),
        ("ocr model", "ocr model", [("TG106", "error")]),
        ("stats", "stats.onnx", [("TG126", "error")]),
    ]
    assert all(item.findings[0].model == item.name for item in found)


def test_a_name_that_is_no_text(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.onnx")).write_bytes(MODEL)
    candidate = only(find_models(tmp_path))
    assert ("TG106", "error") in codes(candidate)
    candidate.name.encode("utf-8")
    candidate.path.encode("utf-8")
    assert candidate.versions == ()


# Links.


def test_links_inside_the_folder_are_followed(tmp_path):
    root = lay_out(tmp_path / "models", {".store/blob": MODEL, ".store/net/model.onnx": MODEL})
    (root / "file.onnx").symlink_to(".store/blob")
    (root / "folder").symlink_to(".store/net")
    (root / "absolute.onnx").symlink_to(root / ".store" / "blob")
    found = find_models(root).candidates
    assert [(item.name, versions(item), item.findings) for item in found] == [
        ("absolute", [(1, "absolute.onnx")], ()),
        ("file", [(1, "file.onnx")], ()),
        ("folder", [(1, "folder/model.onnx")], ()),
    ]


def test_the_folder_itself_may_be_a_link(tmp_path):
    lay_out(tmp_path / "real", {"m.onnx": MODEL})
    (tmp_path / "link").symlink_to("real")
    assert only(find_models(tmp_path / "link")).findings == ()


def test_links_that_leave_the_folder(tmp_path):
    lay_out(tmp_path / "outside", {"model.onnx": MODEL})
    root = lay_out(tmp_path / "models", {"fine.onnx": MODEL})
    (root / "file.onnx").symlink_to("../outside/model.onnx")
    (root / "folder").symlink_to("../outside")
    (root / "inner").mkdir()
    (root / "inner" / "model.onnx").symlink_to("../../outside/model.onnx")
    (root / "hop.onnx").symlink_to("file.onnx")
    found = {item.name: item for item in find_models(root).candidates}
    assert found.pop("fine").findings == ()
    assert {name: codes(item) for name, item in found.items()} == {
        name: [("TG107", "error")] for name in ("file", "folder", "inner", "hop")
    }
    assert all(item.versions == () for item in found.values())


def test_broken_links_and_circles(tmp_path):
    lay_out(tmp_path, {"fine.onnx": MODEL})
    (tmp_path / "gone.onnx").symlink_to("nowhere")
    (tmp_path / "round.onnx").symlink_to("round.onnx")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model.onnx").symlink_to("../deep/model.onnx")
    lay_out(tmp_path, {"up/1/model.onnx": MODEL})
    (tmp_path / "up" / "2").symlink_to("..")
    found = {item.name: codes(item) for item in find_models(tmp_path).candidates}
    assert found == {
        "deep": [("TG003", "error")],
        "fine": [],
        "gone": [("TG003", "error")],
        "round": [("TG003", "error")],
        "up": [("TG109", "error")],
    }


def test_pipes_are_never_opened(tmp_path):
    lay_out(tmp_path, {"fine.onnx": MODEL})
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "m").mkdir()
    os.mkfifo(tmp_path / "m" / "model.onnx")
    found = {item.name: codes(item) for item in find_models(tmp_path).candidates}
    assert found == {"fine": [], "m": [("TG003", "error")], "pipe": [("TG003", "error")]}
