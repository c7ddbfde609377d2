"""Ends the processes of a server, and guards its start: it is ended too when its starter dies.

Every process of a server carries a marker in its environment, ``TRITONGEN_SERVER=<name>``, which
its children inherit, so that none escapes whatever became of its parent.

A guard is a process that reads its standard input until the end. Without an ``ok`` the process that
started or stopped the server is gone or gave up, and the guard ends the server. `Guard` is the
starter's side, `released` the guard's own; what is to be ended, and how, is the module's that it
runs: this one ends processes, without any package but this one.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import tritongen
from tritongen.system.process_files import command_line, environment_entries, parent, running_pids

# The package comes last, so that nothing beside it stands in for the standard library.
_RUN = (
    "import importlib, sys; sys.path.append(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(*sys.argv[3:])"
)
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where Triton's Python backend puts its regions)
# Chosen: a server that is still starting ends within a second, or hangs.
_GUARD_GRACE_S = 10.0
_ORPHAN_GRACE_S = 1.0
_KILL_S = 5.0
_EXEC_S = 0.2
_POLL_S = 0.05


class Guard:
    """Watches over one server until it is told to let go.

    Args:
        module: whose `main` waits until it is `released`, and otherwise ends the server.
        arguments: of that `main`.
        packages: whether it needs more than the standard library and this package; without, it
            starts in milliseconds, before the server does.
        variables: further ones of its environment.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        packages: bool,
        variables: dict[str, str] | None = None,
    ) -> None:
        import subprocess  # not in the guard's own process

        options = ["-I"] if packages else ["-I", "-S"]
        root = Path(tritongen.__file__).resolve().parents[1]
        self._process = subprocess.Popen(
            [sys.executable, *options, "-c", _RUN, str(root), module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(variables or {})},
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Lets the server outlive this process. Idempotent."""
        self._close(b"ok")
        self._process.wait()

    def finish(self, *, wait: bool = True) -> None:
        """Has the guard end the server now. Idempotent.

        Args:
            wait: until that is done; without, the guard goes on by itself.
        """
        self._close(b"")
        if wait:
            self._process.wait()

    def _close(self, last: bytes) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            return
        with suppress(BrokenPipeError):  # the guard itself was killed; nobody watches any more
            pipe.write(last)
            pipe.close()


def guarded(module: str) -> Iterator[str]:
    """The first argument of each guard on this machine that runs a module."""
    word = module.encode()
    for pid in running_pids():
        words = command_line(pid)
        if _RUN.encode() in words and word in words[:-1]:
            yield os.fsdecode(words[words.index(word) + 1])


def released() -> bool:
    """Waits, in the guard's process, for the starter; whether it said that all is well."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return b"ok" in sys.stdin.buffer.read()


def marked(marker: str) -> tuple[int, ...]:
    """Processes whose environment holds the entry `marker` (``NAME=value``), never this one."""
    entry, own = marker.encode(), os.getpid()
    return tuple(pid for pid in running_pids() if pid != own and entry in environment_entries(pid))


def _send(pids: tuple[int, ...], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


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
            with suppress(OSError):  # another user's, or already gone
                region.unlink()


def main(marker: str, region_prefix: str) -> None:
    """The guard: ends the server unless its starter lets it go; the process ends with it."""
    if not released():
        # A server that was forked a moment ago shows its environment only after its exec.
        time.sleep(_EXEC_S)
        end(marker, region_prefix, _GUARD_GRACE_S)
    os._exit(0)  # the starter waits for this end, and there is nothing to take apart
