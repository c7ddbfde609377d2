"""Which threads of a server's backend processes work, counted from /proc."""

import os
from pathlib import Path

from support.triton import TestServer

_STUB = b"triton_python_backend_stub"
# A thread counts as busy from this part of the busiest thread's time on.
_PART = 0.25


def backend_processes(server: TestServer, model: str) -> list[int]:
    """Processes that serve one model: each names a file of the model's folder."""
    folder = os.fsencode(server.repository.resolve() / model) + b"/"
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if _STUB in arguments[0] and len(arguments) > 1 and arguments[1].startswith(folder):
            found.append(int(entry.name))
    return found


def thread_ticks(pids: list[int]) -> dict[tuple[int, int], int]:
    """Clock ticks of every thread so far, by (process, thread)."""
    found = {}
    for pid in pids:
        for task in Path("/proc", str(pid), "task").iterdir():
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            found[pid, int(task.name)] = int(fields[11]) + int(fields[12])
    return found


def busy_threads(before: dict[tuple[int, int], int], after: dict[tuple[int, int], int]) -> int:
    """How many threads worked between two readings."""
    spent = {key: ticks - before.get(key, 0) for key, ticks in after.items()}
    most = max(spent.values(), default=0)
    return sum(ticks > 0 and ticks >= most * _PART for ticks in spent.values())
