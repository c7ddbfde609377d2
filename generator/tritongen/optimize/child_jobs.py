"""The child process that rewrites, quantises and measures: what it is asked, what it answers.

Both travel as JSON between the tool and its child; whatever happens there is an outcome here.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tritongen.model.codec import decode, encode, parse_json
from tritongen.model.facts import Precision
from tritongen.model.intent import DEFAULT_MAX_DROP
from tritongen.model.samples import Array, InputRecipe, make_inputs
from tritongen.model.tensors import DType, Shape
from tritongen.model.variants import Accuracy, Proof, Speedup, Step
from tritongen.optimize.isa import Isa
from tritongen.trial.child import ChildEnd, ChildResult, run_worker
from tritongen.trial.child_request import Limits

_WORKER = "tritongen.optimize.worker"
_GIB = 2**30
# Virtual memory is spent on mapped files, stacks and reserves of the allocator, not only on data.
_ADDRESS_SPARE_BYTES = 8 * _GIB
_SIGKILL = 9


class StageRefusal(Exception):  # noqa: N818  (a verdict on its way up, not a failure)
    """The work cannot be done on this model; the message says why."""


class Stage(StrEnum):
    """One piece of work."""

    FIX = "fix"
    QUANTIZE = "quantize"
    HALF = "half"
    GRAPH = "graph"
    PARALLEL = "parallel"
    OPENVINO = "openvino"


class Method(StrEnum):
    """How a model is quantised."""

    # Scales of activations from the request's own data.
    DYNAMIC = "dynamic"
    # Scales of activations from calibration data; Q/DQ operators around each.
    STATIC = "static"
    # A dynamically quantised model whose scales are fixed by calibration.
    FIXED_SCALES = "fixed-scales"


@dataclass(frozen=True, slots=True)
class JobInput:
    """One input of the model, with sizes and values that it accepts.

    Attributes:
        name: of the input.
        dtype: element type.
        dims: as declared, batch axis included; -1 is dynamic.
        shape: full shape of a run that was accepted.
        values: the generator's text.
    """

    name: str
    dtype: DType
    dims: tuple[int, ...]
    shape: tuple[int, ...]
    values: str = ""

    @classmethod
    def declared(cls, name: str, dtype: DType, shape: Shape) -> "JobInput":
        """One that no run was made with: a size of 1 wherever any is open."""
        dims = tuple(dim if isinstance(dim, int) and dim > 0 else -1 for dim in shape)
        return cls(name, dtype, dims, tuple(max(1, dim) for dim in dims))

    @property
    def recipe(self) -> InputRecipe:
        """How to generate it."""
        return InputRecipe(self.name, self.dtype, self.shape, self.values)


@dataclass(frozen=True, slots=True)
class DataSource:
    """The user's samples.

    Attributes:
        path: of a .npz file or a folder of .npy files; empty for a callable.
        function: ``module:function`` that returns a mapping from name to array.
        folders: where the module is looked for, before Python's own places.
        labels: name of the array with labels; empty looks for the usual ones.
    """

    path: str = ""
    function: str = ""
    folders: tuple[str, ...] = ()
    labels: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a variant may lose.

    Attributes:
        metric: by name; empty chooses by the labels.
        function: ``module:function`` of the user's own metric.
        folders: where the module is looked for.
        max_drop: greatest loss accepted.
        output: the output that is scored; empty chooses by type and shape.
    """

    metric: str = ""
    function: str = ""
    folders: tuple[str, ...] = ()
    max_drop: float = DEFAULT_MAX_DROP
    output: str = ""


@dataclass(frozen=True, slots=True)
class TargetRuntime:
    """The target's ONNX Runtime, and what it reads.

    Attributes:
        name: with its version and Triton's, for messages.
        ir: greatest IR version.
        opset: greatest opset of ai.onnx.
        ml_opset: greatest opset of ai.onnx.ml.
        older: whether it is older than the one here.
    """

    name: str
    ir: int
    opset: int
    ml_opset: int
    older: bool = False


@dataclass(frozen=True, slots=True)
class ChildJob:
    """One piece of work on one model.

    What holds for every piece on a model is filled in once; the rest of it says which model and
    which piece.

    Attributes:
        runtime: of the target.
        isa: of the target's CPU.
        threads: greatest number to measure with.
        gpu: whether the target has a GPU.
        string_labels: serve text labels as texts.
        batch: the user's word on batching.
        gate: what may be lost.
        data: the user's samples, None when there are none.
        time_budget_s: seconds for speed measurements and searches.
        seed: of generated inputs.
        stage: what to do.
        method: of quantising.
        path: the model's main file, absolute; only read.
        work: an existing empty folder on the same file system, absolute; takes the result.
        inputs: of the model.
        precision: of the model's arithmetic.
        batched: whether axis 0 is a proven batch axis.
        parallelism: operators divided by the longest path.
        renamed: new name by old name of inputs, where a fix changed them.
    """

    runtime: TargetRuntime
    isa: Isa = field(default_factory=Isa)
    threads: int = 1
    gpu: bool = False
    string_labels: bool = True
    batch: bool | None = None
    gate: Gate = field(default_factory=Gate)
    data: DataSource | None = None
    time_budget_s: float = 60.0
    seed: int = 0
    stage: Stage = Stage.FIX
    method: Method = Method.DYNAMIC
    path: str = ""
    work: str = ""
    inputs: tuple[JobInput, ...] = ()
    precision: Precision = Precision.SINGLE
    batched: bool = False
    parallelism: float = 1.0
    renamed: Mapping[str, str] = field(default_factory=dict)

    def seeded(self, count: int) -> list[Mapping[str, Array]]:
        """Generated inputs of so many runs, with sizes and values that the model accepts."""
        recipes = [item.recipe for item in self.inputs]
        return [make_inputs(recipes, self.seed + number) for number in range(count)]


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of it.

    Attributes:
        code: finding code of a failure, empty when the work was done.
        error: what went wrong, one sentence.
        details: further lines of a failure.
        steps: what was done or looked at.
        model: main file of the result, relative to `folder`; empty when there is none.
        files: every file of the result, the main file first.
        proof: of the result against the original.
        accuracy: in the gate's metric; without data of the user's, similarity only.
        speedups: at every point measured; the first one is the point that counts.
        rows_equal: whether rows are independent of their neighbours; None where not tried.
        recipe: settings by name.
        labels: class names by index.
        labels_of: output that they belong to.
        folder: of the job; filled in where the work was asked for.
    """

    code: str = ""
    error: str = ""
    details: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    model: str = ""
    files: tuple[str, ...] = ()
    proof: Proof | None = None
    accuracy: Accuracy | None = None
    speedups: tuple[Speedup, ...] = ()
    rows_equal: bool | None = None
    recipe: Mapping[str, object] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    labels_of: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What one job may take.

    Attributes:
        timeout_s: wall clock.
        memory_bytes: resident memory; None for 4 GiB and four times the model.
    """

    timeout_s: float = 900.0
    memory_bytes: int | None = None


def run_job(job: ChildJob, limits: ChildLimits) -> JobResult:
    """Do one job; a child that hangs, crashes or eats memory is an outcome with a code."""
    size = sum(item.stat().st_size for item in Path(job.path).parent.glob("*") if item.is_file())
    memory = limits.memory_bytes or 4 * _GIB + 4 * size
    confinement = Limits(
        timeout_s=limits.timeout_s,
        time_budget_s=job.time_budget_s,
        threads=job.threads,
        address_space=2 * memory + 4 * size + _ADDRESS_SPARE_BYTES,
        parent=os.getpid(),
        writable=_writable(job),
    )
    request = json.dumps({"job": encode(job), "limits": encode(confinement)})
    result = run_worker(request, limits.timeout_s, memory, _WORKER)
    try:
        return decode(JobResult, parse_json(result.output))
    except ValueError:
        return _failure(result, limits, memory)


def _writable(job: ChildJob) -> tuple[str, ...]:
    """Folders that a job may write to.

    A link of a large file needs the same rights where the file is as where the link is. Functions
    of the user's get none there: they might write to the file through its other name.
    """
    functions = (job.gate.function, job.data.function if job.data is not None else "")
    return (job.work,) if any(functions) else (job.work, str(Path(job.path).parent))


def _failure(result: ChildResult, limits: ChildLimits, memory: int) -> JobResult:
    if result.end is ChildEnd.TIMED_OUT:
        return JobResult("TG214", f"not done after {limits.timeout_s:g} s")
    killed = result.end is ChildEnd.SIGNALLED and result.status == _SIGKILL
    if result.end is ChildEnd.TOO_LARGE or killed or result.starved:
        return JobResult("TG215", f"more memory needed than {memory / _GIB:.1f} GiB")
    words = f": {result.last_words}" if result.last_words else ""
    how = "signal" if result.end is ChildEnd.SIGNALLED else "status"
    return JobResult("TG216", f"the process ended with {how} {result.status}{words}")
