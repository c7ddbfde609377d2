"""The child process of a trial: request on stdin, report on stdout, nothing else on stdout."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tritongen.errors import EnvironmentProblem
from tritongen.inspection.trial.report import Reporter
from tritongen.inspection.trial.request import Limits, TrialRequest

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run one trial; the report tells the whole story."""
    request = TrialRequest.from_json(sys.stdin.read())
    _live_no_longer_than(request.limits.parent)
    _limit(request.limits)
    with _own_stdout() as sink:
        report = Reporter(sink)
        from tritongen.inspection.trial.procedure import perform
        from tritongen.inspection.trial.runtimes import runtime_for

        try:
            perform(request, runtime_for(request.format), report)
        except EnvironmentProblem as problem:
            report.missing(problem.what, problem.fix)
        except MemoryError as error:
            report.known(code="TG203", error=f"out of memory: {error}".rstrip(": "))
        report.done()


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
def _own_stdout() -> Iterator[TextIO]:
    """The real standard output for the report alone; what libraries print goes to stderr."""
    own = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(own, "w", encoding="utf-8") as sink:
        yield sink


if __name__ == "__main__":
    main()
    # A library's clean-up at exit has nothing to add, and may crash.
    os._exit(0)
