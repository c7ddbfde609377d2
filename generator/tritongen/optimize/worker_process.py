"""Runs one job of `optimize` in a child process; whatever happens there is an outcome here."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from tritongen.model.codec import decode, encode
from tritongen.optimize.child_jobs import Job, Outcome
from tritongen.trial.child import ChildResult, End, run_worker
from tritongen.trial.child_request import Limits

_WORKER = "tritongen.optimize.worker"
_GIB = 2**30
# Virtual memory is spent on mapped files, stacks and reserves of the allocator, not only on data.
_ADDRESS_SPARE = 8 * _GIB
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory", "out of memory")
_SIGKILL = 9


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What one job may take.

    Attributes:
        timeout_s: wall clock.
        memory_bytes: resident memory; None for 4 GiB and four times the model.
    """

    timeout_s: float = 900.0
    memory_bytes: int | None = None

    def memory(self, model_bytes: int) -> int:
        """Bytes of resident memory for a model of that size."""
        return self.memory_bytes or 4 * _GIB + 4 * model_bytes


def run_job(job: Job, limits: ChildLimits) -> Outcome:
    """Do one job; a child that hangs, crashes or eats memory is an outcome with a code."""
    size = sum(item.stat().st_size for item in Path(job.path).parent.glob("*") if item.is_file())
    memory = limits.memory(size)
    confinement = Limits(
        timeout_s=limits.timeout_s,
        time_budget_s=job.time_budget_s,
        address_space=2 * memory + 4 * size + _ADDRESS_SPARE,
        cpu_s=math.ceil(limits.timeout_s * (job.threads + 2)) + 10,
        parent=os.getpid(),
    )
    request = json.dumps({"job": encode(job), "limits": encode(confinement)})
    result = run_worker(request, limits.timeout_s, memory, _WORKER)
    try:
        return decode(Outcome, json.loads(result.output))
    except ValueError:
        return _failure(result, limits, memory)


def _failure(result: ChildResult, limits: ChildLimits, memory: int) -> Outcome:
    if result.end is End.TIMED_OUT:
        return Outcome("TG214", f"not done after {limits.timeout_s:g} s")
    killed = result.end is End.SIGNALLED and result.status == _SIGKILL
    starved = any(text in result.last_words for text in _OUT_OF_MEMORY)
    if result.end is End.TOO_LARGE or killed or starved:
        return Outcome("TG215", f"more memory needed than {memory / _GIB:.1f} GiB")
    words = f": {result.last_words}" if result.last_words else ""
    how = "signal" if result.end is End.SIGNALLED else "status"
    return Outcome("TG216", f"the process ended with {how} {result.status}{words}")
