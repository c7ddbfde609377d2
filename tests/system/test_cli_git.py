"""What git does to a project: branches that meet, and Git LFS pointers in the place of files."""

import hashlib
import re
import subprocess
from pathlib import Path

import onnx
import pytest
import yaml

from support.cli import FREE_PORTS, Project, dense
from tritongen.formats.format_detection import CLAIMS

pytestmark = pytest.mark.smoke

HOOKS = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
NAMES = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")


def git(project: Project, *words: str, expect: int = 0) -> None:
    done = subprocess.run(
        ("git", *NAMES, *words), cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == expect, done.stdout + done.stderr


def point(path: Path) -> None:
    """Put Git LFS's pointer in the place of a file."""
    data = path.read_bytes()
    path.unlink()  # it may be a hard link
    digest = hashlib.sha256(data).hexdigest()
    spec = "https://git-lfs.github.com/spec/v1"
    path.write_text(f"version {spec}\noid sha256:{digest}\nsize {len(data)}\n")


def test_a_merge_that_git_leaves_open_is_named_with_what_to_do(project: Project) -> None:
    project.add("dense.onnx", dense())
    project.run("build", "models", "--cpus", "2")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "built")
    for branch, cpus in (("other", "3"), ("main", "4")):
        git(project, "checkout", "-q", *(["-b", branch] if branch == "other" else [branch]))
        project.write("models/tritongen.yaml", f"target: {{cpus: {cpus}}}\n")
        project.run("build", "models")
        git(project, "add", "-A")
        git(project, "commit", "-qm", branch)
    git(project, "merge", "-q", "other", expect=1)

    told = project.error("build", "models", expect=2)
    assert (told["code"], told["where"]) == ("TG710", "models/tritongen.yaml")
    project.write("models/tritongen.yaml", "target: {cpus: 4}\n")
    told = project.error("build", "models", expect=2)
    assert (told["code"], told["where"]) == ("TG710", "model_repository/tritongen.lock")
    assert "git checkout --ours" in told["fix"]
    git(project, "checkout", "--ours", "model_repository/tritongen.lock")
    told = project.error("build", "models", expect=2)
    assert (told["code"], told["where"]) == ("TG710", "dense/config.pbtxt")
    assert project.json("check", expect=1)["findings"][0]["code"] == "TG710"
    git(project, "checkout", "--ours", "model_repository/dense/config.pbtxt")
    project.run("build", "models")
    assert not project.json("build", "models", "--check")["drift"]


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
