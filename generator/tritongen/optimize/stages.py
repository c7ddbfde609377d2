"""Every piece of work by name, and every way in which it can fail as an answer."""

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tritongen.errors import TritongenError
from tritongen.optimize.apply_fixes import fix
from tritongen.optimize.child_jobs import ChildJob, JobResult, Stage, StageRefusal
from tritongen.optimize.graph_execution import convert_to_ir, optimise_graph, try_parallel
from tritongen.optimize.onnx_files import load
from tritongen.optimize.quantize.quantize_model import halve, quantise

STAGES: Mapping[Stage, Callable[[ChildJob], JobResult]] = {
    Stage.FIX: fix,
    Stage.QUANTIZE: quantise,
    Stage.HALF: halve,
    Stage.GRAPH: optimise_graph,
    Stage.PARALLEL: try_parallel,
    Stage.OPENVINO: convert_to_ir,
}

_NO_SPACE = "No space left on device"


def run_stage(job: ChildJob) -> JobResult:
    """Do the work; what goes wrong on the way is part of the answer, never an exception."""
    try:
        outcome = STAGES[job.stage](job)
        if not outcome.model or outcome.files:
            return outcome
        data = load(Path(job.work) / outcome.model).data_files
        return replace(outcome, files=(outcome.model, *data))
    except TritongenError as problem:
        return JobResult(problem.code, str(problem), problem.details)
    except MemoryError:
        return JobResult("TG010", "out of memory")
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        words = (error.strerror or str(error)).lower()
        return JobResult("TG005" if full else "TG004", words)
    except StageRefusal as problem:
        words = str(problem)
        if _NO_SPACE in words:
            return JobResult("TG005", _NO_SPACE.lower())
        quantising = job.stage in {Stage.QUANTIZE, Stage.HALF}
        return JobResult("TG231" if quantising else "TG213", words)
