"""What a child process does for its confinement, before it runs what is the user's.

It parts in two. One half goes on and runs the user's; the other watches, and inherits every process
that loses its parent below it, so that at the end none is left, however it was started.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from tritongen.system.process_files import children
from tritongen.system.processes import prefer_for_oom_kill
from tritongen.system.sandbox import enter_sandbox, lower_limit
from tritongen.trial.child_request import Limits

# Where libraries write when they are loaded; nothing else is open to them, see `enter_sandbox`.
FOLDERS = ("TMPDIR", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class _Asked(BaseException):
    """The parent wants an end, or is gone."""


def confine(limits: Limits) -> None:
    """Live no longer than the parent, leave no process, stay within limits and a sandbox.

    Called first in the child; what returns is the half that runs the user's.
    """
    _leave_nothing(limits.parent)
    _limit(limits)
    enter_sandbox([Path.cwd(), *map(Path, limits.writable)])


def _leave_nothing(parent: int) -> None:
    """Go on in a child, and end with everything that it starts when it ends or `parent` does."""
    signal.signal(signal.SIGTERM, _ask)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
    watcher = os.getpid()
    child = os.fork()
    if child:
        _watch(child)
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
        while True:
            ended, found = os.waitpid(-1, 0)
            if ended == child:
                status = found
                break
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _end_descendants()
    if os.WIFSIGNALED(status):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


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
