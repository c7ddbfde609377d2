"""CPU time and memory of processes, and the process behind a port of this machine."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SERVER_NAME = "tritonserver"


def process_tree(pid: int) -> list[int]:
    """A process and its descendants; empty when it is gone."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat_fields(int(entry.name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    if not _stat_fields(pid):
        return []
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue.extend(parents.get(current, ()))
    return found


def _stat_fields(pid: int) -> Sequence[str]:
    """Fields of /proc/PID/stat after the name: state, parent, …; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    return text.rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float | None:
    """CPU time of a process so far; None when it is gone."""
    fields = _stat_fields(pid)
    if len(fields) < 13:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process; None when it is gone."""
    fields = _stat_fields(pid)
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 21 else None


def local_server(host: str, port: int) -> int | None:
    """The process of a Triton that listens on a port of this machine, None when there is none.

    A proxy that listens for a server in a container is not taken for the server.
    """
    if host not in _LOOPBACK:
        return None
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or not _is_server(entry):
            continue
        try:
            links = {str(link.readlink()) for link in (entry / "fd").iterdir()}
        except OSError:
            continue
        if links & {f"socket:[{inode}]" for inode in inodes}:
            return int(entry.name)
    return None


def _is_server(entry: Path) -> bool:
    try:
        return (entry / "comm").read_text().strip().startswith(_SERVER_NAME)
    except OSError:
        return False


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


def own_seconds(pids: tuple[int, ...]) -> float:
    """CPU time of this process and of the server's."""
    total = 0.0
    for pid in (os.getpid(), *pids):
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            words = text.rpartition(")")[2].split()
            total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total
