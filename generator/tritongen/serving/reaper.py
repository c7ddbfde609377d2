"""Ends the processes of one server and clears its shared memory.

Every process of a server carries a marker in its environment, ``TRITONGEN_SERVER=<name>``, which
its children inherit, so that none escapes whatever became of its parent.

The module is also what the guard of a start runs, without any package but this one.
"""

import os
import signal
import time
from pathlib import Path

from tritongen.serving.guard import released
from tritongen.system.process_files import environment_entries, parent, running_pids

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where Triton's Python backend puts its regions)
# Chosen: a server that is still starting ends within a second, or hangs.
_GUARD_GRACE_S = 10.0
_ORPHAN_GRACE_S = 1.0
_KILL_S = 5.0
_EXEC_S = 0.2
_POLL_S = 0.05


def marked(marker: str) -> tuple[int, ...]:
    """Processes whose environment holds the entry `marker` (``NAME=value``), never this one."""
    entry, own = marker.encode(), os.getpid()
    return tuple(pid for pid in running_pids() if pid != own and entry in environment_entries(pid))


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
        time.sleep(_POLL_S)


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
    leaders = tuple(pid for pid in running if parent(pid) not in running)
    _send(leaders, signal.SIGTERM)
    # A server closes its children before it ends. What outlives it was left alone by a server
    # that ended in the middle of its start, and waits for an answer that never comes.
    gone = _gone(marker, grace, leaders) and _gone(marker, _ORPHAN_GRACE_S)
    for _ in range(3):  # a process that forks while it is killed leaves one more round
        if gone:
            break
        _send(marked(marker), signal.SIGKILL)
        gone = _gone(marker, _KILL_S)
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
    """The guard: ends the server unless its starter lets it go; the process ends with it."""
    if not released():
        # A server that was forked a moment ago shows its environment only after its exec.
        time.sleep(_EXEC_S)
        end(marker, region_prefix, _GUARD_GRACE_S)
    os._exit(0)  # the starter waits for this end, and there is nothing to take apart
