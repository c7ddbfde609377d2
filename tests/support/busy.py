"""Which threads of a server's backend processes compute, counted from /proc.

A thread computes when it used a good part of the CPU time that the busiest thread of its process
used. Threads that only wait, hand messages on or belong to a pool that nothing uses do not.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.triton import TestServer

_STUB = b"triton_python_backend_stub"
# Of the busiest thread's time. A pool's threads share the work; they are not alike to the tick.
_PART = 0.2


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


def thread_times(pids: Iterable[int]) -> dict[tuple[int, int], int]:
    """Nanoseconds on a CPU of every thread so far, by (process, thread)."""
    found = {}
    for pid in pids:
        for task in Path("/proc", str(pid), "task").iterdir():
            try:
                found[pid, int(task.name)] = int((task / "schedstat").read_text().split()[0])
            except OSError:
                continue  # ended meanwhile
    return found


@dataclass(frozen=True)
class Computing:
    """What was counted of one model.

    Attributes:
        processes: that serve it.
        threads: that computed, over all its processes.
        cpu_s: CPU time that they used.
    """

    processes: int
    threads: int
    cpu_s: float


def count_computing(
    server: TestServer, models: Iterable[str], load: Callable[[], object]
) -> Mapping[str, Computing]:
    """Count the threads of each model that compute while `load` runs."""
    pids = {name: backend_processes(server, name) for name in models}
    before = {name: thread_times(own) for name, own in pids.items()}
    load()
    found = {}
    for name, own in pids.items():
        after = thread_times(own)
        spent = {key: time - before[name].get(key, 0) for key, time in after.items()}
        threads = sum(_computing([t for key, t in spent.items() if key[0] == pid]) for pid in own)
        found[name] = Computing(len(own), threads, sum(spent.values()) / 1e9)
    return found


def _computing(times: list[int]) -> int:
    most = max(times, default=0)
    return sum(time > 0 and time >= most * _PART for time in times)
