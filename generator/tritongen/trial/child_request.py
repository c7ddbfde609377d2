"""What the parent asks of the child, and what that may take."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tritongen.model.facts import ModelFacts, ModelFormat, Precision
from tritongen.model.intent import MANY_ROWS, AxisIntent
from tritongen.model.progress import Progress, silent
from tritongen.model.tensors import DType, Shape
from tritongen.trial.runtime import DeclaredInterface

# Rows of one execution that are measured. Chosen: beyond 16, what an item costs hardly changes on a
# CPU, and executions get long.
MEASURED_BATCHES = (1, 2, 4, 8, MANY_ROWS)
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Feed:
    """One input that the trial feeds.

    Attributes:
        name: of the input.
        dtype: element type.
        shape: declared shape, batch axis included; None when the rank is not known.
        sizes: the user's concrete full shape, None to choose sizes for the dynamic axes.
        values: the user's description of the values, empty for the default.
    """

    name: str
    dtype: DType
    shape: Shape | None
    sizes: tuple[int, ...] | None = None
    values: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the child may take.

    Attributes:
        timeout_s: wall clock; the parent kills the child then.
        time_budget_s: seconds for measuring execution times.
        threads: that it computes on.
        address_space: bytes of virtual memory, 0 for no limit.
        parent: process that the child must not outlive.
        writable: folders that it may write to beside its own temporary one, absolute.
    """

    timeout_s: float
    time_budget_s: float
    threads: int
    address_space: int
    parent: int
    writable: tuple[str, ...] = ()

    @property
    def cpu_s(self) -> int:
        """Seconds of CPU time: that of every thread and of two more, all the while."""
        return math.ceil(self.timeout_s * (self.threads + 2)) + 10


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """Everything that the child needs to know.

    Attributes:
        format: decides the runtime.
        path: main file or folder of the model, absolute.
        inputs: what to feed.
        batch: the user's word on batching, None to find out.
        precision: of the model's arithmetic.
        dynamic_quantization: scales are computed from the data at run time.
        parallel: the graph has operators that can run side by side.
        threads: intra-op threads to try at most.
        seed: of the generated inputs.
        limits: of time and memory.
        most_rows: of one execution; as many are compared with rows alone.
        axes: what the user says of dynamic axes, by label.
        guesses: inputs to feed instead when those do not run, for formats that do not describe
            them.
        open_shapes: whether axes are to be tried with other sizes, to find those that vary.
        interface: what is known of the model beside its file.
        samples: where each of the user's samples stands that follow the request.
        values_from: what is fed, in words.
        packages: a folder to import from before all others; empty for none.
    """

    format: ModelFormat
    path: str
    inputs: tuple[Feed, ...]
    batch: bool | None
    precision: Precision
    dynamic_quantization: bool
    parallel: bool
    threads: int
    seed: int
    limits: Limits
    most_rows: int = MEASURED_BATCHES[-1]
    axes: Mapping[str, AxisIntent] = field(default_factory=dict)
    guesses: tuple[tuple[Feed, ...], ...] = ()
    open_shapes: bool = False
    interface: DeclaredInterface = field(default_factory=DeclaredInterface)
    samples: tuple[str, ...] = ()
    values_from: str = "made-up values"
    packages: str = ""


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """Limits and seed of a trial.

    Attributes:
        cores: threads to try at most; the machine's own budget bounds it further.
        seed: of the generated inputs.
        timeout_s: wall clock of the whole trial, after which the child is killed.
        memory_bytes: resident memory at which the child is killed; None for 4 GiB and four times
            the weights.
        time_budget_s: seconds spent on measuring execution times; 0 measures nothing.
        onnxruntime: version that runs ONNX models; empty for the installed one.
        progress: told of its download.
    """

    cores: int
    seed: int = 0
    timeout_s: float = 60.0
    memory_bytes: int | None = None
    time_budget_s: float = 6.0
    onnxruntime: str = ""
    progress: Progress = silent

    def memory_limit(self, facts: ModelFacts) -> int:
        """Bytes of resident memory that a trial of this model may take."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        return 4 * _GIB + 4 * facts.weight_bytes
