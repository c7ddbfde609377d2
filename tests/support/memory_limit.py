"""A control group with a memory limit, as a container has one."""

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
        _remove(group)


def _remove(group: Path) -> None:
    """End what still runs in the group, as after a failed test, and remove it."""
    for pid in (group / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    for _ in range(100):
        # Processes that have ended leave the group a moment later.
        if not (group / "cgroup.procs").read_text().strip():
            break
        time.sleep(0.05)
    group.rmdir()
