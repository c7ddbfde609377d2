"""A control group with a memory limit, as a container has one."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_limit(size: int) -> Iterator[Callable[[], None]]:
    """What a child process runs before it starts, so that it and its children share `size` bytes.

    Needs root, and works under cgroup v1 and v2.
    """
    v1 = Path("/sys/fs/cgroup/memory")
    name = f"tritongen-test-{secrets.token_hex(4)}"
    group = (v1 if v1.is_dir() else Path("/sys/fs/cgroup")) / name
    group.mkdir()
    (group / ("memory.limit_in_bytes" if v1.is_dir() else "memory.max")).write_text(str(size))

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        yield join
    finally:
        group.rmdir()
