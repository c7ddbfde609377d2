"""The committed `model_repository/`: it is what the demo's models give, on any machine."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.cli import Project, tree

ROOT = Path(__file__).resolve().parents[2]
SERVED = ("breast_cancer", "digits", "magika", "orientation")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the demo's models and of the repository as it is committed, without weights."""
    subprocess.run([sys.executable, ROOT / "demo" / "fetch.py"], check=True)
    project = Project(tmp_path_factory.mktemp("demo"))
    shutil.copytree(ROOT / "demo" / "models", project.models)
    shutil.copytree(
        ROOT / "model_repository",
        project.repository,
        ignore=lambda _, names: [name for name in names if name.isdigit()],
    )
    return project


@pytest.mark.smoke
def test_it_is_up_to_date(demo: Project) -> None:
    document = demo.json("build", "models", "--check", expect=1)
    assert not document["drift"]
    assert [item["name"] for item in document["models"]] == [*SERVED]
    assert document["refused"] == [{"name": "wine_zipmap", "codes": ["TG110"]}]
    assert demo.json("check")["summary"]["errors"] == 0


def test_a_build_adds_nothing_but_weights(demo: Project) -> None:
    before = tree(demo.repository)
    assert demo.json("build", "models", expect=1)["written"]
    after = tree(demo.repository)
    assert {path: after[path] for path in before} == dict(before)
    assert set(after) - set(before) == {f"{name}/1/model.onnx" for name in SERVED}
    assert demo.json("check")["summary"]["errors"] == 0


@pytest.mark.smoke
def test_no_large_weights_are_committed() -> None:
    done = subprocess.run(
        ["git", "ls-files", "-z", "demo", "model_repository"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    assert paths
    assert max(path.stat().st_size for path in paths) < 2**20
    assert not [path for path in paths if path.is_relative_to(ROOT / "model_repository/digits/1")]
