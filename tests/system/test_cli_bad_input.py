"""Bad input through the command line: an error with code and cure, and the old files intact."""

import hashlib
import json
import os
import random
import re
from pathlib import Path

import pytest

from support.cli import Project, dense, fixed, tree
from support.onnx_models import external, with_weights

pytestmark = pytest.mark.smoke


WHOLE = dense().SerializeToString()


def external_model(location: str) -> bytes:
    return with_weights(external("w", [3], location, length=12)).SerializeToString()


def huge_claim() -> bytes:
    """A graph that says it is four exabytes long."""
    return WHOLE[:8] + b"\x3a\xff\xff\xff\xff\xff\xff\xff\x3f" + WHOLE[8:]


DAMAGED = {
    "truncated": (WHOLE[: len(WHOLE) // 2], "TG102"),
    "random": (random.Random(1).randbytes(5000), "TG102"),
    "empty": (b"", "TG103"),
    "huge claim": (huge_claim(), "TG102"),
    "text": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n", "TG102"),
    "itself as data": (external_model("model.onnx"), "TG102"),
    "data outside": (external_model("../../secret"), "TG107"),
    "absolute data": (external_model("/etc/passwd"), "TG107"),
    "data missing": (external_model("nowhere.bin"), "TG108"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_model(project: Project, kind: str) -> None:
    """It is told with its cure, and the good model beside it is served."""
    data, code = DAMAGED[kind]
    project.add("bad/model.onnx", data)
    project.add("good/model.onnx", WHOLE)
    document = project.json("inspect", "models", expect=1)
    bad, good = document["models"]
    assert not bad["servable"]
    assert {item["code"] for item in bad["findings"]} == {code}
    assert good["servable"]
    built = project.json("build", "models", "--no-trial", expect=1)
    assert built["refused"] == [{"name": "bad", "codes": [code]}]
    assert not (project.repository / "bad").exists()


def test_data_that_links_to_itself(project: Project) -> None:
    project.add("loop/model.onnx", external_model("a.bin"))
    (project.models / "loop/a.bin").symlink_to("b.bin")
    (project.models / "loop/b.bin").symlink_to("a.bin")
    (model,) = project.json("inspect", "models", expect=1)["models"]
    assert {item["code"] for item in model["findings"]} == {"TG108"}


@pytest.mark.parametrize("name", ["a b", "ä", "-x", "x;y", "x\ny", "x" * 200, "model_repository."])
def test_names_that_cannot_be_served(project: Project, name: str) -> None:
    project.add(f"{name}/model.onnx", WHOLE)
    document = project.json("inspect", "models", expect=None)
    (model,) = document["models"]
    if model["servable"]:
        assert project.json("build", "models", "--no-trial")["written"]
        assert project.json("check")["summary"]["errors"] == 0
    else:
        assert "TG106" in {item["code"] for item in model["findings"]}
        assert project.error("build", "models", "--no-trial", expect=2)["code"] == "TG101"
    assert {path.name for path in project.folder.iterdir()} <= {
        "models", "model_repository", ".tritongen"
    }  # fmt: skip


def test_a_name_that_is_no_text(project: Project) -> None:
    project.add("good/model.onnx", WHOLE)
    project.models.joinpath(b"caf\xe9.onnx".decode("utf-8", "surrogateescape")).write_bytes(WHOLE)
    document = project.json("inspect", "models", expect=1)
    (bad,) = [model for model in document["models"] if not model["servable"]]
    assert {item["code"] for item in bad["findings"]} == {"TG106"}
    project.run("inspect", "models", expect=1)
    assert project.json("build", "models", "--no-trial", expect=1)["written"]


def test_names_in_the_yaml(project: Project) -> None:
    project.add("good/model.onnx", WHOLE)
    for name in ("../x", "''", "a b", "/etc/passwd", "1.5", "null"):
        project.write("models/tritongen.yaml", f"models: {{{name}: {{}}}}\n")
        problem = project.error("build", "models", "--no-trial", expect=2)
        assert problem["code"] in {"TG303", "TG304", "TG306"}, name
    assert not project.repository.exists()


BOMB = (
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(
        f"{new}: &{new} [{','.join(f'*{old}' for _ in range(9))}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
)  # fmt: skip

BAD_YAML = {
    "bomb": (BOMB, "TG302"),
    "large": ("# " + "x" * 100_000_000, "TG302"),
    "deep": ("[" * 100_000, "TG301"),
    "not yaml": ("target: {cpus: 4\nmodels: ]", "TG301"),
    "tabs": ("target:\n\tcpus: 4\n", "TG301"),
    "a list": ("- target\n", "TG304"),
    "a number": ("42\n", "TG304"),
    "not text": (b"target: \xff\xfe\n", "TG301"),
    "unknown key": ("targets: {cpus: 4}\n", "TG303"),
    "object": ("target: !!python/object/apply:os.system ['touch pwned']\n", "TG304"),
    "twice": ("target: {cpus: 4}\ntarget: {cpus: 2}\n", "TG304"),
    "NUL": (b"target: {cpus: 4}\x00\n", "TG301"),
    "not a number": ("target: {cpus: .nan}\n", "TG304"),
    "infinite": ("target: {cpus: .inf}\n", "TG304"),
    "negative": ("target: {cpus: -1}\n", "TG304"),
    "release": ('target: {triton: "99.99"}\n', "TG304"),
}


@pytest.mark.parametrize("kind", BAD_YAML)
def test_a_bad_yaml(project: Project, kind: str) -> None:
    text, code = BAD_YAML[kind]
    project.add("good/model.onnx", WHOLE)
    project.write("models/tritongen.yaml", text)
    for command in ("build", "inspect"):
        assert project.error(command, "models", expect=2)["code"] == code
    assert not project.repository.exists()
    assert not (project.folder / "pwned").exists()


def bad_locks(text: str) -> dict[str, str | bytes]:
    document = json.loads(text)
    return {
        "empty": "",
        "no json": text[:50],
        "no text": b"\xff\xfe",
        "a list": "[]",
        "deep": "[" * 100_000,
        "newer": text.replace('"schema_version": 2', '"schema_version": 3'),
        "unknown key": json.dumps(document | {"surprise": 1}),
        "wrong type": json.dumps(document | {"tool": 5}),
    }


@pytest.mark.parametrize(
    "kind",
    ["empty", "no json", "no text", "a list", "deep", "newer", "unknown key", "wrong type"],
)
def test_a_bad_lock(built: Project, kind: str) -> None:
    lock = built.repository / "tritongen.lock"
    built.write("model_repository/tritongen.lock", bad_locks(lock.read_text())[kind])
    before = tree(built.repository)
    for command in (("build", "models"), ("check",), ("up",), ("explain", "dense")):
        assert built.error(*command, expect=2)["code"] == "TG704", command
    assert tree(built.repository) == before


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"backend": "onnxruntime"', '"backend": 5', "TG704"),
        ('"schema_version": 2', '"schema_version": 3', "TG704"),
        # What was edited, or put together of two builds, holds for neither.
        ('"instances": 1', '"instances": 2', "TG710"),
    ],
)
def test_a_bad_lock_of_one_model(built: Project, old: str, new: str, code: str) -> None:
    place = built.repository / "dense/tritongen.lock"
    assert old in place.read_text()
    place.write_text(place.read_text().replace(old, new))
    for command in (("build", "models"), ("check",), ("up",), ("explain", "dense")):
        problem = built.error(*command, expect=2)
        assert problem["code"] == code, command
        assert problem["where"].endswith("dense/tritongen.lock")


@pytest.mark.parametrize("place", ["written", "files", "model"])
def test_a_lock_with_paths_that_leave(built: Project, tmp_path: Path, place: str) -> None:
    """A stranger's lock claims a file outside of the repository, and even knows its hash."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    sha = hashlib.sha256(b"precious").hexdigest()
    document = built.lock()
    if place == "written":
        document["written"]["../../victim"] = sha
    elif place == "files":
        document["models"]["dense"]["evidence"]["files"].append(["../../../victim", sha])
    else:
        document["models"]["../.."] = document["models"].pop("dense")
        document["models"]["../.."]["evidence"]["files"] = [["victim", sha]]
    built.write("model_repository/tritongen.lock", json.dumps(document))
    for command in (("check",), ("build", "models", "--force"), ("up",)):
        assert built.error(*command, expect=2)["code"] == "TG704"
    assert victim.read_text() == "precious"


def test_a_journal_with_paths_that_leave(built: Project, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    journal = {"renames": [["dense/config.pbtxt", "../../victim"]], "removals": ["../../victim"]}
    built.write("model_repository/.tritongen.journal", json.dumps(journal))
    for command in (("check",), ("build", "models")):
        assert built.error(*command, expect=3)["code"] == "TG004"
    assert victim.read_text() == "precious"


CONFIGS = {
    "not utf-8": (b'name: "h"\nbackend: "caf\xe9"\n', 0),
    "nothing": (b"", 1),
    "garbage": (random.Random(2).randbytes(3000), 1),
    "NUL": (b'name: "h"\0', 1),
    "unicode": ('name: "h"\nbackend: "python"\n# Prüfung → ✓\n'.encode(), 1),
    "large": (b"# " + b"x" * 20_000_000, 1),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_check_of_a_bad_configuration(project: Project, kind: str) -> None:
    data, code = CONFIGS[kind]
    project.write("model_repository/h/config.pbtxt", data)
    project.write("model_repository/h/1/note.txt", "no model")
    for form in ("text", "json", "sarif", "github"):
        ran = project.run("check", "--format", form, expect=code)
        assert "TG4" in ran.out or "TG6" in ran.out
    json.loads(project.run("check", "--format", "sarif", expect=code).out)


def test_what_is_no_file(project: Project) -> None:
    """A pipe or device where a file is expected is never waited for."""
    project.add("good/model.onnx", WHOLE)
    for path in ("models/pipe.onnx", "model_repository/h/config.pbtxt"):
        target = project.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(target)
    (project.models / "zero.onnx").symlink_to("/dev/zero")
    document = project.json("inspect", "models", expect=1)
    assert [model["name"] for model in document["models"] if model["servable"]] == ["good"]
    assert project.error("check", expect=2)["code"] == "TG003"
    os.mkfifo(project.models / "tritongen.yaml")
    assert project.error("build", "models", expect=2)["code"] == "TG003"


def test_arguments(project: Project) -> None:
    assert project.error("build", "nowhere", expect=2)["code"] == "TG002"
    project.write("models/notes.txt", "nothing")
    assert project.error("build", "models/notes.txt", expect=2)["code"] == "TG101"
    for arguments in (
        ("build", "models", "--cpus", "nan"),
        ("build", "models", "--cpus", "-1"),
        ("build", "models", "--check", "--diff"),
        ("build", "models", "--weights", "teleport"),
        ("build", "models", "--no-tri"),
        ("bild", "models"),
        ("up", "--http-port", "http"),
        ("up", "--http-port", "70000"),
        ("up", "--http-port", "-5"),
        ("logs", "-n", "many"),
        ("logs", "-n", "0"),
        ("check", "--gpus", "-1"),
        ("check", "--cpus", "0"),
        ("verify", "--header", "a: b"),
        ("observe", "--prometheus", "http://127.0.0.1:9", "--ca", "ca.pem"),
        ("explain",),
        ("init",),
    ):
        assert project.error(*arguments, expect=2)["code"] == "TG009", arguments


@pytest.mark.parametrize(
    ("arguments", "command", "hint"),
    [
        (("build", "models", "--forc"), "tritongen build", "Did you mean '--force'?"),
        (("probe", "--concurency=3"), "tritongen probe", "Did you mean '--concurrency'?"),
        (("serve",), "tritongen", "Did you mean 'up'?"),
        (("benchmark",), "tritongen", "Did you mean 'probe'?"),
        (("chek",), "tritongen", "Did you mean 'check'?"),
        (("build", "models", "more"), "tritongen build", "See `tritongen build --help`."),
    ],
)
def test_the_command_tells_of_options_that_it_does_not_know(
    project: Project, arguments: tuple[str, ...], command: str, hint: str
) -> None:
    problem = project.error(*arguments, expect=2)
    assert problem["where"] == command
    assert problem["fix"].startswith(hint)


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "models"),
        ("plan", "models"),
        ("probe", "--rate", "5", "--format", "json"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_the_work(
    built: Project, arguments: tuple[str, ...]
) -> None:
    for place, why in (
        ("absent/page", "there is no such folder"),
        ("models", "is a folder"),
        ("models/tritongen.yaml/page", "its folder is a file"),
    ):
        ran = built.run(*arguments, "-o", place, expect=3)
        assert f"error TG004 {place}: cannot be written: {why}" in ran.err


def test_a_report_on_a_repository_that_is_not_there(built: Project) -> None:
    ran = built.run("report", "models", "-r", "nowhere", expect=2)
    assert "error TG002 nowhere: does not exist" in ran.err
    assert not (built.folder / "report.html").exists()


def test_what_the_system_says_of_a_file_is_told_in_words(built: Project) -> None:
    lock = built.repository / "dense/tritongen.lock"
    text = lock.read_text()
    lock.write_text(re.sub(r'"ms": [0-9.e-]+', '"ms": NaN', text, count=1))
    assert "NaN is no number" in built.error("build", "models", expect=2)["message"]
    lock.write_bytes(b"\xff")
    assert built.error("build", "models", expect=2)["message"] == (
        "cannot be read: not UTF-8 text: byte 0 is 0xff"
    )
    lock.unlink()
    lock.mkdir()
    problem = built.error("build", "models", expect=2)
    assert (problem["code"], problem["message"]) == ("TG704", "cannot be read: is a directory")


def test_a_folders_name_gives_the_terminal_no_orders(project: Project) -> None:
    project.add("fixed.onnx", fixed())
    project.add("a\n\x1b[31mred/model.onnx", dense())
    ran = project.run("build", "models", "--no-trial", expect=1)
    assert "not served: a\\n\\x1b[31mred [TG106]" in ran.out
    assert "\x1b" not in ran.out + ran.err
