"""From a repository and the wishes of `up` to the spec of a server."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.evidence import ModelEvidence
from tritongen.model.facts import ModelFormat
from tritongen.model.lock import Lock, LockedModel, LockedServer, LockedTarget, lock_text
from tritongen.repository.lock_file import LOCK_FILE, TOOL, note_linted, read_lock
from tritongen.repository.shared_memory_size import shared_memory_bytes
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.serving.server_spec import ServedRepository, UpOptions, model_names, server_spec
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


def spec_of(repository: Path, options: UpOptions | None = None) -> ServerSpec:
    store = StateStore(repository.parent)
    return server_spec(store, ServedRepository.read(repository), options or UpOptions())


def test_a_server_is_started_as_it_was_planned(repository: Path) -> None:
    found = spec_of(repository)
    assert (found.models, found.backends) == (("dense",), ("onnxruntime",))
    assert (found.cores, found.memory_bytes, found.gpus) == (2, 1 << 30, 0)
    assert found.environment == (("OMP_NUM_THREADS", "1"),)
    assert found.flags == (("rate-limit", "execution_count"),)
    assert (found.release, found.shared_memory_bytes) == ("26.07", 64 << 20)
    assert not found.auto_complete
    assert found.needs == ()


def test_a_server_is_started_as_it_is_wished_for(repository: Path) -> None:
    wish = UpOptions(ports=Ports(1, 2, 3), host="::1", image="name", user="7", read_only=False)
    found = spec_of(repository, wish)
    assert (found.ports, found.host) == (Ports(1, 2, 3), "::1")
    assert (found.image, found.user, found.read_only) == ("name", "7", False)
    assert spec_of(repository).user == "1000:1000"


def test_an_image_s_name_is_looked_at_before_anything_else() -> None:
    with pytest.raises(InvalidInputError) as caught:
        UpOptions(image="--privileged")
    assert caught.value.code == "TG304"


def edited(repository: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = repository / LOCK_FILE
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def files_of(lock: dict[str, Any]) -> list[Any]:
    files: list[Any] = lock["models"]["dense"]["evidence"]["files"]
    return files


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda lock: lock.update(schema_version=2), "TG704"),
        (lambda lock: lock.update(written=5), "TG704"),
        (lambda lock: lock.pop("target"), "TG704"),
        (lambda lock: lock["target"].update(cores="2"), "TG704"),
        (lambda lock: lock["server"].update(flags=[["model-repository", "/elsewhere"]]), "TG704"),
        (lambda lock: lock["server"].update(environment={"LD_AUDIT": "x"}), "TG704"),
        (lambda lock: lock["server"].update(environment={"OMP_NUM_THREADS": 1}), "TG704"),
        (lambda lock: lock["written"].update({"../victim": "0" * 64}), "TG704"),
        (lambda lock: files_of(lock).append(["x", "0" * 64]), "TG705"),
    ],
)
def test_a_lock_that_is_not_as_it_would_be(
    repository: Path, change: Callable[[dict[str, Any]], object], code: str
) -> None:
    edited(repository, change)
    with pytest.raises(InvalidInputError) as caught:
        spec_of(repository)
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "{"])
def test_a_lock_that_is_none(repository: Path, text: str) -> None:
    (repository / LOCK_FILE).write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        spec_of(repository)
    assert caught.value.code == "TG704"


def test_a_repository_that_was_touched_is_not_as_built(repository: Path) -> None:
    def as_built() -> bool:
        return ServedRepository.read(repository).as_built

    assert as_built()
    config = repository / "dense/config.pbtxt"
    config.write_bytes(CONFIG + b"\n")
    assert not as_built()
    config.write_bytes(CONFIG)
    other = repository / "other"
    (other / "1").mkdir(parents=True)
    assert not as_built()
    assert spec_of(repository).auto_complete, "nobody has planned the other model"
    shutil.rmtree(other)
    edited(repository, lambda lock: lock.update(tool="tritongen 0.0.1"))
    assert not as_built()


@pytest.mark.parametrize("target", ["/dev/zero", "pipe"])
def test_pipes_and_devices_are_not_read(repository: Path, target: str) -> None:
    os.mkfifo(repository / "pipe")
    edited(repository, lambda lock: lock["written"].update({"dense/labels.txt": "0" * 64}))
    (repository / "dense/labels.txt").symlink_to(repository / target)
    assert not ServedRepository.read(repository).as_built


def test_what_build_wrote_needs_the_shared_memory_that_its_lock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the demo's repository, whose texts hold tensors; its weights are not committed."""
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "model_repository"
    shutil.copytree(ROOT / "model_repository", repository)
    # A lock of many parts may have come together in a merge: somebody must have linted it here.
    assert not ServedRepository(repository, read_lock(repository)).as_built
    note_linted(repository, read_lock(repository), model_names(repository))
    served = ServedRepository(repository, read_lock(repository))
    assert served.as_built
    assert served.shared_memory_bytes == shared_memory_bytes(repository, served.lock)
