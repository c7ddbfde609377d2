"""The serving plan: every value of the configuration, each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from tritongen.model.findings import Finding
from tritongen.model.sequence_intent import SequenceControl
from tritongen.model.tensors import DType

T = TypeVar("T")


class Source(StrEnum):
    """What a value rests on."""

    MODEL = "model"
    TRIAL = "trial"
    INTENT = "intent"
    TARGET = "target"
    MEASURED = "measured"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a value is what it is.

    Attributes:
        source: what it rests on.
        sentence: for people, one sentence without line breaks.
        numbers: (name, value) of the figures that decided it.
    """

    source: Source
    sentence: str
    numbers: tuple[tuple[str, float | int | str], ...] = ()


@dataclass(frozen=True, slots=True)
class Planned(Generic[T]):
    """A value and its reason."""

    value: T
    reason: Reason


class InstanceKind(StrEnum):
    """Where instances run."""

    CPU = "KIND_CPU"
    GPU = "KIND_GPU"
    MODEL = "KIND_MODEL"


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """An input or output of the configuration.

    Attributes:
        name: as the backend expects it.
        dtype: element type.
        dims: as Triton writes them: without the batch axis when the model batches; -1 is dynamic.
        reshape: the shape that the model sees, None when it is `dims`.
        reason: why these dims.
        optional: the request may leave it out.
    """

    name: str
    dtype: DType
    dims: tuple[int, ...]
    reason: Reason
    reshape: tuple[int, ...] | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """What happens to requests that wait too long.

    Attributes:
        timeout_us: requests older than this are rejected.
        max_queue_size: requests beyond this are rejected at once; 0 means no limit.
        reason: why.
    """

    timeout_us: int
    max_queue_size: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class DynamicBatching:
    """Triton's dynamic batcher.

    Attributes:
        queue_delay_us: how long a request may wait for company.
        queue_policy: None keeps Triton's unlimited queue.
    """

    queue_delay_us: Planned[int]
    queue_policy: QueuePolicy | None = None


@dataclass(frozen=True, slots=True)
class WarmupInput:
    """One zero-filled input of a warm-up request; `dims` are without the batch axis."""

    name: str
    dtype: DType
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Warmup:
    """One warm-up sample, run on every instance before the model is ready.

    Attributes:
        name: of the sample.
        batch_size: rows (1 for a model that does not batch).
        inputs: every required input.
    """

    name: str
    batch_size: int
    inputs: tuple[WarmupInput, ...]


@dataclass(frozen=True, slots=True)
class SequenceState:
    """A state that the server keeps; `dims` and `initial` are without the batch axis.

    Attributes:
        input: the model's input that takes it.
        output: the model's output that holds the next one.
        dtype: element type.
        dims: -1 is dynamic.
        initial: size of what a sequence begins with.
        reason: why these dims.
        file: in the folder ``initial_state`` that holds it, empty for zeros.
    """

    input: str
    output: str
    dtype: DType
    dims: tuple[int, ...]
    initial: tuple[int, ...]
    reason: Reason
    file: str = ""


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """Triton's sequence batcher.

    Attributes:
        idle_us: a sequence without requests for so long is given up.
        candidates: sequences that one instance holds at a time, None for the direct strategy,
            which holds one for each row of a batch.
        states: kept between a sequence's requests.
        controls: (control, input, type of its values).
        reason: why it is on.
    """

    idle_us: Planned[int]
    candidates: Planned[int] | None
    states: tuple[SequenceState, ...]
    controls: tuple[tuple[SequenceControl, str, DType], ...]
    reason: Reason


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model's configuration, before it becomes a message.

    Attributes:
        name: the model's name and folder.
        backend: Triton's backend.
        platform: empty where the backend needs none.
        max_batch_size: 0 for no batching.
        inputs: every input of the model.
        outputs: every output of the model.
        instances: instance count.
        kind: CPU or GPU.
        threads: threads that one instance uses at most.
        parameters: (key, value) of the backend, in the order to print.
        batching: None when dynamic batching is off.
        batching_off: why it is off, None when it is on.
        warmup: samples, smallest batch first.
        warmup_reason: why these, or why none.
        versions: versions to serve; None keeps Triton's rule (the newest one).
        response_cache: whether equal requests are answered from the cache.
        execution_slots: cores that an execution holds under the rate limiter, 0 for a model that
            waits for others; None when off.
        overlay: fields of ModelConfig that the user sets, merged last.
        findings: what the planner has to say.
        sequence: None where requests are independent.
        decoupled: True where a request gets any number of responses; None for exactly one.
        gpus: that have its instances, None for all.
        gpu_bytes: that it takes on each of them, 0 where that is not known.
        engine_bytes: that the engines of a language model take on every GPU of the target.
    """

    name: str
    backend: str
    platform: str
    max_batch_size: Planned[int]
    inputs: tuple[PlannedTensor, ...]
    outputs: tuple[PlannedTensor, ...]
    instances: Planned[int]
    kind: Planned[InstanceKind]
    threads: Planned[int]
    parameters: tuple[tuple[str, Planned[str]], ...] = ()
    batching: DynamicBatching | None = None
    batching_off: Reason | None = None
    warmup: tuple[Warmup, ...] = ()
    warmup_reason: Reason | None = None
    versions: Planned[tuple[int, ...]] | None = None
    response_cache: Planned[bool] | None = None
    execution_slots: Planned[int] | None = None
    overlay: Mapping[str, object] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    sequence: SequencePlan | None = None
    decoupled: Planned[bool] | None = None
    gpus: Planned[tuple[int, ...]] | None = None
    gpu_bytes: int = 0
    engine_bytes: tuple[int, ...] = ()

    @property
    def total_threads(self) -> int:
        """Threads that all instances use together at most."""
        return self.instances.value * self.threads.value


@dataclass(frozen=True, slots=True)
class EnsembleStep:
    """One step of an ensemble.

    Attributes:
        model: its name.
        inputs: (the model's input, the ensemble's tensor).
        outputs: (the model's output, the ensemble's tensor).
    """

    model: str
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class EnsemblePlan:
    """A pipeline's configuration, before it becomes a message.

    Attributes:
        name: the pipeline's name and folder.
        max_batch_size: 0 for full shapes.
        inputs: what a request brings.
        outputs: what it is answered with.
        steps: each after those that it waits for.
    """

    name: str
    max_batch_size: Planned[int]
    inputs: tuple[PlannedTensor, ...]
    outputs: tuple[PlannedTensor, ...]
    steps: tuple[EnsembleStep, ...]


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """How the server itself is started.

    Attributes:
        triton: release, such as ``26.08``.
        cores: CPU budget that the thread rule is held against.
        memory_bytes: memory limit, None when not stated.
        gpus: number of GPUs.
        environment: (variable, value) of the container.
        flags: (flag without dashes, value) of tritonserver beyond the runtime's own.
        gpu_bytes: that it takes on each GPU; empty where that is not known.
    """

    triton: str
    cores: Planned[int]
    memory_bytes: int | None = None
    gpus: int = 0
    environment: tuple[tuple[str, Planned[str]], ...] = ()
    flags: tuple[tuple[str, Planned[str]], ...] = ()
    gpu_bytes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """The plan of one server with all its models.

    Attributes:
        server: how it is started.
        models: in the order of their names.
        ensembles: pipelines of these models, in the order of their names.
        refused: names of models that cannot be served, with the finding codes that say why.
        findings: remarks on the whole.
    """

    server: ServerPlan
    models: tuple[ModelPlan, ...]
    refused: tuple[tuple[str, tuple[str, ...]], ...] = ()
    findings: tuple[Finding, ...] = ()
    ensembles: tuple[EnsemblePlan, ...] = ()

    @property
    def total_threads(self) -> int:
        """Threads of all CPU instances of all models together."""
        return sum(m.total_threads for m in self.models if m.kind.value is InstanceKind.CPU)
