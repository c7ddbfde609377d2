"""Paths that stay inside the models folder."""

import errno
import os
import re
import stat
from pathlib import Path

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LFS_DIGEST = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
# By the specification of Git LFS.
_MAX_POINTER_BYTES = 1024
LFS_FIX = "Run `git lfs pull`."


def contained(root: Path, path: Path) -> Path | None:
    """The real path behind `path`, None when it lies outside of `root`.

    Links are followed one by one without opening anything.

    Args:
        root: a resolved folder.
        path: anything below it as written.

    Raises:
        OSError: a link is broken or leads in a circle, or a part cannot be looked up.
        ValueError: the path holds a NUL.
    """
    real = Path(os.path.realpath(path, strict=True))
    return real if real.is_relative_to(root) else None


def open_regular(path: Path) -> int:
    """A descriptor of a regular file for reading; a pipe or device is never waited for.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(f"{path.name} is not a regular file")
    return descriptor


def read_head(path: Path, size: int) -> bytes:
    """The first bytes of a regular file.

    Raises:
        OSError: it cannot be opened or read, or is no regular file.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(size)


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is Git LFS's stand-in for its content; not one that cannot be read."""
    return _head_of_pointer(path) != b""


def lfs_digest(path: Path) -> str:
    """The SHA-256 of what a Git LFS pointer stands for; empty where the file is none."""
    found = _LFS_DIGEST.search(_head_of_pointer(path))
    return found[1].decode() if found else ""


def _head_of_pointer(path: Path) -> bytes:
    try:
        head = read_head(path, _MAX_POINTER_BYTES)
    except OSError:
        return b""
    return head if head.startswith(_LFS_POINTER) else b""
