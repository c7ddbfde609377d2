"""What a child process does for its confinement, before it runs what is the user's.

It parts in two. One half goes on and runs the user's; the other watches, and inherits every
process that loses its parent below it, so that at the end none is left, however it was started.
Where trials follow one another, the half that watches parts again for each.
"""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from tritongen.system.process_files import children, mapped_file_parts
from tritongen.system.processes import prefer_for_oom_kill
from tritongen.system.sandbox import enter_sandbox, lower_limit
from tritongen.trial.child_request import Limits

# Where libraries write when they are loaded; nothing else is open to them, see `enter_sandbox`.
FOLDERS = ("TMPDIR", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_MAX_PATH_BYTES = 4_096  # PATH_MAX of Linux


class _Asked(BaseException):
    """The parent wants an end, or is gone."""


def confine(limits: Limits) -> None:
    """Live no longer than the parent, leave no process, stay within limits and a sandbox.

    Called first in the child; what returns is the half that runs the user's.
    """
    _watch_over(limits.parent)
    watcher = os.getpid()
    child = os.fork()
    if child:
        _watch(child)
    _be_watched(watcher)
    restrict(limits)


def restrict(limits: Limits) -> None:
    """Stay within limits and a sandbox from now on."""
    _limit(limits)
    enter_sandbox([Path.cwd(), *map(Path, limits.writable)])


def fork_for_each(control: socket.socket, parent: int) -> None:
    """Go on in a fork of this process for each request; the process itself never returns.

    It ends with `parent`, or when nobody asks any more, and leaves no process: neither at its own
    end nor at that of a fork, which is answered with its exit status, negative for a signal.

    Args:
        control: each packet has the path of a folder to work in, and three files that become
            standard input, output and error. In the fork it is closed.
        parent: process that this one must not outlive.
    """
    _watch_over(parent)
    own, parts = os.getpid(), [*mapped_file_parts()]
    with suppress(_Asked):
        while True:
            folder, files, _, _ = socket.recv_fds(control, _MAX_PATH_BYTES, 3)
            if not folder:
                break
            child = os.fork()
            if not child:
                _be_watched(own)
                control.detach()
                _work_in(os.fsdecode(folder), files)
                # Else a model would seem to take what it uses of libraries that are here already.
                for address in parts:
                    ctypes.string_at(address, 1)
                return
            for file in files:
                os.close(file)
            status = _status_of(child)
            _end_descendants()
            control.send(str(os.waitstatus_to_exitcode(status)).encode())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_descendants()
    os._exit(0)


def _work_in(folder: str, files: Sequence[int]) -> None:
    """Use a folder as the current one and for what libraries write; files as standard ones."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.update(dict.fromkeys(FOLDERS, folder))


def _watch_over(parent: int) -> None:
    """Be told of the end of `parent`, and inherit every process below that loses its own."""
    signal.signal(signal.SIGTERM, _ask)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _be_watched(watcher: int) -> None:
    """End with the process that this one was forked from."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != watcher:
        os._exit(1)


def _ask(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Asked


def _watch(child: int) -> NoReturn:
    """Wait for the child's end, end what it has left, and end as it did."""
    status = int(signal.SIGKILL)
    with suppress(_Asked):
        status = _status_of(child)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_descendants()
    if os.WIFSIGNALED(status):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def _status_of(child: int) -> int:
    """Wait for the child's end, and for those of others before it."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            return status


def _end_descendants() -> None:
    """Kill every child until there is none: those of a dead one become this process's own."""
    with suppress(ChildProcessError):
        while True:
            for pid in children(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _limit(limits: Limits) -> None:
    """Set the kernel's limits on this process, and offer it first when memory runs out."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lower_limit(resource.RLIMIT_CPU, limits.cpu_s)
    if limits.address_space:
        lower_limit(resource.RLIMIT_AS, limits.address_space)
    prefer_for_oom_kill()


@contextmanager
def own_stdout() -> Iterator[TextIO]:
    """The real standard output for the report alone; what libraries print goes to stderr."""
    own = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(own, "w", encoding="utf-8") as sink:
        yield sink
