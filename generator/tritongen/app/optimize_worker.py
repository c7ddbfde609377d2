"""The child process of `optimize`: one job on stdin, one outcome on stdout, nothing else there."""

import json
import os
import sys

from tritongen.domain.codec import decode, encode
from tritongen.inspection.trial.confine import confine, own_stdout
from tritongen.inspection.trial.request import Limits
from tritongen.transform.jobs import Job


def main() -> None:
    """Do one job within its limits."""
    request = json.loads(sys.stdin.read())
    confine(decode(Limits, request["limits"]))
    with own_stdout() as sink:
        from tritongen.transform.stages import run_stage

        outcome = run_stage(decode(Job, request["job"]))
        json.dump(encode(outcome), sink)


if __name__ == "__main__":
    main()
    # A library's clean-up at exit has nothing to add, and may crash.
    os._exit(0)
