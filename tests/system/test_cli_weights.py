"""Weights: how they get into a repository, how they are left out, and how they are checked."""

import shutil
from pathlib import Path

import pytest

from support.cli import FREE_PORTS, INTENT, SERVED, Project, dense, tree, whole_lock
from support.triton import EmbeddedRuntime

pytestmark = pytest.mark.smoke


PLACED = {
    "dense/1/model.onnx": "dense/model.onnx",
    "fixed/1/model.onnx": "fixed.onnx",
    "outside/1/model.onnx": "outside/model.onnx",
    "outside/1/w.bin": "outside/w.bin",
    "twice/1/model.onnx": "twice/1/model.onnx",
    "twice/2/model.onnx": "twice/2/model.onnx",
}


def rebuilt(built: Project, mode: str) -> Project:
    """The same project with its repository written anew, with weights in another way."""
    lock = whole_lock(built.repository)
    shutil.rmtree(built.repository)
    built.write("model_repository/tritongen.lock", lock)
    built.run("build", "models", "--weights", mode)
    return built


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink"])
def test_placed(built: Project, mode: str) -> None:
    project = rebuilt(built, mode)
    for target, source in PLACED.items():
        ours, theirs = project.repository / target, project.models / source
        assert ours.read_bytes() == theirs.read_bytes()
        assert ours.is_symlink() == (mode == "symlink")
        assert ours.samefile(theirs) == (mode != "copy")
    assert project.json("check")["summary"]["errors"] == 0
    assert not project.json("build", "models", "--check", "--weights", mode)["drift"]


def test_links_become_copies_and_copies_links(built: Project) -> None:
    path = built.repository / "dense/1/model.onnx"
    for mode, linked in (("symlink", True), ("copy", False)):
        # No drift: nobody commits weights.
        assert not built.json("build", "models", "--check", "--weights", mode)["drift"]
        assert built.json("build", "models", "--weights", mode)["written"]
        assert path.is_symlink() is linked
        assert not built.json("build", "models", "--weights", mode)["written"]
    assert not path.samefile(built.models / "dense/model.onnx")


def test_left_out_and_filled_in(built: Project) -> None:
    project = rebuilt(built, "none")
    assert not list(project.repository.rglob("*.onnx"))
    document = project.json("check")
    assert document["summary"]["errors"] == 0
    assert {item["code"] for item in document["findings"]} == {"TG705"}
    assert not project.json("build", "models", "--check", "--weights", "none")["drift"]
    # Not even the default calls absent weights drift: a clone in CI has none.
    assert not project.json("build", "models", "--check")["drift"]
    problem = project.error("up", *FREE_PORTS, expect=2)
    assert problem["code"] == "TG705"
    before = tree(project.repository)
    assert project.json("build", "models")["written"]
    after = tree(project.repository)
    assert {path: after[path] for path in before} == before, "configurations and lock are as before"
    assert set(after) - set(before) >= set(PLACED)


def test_none_stated_in_the_yaml_and_overridden(built: Project) -> None:
    shutil.rmtree(built.repository)
    built.write("models/tritongen.yaml", "weights: none\n" + INTENT)
    built.run("build", "models", "--no-trial")
    assert not list(built.repository.rglob("*.onnx"))
    built.run("build", "models", "--no-trial", "--weights", "copy")
    assert (built.repository / "dense/1/model.onnx").is_file()
    assert not built.json("build", "models", "--check")["drift"]


def test_check_verifies_the_hash(built: Project) -> None:
    (built.repository / "outside/1/w.bin").write_bytes(b"\0" * 12)
    document = built.json("check", expect=1)
    (fault,) = [item for item in document["findings"] if item["severity"] == "error"]
    assert (fault["code"], fault["model"]) == ("TG706", "outside")
    assert fault["path"] == "model_repository/outside/1/w.bin"


def test_a_truncated_copy_is_found(built: Project) -> None:
    path = built.repository / "dense/1/model.onnx"
    path.write_bytes(path.read_bytes()[:40])
    document = built.json("check", expect=1)
    assert "TG706" in {item["code"] for item in document["findings"]}


def test_a_changed_model_replaces_its_copy(built: Project) -> None:
    built.add("dense/model.onnx", dense(seed=5))
    built.run("build", "models")
    copied = (built.repository / "dense/1/model.onnx").read_bytes()
    assert copied == (built.models / "dense/model.onnx").read_bytes()


def test_links_of_a_model_that_is_gone_are_removed(built: Project) -> None:
    project = rebuilt(built, "symlink")
    (project.models / "fixed.onnx").unlink()
    project.run("build", "models", "--weights", "symlink")
    assert not (project.repository / "fixed").exists()


def test_a_link_that_the_lock_does_not_know_is_not_followed(built: Project, tmp_path: Path) -> None:
    """Only the bytes that the lock names are read behind a link that leaves the repository."""
    project = rebuilt(built, "symlink")
    secret = tmp_path / "secret.onnx"
    secret.write_bytes(dense(seed=3).SerializeToString())
    target = project.repository / "dense/1/model.onnx"
    target.unlink()
    target.symlink_to(secret)
    document = project.json("check", expect=1)
    assert "TG706" in {item["code"] for item in document["findings"]}


def test_linked_weights_are_served_and_verified(
    built: Project, embedded_runtime: EmbeddedRuntime
) -> None:
    project = rebuilt(built, "symlink")
    try:
        project.run("up", *FREE_PORTS)
        document = project.json("verify")
        assert [item["name"] for item in document["models"] if item["ok"]] == [*SERVED]
    finally:
        project.run("down")
