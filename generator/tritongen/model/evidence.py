"""What was observed by running a model: the trial, measurements and tuned choices.

Evidence is recorded in `tritongen.lock` and used again until the model's bytes change, so that
the same inputs give the same plan on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.graph_work import GraphWork
from tritongen.model.releases import Release, older
from tritongen.model.tensors import DType
from tritongen.model.variants import Variant

# Begins what a trial was given of samples, before their hash.
SAMPLES = "samples: "
# The trial's code for a model that the runtime itself does not load.
NOT_LOADED = "TG145"
# Of an instance beyond its weights, or what its trial took above the idle runtime: that runtime,
# arena, inputs and outputs. Measured: 20 MiB a stub of the Python backend with ONNX Runtime.
INSTANCE_MARGIN_BYTES = 64 * 2**20
# Of an instance of which nothing is known beside that. Chosen.
_UNKNOWN_BYTES = 64 * 2**20


class BatchVerdict(StrEnum):
    """What the trial says of axis 0."""

    PROVEN = "proven"
    DISPROVEN = "disproven"
    COUPLED = "coupled"
    UNTESTED = "untested"


@dataclass(frozen=True, slots=True)
class ObservedTensor:
    """An input as fed to, or an output as returned by, the trial's single-row run.

    Attributes:
        name: of the input or output.
        dtype: element type as observed.
        shape: full shape as observed, batch axis included.
        values: the generator's text that was used for an input, such as ``int[0,10)``.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    values: str = ""


@dataclass(frozen=True, slots=True)
class ReportedTensor:
    """An input or output as the runtime itself reports it after loading the model.

    The backend holds the configuration against this, not against what the file declares.

    Attributes:
        name: of the input or output.
        dims: full shape, batch axis included; -1 is dynamic; empty for a scalar or an unknown rank.
    """

    name: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BatchProof:
    """Whether axis 0 is a batch axis.

    Attributes:
        verdict: proven, disproven, coupled (rows change with their neighbours), or untested.
        reason: one sentence.
        rows: batch sizes that were compared with single rows.
        max_abs_diff: greatest absolute difference row by row.
        tolerance: absolute part of the tolerance that was applied.
        bound: most rows that the runtime takes at once, where it refuses more; 0 for no bound.
    """

    verdict: BatchVerdict
    reason: str
    rows: tuple[int, ...] = ()
    max_abs_diff: float = 0.0
    tolerance: float = 0.0
    bound: int = 0


class AxisVerdict(StrEnum):
    """What the trial says of a dynamic axis that is not the batch's."""

    FREE = "free"
    BOUNDED = "bounded"
    MULTIPLE = "multiple"
    EQUAL = "equal"
    FIXED = "fixed"
    UNTESTED = "untested"


@dataclass(frozen=True, slots=True)
class AxisProof:
    """Which sizes a dynamic axis of an input takes.

    Attributes:
        input: its name.
        axis: position, the batch axis counted.
        symbol: the file's name of the size, empty for none.
        verdict: free, bounded, a multiple, equal to another axis, fixed, or untested.
        bound: the greatest size, the factor, the other axis, or the only size.
        tried: sizes that were run, accepted or not, in their order.
        reason: what the verdict rests on.
        narrow: whether clients may rightly expect more: by the file, or by tritongen.yaml.
    """

    input: str = ""
    axis: int = 0
    symbol: str = ""
    verdict: AxisVerdict = AxisVerdict.UNTESTED
    bound: int | str | None = None
    tried: tuple[int, ...] = ()
    reason: str = ""
    narrow: bool = False

    @property
    def label(self) -> str:
        """What tritongen.yaml calls it: the symbol, else input and position."""
        return self.symbol or f"{self.input}[{self.axis}]"

    @property
    def refuses(self) -> bool:
        """Whether the model was seen to refuse every other size."""
        return self.narrow and self.verdict is AxisVerdict.FIXED

    @property
    def sentence(self) -> str:
        """The verdict for people."""
        named = f" ({self.symbol})" if self.symbol else ""
        because = f", {self.reason}" if self.reason else ""
        return f"axis {self.axis}{named}: {self.verdict.value}{because}"


@dataclass(frozen=True, slots=True)
class Cost:
    """Median time of one execution.

    Attributes:
        batch: rows in the execution (1 for a model without batch axis).
        threads: intra-op threads.
        ms: median milliseconds of one execution.
        spread: between executions, without a unit: of a trial the interquartile range divided by
            the median, see `tritongen.queueing.trial_points`; of a server the standard deviation
            divided by the mean.
        inter_op: inter-op threads; 1 means sequential execution.
    """

    batch: int
    threads: int
    ms: float
    spread: float = 0.0
    inter_op: int = 1


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of running a model in a child process on seeded inputs.

    Attributes:
        runtime: library and version, such as ``onnxruntime 1.32.0``.
        ok: whether the model ran at all.
        code: finding code of the failure, empty when all went well. Together with `ok` it tells
            of a failure after the single-row run: time, memory or a crash on larger batches.
        error: the runtime's own message of that failure, one line.
        seed: of the generated inputs.
        inputs: what was fed in the single-row run.
        outputs: what came back from it.
        reported_inputs: the runtime's own view of the inputs.
        reported_outputs: the runtime's own view of the outputs.
        proof: of the batch axis.
        costs: measured execution times.
        zeros_ok: whether all-zero inputs run, as Triton's warm-up feeds them.
        peak_bytes: greatest resident memory above the idle runtime.
        deterministic: whether two runs on the same input agree.
        mismatches: one sentence for every output whose declared type, rank or fixed size was not
            what came back.
        cpu: name of the processor that `costs` were measured on, empty when not known.
        decoupled: whether a Python model gave other than one response to a request, or says that it
            may; None when it cannot be told.
        declared: what tritongen.yaml said of its inputs and outputs (see `trial_declarations`);
            None in an older lock, which does not say.
        axes: dynamic axes of the inputs, the proven batch axis excepted; none in an older lock.
        refused: made-up inputs that the model was fed first where it ran on none.
        work: what an execution computes and moves; None where it was not counted, as in an older
            lock, and for formats whose runtime does not tell its operators.
    """

    runtime: str
    ok: bool
    code: str = ""
    error: str = ""
    seed: int = 0
    inputs: tuple[ObservedTensor, ...] = ()
    outputs: tuple[ObservedTensor, ...] = ()
    reported_inputs: tuple[ReportedTensor, ...] = ()
    reported_outputs: tuple[ReportedTensor, ...] = ()
    proof: BatchProof = field(
        default_factory=lambda: BatchProof(BatchVerdict.UNTESTED, "the model was not run")
    )
    costs: tuple[Cost, ...] = ()
    zeros_ok: bool = False
    peak_bytes: int = 0
    deterministic: bool = True
    mismatches: tuple[str, ...] = ()
    cpu: str = ""
    decoupled: bool | None = None
    declared: tuple[str, ...] | None = None
    axes: tuple[AxisProof, ...] = ()
    refused: tuple[ObservedTensor, ...] = ()
    work: GraphWork | None = None

    @property
    def fixed_sizes(self) -> Mapping[tuple[str, int], int]:
        """The only size of each axis that takes no other, by input and position."""
        return {
            (item.input, item.axis): item.bound
            for item in self.axes
            if item.verdict is AxisVerdict.FIXED and isinstance(item.bound, int)
        }

    @property
    def on_samples(self) -> bool:
        """Whether the user's samples were fed, and not made-up values alone."""
        return any(item.startswith(SAMPLES) for item in self.declared or ())

    def cost_ms(self, batch: int, threads: int) -> float | None:
        """Median milliseconds in sequence at that point, None when it was not measured."""
        at = (batch, threads, 1)
        known = (one.ms for one in self.costs if (one.batch, one.threads, one.inter_op) == at)
        return next(known, None)


def instance_bytes(weight_bytes: int, trial: Trial | None) -> int:
    """Memory of one instance: its weights, or what the trial's process took where that is more."""
    return max(weight_bytes, trial.peak_bytes if trial is not None else 0)


def instance_memory(trial: Trial | None, weight_bytes: int = 0) -> int:
    """Bytes that one instance of a model needs.

    Args:
        trial: of the model, None without one.
        weight_bytes: of its files, 0 where they are not known.
    """
    return (instance_bytes(weight_bytes, trial) or _UNKNOWN_BYTES) + INSTANCE_MARGIN_BYTES


@dataclass(frozen=True, slots=True)
class Tuned:
    """Choices that `tune` made, with the measurements behind them.

    Attributes:
        goal: what it was tuned for.
        instances: instance count.
        threads: intra-op threads an instance.
        max_batch_size: 0 for no batching.
        queue_delay_us: None when dynamic batching is off.
        inter_op: inter-op threads; 1 means sequential execution.
        numbers: measured figures by name.
        cores: that it was tuned for, 0 when not known.
        arena: whether instances keep the backend's memory arena.
        wanted: what tritongen.yaml asked for then; None in an older lock, which does not say.
        measured_on: whose backend the figures are of where it is not NVIDIA's, else empty.
        gpu: card that it was tuned on, "GPU" for one that nothing is said of; empty for CPUs.
    """

    goal: str
    instances: int
    threads: int
    max_batch_size: int
    queue_delay_us: int | None
    inter_op: int = 1
    numbers: Mapping[str, float] = field(default_factory=dict)
    cores: int = 0
    arena: bool = True
    wanted: str | None = None
    measured_on: str = ""
    gpu: str = ""

    @property
    def total_threads(self) -> int:
        """Threads of all instances: with operators side by side, the calling thread is shared."""
        return self.instances * (self.threads + self.inter_op - 1)


@dataclass(frozen=True, slots=True)
class ServedRate:
    """Latencies of the tuned configuration, alone on its server, at one rate.

    Attributes:
        per_s: requests per second, as they arrived.
        requests: answered.
        ms: (percentile, milliseconds), ascending.
        rows: of each request.
    """

    per_s: float
    requests: int
    ms: tuple[tuple[float, float], ...]
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Served:
    """Times measured on a running Triton, from which capacity is planned.

    Attributes:
        cpus: CPU limit of the server while it was measured; may be a fraction.
        cpu: name of its processor, empty when not known.
        costs: mean times of executions inside the server.
        front_end_ms: CPU time that each request costs outside its execution.
        transport_ms: latency of each request outside queue and execution that costs no core.
        contention: how much longer executions take when all cores are busy, as a share.
        cold: how much longer the first execution after a rest takes, as a share.
        pause_ms: mean of the pauses that one in twenty requests meets on its way; of older locks.
        wake_ms: CPU time more of a request that finds the threads asleep.
        stall_ms: length of the moments in which nothing runs, 0 where there are none.
        stalls_per_s: how many of them begin in a second.
        rates: what the tuned configuration did at rates, ascending; empty where it was not asked.
    """

    cpus: float
    cpu: str
    costs: tuple[Cost, ...]
    front_end_ms: float = 0.0
    transport_ms: float = 0.0
    contention: float | None = None
    cold: float = 0.0
    pause_ms: float = 0.0
    wake_ms: float = 0.0
    stall_ms: float = 0.0
    stalls_per_s: float = 0.0
    rates: tuple[ServedRate, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelEvidence:
    """Evidence for one model, valid while the files' hashes are the same.

    Attributes:
        files: (path relative to the version folder with the version before it, sha256).
        trial: the trial's result, None when it was not run.
        tuned: the tuner's choice, None when it was not tuned.
        served: times measured on a server, None when there are none.
        variant: the variant that `files` belong to, with its recipe and proof; None when the
            original is served.
    """

    files: tuple[tuple[str, str], ...]
    trial: Trial | None = None
    tuned: Tuned | None = None
    served: Served | None = None
    variant: Variant | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence for every model, by name."""

    models: Mapping[str, ModelEvidence] = field(default_factory=dict)


def runtime_version(release: Release, format_: ModelFormat) -> str:
    """The version of what runs a format in a release; empty where no table has it."""
    known = {
        ModelFormat.ONNX: release.onnxruntime,
        ModelFormat.OPENVINO: release.openvino,
        ModelFormat.TORCHSCRIPT: release.torch,
        ModelFormat.TORCH_AOTI: release.torch,
    }
    return known.get(format_, "")


def with_refusal(facts: ModelFacts, trial: Trial | None, release: Release, gpus: int) -> ModelFacts:
    """Facts with an error where the target's runtime will refuse the model as the trial's did.

    An older runtime than the target's may lack what that one has, and so may the CPU's operators
    where the target has a GPU: then the trial's warning is all that can be said.

    Args:
        facts: from the file.
        trial: None when it was not run.
        release: the target Triton.
        gpus: number of GPUs of the target.
    """
    if trial is None or trial.ok or trial.code != NOT_LOADED or facts.onnx is None:
        return facts
    if gpus or facts.onnx.custom_domains or older(trial.runtime, release.onnxruntime):
        return facts
    fault = facts.finding(NOT_LOADED, f"{trial.runtime} does not load it: {trial.error}")
    return replace(facts, findings=(*facts.findings, fault))
