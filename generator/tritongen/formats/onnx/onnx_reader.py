"""ONNX files: facts from the headers; neither weights nor external data are read."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tritongen.formats.onnx.onnx_graph import GraphContent, Operators, read_function, read_graph
from tritongen.formats.onnx.weights import OnnxWeights, side_files
from tritongen.formats.operator_graph import measure
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import LENGTH, VARINT, DamagedError, Data, Field, mapped
from tritongen.formats.reading import ModelSource, ranked
from tritongen.model.facts import GraphShape, ModelFacts, ModelVersion, OnnxFacts
from tritongen.model.findings import Finding
from tritongen.model.tensors import TensorSpec

# Domains whose operators ONNX Runtime's inference builds know. Those of the training and preview
# domains are not registered there, though their opsets are.
SHIPPED_DOMAINS = frozenset(
    {
        "ai.onnx",
        "ai.onnx.ml",
        "com.microsoft",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
        "org.pytorch.aten",
    }
)

_QUANTISED = frozenset(
    {
        "ConvInteger",
        "DequantizeLinear",
        "GatherBlockQuantized",
        "MatMulBnb4",
        "MatMulInteger",
        "MatMulInteger16",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "QAttention",
        "QEmbedLayerNormalization",
        "QGemm",
        "QMoE",
        "QuantizeLinear",
    }
)
_QUANTISED_PREFIXES = ("QLinear", "QOrdered", "DynamicQuantize")
# Scales that these compute depend on every row of the batch.
_DYNAMIC_PREFIX = "DynamicQuantize"

# How many faults of one file are told one by one.
_MAX_FAULTS = 5


@dataclass(slots=True)
class _Model:
    """A ModelProto as far as it was read."""

    ir_version: int | None = None
    producer: tuple[str, str] = ("", "")
    opsets: dict[str, int] = field(default_factory=dict)
    graphs: int = 0
    functions: set[tuple[str, str]] = field(default_factory=set)
    operators: Operators = field(default_factory=Operators)
    weights: OnnxWeights = field(default_factory=OnnxWeights)
    content: GraphContent = field(default_factory=GraphContent)


def read_onnx(source: ModelSource) -> ModelFacts:
    """The facts of one ONNX file.

    Raises:
        DamagedError: TG102, it cannot be read as an ONNX model.
        OSError: it cannot be opened or mapped.
    """
    if not source.file.stat().st_size:
        return source.facts.refused("TG103", "the file is empty")
    with mapped(source.file) as data:
        return _facts(source, _read_model(data))


def external_locations(source: ModelSource) -> frozenset[str]:
    """Names of the data files that an ONNX file refers to; see `read_onnx` for the errors."""
    facts = read_onnx(source).onnx
    return frozenset(() if facts is None else facts.external_files)


def _read_model(data: Data) -> _Model:
    model = _Model()
    for item in wire.fields(data, 0, len(data)):
        number, kind, first, _ = item
        if kind == VARINT and number == 1:
            model.ir_version = wire.signed(first)
        elif kind == LENGTH:
            _read_part(data, item, model)
    if not model.graphs:
        raise DamagedError("the file holds no ONNX graph")
    return model


def _read_part(data: Data, item: Field, model: _Model) -> None:
    number, _, first, last = item
    if number == 2:
        model.producer = (wire.text(data, first, last), model.producer[1])
    elif number == 3:
        model.producer = (model.producer[0], wire.text(data, first, last))
    elif number == 7:
        model.graphs += 1
        read_graph(data, (first, last), model.operators, model.weights, model.content)
    elif number == 8:
        domain, version = _opset(data, first, last)
        model.opsets[domain] = version
    elif number == 25:
        function = read_function(data, (first, last), model.operators, model.weights)
        model.functions.add((function[0] or "ai.onnx", function[1]))


def _opset(data: Data, start: int, stop: int) -> tuple[str, int]:
    domain, version = "", 0
    for number, kind, first, last in wire.fields(data, start, stop):
        if number == 1 and kind == LENGTH:
            domain = wire.text(data, first, last)
        elif number == 2 and kind == VARINT:
            version = wire.signed(first)
    return domain or "ai.onnx", version


def _facts(source: ModelSource, model: _Model) -> ModelFacts:
    operators, weights, content = model.operators, model.weights, model.content
    inputs = [pair for pair in content.inputs if pair[0] not in content.initialisers]
    files, problems = side_files(source, weights.external)
    graph, graph_faults = _graph(model)
    faults = [*_model_faults(model), *graph_faults, *weights.faults]
    return replace(
        source.facts,
        versions=(ModelVersion(source.version, files),),
        inputs=tuple(spec for _, spec in inputs),
        outputs=tuple(spec for _, spec in content.outputs),
        parameters=weights.counts.total(),
        weight_bytes=weights.size,
        precisions=ranked(weights.counts),
        graph=graph,
        onnx=OnnxFacts(
            ir_version=model.ir_version or 0,
            opsets=tuple(model.opsets.items()),
            producer=" ".join(part for part in model.producer if part),
            custom_domains=_custom_domains(model),
            external_files=tuple(sorted(weights.external)),
            quantized_operators=ranked(_quantised(operators.all_counts)),
            dynamic_quantization=any(
                name.startswith(_DYNAMIC_PREFIX) for name in operators.all_counts
            ),
        ),
        findings=(
            *(source.facts.finding("TG102", text) for text in _shortened(faults)),
            *_undecodable(source, (*inputs, *content.outputs)),
            *problems,
        ),
    )


def _graph(model: _Model) -> tuple[GraphShape, list[str]]:
    """The graph's form, and what is wrong with its edges."""
    operators, content = model.operators, model.content
    live = {
        operators.number(name) for name, _ in content.inputs if name not in content.initialisers
    }
    extent = measure(operators.nodes, live)
    shape = extent.shape(operators.total, operators.counts)
    faults = ["operators wait for each other in a circle"] if extent.cyclic else []
    if not operators.endless:
        faults += _loose_ends(model, live)
    return shape, faults


def _loose_ends(model: _Model, live: set[int]) -> list[str]:
    """Values that are read and that nothing writes."""
    operators, content = model.operators, model.content
    known = live | {operators.number(name) for name in content.initialisers}
    known.update(value for node in operators.nodes for value in node.outputs)
    wanted = {value for node in operators.nodes for value in node.inputs}
    wanted.update(operators.number(name) for name, _ in content.outputs if name)
    missing = wanted - known
    return [
        f"nothing in the graph produces the value {wire.shown(name)!r}"
        for name, number in operators.ids.items()
        if number in missing
    ]


def _model_faults(model: _Model) -> list[str]:
    faults = []
    if model.ir_version is None:
        faults.append("the file names no IR version")
    if not model.opsets:
        faults.append("the file names no opset")
    return faults


def _custom_domains(model: _Model) -> tuple[str, ...]:
    return tuple(
        sorted(
            {
                domain
                for domain, name in model.operators.types
                if domain not in SHIPPED_DOMAINS and (domain, name) not in model.functions
            }
        )
    )


def _quantised(counts: Counter[str]) -> Counter[str]:
    return Counter(
        {
            name: count
            for name, count in counts.items()
            if name in _QUANTISED or name.startswith(_QUANTISED_PREFIXES)
        }
    )


def _shortened(faults: list[str]) -> list[str]:
    if len(faults) <= _MAX_FAULTS:
        return faults
    return [*faults[:_MAX_FAULTS], f"{len(faults) - _MAX_FAULTS} further faults of this kind"]


def _undecodable(
    source: ModelSource, pairs: Iterable[tuple[bytes, TensorSpec]]
) -> Iterable[Finding]:
    for name, spec in pairs:
        try:
            name.decode("utf-8")
        except UnicodeDecodeError:
            message = f"the name {name!r} is not UTF-8 text"
            yield source.facts.finding("TG116", message, field=spec.name)
