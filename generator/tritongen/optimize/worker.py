"""The child process of `optimize`: one job on stdin, one outcome on stdout, nothing else there."""

import ctypes
import json
import os
import sys
from contextlib import suppress

from tritongen.model.codec import decode, encode
from tritongen.trial.child_request import Limits
from tritongen.trial.confinement import confine, own_stdout

# From this size on, a block is mapped by itself.
_MAPPED_FROM_BYTES = 2**20
_M_MMAP_THRESHOLD = -3


def give_memory_back() -> None:
    """Have large blocks go back to the system when they are freed.

    glibc raises its threshold with the first large block that is freed and keeps the next ones in
    reserve: copies of a model that are long gone would count for memory.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)


def main() -> None:
    """Do one job within its limits."""
    give_memory_back()
    request = json.loads(sys.stdin.read())
    confine(decode(Limits, request["limits"]))
    with own_stdout() as sink:
        # Not sooner: numpy starts threads, and a process with threads is not to be forked.
        from tritongen.optimize.child_jobs import ChildJob
        from tritongen.optimize.stages import run_stage

        outcome = run_stage(decode(ChildJob, request["job"]))
        json.dump(encode(outcome), sink, allow_nan=False)


if __name__ == "__main__":
    main()
    # A library's clean-up at exit has nothing to add, and may crash.
    os._exit(0)
