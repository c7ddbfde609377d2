"""What is known of a model from its file alone."""

from dataclasses import dataclass, replace
from enum import StrEnum

from tritongen.model.engine_facts import DaliFacts, PlanFacts, TemplateFacts, VllmFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.tensors import DType, TensorSpec


class ModelFormat(StrEnum):
    """A serialisation that the tool can tell by content."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    TORCH_AOTI = "torch_aoti"
    TORCH_PICKLE = "torch_pickle"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt_plan"
    SAVEDMODEL = "tensorflow_savedmodel"
    GRAPHDEF = "tensorflow_graphdef"
    XGBOOST_JSON = "xgboost_json"
    XGBOOST_UBJ = "xgboost_ubj"
    XGBOOST_BINARY = "xgboost_binary"
    LIGHTGBM = "lightgbm_text"
    TREELITE = "treelite_checkpoint"
    PYTHON = "python"
    VLLM = "vllm_arguments"
    DALI = "dali_pipeline"
    DALI_PYTHON = "dali_python"
    TEMPLATE = "config_template"
    SKLEARN_PICKLE = "sklearn_pickle"
    KERAS = "keras"
    SAFETENSORS = "safetensors"
    TFLITE = "tflite"
    UNKNOWN = "unknown"

    @property
    def is_code(self) -> bool:
        """Whether to run such a model is to run a program of whoever made it."""
        return self in {
            ModelFormat.PYTHON,
            ModelFormat.TORCHSCRIPT,
            ModelFormat.TORCH_AOTI,
        }


@dataclass(frozen=True, slots=True)
class FileRef:
    """One file of a model.

    Attributes:
        source: path relative to the models folder, with ``/``.
        target: path relative to the version folder in the repository, with ``/``.
        size: bytes.
    """

    source: str
    target: str
    size: int


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model: its number and its files, the main file first."""

    number: int
    files: tuple[FileRef, ...]


@dataclass(frozen=True, slots=True)
class GraphShape:
    """The form of the operator graph.

    Attributes:
        operators: number of operators, sub-graphs included.
        critical_path: operators on the longest path from an input to an output.
        width: the greatest number of operators at one depth that could run side by side.
        counts: (operator type, how many), most frequent first.
        scheduled: operators that `critical_path` and `width` are counted over: those of the main
            graph that work on the request's data. Constants and shape arithmetic are left out.
    """

    operators: int
    critical_path: int
    width: int
    counts: tuple[tuple[str, int], ...] = ()
    scheduled: int = 0

    @property
    def parallelism(self) -> float:
        """Scheduled operators divided by the critical path; 1.0 is a pure chain."""
        counted = self.scheduled or self.operators
        return counted / self.critical_path if self.critical_path else 1.0


@dataclass(frozen=True, slots=True)
class OnnxFacts:
    """What only ONNX files say.

    Attributes:
        ir_version: the file's IR version.
        opsets: (domain, version); the default domain is written ``ai.onnx``.
        producer: name and version of the exporter.
        custom_domains: operator domains that ONNX Runtime does not ship.
        external_files: data files that the initialisers refer to, relative to the model file.
        quantized_operators: (operator type, how many) of integer and Q/DQ operators.
        dynamic_quantization: whether scales are computed from the data at run time.
        one_class_votes: whether a tree classifier of two classes holds the votes for one of them.
    """

    ir_version: int
    opsets: tuple[tuple[str, int], ...]
    producer: str = ""
    custom_domains: tuple[str, ...] = ()
    external_files: tuple[str, ...] = ()
    quantized_operators: tuple[tuple[str, int], ...] = ()
    dynamic_quantization: bool = False
    one_class_votes: bool = False


@dataclass(frozen=True, slots=True)
class TorchArgument:
    """One argument of a TorchScript module's `forward`; `type` as written: ``List[str]``."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """What only PyTorch's files say.

    Attributes:
        arguments: of `forward`, without `self`.
        returns: type of its result as written, empty when the file does not say.
        weights: (name, element type, shape) of the first weights, in the module's order.
        examples: shapes of the inputs that a module was traced with, where the file keeps them.
    """

    arguments: tuple[TorchArgument, ...] = ()
    returns: str = ""
    weights: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    examples: tuple[tuple[int, ...], ...] = ()


class TreeTask(StrEnum):
    """What a tree ensemble predicts."""

    REGRESSION = "regression"
    BINARY = "binary"
    MULTICLASS = "multiclass"
    RANKING = "ranking"


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """What only tree ensembles say.

    Attributes:
        library: that wrote the file, with its version where the file says it.
        task: what is predicted.
        features: columns of an input row.
        classes: of a classifier, 2 for a binary one; 0 for the other tasks.
        trees: how many.
        objective: as the file names it.
        targets: predicted at once.
        probabilities: whether a classifier answers with probabilities instead of the class.
    """

    library: str
    task: TreeTask
    features: int
    classes: int = 0
    trees: int = 0
    objective: str = ""
    targets: int = 1
    probabilities: bool = True

    @property
    def classifies(self) -> bool:
        """Whether it predicts classes."""
        return self.task in {TreeTask.BINARY, TreeTask.MULTICLASS}


# Stands for a callee whose name is made when the model runs.
NAMED_LATER = "a model named at run time"


@dataclass(frozen=True, slots=True)
class PythonFacts:
    """What a `model.py` says of itself, read without running it.

    Attributes:
        decoupled: whether `auto_complete_config` sets the decoupled policy, under which a request
            gets any number of responses; None when it does not say.
        sends: whether its code takes a response sender, with which it can do so.
        max_batch_size: that it sets, None when it does not say.
        callees: names of models that it calls; `NAMED_LATER` for one that no literal names.
        completes: whether it has `auto_complete_config`.
        environment: path of its packed Python environment in the served folder; empty for none.
    """

    decoupled: bool | None = None
    max_batch_size: int | None = None
    callees: tuple[str, ...] = ()
    completes: bool = False
    sends: bool = False
    environment: str = ""

    @property
    def is_decoupled(self) -> bool:
        """Whether any number of responses is to be expected, by its own word or by its code."""
        return self.sends if self.decoupled is None else self.decoupled


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Everything that inspection found in one model.

    Attributes:
        name: the name under which it would be served.
        path: main file or folder, relative to the models folder.
        format: how it is serialised.
        versions: every version present, ascending; the last one is described here.
        inputs: declared inputs in the file's order (overridable initialisers are left out).
        outputs: declared outputs in the file's order.
        parameters: number of weights.
        weight_bytes: bytes of the weights, external data included.
        precisions: (element type, number of weights), most frequent first.
        graph: the operator graph's form, None where the format has none.
        onnx: ONNX's own facts.
        torch: PyTorch's own facts.
        trees: a tree ensemble's own facts.
        python: a `model.py`'s own facts.
        vllm: the facts of a vLLM model.
        dali: the facts of a DALI pipeline in Python.
        plan: what a text beside a TensorRT plan says.
        template: the configuration that is handed over with it.
        producer: what wrote the file, in its own words; empty where the format does not say.
        findings: what inspection and validation have to say.
        beside: files that lie beside the version folders; their `target` is relative to the
            model's folder.
    """

    name: str
    path: str
    format: ModelFormat
    versions: tuple[ModelVersion, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    parameters: int = 0
    weight_bytes: int = 0
    precisions: tuple[tuple[str, int], ...] = ()
    graph: GraphShape | None = None
    onnx: OnnxFacts | None = None
    torch: TorchFacts | None = None
    trees: TreeFacts | None = None
    python: PythonFacts | None = None
    vllm: VllmFacts | None = None
    dali: DaliFacts | None = None
    plan: PlanFacts | None = None
    template: TemplateFacts | None = None
    producer: str = ""
    findings: tuple[Finding, ...] = ()
    beside: tuple[FileRef, ...] = ()

    def finding(
        self,
        code: str,
        message: str,
        *,
        severity: Severity = Severity.ERROR,
        fix: str = "",
        field: str = "",
    ) -> Finding:
        """A finding on this model; see `Finding` for the arguments."""
        return finding(
            code, severity, message, fix=fix, model=self.name, path=self.path, field=field
        )

    def refused(self, code: str, message: str, *, fix: str = "") -> "ModelFacts":
        """The same with one error, the only thing to say of it."""
        return replace(self, findings=(self.finding(code, message, fix=fix),))

    @property
    def servable(self) -> bool:
        """Whether nothing found forbids serving it."""
        return not any(item.severity is Severity.ERROR for item in self.findings)


class Precision(StrEnum):
    """The arithmetic that decides how closely two runs of the same rows agree."""

    SINGLE = "single"
    HALF = "half"
    BRAIN = "brain"
    QUANTIZED = "quantized"


def precision_of(facts: ModelFacts) -> Precision:
    """The coarsest arithmetic in the model decides how closely rows can agree."""
    if facts.onnx is not None and facts.onnx.quantized_operators:
        return Precision.QUANTIZED
    kinds = {name.upper() for name, _ in facts.precisions[:1]}
    tensors = {spec.dtype for spec in (*facts.inputs, *facts.outputs)}
    if DType.BF16 in tensors or kinds & {"BF16", "BFLOAT16"}:
        return Precision.BRAIN
    if DType.FP16 in tensors or kinds & {"FP16", "FLOAT16"}:
        return Precision.HALF
    return Precision.SINGLE
