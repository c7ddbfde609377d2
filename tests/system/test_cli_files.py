"""Permissions, full disks and unusual surroundings: old files intact, and a message that helps."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from support.cli import FREE_PORTS, INTENT, TRITONGEN, Project, dense, tree
from support.onnx_models import tensor, with_weights


def test_an_unreadable_model(project: Project) -> None:
    project.add("good/model.onnx", dense())
    project.add("shut/model.onnx", dense()).chmod(0)
    user = project.powerless()
    document = user.json("inspect", "models", expect=1)
    shut = document["models"][1]
    assert {item["code"] for item in shut["findings"]} == {"TG003"}
    built = user.json("build", "models", "--no-trial", expect=1)
    assert built["written"]
    assert [(item["name"], item["code"]) for item in built["left_out"]] == [("shut", "TG003")]


@pytest.mark.parametrize("path", ["models", "models/tritongen.yaml"])
def test_an_unreadable_models_folder_or_yaml(built: Project, path: str) -> None:
    (built.folder / path).chmod(0)
    try:
        problem = built.powerless().error("build", "models", expect=2)
    finally:
        (built.folder / path).chmod(0o755)
    assert problem["code"] == "TG003"
    assert path in problem["where"]


def test_folders_that_must_not_be_entered(built: Project) -> None:
    shut = built.folder / "shut"
    shutil.copytree(built.folder / "models", shut / "models")
    shut.chmod(0)
    user = built.powerless()
    try:
        for command in (
            ("build", "models", "--no-trial", "-o", "shut/repository"),
            ("export", "compose", "-o", "shut/deploy"),
            ("inspect", "shut/models"),
            ("check", "shut/repository"),
            ("up", "shut/repository", *FREE_PORTS),
        ):
            problem = user.error(*command, expect=2)
            assert problem["code"] == "TG003", command
            assert "shut/" in problem["where"], command
    finally:
        shut.chmod(0o755)


@pytest.mark.parametrize(
    "path",
    ["tritongen.lock", "dense/tritongen.lock", "dense/config.pbtxt", "dense/1/model.onnx"],
)
def test_an_unreadable_file_of_the_repository(built: Project, path: str) -> None:
    (built.repository / path).chmod(0)
    code = "TG704" if path.endswith(".lock") else "TG003"
    user = built.powerless()
    assert user.error("build", "models", expect=2)["code"] == code
    problem = user.run_any("check", "--format", "json")
    assert code in problem.out or "TG003" in problem.out


@pytest.mark.parametrize("folder", ["", "dense", "dense/1"])
def test_a_read_only_repository(built: Project, folder: str) -> None:
    built.write("models/tritongen.yaml", INTENT + "    max_batch_size: 2\n")
    built.add("dense/model.onnx", dense(seed=4))
    before = tree(built.repository)
    place = built.repository / folder
    place.chmod(0o555)
    try:
        problem = built.powerless().error("build", "models", "--no-trial", expect=3)
    finally:
        place.chmod(0o755)
    assert problem["code"] == "TG004"
    assert ".tritongen-" not in problem["where"]
    assert tree(built.repository) == before
    assert not built.powerless().json("build", "models", "--check", expect=1)["written"]


def test_a_read_only_project(built: Project) -> None:
    """What only reads works in a folder that nobody may write to, as on a mounted volume."""
    shutil.rmtree(built.folder / ".tritongen")
    built.folder.chmod(0o555)
    user = built.powerless()
    try:
        assert not user.json("build", "models", "--check")["drift"]
        assert user.json("check")["summary"]["errors"] == 0
        assert user.error("up", *FREE_PORTS, expect=3)["code"] == "TG004"
        assert user.error("build", "models", "-o", "elsewhere", expect=3)["code"] == "TG004"
    finally:
        built.folder.chmod(0o755)


def test_init_where_nothing_can_be_written(project: Project) -> None:
    project.add("good/model.onnx", dense())
    project.models.chmod(0o555)
    try:
        assert project.powerless().error("init", "models", expect=3)["code"] == "TG004"
    finally:
        project.models.chmod(0o755)


@pytest.mark.parametrize("size", [100, 1000, 100_000])
def test_a_full_disk(built: Project, size: int) -> None:
    """The disk fills up while texts, the lock or weights are written."""
    large = with_weights(tensor("w", [60_000, 3]))
    built.add("big/model.onnx", large)
    before = tree(built.repository)
    problem = built.limited(size).error("build", "models", "--no-trial", expect=3)
    assert problem["code"] == "TG005"
    assert tree(built.repository) == before
    assert built.json("build", "models", "--no-trial")["written"]


def test_a_full_disk_at_the_first_build(project: Project) -> None:
    project.add("good/model.onnx", dense())
    limited = project.limited(100)
    assert limited.error("build", "models", "--no-trial", expect=3)["code"] == "TG005"
    assert not project.repository.exists()
    assert limited.error("init", "models", expect=3)["code"] == "TG005"
    assert not (project.models / "tritongen.yaml").exists()


def shell(project: Project, line: str) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash with `$t` standing for the command."""
    return subprocess.run(
        ("bash", "-c", line),
        cwd=project.folder,
        env={"PATH": "/usr/bin:/bin", "t": str(TRITONGEN), "HOME": str(project.folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["inspect models", "check", "completion bash", "explain dense"])
def test_the_reader_goes_away(built: Project, command: str) -> None:
    done = shell(built, f"$t {command} | head -1; $t {command} | true; $t {command} | head -c 5")
    assert done.stdout
    assert not done.stderr


def test_closed_streams(built: Project) -> None:
    before = tree(built.repository)
    done = shell(built, "$t build models >&-; echo $?; $t build models <&- >&- 2>&-; echo $?")
    assert done.stdout == "0\n0\n"
    assert not done.stderr
    done = shell(built, "$t build nowhere >&- 2>&-; echo $?; $t nonsense 2>&-; echo $?")
    assert done.stdout == "2\n2\n"
    assert tree(built.repository) == before, "nothing was printed into a file that was opened"


def test_a_full_disk_under_the_output(built: Project) -> None:
    done = shell(built, "$t inspect models > /dev/full; echo $?")
    assert done.stdout == "3\n"
    assert "TG005" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_without_a_home(built: Project, tmp_path: Path) -> None:
    """As in many containers: no HOME, or one that does not exist."""
    for setting in ("env -u HOME", "env HOME=/nonexistent", "env HOME= XDG_CACHE_HOME=relative"):
        done = shell(built, f"{setting} TMPDIR={tmp_path} $t build models --remeasure")
        assert not done.returncode, (setting, done.stderr)


def test_colours_only_where_they_are_seen(built: Project) -> None:
    plain = built.run("inspect", "models").out
    assert "\033" not in plain
    # A terminal shows them, unless the user wants none.
    for setting, coloured in (("", True), ("NO_COLOR=1", False), ("TERM=dumb", False)):
        line = f"TERM=xterm {setting} script -qec '{TRITONGEN} inspect models' /dev/null"
        done = shell(built, line)
        assert ("\033[" in done.stdout) == coloured, done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "utf-8"])
def test_any_encoding_of_the_terminal(built: Project, encoding: str) -> None:
    built.add("wörter/model.onnx", dense())
    built.run("inspect", "models", expect=1, PYTHONIOENCODING=encoding)
    ran = subprocess.run(
        (TRITONGEN, "inspect", "models", "--format", "json"),
        cwd=built.folder,
        env={"PYTHONIOENCODING": encoding, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    names = [model["name"] for model in json.loads(ran.stdout.decode(encoding))["models"]]
    assert "wörter" in names


@pytest.mark.parametrize("output", ["models", ".", ".."])
def test_the_models_folder_is_no_repository(built: Project, output: str) -> None:
    before = tree(built.folder)
    problem = built.error("build", "models", "-o", output, expect=2)
    assert problem["code"] == "TG305"
    assert "would lie in the repository" in problem["message"]
    assert tree(built.folder) == before


def test_a_repository_in_the_models_folder_is_not_taken_for_models(built: Project) -> None:
    built.run("build", "models", "-o", "models/out")
    assert not built.json("build", "models", "-o", "models/out")["written"]
    found = built.json("inspect", "models")["models"]
    assert "out" not in {item["name"] for item in found}
