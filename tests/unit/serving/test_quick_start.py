"""The quick way to a server: what the careful one gives, and none where there is any doubt."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritongen.model import lock as locks
from tritongen.model.evidence import ModelEvidence
from tritongen.model.facts import ModelFormat
from tritongen.model.lock import Lock, LockedModel, LockedServer, LockedTarget, lock_text
from tritongen.repository import write_repository as repositories
from tritongen.repository.lock_file import LOCK_FILE, TOOL, read_lock
from tritongen.serving import quick_start
from tritongen.serving.quick_start import quick_spec
from tritongen.serving.server_spec import UpOptions, readable_lock, server_spec
from tritongen.triton.server import RuntimeName
from tritongen.triton.server_state import StateStore

ROOT = Path(__file__).resolve().parents[3]
CONFIG = b'backend: "onnxruntime"\n'
WEIGHTS = "1/model.onnx"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """As `build` leaves it: one model and its lock."""
    folder = tmp_path / "model_repository"
    (folder / "dense/1").mkdir(parents=True)
    (folder / "dense" / WEIGHTS).write_bytes(b"weights")
    (folder / "dense/config.pbtxt").write_bytes(CONFIG)
    evidence = ModelEvidence(files=((WEIGHTS, "0" * 64),))
    model = LockedModel("dense", ModelFormat.ONNX, "onnxruntime", 2, 1, evidence)
    whole = Lock(
        tool=TOOL,
        target=LockedTarget("26.07", 2, memory_bytes=1 << 30),
        server=LockedServer(
            {"OMP_NUM_THREADS": "1"}, (("rate-limit", "execution_count"),), 64 << 20
        ),
        models={"dense": model},
        written={"dense/config.pbtxt": hashlib.sha256(CONFIG).hexdigest()},
    )
    (folder / LOCK_FILE).write_text(lock_text(whole))
    return folder


def spec_of(repository: Path, options: UpOptions | None = None) -> Any:
    store = StateStore(repository.parent)
    return quick_spec(store, repository, options or UpOptions())


def test_it_is_what_the_careful_way_gives(repository: Path) -> None:
    store = StateStore(repository.parent)
    for options in (
        UpOptions(),
        UpOptions(runtime=RuntimeName.DOCKER),
        UpOptions(runtime=None, image="name"),
    ):
        careful = server_spec(store, repository, readable_lock(repository), options)
        assert spec_of(repository, options) == careful


def edited(repository: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = repository / LOCK_FILE
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda lock: lock.update(schema_version=2),
        lambda lock: lock.update(tool="tritongen 0.0.1"),
        lambda lock: lock.update(surprise=1),
        lambda lock: lock.update(written=5),
        lambda lock: lock.pop("target"),
        lambda lock: lock["target"].update(cores="2"),
        lambda lock: lock["target"].update(memory_bytes=True),
        lambda lock: lock["server"].update(flags=[["model-repository", "/elsewhere"]]),
        lambda lock: lock["server"].update(environment={"LD_AUDIT": "x"}),
        lambda lock: lock["server"].update(flags=[["http-restricted-api", "statistics:a=b"]]),
        lambda lock: lock["server"].update(shared_memory_bytes="64m"),
        lambda lock: lock["server"].pop("shared_memory_bytes"),
        lambda lock: lock["server"].update(environment={"OMP_NUM_THREADS": 1}),
        lambda lock: lock["written"].update({"../victim": "0" * 64}),
        lambda lock: lock["models"]["dense"]["evidence"]["files"].append(["../../x", "0" * 64]),
        lambda lock: lock["models"].update(other=lock["models"]["dense"]),
        lambda lock: lock["models"]["dense"].pop("backend"),
    ],
)
def test_a_lock_that_is_not_as_it_would_be(
    repository: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    assert spec_of(repository) is not None
    edited(repository, change)
    assert spec_of(repository) is None


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "{"])
def test_a_lock_that_is_none(repository: Path, text: str) -> None:
    (repository / LOCK_FILE).write_text(text)
    assert spec_of(repository) is None


def test_a_repository_that_was_touched(repository: Path, tmp_path: Path) -> None:
    config = repository / "dense/config.pbtxt"
    config.write_bytes(CONFIG + b"\n")
    assert spec_of(repository) is None
    config.write_bytes(CONFIG)
    (repository / "other/1").mkdir(parents=True)
    assert spec_of(repository) is None
    (repository / "other/1").rmdir()
    assert spec_of(repository) is not None
    (repository / "dense" / WEIGHTS).unlink()
    assert spec_of(repository) is None
    assert spec_of(tmp_path / "absent") is None


@pytest.mark.parametrize("target", ["/dev/zero", "pipe"])
def test_pipes_and_devices_are_not_read(repository: Path, target: str) -> None:
    os.mkfifo(repository / "pipe")
    config = repository / "dense/labels.txt"
    edited(repository, lambda lock: lock["written"].update({"dense/labels.txt": "0" * 64}))
    config.symlink_to(repository / target)
    assert spec_of(repository) is None


def test_a_killed_build_is_finished_first(repository: Path) -> None:
    (repository / repositories.JOURNAL).write_text("{}")
    assert spec_of(repository) is None


def test_names_are_those_of_the_whole_lock() -> None:
    assert locks.LOCK_FILE == LOCK_FILE
    assert locks.SCHEMA_VERSION == quick_start._SCHEMA


def test_what_build_wrote_needs_the_shared_memory_that_its_lock_says(tmp_path: Path) -> None:
    """Of the demo's repository, whose texts hold tensors; its weights are not committed."""
    repository = tmp_path / "model_repository"
    shutil.copytree(ROOT / "model_repository", repository)
    lock = read_lock(repository)
    assert lock is not None
    for name, model in lock.models.items():
        for path, _ in model.evidence.files:
            weights = repository / name / path
            weights.parent.mkdir(parents=True, exist_ok=True)
            weights.write_bytes(b"weights")
    options = UpOptions(runtime=RuntimeName.DOCKER)
    found = spec_of(repository, options)
    assert found is not None
    assert found == server_spec(StateStore(tmp_path), repository, lock, options)
