"""Paths that stay inside a folder, and files that stand for others."""

import hashlib
import os

import pytest

from tritongen.system.paths import contained, is_lfs_pointer, lfs_digest, open_regular, read_head

DIGEST = hashlib.sha256(b"weights").hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{DIGEST}\nsize 7\n"


def test_a_link_is_followed_to_its_end(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.touch()
    (root / "file").touch()
    (root / "in").symlink_to("file")
    (root / "out").symlink_to(outside)
    assert contained(root, root / "in") == root / "file"
    assert contained(root, root / "out") is None
    assert contained(root, root) == root
    with pytest.raises(OSError, match="absent"):
        contained(root, root / "absent")


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert read_head(tmp_path / "file", 2) == b"ab"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe is not a regular file"):
        open_regular(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


@pytest.mark.parametrize(
    ("text", "pointer", "digest"),
    [
        (POINTER, True, DIGEST),
        (POINTER.replace("oid", "id"), True, ""),
        (f"x{POINTER}", False, ""),
        ("", False, ""),
    ],
)
def test_a_pointer_of_git_lfs_tells_the_hash_of_what_it_stands_for(text, pointer, digest, tmp_path):
    path = tmp_path / "weights"
    path.write_text(text)
    assert (is_lfs_pointer(path), lfs_digest(path)) == (pointer, digest)


def test_what_cannot_be_read_is_no_pointer(tmp_path):
    assert not is_lfs_pointer(tmp_path)
    assert lfs_digest(tmp_path / "absent") == ""
