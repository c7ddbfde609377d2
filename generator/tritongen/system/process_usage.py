"""CPU time and memory of processes and of the machine, and the process behind a port."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tritongen.system.process_files import (
    command_name,
    exists,
    open_files,
    parent,
    resident_pages,
    running_pids,
    stat_fields,
)

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SERVER_NAME = "tritonserver"
_CPU_TIMES = slice(11, 13)  # of `stat_fields`: user and system time, in clock ticks
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Chosen: any machine that runs a server has as much.
_UNKNOWN_BYTES = 2 << 30


def process_tree(pid: int) -> list[int]:
    """A process and its descendants; empty when it is gone."""
    families: dict[int, list[int]] = {}
    for other in running_pids():
        families.setdefault(parent(other), []).append(other)
    if not exists(pid):
        return []
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue.extend(families.get(current, ()))
    return found


def cpu_seconds(*pids: int) -> float:
    """CPU time of processes so far; those that are gone are not counted."""
    ticks = sum(int(field) for pid in pids for field in stat_fields(pid)[_CPU_TIMES])
    return ticks / os.sysconf("SC_CLK_TCK")


def local_server(host: str, port: int) -> int | None:
    """The process of a Triton that listens on a port of this machine, None when there is none.

    A proxy that listens for a server in a container is not taken for the server.
    """
    if host not in _LOOPBACK:
        return None
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    sockets = {f"socket:[{inode}]" for inode in inodes}
    servers = (pid for pid in running_pids() if command_name(pid).startswith(_SERVER_NAME))
    return next((pid for pid in servers if open_files(pid) & sockets), None)


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            listening = fields[3] == "0A"
            if listening and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def busy_seconds() -> float | None:
    """CPU time that all CPUs have spent working, None where it cannot be read."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        ticks = [int(word) for word in words[1:9]]
    except (OSError, ValueError):
        return None
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def available_bytes(unknown: int = _UNKNOWN_BYTES) -> int:
    """Memory that can be taken without swapping.

    Args:
        unknown: where the machine does not say.
    """
    stated = _kib("/proc/meminfo", "MemAvailable")
    return unknown if stated is None else stated * 1024


def resident_bytes(pid: int) -> int:
    """Resident memory of a process now; 0 when it is gone."""
    return resident_pages(pid)[0] * _PAGE_BYTES


def resident_bytes_of(pids: Sequence[int]) -> int:
    """Resident memory of the largest process, or of all but what they share if that is more."""
    pages = [resident_pages(pid) for pid in pids]
    alone = sum(resident - shared for resident, shared in pages)
    return _PAGE_BYTES * max(alone, *(resident for resident, _ in pages))


def reset_peak() -> None:
    """Begin a new high-water mark of this process, where the kernel allows it."""
    # Without it the mark includes the imports, which were smaller than most models.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_bytes() -> int:
    """Greatest resident memory of this process since `reset_peak`, or since the start."""
    import resource

    stated = _kib("/proc/self/status", "VmHWM")
    return (stated or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024


def _kib(path: str, key: str) -> int | None:
    """The number of a line ``KEY: NUMBER kB``; None where there is no such line."""
    try:
        lines = Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = (line.split()[1:] for line in lines if line.startswith(f"{key}:"))
    return next((int(words[0]) for words in found if words), None)
