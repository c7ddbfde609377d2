"""What a child process does before it runs anything of the user's: limits, and a clean stdout."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tritongen.trial.child_request import Limits

_PR_SET_PDEATHSIG = 1


def confine(limits: Limits) -> None:
    """Live no longer than the parent, and within the limits; called first in the child."""
    _live_no_longer_than(limits.parent)
    _limit(limits)


def _live_no_longer_than(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; end at once if it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _limit(limits: Limits) -> None:
    """Set the kernel's limits on this process, and offer it first when memory runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_CPU, limits.cpu_s)
    if limits.address_space:
        _lower(resource.RLIMIT_AS, limits.address_space)
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        # A kernel without it picks its victim by size, which is most likely this process too.
        return


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    least = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (least, least))


@contextmanager
def own_stdout() -> Iterator[TextIO]:
    """The real standard output for the report alone; what libraries print goes to stderr."""
    own = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(own, "w", encoding="utf-8") as sink:
        yield sink
