"""The child process of a trial: request on stdin, report on stdout, nothing else on stdout."""

import os
import sys

from tritongen.errors import EnvironmentProblem
from tritongen.trial.child_report import Reporter
from tritongen.trial.child_request import TrialRequest
from tritongen.trial.confine import confine, own_stdout


def main() -> None:
    """Run one trial; the report tells the whole story."""
    request = TrialRequest.from_json(sys.stdin.read())
    confine(request.limits)
    with own_stdout() as sink:
        report = Reporter(sink)
        from tritongen.trial.procedure import perform
        from tritongen.trial.runtimes import runtime_for

        try:
            perform(request, runtime_for(request.format, request.interface), report)
        except EnvironmentProblem as problem:
            report.missing(problem.what, problem.fix)
        except MemoryError as error:
            report.known(code="TG203", error=f"out of memory: {error}".rstrip(": "))
        report.done()


if __name__ == "__main__":
    main()
    # A library's clean-up at exit has nothing to add, and may crash.
    os._exit(0)
