"""Hashes for the lock."""

import hashlib
import os

import pytest

from support import onnx_models
from tritongen.errors import InvalidInputError
from tritongen.formats import StatKey, hash_files, inspect_folder
from tritongen.model.facts import FileRef, ModelFacts, ModelFormat, ModelVersion
from tritongen.model.releases import find

MODEL = onnx_models.relu().SerializeToString()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_every_file_of_every_version(tmp_path):
    weight = onnx_models.external("w", [2], "w.bin", length=8)
    second = onnx_models.with_weights(weight).SerializeToString()
    onnx_models.save(MODEL, tmp_path / "m" / "1" / "net.onnx")
    onnx_models.save(second, tmp_path / "m" / "2" / "net.onnx")
    onnx_models.save(b"12345678", tmp_path / "m" / "2" / "w.bin")
    (facts,) = inspect_folder(tmp_path, find("26.07")).models
    assert hash_files(tmp_path, facts) == (
        ("1/model.onnx", sha(MODEL)),
        ("2/model.onnx", sha(second)),
        ("2/w.bin", sha(b"12345678")),
    )


def test_what_is_known_is_not_read_again_until_the_file_changes(tmp_path):
    path = onnx_models.save(MODEL, tmp_path / "m.onnx")
    (facts,) = inspect_folder(tmp_path, find("26.07")).models
    cache: dict[StatKey, str] = {}
    first = hash_files(tmp_path, facts, cache)
    status = path.stat()
    assert cache == {("m.onnx", status.st_size, status.st_mtime_ns): sha(MODEL)}
    # Another content under the same size and time shows that the cache answers.
    changed = bytes(len(MODEL))
    path.write_bytes(changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hash_files(tmp_path, facts, cache) == first
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert hash_files(tmp_path, facts, cache) == (("1/model.onnx", sha(changed)),)
    assert hash_files(tmp_path, facts) == (("1/model.onnx", sha(changed)),)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "models" / "link").symlink_to("../secret")
    os.mkfifo(tmp_path / "models" / "pipe")
    for source, code in (("gone", "TG003"), ("link", "TG107"), ("pipe", "TG003"), ("", "TG003")):
        version = ModelVersion(1, (FileRef(source, "model.onnx", 6),))
        facts = ModelFacts("m", source, ModelFormat.ONNX, (version,))
        with pytest.raises(InvalidInputError) as caught:
            hash_files(tmp_path / "models", facts)
        assert (caught.value.code, caught.value.where) == (code, source)
