"""The graph optimised offline as a variant: what it saves at load time and at run time."""

import time
from pathlib import Path

from tritongen.model.agreement import TOLERANCES
from tritongen.model.variants import Speedup, Step, StepKind
from tritongen.optimize.apply_fixes import MODEL_FILE
from tritongen.optimize.child_jobs import ChildJob, JobResult
from tritongen.optimize.offline_graph import level_for, optimise
from tritongen.optimize.onnx_files import load, save_within
from tritongen.optimize.onnx_session import OrtRunner, RunSettings
from tritongen.optimize.paired_speed import paired_speedup, points, speedups
from tritongen.optimize.rewrite_proof import Unproven, compare, expect

# Chosen: so many sets of generated inputs compare two forms of a model, and so many pairs of loads
# their times.
_SEEDS = 4
_LOADS = 7


def optimise_graph(job: ChildJob) -> JobResult:
    """Save the graph at the level that suits the target, prove it equal and time it.

    Raises:
        RunRefusal: ONNX Runtime does not load the model or cannot save it.
    """
    work, source = Path(job.work), Path(job.path)
    level, why = level_for(gpu=job.gpu, older=job.runtime.older)
    result = work / MODEL_FILE
    save_within(optimise(source, work / "optimised.onnx", level), result, job.runtime.ir)
    rows = job.seeded(_SEEDS)
    expected, _ = expect(OrtRunner(source), rows)
    name = f"graph_{level.value}"
    try:
        proof = compare(OrtRunner(result), expected, TOLERANCES[job.precision]).proof(None)
    except Unproven as problem:
        reason = f"{why}; not proven: {problem}"
        return JobResult(steps=(Step(name, StepKind.GRAPH, False, reason),))
    where = points(job.threads, batched=False)
    measured = speedups(source, result, rows, where, min(6.0, job.time_budget_s))
    loading = _loading(source, result)
    before, after = (len(load(path).proto.graph.node) for path in (source, result))
    reason = (
        f"{why}; {before} → {after} operators, loading {loading} "
        f"({loading.original_ms:.3g} ms before), running {measured[0]}"
    )
    step = Step(name, StepKind.GRAPH, True, reason, proof)
    recipe = {"method": "graph optimised offline", "level": level.value}
    return JobResult(steps=(step,), model=MODEL_FILE, proof=proof, speedups=measured, recipe=recipe)


def _loading(source: Path, result: Path) -> Speedup:
    times: tuple[list[float], list[float]] = ([], [])
    for pair in range(_LOADS):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            begun = time.perf_counter()
            OrtRunner((source, result)[side], RunSettings(lean=False))
            times[side].append(time.perf_counter() - begun)
    return paired_speedup(*times)
