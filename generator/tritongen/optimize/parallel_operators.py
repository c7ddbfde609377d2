"""Operators side by side: what the graph's form allows, and what a measurement says."""

from collections.abc import Mapping
from pathlib import Path

from tritongen.model.samples import Array
from tritongen.model.variants import Speedup, Step, StepKind
from tritongen.optimize.child_jobs import ChildJob, JobResult
from tritongen.optimize.onnx_session import OrtRunner, RunSettings
from tritongen.optimize.paired_speed import paired_speedup, paired_times

# Below this, a chain in all but name: nothing can run beside anything for long.
_WORTH_TRYING = 1.25


def _bound(parallelism: float) -> str:
    return f"the operators are {parallelism:.2f} times as many as the longest path has"


def futile_step(parallelism: float, threads: int) -> Step | None:
    """Why there is nothing to try, None where there is something.

    Args:
        parallelism: operators divided by the longest path.
        threads: to be used at most.
    """
    bound = _bound(parallelism)
    if parallelism < _WORTH_TRYING:
        return _step(False, f"{bound}: a chain, which inter-op threads cannot speed up; not tried")
    if threads < 2:
        return _step(False, f"{bound}; not tried: with one core nothing runs side by side")
    return None


def try_parallel(job: ChildJob) -> JobResult:
    """Measure operators in sequence against operators side by side, on as many threads.

    Raises:
        RunRefusal: the model does not run.
    """
    futile = futile_step(job.parallelism, job.threads)
    if futile is not None:
        return JobResult(steps=(futile,))
    bound = _bound(job.parallelism)
    speed = _measure(job, job.seeded(1)[0])
    verdict = "faster" if speed.low > 1 else "slower" if speed.high < 1 else "no difference"
    reason = (
        f"{bound}, so at most that is to be gained; two side by side with "
        f"{max(1, job.threads // 2)} threads each against one after the other with {job.threads}: "
        f"{speed}, {verdict}"
    )
    applied = speed.low > 1
    overlay = _overlay(2, max(1, job.threads // 2)) if applied else {}
    return JobResult(steps=(_step(applied, reason, overlay),), speedups=(speed,))


def _measure(job: ChildJob, inputs: Mapping[str, Array]) -> Speedup:
    path = Path(job.path)
    runners = (
        OrtRunner(path, RunSettings(threads=job.threads, lean=False)),
        OrtRunner(path, RunSettings(threads=max(1, job.threads // 2), inter_op=2, lean=False)),
    )
    first, second = paired_times(runners, inputs, min(5.0, job.time_budget_s), settle=True)
    return paired_speedup(first, second, threads=job.threads)


def _step(applied: bool, reason: str, overlay: Mapping[str, object] | None = None) -> Step:
    return Step("inter_op", StepKind.PARALLEL, applied, reason, overlay=overlay or {})


def _overlay(inter_op: int, intra_op: int) -> Mapping[str, object]:
    values = {
        "execution_mode": 1,
        "inter_op_thread_count": inter_op,
        "intra_op_thread_count": intra_op,
    }
    return {"parameters": {key: {"string_value": str(value)} for key, value in values.items()}}
