"""CPU time of processes, and the process behind a port of this machine."""

import os
from pathlib import Path

from tritongen.system.process_files import (
    command_name,
    exists,
    open_files,
    parent,
    running_pids,
    stat_fields,
)

__all__ = ["busy_seconds", "cpu_seconds", "local_server", "process_tree"]

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SERVER_NAME = "tritonserver"
_CPU_TIMES = slice(11, 13)  # of `stat_fields`: user and system time, in clock ticks


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
    ticks = 0
    for pid in pids:
        fields = stat_fields(pid)
        ticks += sum(map(int, fields[_CPU_TIMES]))
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
