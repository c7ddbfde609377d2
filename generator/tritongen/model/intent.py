"""What the user wants: the content of `tritongen.yaml`, checked and complete."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tritongen.model.business import Business, Payload
from tritongen.model.tensors import DType
from tritongen.model.traffic_pattern import Pattern

DEFAULT_TRITON = "26.07"


class WeightsMode(StrEnum):
    """How weights get into the repository."""

    COPY = "copy"
    HARDLINK = "hardlink"
    SYMLINK = "symlink"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that is planned for.

    Attributes:
        triton: Triton release, ``YY.MM``.
        cpus: cores of the container, None to take this machine's budget once and record it.
        memory_bytes: memory limit, None when not stated.
        gpus: number of GPUs.
    """

    triton: str = DEFAULT_TRITON
    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class DeclaredTensor:
    """An input or output that the user declares, or whose values the user describes.

    Attributes:
        name: of the input or output.
        dtype: None keeps the model's own.
        dims: the full shape, batch axis included; -1 is dynamic; None keeps the model's.
        values: a generator's text such as ``int[0,30522)``; empty for the default.
        shape: sizes to use for dynamic axes in trials and probes, by symbol or axis.
    """

    name: str
    dtype: DType | None = None
    dims: tuple[int, ...] | None = None
    values: str = ""
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class AccuracyIntent:
    """How a variant of a model is evaluated.

    Attributes:
        metric: by name (`tritongen.model.accuracy_metrics`); empty chooses by the labels.
        data: a .npz file or a folder of .npy files beside tritongen.yaml, or ``module:function``.
        function: ``module:function`` of the user's own metric; it wins over `metric`.
        labels: name of the array with labels; empty looks for the usual names.
        output: the output that is scored; empty chooses one that suits the metric.
    """

    metric: str = ""
    data: str = ""
    function: str = ""
    labels: str = ""
    output: str = ""


class SequenceStrategy(StrEnum):
    """How Triton's sequence batcher forms executions."""

    OLDEST = "oldest"
    DIRECT = "direct"


class SequenceControl(StrEnum):
    """What the sequence batcher can tell a model of each request."""

    START = "start"
    END = "end"
    READY = "ready"
    ID = "id"


@dataclass(frozen=True, slots=True)
class SequenceIntent:
    """Requests that belong together, and the state that the server keeps between them.

    Attributes:
        state: state output by state input.
        controls: model input by control.
        initial: file with the first state, by state input; zeros where there is none.
        strategy: ``oldest`` batches whatever sequences have requests, ``direct`` gives each
            sequence a fixed row of the batch.
        concurrent: sequences open at the same time, None when not stated.
        idle_ms: time without a request after which a sequence's state is dropped, None when not
            stated.
    """

    state: Mapping[str, str] = field(default_factory=dict)
    controls: Mapping[SequenceControl, str] = field(default_factory=dict)
    initial: Mapping[str, str] = field(default_factory=dict)
    strategy: SequenceStrategy = SequenceStrategy.OLDEST
    concurrent: int | None = None
    idle_ms: float | None = None

    @property
    def own_inputs(self) -> frozenset[str]:
        """Inputs of the model that the server feeds itself."""
        return frozenset(self.state) | frozenset(self.controls.values())


class Overload(StrEnum):
    """What becomes of requests that will be answered too late."""

    QUEUE = "queue"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class ModelIntent:
    """What the user says of one model.

    Attributes:
        rate: mean requests per second, None when not stated.
        peak_rate: requests per second at peak, None when not stated.
        latency_ms: latency goal at `percentile`, None when not stated.
        percentile: of the latency goal, 50 to 99.9.
        overload: what becomes of requests that wait longer than the latency goal allows.
        request_batch: rows that a client sends in one request.
        batch: False forbids batching whatever the trial says; True demands the batch axis;
            None lets the trial decide.
        max_batch_size: upper limit for the plan, None for the planner's choice.
        instances: fixed instance count, None for the planner's choice.
        threads: fixed threads an instance, None for the planner's choice.
        accuracy_drop: greatest accepted loss of the metric when quantising.
        accuracy: how that loss is measured.
        response_cache: answer equal requests from Triton's cache.
        versions: versions to serve; None keeps Triton's rule (the newest one).
        inputs: declared inputs by name.
        outputs: declared outputs by name.
        overlay: fields of ModelConfig, merged last.
        skip: leave the model out of the repository.
        pattern: shape of its traffic, None for the project's.
        payload: sizes on the wire.
        sequence: what is kept between the requests of a sequence, None for independent requests.
    """

    rate: float | None = None
    peak_rate: float | None = None
    latency_ms: float | None = None
    percentile: float = 99.0
    overload: Overload = Overload.QUEUE
    request_batch: int = 1
    batch: bool | None = None
    max_batch_size: int | None = None
    instances: int | None = None
    threads: int | None = None
    accuracy_drop: float | None = None
    accuracy: AccuracyIntent = field(default_factory=AccuracyIntent)
    response_cache: bool = False
    versions: tuple[int, ...] | None = None
    inputs: Mapping[str, DeclaredTensor] = field(default_factory=dict)
    outputs: Mapping[str, DeclaredTensor] = field(default_factory=dict)
    overlay: Mapping[str, object] = field(default_factory=dict)
    skip: bool = False
    pattern: Pattern | None = None
    payload: Payload = field(default_factory=Payload)
    sequence: SequenceIntent | None = None

    @property
    def planning_rate(self) -> float | None:
        """The rate to plan for: the peak when stated, else the mean."""
        return self.peak_rate if self.peak_rate is not None else self.rate


NO_BATCH = "batch: false"


def trial_declarations(intent: ModelIntent) -> tuple[str, ...]:
    """What of an intent decides what a trial feeds and tests, as ``path: value``, sorted."""
    found = [NO_BATCH] if intent.batch is False else []
    for role, tensors in (("inputs", intent.inputs), ("outputs", intent.outputs)):
        for name, item in tensors.items():
            path = f"{role}.{name}"
            said = {
                "dtype": item.dtype,
                "dims": None if item.dims is None else list(item.dims),
                "shape": None if item.shape is None else list(item.shape),
                "values": item.values or None,
            }
            found += [f"{path}.{key}: {value}" for key, value in said.items() if value is not None]
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """One model of a pipeline.

    Attributes:
        model: its name.
        inputs: the model's input → the pipeline's tensor; one that is not named is the tensor of
            the same name.
        outputs: the model's output → the pipeline's tensor; None takes all under their own names.
    """

    model: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PipelineIntent:
    """Models that answer one request together.

    Tensors that a step takes and none gives are the pipeline's inputs.

    Attributes:
        steps: in any order.
        outputs: tensors that the pipeline answers with.
        rate: mean requests per second, None when not stated.
        peak_rate: requests per second at peak, None when not stated.
        latency_ms: latency goal at `percentile`, None when not stated.
        percentile: of the latency goal.
    """

    steps: tuple[PipelineStep, ...]
    outputs: tuple[str, ...]
    rate: float | None = None
    peak_rate: float | None = None
    latency_ms: float | None = None
    percentile: float = 99.0


@dataclass(frozen=True, slots=True)
class Intent:
    """The whole of `tritongen.yaml`.

    Attributes:
        target: the machine.
        models: by name; a model without an entry has the defaults.
        pipelines: by name.
        weights: how weights get into the repository.
        business: traffic, clients, services, availability, budget and cloud.
    """

    target: Target = field(default_factory=Target)
    models: Mapping[str, ModelIntent] = field(default_factory=dict)
    pipelines: Mapping[str, PipelineIntent] = field(default_factory=dict)
    weights: WeightsMode = WeightsMode.COPY
    business: Business = field(default_factory=Business)

    def of(self, model: str) -> ModelIntent:
        """The entry of one model, the defaults when it has none."""
        return self.models.get(model, ModelIntent())
