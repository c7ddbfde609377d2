"""A file system that is full: a small tmpfs, mounted where a test needs it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def full_disk(folder: Path, *, left: int = 0, size: int = 1 << 16) -> Iterator[None]:
    """Mounts a tmpfs over a folder and fills it; it is gone when the block ends. Needs root.

    Args:
        folder: made when it is missing.
        left: bytes that stay free.
        size: of the file system, bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        # The first file of a tmpfs is as large as what it leaves room for.
        (folder / "filler").write_bytes(b"x" * (size - left))
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
