"""What git does to a project: branches that meet, and Git LFS pointers in the place of files."""

import hashlib
import re
import shlex
import subprocess
from pathlib import Path

import onnx
import pytest
import yaml

from support.cli import FREE_PORTS, Project, dense, tree, whole_lock
from tritongen.formats.format_detection import CLAIMS
from tritongen.repository.lock_file import as_built
from tritongen.serving.server_spec import ServedRepository

pytestmark = pytest.mark.smoke

HOOKS = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
NAMES = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")


def git(project: Project, *words: str, expect: int = 0) -> str:
    done = subprocess.run(
        ("git", *NAMES, *words), cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


def sha(message: onnx.ModelProto) -> str:
    return hashlib.sha256(message.SerializeToString()).hexdigest()


def point(path: Path) -> None:
    """Put Git LFS's pointer in the place of a file."""
    data = path.read_bytes()
    path.unlink()  # it may be a hard link
    digest = hashlib.sha256(data).hexdigest()
    spec = "https://git-lfs.github.com/spec/v1"
    path.write_text(f"version {spec}\noid sha256:{digest}\nsize {len(data)}\n")


def cloned(project: Project, name: str, tmp_path: Path) -> Project:
    """A clone of the project's git repository; nothing is remembered there."""
    folder = tmp_path / name
    subprocess.run(("git", "clone", "-q", str(project.folder), str(folder)), check=True)
    return Project(folder)


def committed(project: Project, words: str) -> None:
    git(project, "add", "-A")
    git(project, "commit", "-qm", words)


@pytest.fixture
def team(project: Project, tmp_path: Path) -> tuple[Project, Project, Project]:
    """A committed project of two models, as `init --git` prepares it, and two clones."""
    project.add("one/model.onnx", dense())
    project.add("two/model.onnx", dense(seed=1))
    git(project, "init", "-q", "-b", "main")
    project.run("init", "models", "--git")
    project.write(
        "models/tritongen.yaml", "target: {cpus: 2}\nmodels:\n  one: {}\n\n\n\n  two: {}\n"
    )
    project.run("build")
    committed(project, "built")
    return project, cloned(project, "ours", tmp_path), cloned(project, "theirs", tmp_path)


def test_changes_to_two_models_merge_without_a_conflict(
    team: tuple[Project, Project, Project],
) -> None:
    _, ours, theirs = team
    for clone, name, seed in ((ours, "one", 5), (theirs, "two", 6)):
        clone.add(f"{name}/model.onnx", dense(seed=seed))
        text = (clone.models / "tritongen.yaml").read_text()
        clone.write(
            "models/tritongen.yaml", text.replace(f"{name}: {{}}", f"{name}: {{max_batch_size: 4}}")
        )
        clone.run("build")
        committed(clone, name)
    git(ours, "pull", "-q", "--no-rebase", "--no-edit", str(theirs.folder), "main")
    # Git does not replace what it ignores: the weights are those of the last build here.
    stale = [{"path": "two/1/model.onnx", "kind": "weights changed"}]
    assert ours.json("build", "--check", expect=1)["differences"] == stale
    # Nobody has looked at the two together yet.
    served = ServedRepository.read(ours.repository)
    assert not as_built(ours.repository, served.lock, served.models)
    before = ours.lock()["models"]
    assert ours.json("build")["written"]
    assert ours.lock()["models"] == before
    assert git(ours, "status", "--porcelain") == "", "nothing of it is to be committed"
    assert not ours.json("build", "--check")["drift"]
    assert not ours.json("check")["summary"]["errors"]
    assert {name: model["evidence"]["files"] for name, model in before.items()} == {
        "one": [["1/model.onnx", sha(dense(seed=5))]],
        "two": [["1/model.onnx", sha(dense(seed=6))]],
    }


@pytest.mark.parametrize("side", ["HEAD", "MERGE_HEAD"])
def test_two_changes_to_one_model_are_told_with_the_command_that_mends_them(
    team: tuple[Project, Project, Project], side: str
) -> None:
    _, ours, theirs = team
    for clone, rows in ((ours, 2), (theirs, 4)):
        text = (clone.models / "tritongen.yaml").read_text()
        clone.write(
            "models/tritongen.yaml", text.replace("one: {}", f"one: {{max_batch_size: {rows}}}")
        )
        clone.run("build")
        committed(clone, str(rows))
    git(ours, "pull", "-q", "--no-rebase", "--no-edit", str(theirs.folder), "main", expect=1)
    told = ours.error("build", expect=2)
    assert (told["code"], told["where"][-21:]) == ("TG710", "models/tritongen.yaml")
    ours.write("models/tritongen.yaml", "target: {cpus: 2}\nmodels: {one: {max_batch_size: 8}}\n")
    for command in (("build",), ("build", "--check"), ("check",), ("explain", "one"), ("up",)):
        told = ours.error(*command, expect=2)
        assert (told["code"], told["where"]) == ("TG710", "model_repository/one/tritongen.lock")
    (command,) = re.findall("`([^`]*)`", told["fix"])
    assert command == "git checkout HEAD -- model_repository/one && tritongen build"
    first, _, second = command.replace("HEAD", side).partition(" && ")
    git(ours, *shlex.split(first)[1:])
    ours.run(*shlex.split(second)[1:])
    assert "max_batch_size: 8" in ours.config("one").read_text()
    committed(ours, "merged")
    assert not ours.json("build", "--check")["drift"]


def test_a_change_of_the_target_on_both_sides_is_mended_as_well(
    team: tuple[Project, Project, Project],
) -> None:
    _, ours, theirs = team
    for clone, memory in ((ours, 2), (theirs, 4)):
        clone.write("models/tritongen.yaml", f"target: {{cpus: 2, memory: {memory}GB}}\n")
        clone.run("build")
        committed(clone, str(memory))
    git(ours, "pull", "-q", "--no-rebase", "--no-edit", str(theirs.folder), "main", expect=1)
    git(ours, "checkout", "--theirs", "models/tritongen.yaml")
    told = ours.error("build", expect=2)
    assert (told["code"], told["where"]) == ("TG710", "model_repository/tritongen.lock")
    (command,) = re.findall("`([^`]*)`", told["fix"])
    first, _, second = command.partition(" && ")
    git(ours, *shlex.split(first)[1:])
    ours.run(*shlex.split(second)[1:])
    assert ours.lock()["target"]["memory_bytes"] == 4_000_000_000
    assert not ours.json("build", "--check")["drift"]


def test_a_merge_of_locks_in_one_file_is_mended_by_the_command_that_is_told(
    project: Project,
) -> None:
    """As older tools left it: the lock of both sides, and texts that were merged by themselves."""
    project.add("dense.onnx", dense())
    project.run("build", "models", "--cpus", "2")
    git(project, "init", "-q", "-b", "main")
    old(project)
    committed(project, "built")
    for branch, cpus in (("other", "3"), ("main", "4")):
        git(project, "checkout", "-q", *(["-b", branch] if branch == "other" else [branch]))
        project.write("models/tritongen.yaml", f"target: {{cpus: {cpus}}}\n")
        project.run("build", "models")
        old(project)
        committed(project, branch)
    git(project, "merge", "-q", "other", expect=1)
    git(project, "checkout", "--theirs", "models/tritongen.yaml")
    told = project.error("build", "models", expect=2)
    assert (told["code"], told["where"]) == ("TG710", "model_repository/tritongen.lock")
    assert "`git checkout HEAD -- model_repository && tritongen build`" in told["fix"]
    git(project, "checkout", "HEAD", "--", "model_repository")
    project.run("build")
    assert project.lock()["target"]["cores"] == 3
    assert not project.json("build", "--check")["drift"]


def old(project: Project) -> None:
    """The lock as older tools wrote it."""
    text = whole_lock(project.repository)
    for path in project.repository.glob("**/*tritongen.lock"):
        path.unlink()
    project.write("model_repository/tritongen.lock", text)


def test_an_older_lock_is_read_and_moved_by_the_next_build(project: Project) -> None:
    project.add("dense.onnx", dense())
    project.add("lost.onnx", dense(seed=1))
    project.write("models/tritongen.yaml", "models: {lost: {serve: false}}")
    project.run("build", "models")
    old(project)
    before = tree(project.repository)
    assert not project.json("build", "models", "--check")["drift"]
    assert not project.json("build", "models", "--diff")["differences"]
    project.run("check")
    assert tree(project.repository) == before
    built = project.run("build", "models")
    assert built.out.count("TG712") == 1
    assert (project.repository / "dense/tritongen.lock").is_file()
    after = tree(project.repository)
    assert {path for path in after if after[path] != before.get(path)} == {
        "tritongen.lock", "dense/tritongen.lock",
    }  # fmt: skip
    assert "TG712" not in project.run("build", "models").out


def test_init_prepares_git(project: Project) -> None:
    project.add("dense.onnx", dense())
    project.write(".gitignore", "*.pyc")
    git(project, "init", "-q", "-b", "main")
    told = project.json("init", "models", "--git")
    assert (told["written"], told["git"]) == (True, [".gitignore", ".gitattributes"])
    project.run("build", "models")
    git(project, "add", "-A")
    listed = git(project, "ls-files").split()
    assert listed == [
        ".gitattributes", ".gitignore", "model_repository/dense/config.pbtxt",
        "model_repository/dense/tritongen.lock", "model_repository/tritongen.lock",
        "models/dense.onnx", "models/tritongen.yaml",
    ]  # fmt: skip
    assert (project.folder / ".gitignore").read_text().startswith("*.pyc\n#")
    assert "text: unset" in git(project, "check-attr", "text", "--", "models/dense.onnx")
    assert "text: set" in git(
        project, "check-attr", "text", "--", "model_repository/tritongen.lock"
    )
    # Once more it changes nothing, neither here nor in the file that was drafted.
    again = project.json("init", "models", "--git")
    assert (again["written"], again["git"]) == (False, [])


def test_git_s_files_hold_patterns_of_this_folder_alone(project: Project) -> None:
    project.add("dense.onnx", dense())
    inside = project.write("deep/.keep", "").parent
    told = Project(inside).error("init", "../models", "--git", expect=2)
    assert told["code"] == "TG009"
    assert not (inside / ".gitignore").exists()


def test_lfs_pointers_are_told_as_such_everywhere(project: Project) -> None:
    project.add("dense.onnx", dense())
    (project.models / "parted").mkdir()
    onnx.save(
        dense(seed=1), project.models / "parted/model.onnx",
        save_as_external_data=True, location="model.onnx.data", size_threshold=0,
    )  # fmt: skip
    project.run("optimize", "models", "-m", "dense", "--quantize", "--budget", "1")
    project.run("build", "models", "--variant", "dense=int8-static")
    files = {
        "models/parted/model.onnx.data": "external data 'model.onnx.data'",
        "models/dense.onnx": "dense.onnx",
        "models/.variants/dense/int8-static/model.onnx": ".variants/dense/int8-static/model.onnx",
    }
    for path, words in files.items():
        whole = (project.folder / path).read_bytes()
        point(project.folder / path)
        ran = project.run_any("build", "models", "--dry-run")
        assert f"{words} is a Git LFS pointer" in ran.out + ran.err
        assert "Run `git lfs pull`" in ran.out + ran.err
        (project.folder / path).write_bytes(whole)
    for path in project.repository.glob("*/1/*"):
        point(path)
    found = project.json("check", expect=1)["findings"]
    assert {item["fix"] for item in found if item["severity"] == "error"} == {"Run `git lfs pull`."}
    told = project.error("up", *FREE_PORTS, expect=3)
    assert (told["code"], told["fix"]) == ("TG102", "Run `git lfs pull`.")
    assert not project.json("build", "models", "--weights", "none")["written"]
    assert project.json("build", "models")["written"]
    assert not project.json("check")["summary"]["errors"]


@pytest.mark.parametrize("kind", ["pointers", "nothing"])
def test_without_weights_the_lock_says_what_build_and_explain_must_know(
    project: Project, kind: str
) -> None:
    project.add("dense.onnx", dense())
    project.add("plain/model.onnx", dense(seed=1))
    project.run("build", "models")
    explained = project.run("explain", "dense").out
    for path in (project.models / "dense.onnx", project.models / "plain/model.onnx"):
        point(path)
        if kind == "nothing":
            path.unlink()
    checked = project.json("build", "models", "--check")
    assert not checked["drift"]
    assert [item["model"] for item in checked["findings"] if item["code"] == "TG711"] == [
        "dense",
        "plain",
    ]
    assert project.run("explain", "dense").out == explained
    # What is stated since is seen, and nothing is written.
    project.write("models/tritongen.yaml", "models: {dense: {max_batch_size: 2}}")
    assert project.json("build", "models", "--check", expect=1)["drift"]
    assert project.error("build", "models", expect=2)["code"] == "TG101"


def test_a_pointer_to_other_weights_is_a_changed_model(project: Project) -> None:
    path = project.add("dense.onnx", dense())
    project.run("build", "models")
    path.write_bytes(dense(seed=1).SerializeToString())
    point(path)
    assert project.error("build", "models", "--check", expect=2)["code"] == "TG101"


def test_the_hook_sees_a_commit_of_weights_alone() -> None:
    (hook,) = [one for one in yaml.safe_load(HOOKS.read_text()) if "build" in one["id"]]
    wanted = re.compile(hook["files"])
    weights = [f"nets/net{suffix}" for suffix in CLAIMS]
    weights += ["nets/net.onnx.data", "nets/net.xml", "nets/net.bin", "models/trees.json"]
    for path in (*weights, "models/a/1/model.py", "r/a/config.pbtxt", "x/tritongen.yaml"):
        assert wanted.search(path), path
    for path in ("README.md", "src/models.py", "docs/lock.md"):
        assert not wanted.search(path), path
