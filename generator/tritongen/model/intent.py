"""What the user wants: the content of `tritongen.yaml`, checked and complete.

Each field says beside it how it is written there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tritongen.model.business import Business, Pattern, Payload
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.code_choice import ModelCheck, ProjectCheck
from tritongen.model.intent_key import DURATION_MS, SIZE_BYTES, Key, KeyGroup, TextForm
from tritongen.model.sequence_intent import SequenceIntent
from tritongen.model.target_gpu import ModelGpuMemory, TargetGpu
from tritongen.model.tensors import DType

DEFAULT_MAX_DROP = 0.01

DEFAULT_TRITON = "26.08"
PERCENTILES: Mapping[str, float] = {
    "p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9,
}  # fmt: skip
_TENSOR_NAME = TextForm("the name of a tensor")
_RATE = KeyGroup("rate", "requests per second; a number is the average", bare="average")
_ACCURACY = KeyGroup("accuracy", "what quantisation may cost, and how that is measured")
_REQUEST = KeyGroup(
    "request_batch", "rows in one client request; a number is the usual one", bare="typical"
)
_AVERAGE_RATE = Key("mean requests per second", "average", above=0, group=_RATE)
_PEAK_RATE = Key("requests per second at peak", "peak", above=0, group=_RATE)
_LATENCY = Key(
    "latency goal; a duration is the p99",
    "latency",
    members={name: f"goal at the {name} percentile" for name in PERCENTILES},
    bare="p99",
    text=DURATION_MS,
)
_SAMPLES = Key(
    "real values of the inputs, and of outputs where known, in .npz or .npy by name or in "
    "perf_analyzer's JSON; of a BYTES input alone, one file an element",
    text=TextForm("a file, folder or glob below this folder"),
    or_text=True,
)
NO_BATCH = "batch: false"
# A trial compares so many rows with rows alone; more where clients send more.
MANY_ROWS = 16


class Metric(StrEnum):
    """A metric by name; `CALLABLE` stands for the user's own."""

    TOP1 = "top1"
    F1 = "f1"
    MAE = "mae"
    MSE = "mse"
    COSINE = "cosine"
    CALLABLE = "callable"

    @property
    def is_error(self) -> bool:
        """Whether less is better."""
        return self in {Metric.MAE, Metric.MSE}

    @property
    def wants_classes(self) -> bool:
        """Whether truths are class labels."""
        return self in {Metric.TOP1, Metric.F1}


class WeightsMode(StrEnum):
    """How weights get into the repository."""

    COPY = "copy"
    HARDLINK = "hardlink"
    SYMLINK = "symlink"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Target:
    """The machine that is planned for."""

    triton: str = Key(
        "Triton release that will serve the repository",
        text=TextForm("a Triton release such as 26.08", r"\d{2}\.\d{2}", decimals=2),
    ).default(DEFAULT_TRITON)
    cpus: float | None = Key(
        "cores of the container; left out, this machine's budget is taken once and recorded",
        above=0,
        maximum=4096,
    ).default(None)
    memory_bytes: int | None = Key(
        "memory limit of the container",
        "memory",
        text=SIZE_BYTES,
    ).default(None)
    gpus: int = Key(
        "number of GPUs; left out, one where `gpu` says which", minimum=0, maximum=64
    ).default(0)
    gpu: TargetGpu | None = Key(
        "what each of them is; a text is the card's name", bare="name"
    ).default(None)


@dataclass(frozen=True, slots=True)
class DeclaredTensor:
    """An input or output that the user declares, or whose values the user describes.

    Attributes:
        name: of the input or output.
        dtype: None keeps the model's own.
        dims: None keeps the model's.
        values: empty for the default.
    """

    name: str
    dtype: DType | None = Key(
        "element type, for formats that carry none (v2 protocol name: FP32, INT64, BYTES, …)"
    ).default(None)
    dims: tuple[int, ...] | None = Key(
        "full shape, batch axis included, -1 for a dynamic size; for formats that carry none",
        minimum=-1,
    ).default(None)
    shape: tuple[int, ...] | None = Key(
        "concrete full shape to use in the trial and in probes", minimum=1
    ).default(None)
    values: str = Key(
        "values to generate in the trial and in probes",
        text=TextForm("a generator such as int[0,30522), float[-1,1] or choice(a,b)"),
    ).default("")


@dataclass(frozen=True, slots=True)
class AxisIntent:
    """Sizes that clients send on a dynamic axis; 0 where nothing is said."""

    minimum: int = Key("the smallest", "min", minimum=1).default(0)
    typical: int = Key("the usual one: what is tried, measured and warmed up", minimum=1).default(0)
    maximum: int = Key("the greatest", "max", minimum=1).default(0)

    def among(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """What to feed first: the usual size, else of some sizes those that may come."""
        if self.typical:
            return (self.typical,)
        most = self.maximum or max(sizes)
        nearest = max(self.minimum, min(sizes[0], most))
        return (nearest, *(size for size in sizes[1:] if self.minimum <= size <= most))


@dataclass(frozen=True, slots=True)
class AccuracyIntent:
    """How a variant of a model is evaluated.

    Attributes:
        metric: by name; empty chooses by the labels.
        function: of the user's own; it wins over `metric`.
        labels: empty looks for the usual names.
        output: empty chooses one that suits the metric.
    """

    metric: str = Key(
        "what is measured; default: top1 for labels, else likeness to the original's outputs",
        options=tuple(item.value for item in Metric if item is not Metric.CALLABLE),
    ).default("")
    data: str = Key(
        "samples named after the inputs, with `labels`; paths are relative to this file",
        text=TextForm("a .npz file, a folder of .npy files, or module:function"),
    ).default("")
    function: str = Key(
        "a metric of your own: called with outputs by name and the labels, more is better",
        "callable",
        text=TextForm("module:function", r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"),
    ).default("")
    labels: str = Key(
        "the array that holds the labels", text=TextForm("the name of an array")
    ).default("")
    output: str = Key("the output that is scored", text=TextForm("the name of an output")).default(
        ""
    )


class ClientChange(StrEnum):
    """What a fix may ask of clients."""

    LAYOUT = "layout"


class Overload(StrEnum):
    """What becomes of requests that will be answered too late."""

    QUEUE = "queue"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class ModelIntent:
    """What the user says of one model.

    Attributes:
        latency_ms: the goal at `percentile`, None when not stated.
        percentile: of the latency goal, 50 to 99.9.
        batch: None lets the trial decide.
        max_batch_size: None for the planner's choice, as with `instances` and `threads`.
        versions: None keeps Triton's rule (the newest one).
        pattern: None for the project's.
        sequence: None for independent requests.
    """

    rate: float | None = _AVERAGE_RATE.default(None)
    peak_rate: float | None = _PEAK_RATE.default(None)
    latency_ms: float | None = _LATENCY.default(None)
    percentile: float = PERCENTILES["p99"]
    overload: Overload = Key(
        "queue (default) answers late, reject refuses what would miss the latency goal"
    ).default(Overload.QUEUE)
    request_batch: int = Key(
        "rows in one client request", "typical", group=_REQUEST, minimum=1, maximum=65536
    ).default(1)
    request_batch_max: int = Key(
        "the most rows, for which max_batch_size leaves room",
        "max",
        group=_REQUEST,
        minimum=1,
        maximum=65536,
    ).default(1)
    batch: bool | None = Key(
        "false forbids batching, true demands it; leave out to let it be proven"
    ).default(None)
    max_batch_size: int | None = Key(
        "upper limit of the planned batch size", minimum=0, maximum=65536
    ).default(None)
    instances: int | None = Key("fixed instance count", minimum=1, maximum=4096).default(None)
    threads: int | None = Key("fixed threads an instance", minimum=1, maximum=4096).default(None)
    accuracy_drop: float | None = Key(
        f"greatest accepted loss (default: {DEFAULT_MAX_DROP})",
        "max_drop",
        minimum=0,
        maximum=1,
        group=_ACCURACY,
    ).default(None)
    accuracy: AccuracyIntent = Key(group=_ACCURACY).default(AccuracyIntent())
    response_cache: bool = Key("answer equal requests from Triton's cache").default(False)
    samples: Mapping[str, str] = _SAMPLES.mapping()
    versions: tuple[int, ...] | None = Key(
        "versions to serve; default: the newest", minimum=1, min_items=1
    ).default(None)
    inputs: Mapping[str, DeclaredTensor] = Key(
        "what the model file does not say of its inputs"
    ).mapping()
    outputs: Mapping[str, DeclaredTensor] = Key(
        "what the model file does not say of its outputs"
    ).mapping()
    axes: Mapping[str, AxisIntent] = Key(
        "sizes that clients send on dynamic axes, by the axis's symbol in the model file, or as "
        '`"INPUT[1]"`, the batch axis counted',
        names=TextForm("the symbol of an axis, or INPUT[1]"),
    ).mapping()
    overlay: Mapping[str, object] = Key(
        "any field of Triton's ModelConfig, merged last; null removes a generated field; the "
        "plan follows a max_batch_size, 0 serves without batching"
    ).mapping()
    engine: Mapping[str, object] = Key(
        "a language model's engine: arguments of vLLM, of which `model` alone is a whole model, or "
        "values for the placeholders of a TensorRT-LLM set's config.pbtxt"
    ).mapping()
    gpu_memory: ModelGpuMemory = Key(
        "memory on GPUs, where the model's files do not tell it", bare="instance"
    ).default(ModelGpuMemory())
    sequence: SequenceIntent | None = Key(
        "requests that belong together, with state kept on the server between them"
    ).default(None)
    serve: bool = Key("false leaves the model out of the repository on purpose").default(True)
    check: ModelCheck = Key("what `check` does not tell of this model").default(ModelCheck())
    accept: ClientChange | None = Key(
        "layout: fixes may be served for which clients must send or read another layout"
    ).default(None)
    skip: bool = Key("older form of `serve: false`").default(False)
    pattern: Pattern | None = Key(
        "shape of this model's traffic over the week", bare="kind"
    ).default(None)
    payload: Payload = Key(
        "sizes on the wire; taken from inputs and outputs where they are fixed", bare="request"
    ).default(Payload())

    @property
    def most_rows(self) -> int:
        """Rows that one client request may have."""
        return max(self.request_batch, self.request_batch_max)

    @property
    def planning_rate(self) -> float | None:
        """The rate to plan for: the peak when stated, else the mean."""
        return self.peak_rate if self.peak_rate is not None else self.rate

    @property
    def has_goal(self) -> bool:
        """Whether a configuration of it can fall short of something."""
        return self.planning_rate is not None or self.latency_ms is not None

    def wanted(self, protocol: ClientProtocol) -> str:
        """What a configuration of it must do, in words; a tuned choice holds for this alone."""
        parts = [] if self.has_goal else ["the highest throughput"]
        if self.planning_rate is not None:
            parts.append(f"{self.planning_rate:g} requests/s")
        if self.latency_ms is not None:
            parts.append(f"p{self.percentile:g} within {self.latency_ms:g} ms")
        if self.request_batch > 1:
            parts.append(f"{self.request_batch} rows each")
        return f"{', '.join(parts)} over {protocol}"


def trial_declarations(intent: ModelIntent) -> tuple[str, ...]:
    """What of an intent decides what a trial feeds and tests, as ``path: value``, sorted."""
    found = [NO_BATCH] if intent.batch is False else []
    if intent.most_rows > MANY_ROWS:
        found.append(f"request_batch: {intent.most_rows}")
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
    found += [
        f"axes.{name}: {item.minimum}, {item.typical}, {item.maximum}"
        for name, item in intent.axes.items()
    ]
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """One model of a pipeline.

    Attributes:
        outputs: None takes all under their own names.
    """

    model: str = Key("the step's model", text=TextForm("the name of a model")).required()
    inputs: Mapping[str, str] = Key(
        "the model's input: the pipeline's tensor; left out, the tensor of the same name",
        text=_TENSOR_NAME,
    ).mapping()
    outputs: Mapping[str, str] | None = Key(
        "the model's output: the pipeline's tensor; left out, all under their own names",
        text=_TENSOR_NAME,
    ).default(None)


@dataclass(frozen=True, slots=True)
class PipelineIntent:
    """Models that answer one request together.

    Tensors that a step takes and none gives are the pipeline's inputs.

    Attributes:
        steps: in any order.
        latency_ms: the goal at `percentile`, None when not stated.
        percentile: of the latency goal.
    """

    steps: tuple[PipelineStep, ...] = Key(
        "models that answer one request together", min_items=1
    ).required()
    outputs: tuple[str, ...] = Key(
        "tensors that the pipeline answers with", min_items=1, text=_TENSOR_NAME
    ).required()
    rate: float | None = _AVERAGE_RATE.default(None)
    peak_rate: float | None = _PEAK_RATE.default(None)
    latency_ms: float | None = _LATENCY.default(None)
    percentile: float = PERCENTILES["p99"]
    samples: Mapping[str, str] = _SAMPLES.mapping()


@dataclass(frozen=True, slots=True)
class Intent:
    """The whole of `tritongen.yaml`; a model without an entry has the defaults."""

    target: Target = Key("the machine that is planned for").default(Target())
    weights: WeightsMode = Key("how weights get into the repository").default(WeightsMode.COPY)
    models: Mapping[str, ModelIntent] = Key("what is wanted of each model, by its name").mapping()
    pipelines: Mapping[str, PipelineIntent] = Key(
        "several models behind one name, served as an ensemble",
        names=TextForm("a name that can be served", r"[A-Za-z0-9_][A-Za-z0-9_.-]*"),
    ).mapping()
    business: Business = Key().default(Business())
    check: ProjectCheck = Key("which findings `check` tells").default(ProjectCheck())

    def of(self, model: str) -> ModelIntent:
        """The entry of one model, the defaults when it has none."""
        return self.models.get(model, ModelIntent())

    def samples_of(self, name: str) -> Mapping[str, str]:
        """What is named as samples of a model or pipeline."""
        return (self.pipelines.get(name) or self.of(name)).samples
