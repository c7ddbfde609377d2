"""Models of a repository whose links leave it are followed where the lock names their bytes."""

import hashlib
from pathlib import Path

from support.cli import dense
from support.onnx_models import save
from tritongen.model.evidence import ModelEvidence
from tritongen.model.facts import ModelFormat
from tritongen.model.lock import Lock, LockedModel, LockedTarget
from tritongen.model.releases import find
from tritongen.repository.inspect import stored_models

RELEASE = find("26.07")


def locked(*files: tuple[str, str]) -> Lock:
    evidence = ModelEvidence(tuple(files), None)
    model = LockedModel("m.onnx", ModelFormat.ONNX, "onnxruntime", 1, 1, evidence)
    return Lock("t", LockedTarget("26.07", 2), models={"m": model})


def linked(tmp_path: Path) -> tuple[Path, str]:
    """A repository with a model that is a link to a file outside."""
    original = save(dense(), tmp_path / "outside/m.onnx")
    folder = tmp_path / "repository/m/1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").symlink_to(original)
    return tmp_path / "repository", hashlib.sha256(original.read_bytes()).hexdigest()


def test_a_link_that_the_lock_names_is_followed(tmp_path):
    repository, sha = linked(tmp_path)
    found = stored_models(repository, locked(("1/model.onnx", sha)), RELEASE)["m"]
    assert [spec.name for spec in found.facts.inputs] == ["x"]
    assert found.mains == {1: tmp_path / "outside/m.onnx"}
    assert found.folder == repository / "m"


def test_a_link_of_other_bytes_or_that_no_lock_names_is_not(tmp_path):
    repository, sha = linked(tmp_path)
    other = Lock("t", LockedTarget("26.07", 2))
    for lock in (
        None, other, locked(), locked(("1/model.onnx", "0" * 64)),
        locked(("1/model.onnx", sha), ("1/absent.bin", sha)),
    ):  # fmt: skip
        found = stored_models(repository, lock, RELEASE)["m"]
        assert "TG107" in {item.code for item in found.facts.findings}
        assert found.facts.inputs == ()


def test_a_model_within_the_repository_is_itself_whatever_the_lock_says(tmp_path):
    save(dense(), tmp_path / "m/1/model.onnx")
    for lock in (None, locked(("1/model.onnx", "0" * 64))):
        found = stored_models(tmp_path, lock, RELEASE)["m"]
        assert found.mains == {1: tmp_path / "m/1/model.onnx"}
    (tmp_path / "empty").mkdir()
    assert stored_models(tmp_path / "empty", None, RELEASE) == {}
