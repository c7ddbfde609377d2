"""Hostile and enormous files of every format: little memory, and an end, whatever they claim.

The reader runs in a process of its own that may have 600 MiB of addresses, while the files have
4 GiB each or unfold to as much.
"""

import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support import format_models as make
from tritongen.formats.parsing import wire

ADDRESSES = 600 << 20
SIZE = 4 << 30
# Generous: the bound is on memory, and a reader without end shows as well after minutes.
SECONDS = 240

CHILD = """
import json, resource, sys
from pathlib import Path
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from tritongen.model.releases import find
from tritongen.formats import inspect_folder
models = inspect_folder(Path(sys.argv[1]), find("26.07")).models
print(json.dumps({
    model.name: [item.code for item in model.findings if item.severity == "error"]
    for model in models
}))
"""


def inspected(folder: Path) -> dict[str, list[str]]:
    """Codes of errors by model, found within the bound."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(ADDRESSES)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def sparse(path: Path, head: bytes) -> None:
    """A file of 4 GiB that begins with `head` and takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(SIZE)


HEADS = {
    "onnx": b"\x08\x08\x3a\xff\xff\xff\xff\x0f",
    "pt": b"PK\x03\x04",
    "pt2": b"PK\x03\x04",
    "xml": b'<?xml version="1.0"?><net name="m" version="11"><layers>',
    "json": b'{"learner":{"gradient_booster":{"model":{"trees":[',
    "ubj": b"{L" + bytes(7) + b"\x07learner{",
    "txt": b"tree\nversion=v4\nnum_class=1\n",
    "tl": b"\x04\x00\x00\x00\x01\x00\x00\x00",
    "model": b"binf",
    "plan": b"ptrt",
    "pb": b"\x0a\xff\xff\xff\xff\x0f",
    "py": b"class TritonPythonModel:\n    def execute(self, requests):\n        pass\n#",
    "safetensors": b"\xff\xff\xff\x7f\x00\x00\x00\x00{",
    "pkl": b"\x80\x04\x95\xff\xff\xff\xff\x00\x00\x00\x00\x8c\x0fsklearn.linear_",
    "tflite": b"\x1c\x00\x00\x00TFL3",
    "keras": b"PK\x03\x04",
}


def test_files_of_4_gib_that_begin_like_models(tmp_path):
    for suffix, head in HEADS.items():
        sparse(tmp_path / f"{suffix}_model" / f"model.{suffix}", head)
    sparse(tmp_path / "saved" / "model.savedmodel" / "saved_model.pb", HEADS["pb"])
    found = inspected(tmp_path)
    assert len(found) > len(HEADS) - 3  # one may be told apart from models altogether
    # A plan is opaque: its header is all that is read of it.
    assert {name for name, codes in found.items() if not codes} <= {"plan_model"}


def bomb(path: Path, members: dict[str, bytes], zeros: str, mib: int = 800) -> None:
    """An archive whose member `zeros` unfolds to `mib` MiB."""
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        with archive.open(zeros, "w", force_zip64=True) as member:
            for _ in range(mib):
                member.write(bytes(1 << 20))


@pytest.mark.parametrize(
    ("name", "members", "zeros"),
    [
        ("model.pt", {"m/constants.pkl": b"\x80\x02)."}, "m/data.pkl"),
        ("model.pt", {"m/data.pkl": b"\x80\x02)."}, "m/code/__torch__.py"),
        (
            "model.pt2",
            {"m/data/aotinductor/model/a.wrapper.so": b"\x7fELF"},
            "m/data/aotinductor/model/a.wrapper.cpp",
        ),
    ],
)
def test_archives_that_unfold(tmp_path, name, members, zeros):
    bomb(tmp_path / "bomb" / name, members, zeros)
    (codes,) = inspected(tmp_path).values()
    assert codes


@pytest.mark.parametrize(
    "source",
    [
        "static void check_input_1(\n" * (8 << 15),
        'in_spec_ = R"(' * (8 << 16),
        f"static void check_input_0(\n{'a' * (8 << 20)}\n}}\n",
        f"static void check_input_0(\nif (x_size[{10**12}] < 5)\n}}\n",
        f"static void check_input_{'9' * 5000}(\nif ({'9' * 5000} != x_size[0])\n}}\n",
    ],
    ids=["checks", "specifications", "a-word", "an-axis", "digits"],
)
def test_sources_in_a_package_that_keep_expressions_busy(tmp_path, source):
    (tmp_path / "m").mkdir()
    with zipfile.ZipFile(tmp_path / "m" / "model.pt2", "w") as archive:
        archive.writestr("m/data/aotinductor/model/a.wrapper.so", b"\x7fELF")
        archive.writestr("m/data/aotinductor/model/a.wrapper.cpp", source)
    assert inspected(tmp_path) == {"m": []}


@pytest.mark.parametrize("mib", [15, 40])
def test_archives_with_a_directory_of_a_million_entries(tmp_path, mib):
    """Nameless entries of 46 bytes each: as many as are read at all, and more than that."""
    directory = (b"PK\x01\x02" + bytes(42)) * ((mib << 20) // 46)
    head = b"PK\x03\x04" + bytes(26)
    ends = struct.pack("<4s4xHHIIH", b"PK\x05\x06", 0xFFFF, 0xFFFF, len(directory), len(head), 0)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.pt").write_bytes(head + directory + ends)
    (codes,) = inspected(tmp_path).values()
    assert codes


@pytest.mark.parametrize("size", [0xFFFFFFFF, 1 << 30])
def test_archives_that_claim_a_directory_larger_than_they_are(tmp_path, size):
    ends = struct.pack("<4s4xHHIIH", b"PK\x05\x06", 1, 1, size, 0, 0)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.pt").write_bytes(b"PK\x03\x04" + bytes(26) + ends)
    (codes,) = inspected(tmp_path).values()
    assert codes


def test_documents_that_unfold(tmp_path):
    laughs = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "lol">' for n in range(12)
    )
    xml = f'<?xml version="1.0"?><!DOCTYPE net [{laughs}]><net name="&l11;" version="11"/>'
    external = (
        '<?xml version="1.0"?><!DOCTYPE net [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
        '<net name="&x;" version="11"><layers/></net>'
    )
    for name, text in (("laughs", xml), ("external", external)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.xml").write_text(text)
    deep = tmp_path / "deep"
    deep.mkdir()
    (deep / "model.xml").write_text("<net>" + "<a>" * 1_000_000)
    wide = tmp_path / "wide"
    wide.mkdir()
    (wide / "model.json").write_text('{"learner":{' + '"a":[],' * 1_000_000)
    assert all(inspected(tmp_path).values())


# A tuple of two of a tuple of two …: to hash, to compare or to write it takes 2**1000 steps.
LAUGHS = b")" + b"2\x86" * 1000
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"


@pytest.mark.parametrize(
    "pickle",
    [
        b"}" + LAUGHS + b"Ns.",
        LAUGHS + b"\x8c\x01a\x93.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + LAUGHS + b"tQK\x00)tR.",
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + STORAGE
        + b"X\x01\x00\x00\x000tQK\x00("
        + b"\x8a\x06\xff\xff\xff\xff\xff\x7f" * 500_000
        + b"ttR.",
        b"}(" + b"".join(b"L%dL\nN" % (n * ((1 << 61) - 1)) for n in range(300_000)) + b"u.",
        b"N" + b"".join(b"p%d\n" % (n * ((1 << 61) - 1)) for n in range(1, 300_000)) + b".",
    ],
    ids=["a-key", "a-name", "a-storage", "a-shape", "keys-of-one-hash", "places-of-one-hash"],
)
def test_pickles_that_keep_a_reader_busy(tmp_path, pickle):
    (tmp_path / "m").mkdir()
    with zipfile.ZipFile(tmp_path / "m" / "model.pth", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x04" + pickle)
    assert inspected(tmp_path) == {"m": ["TG129"]}


def test_graphs_of_millions_of_inputs(tmp_path):
    inputs = b"\x5a\x03\x0a\x01a" * 4_000_000  # ValueInfoProto of field 11, named "a"
    opset, graph = b"\x42\x02\x10\x11", b"\x3a" + wire.encoded(len(inputs))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.onnx").write_bytes(b"\x08\x08" + opset + graph + inputs)
    assert inspected(tmp_path) == {"m": ["TG102"]}


def test_a_sound_model_fits_the_bound_as_well(tmp_path):
    make.xgboost_forest(tmp_path / "forest" / "model.json")
    make.openvino_image(tmp_path / "network" / "model.xml")
    assert inspected(tmp_path) == {"forest": [], "network": []}
