"""A model is planned from the lock alone where pointers stand for just the files that it knows."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tritongen.model.evidence import ModelEvidence
from tritongen.model.facts import FileRef, ModelFacts, ModelFormat, ModelVersion
from tritongen.model.findings import Severity, finding
from tritongen.model.lock import Lock, LockedModel, LockedTarget
from tritongen.repository.absent_weights import stored_facts

CONTENT, BESIDE = b"the weights", b"beside them"
FILES = (FileRef("m/model.onnx", "model.onnx", 9), FileRef("m/w.bin", "w.bin", 9))
FACTS = ModelFacts("m", "m/model.onnx", ModelFormat.ONNX, versions=(ModelVersion(1, FILES),))


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pointer(content: bytes) -> bytes:
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha(content)}\nsize 11\n"
    return text.encode()


EVIDENCE = ModelEvidence((("1/model.onnx", sha(CONTENT)), ("1/w.bin", sha(BESIDE))), None)
LOCKED = LockedModel("m/model.onnx", ModelFormat.ONNX, "onnxruntime", 1, 1, EVIDENCE, FACTS)


def lock_of(**models: LockedModel) -> Lock:
    return Lock("t", LockedTarget("26.07", 2), models=models)


def found_with(tmp_path: Path, main: bytes, beside: bytes, *, servable: bool = False) -> set[str]:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/model.onnx").write_bytes(main)
    (tmp_path / "m/w.bin").write_bytes(beside)
    fault = finding("TG102", Severity.ERROR, "not ONNX", model="m")
    here = replace(FACTS, findings=() if servable else (fault,))
    return set(stored_facts([here], lock_of(m=LOCKED), tmp_path))


@pytest.mark.parametrize(
    ("main", "beside", "stored"),
    [
        (pointer(CONTENT), pointer(BESIDE), True),
        (pointer(CONTENT), BESIDE, True),
        (CONTENT, pointer(BESIDE), True),
        (CONTENT, BESIDE, False),
        (pointer(CONTENT), b"others", False),
        (pointer(b"others"), BESIDE, False),
    ],
)
def test_pointers_stand_for_the_files_that_the_lock_knows(tmp_path, main, beside, stored):
    assert (found_with(tmp_path, main, beside) == {"m"}) is stored


def test_a_model_that_can_be_served_is_itself(tmp_path):
    assert found_with(tmp_path, pointer(CONTENT), BESIDE, servable=True) == set()


def test_an_empty_folder_has_every_model_of_the_lock(tmp_path):
    older = replace(LOCKED, facts=None)
    other = replace(LOCKED, facts=replace(FACTS, name="z"))
    variant = replace(LOCKED, evidence=replace(EVIDENCE, variant=object()))
    lock = lock_of(m=LOCKED, older=older, other=other)
    assert set(stored_facts([], lock, tmp_path)) == {"m"}
    assert stored_facts([], lock_of(m=variant), tmp_path) == {}
    assert stored_facts([], None, tmp_path) == {}
    assert stored_facts([replace(FACTS, name="n")], lock, tmp_path) == {}
