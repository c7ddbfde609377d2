"""Ends the processes of one server and clears its shared memory.

Every process of a server carries a marker in its environment, ``TRITONGEN_SERVER=<name>``, which
its children inherit, so that none escapes whatever became of its parent.

The module also runs by itself, with the standard library alone: as the guard of a start. It reads
its standard input until the end; without an ``ok`` the starter died, and the guard ends the server.
"""

import os
import signal
import sys
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where Triton's Python backend puts its regions)
GUARD_GRACE = 10.0
_POLL = 0.05
_ORPHAN_GRACE = 1.0


def marked(marker: str) -> tuple[int, ...]:
    """Processes whose environment holds the entry `marker` (``NAME=value``), never this one."""
    entry = marker.encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue  # it ended, or belongs to another user
        if entry in environment.split(b"\0"):
            found.append(int(folder.name))
    return tuple(sorted(found))


def guarded(name: str) -> frozenset[str]:
    """Values of the markers ``name=…`` that running guards watch."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(__file__) in words:
            prefix = f"{name}=".encode()
            found |= {word[len(prefix) :].decode() for word in words if word.startswith(prefix)}
    return frozenset(found)


def _parent(pid: int) -> int:
    try:
        stat = Path("/proc", str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def _send(pids: tuple[int, ...], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _gone(marker: str, timeout: float, among: tuple[int, ...] | None = None) -> bool:
    """Waits until no marked process is left, or none of those `among` them."""
    deadline = time.monotonic() + timeout
    while True:
        left = marked(marker)
        if not (left if among is None else set(left) & set(among)):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)


def end(marker: str, region_prefix: str, grace: float) -> bool:
    """Ends every marked process and removes the server's shared memory.

    The server itself is asked first, so that it can close its children; what is left after
    `grace` seconds is killed.

    Args:
        marker: ``NAME=value`` in the processes' environment.
        region_prefix: how the names of the shared memory regions begin; empty removes none.
        grace: seconds between SIGTERM and SIGKILL.

    Returns:
        Whether all of them are gone.
    """
    running = marked(marker)
    leaders = tuple(pid for pid in running if _parent(pid) not in running)
    _send(leaders, signal.SIGTERM)
    # A server closes its children before it ends. What outlives it was left alone by a server
    # that ended in the middle of its start, and waits for an answer that never comes.
    gone = _gone(marker, grace, leaders) and _gone(marker, _ORPHAN_GRACE)
    for _ in range(3):  # a process that forks while it is killed leaves one more round
        if gone:
            break
        _send(marked(marker), signal.SIGKILL)
        gone = _gone(marker, 5.0)
    clear(region_prefix)
    return gone


def clear(region_prefix: str) -> None:
    """Removes the shared memory regions whose names begin so; an empty prefix removes none."""
    if not region_prefix or not SHARED_MEMORY.is_dir():
        return
    for region in SHARED_MEMORY.iterdir():
        if region.name.startswith(region_prefix):
            try:
                region.unlink()
            except OSError:
                continue  # another user's, or already gone


def main(marker: str, region_prefix: str) -> None:
    """The guard: waits for the starter's ``ok``, and ends the server when none comes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if b"ok" in sys.stdin.buffer.read():
        return
    # A server that was forked a moment ago shows its environment only after its exec.
    time.sleep(0.2)
    end(marker, region_prefix, GUARD_GRACE)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
    os._exit(0)  # the starter waits for this end, and there is nothing to take apart
