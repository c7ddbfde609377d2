"""ONNX files: facts from the headers; weights are not read, and data files beside it not opened."""

import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from tritongen.formats.onnx_graph import MAX_FAULTS, OnnxContent, read_function, read_graph
from tritongen.formats.operator_graph import measure
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import LENGTH, VARINT, DamagedError, Data, mapped
from tritongen.formats.reading import ModelSource, ranked
from tritongen.model.facts import FileRef, GraphShape, ModelFacts, ModelVersion, OnnxFacts
from tritongen.model.findings import Finding
from tritongen.model.tensors import TensorSpec
from tritongen.system.paths import LFS_FIX, contained, is_lfs_pointer

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

# Under this name the main file stands in the version folder.
MAIN = "model.onnx"


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


def _read_model(data: Data) -> OnnxContent:
    model = OnnxContent()
    for number, kind, first, last in wire.fields(data, 0, len(data)):
        if kind == VARINT and number == 1:
            model.ir_version = wire.signed(first)
        elif kind != LENGTH:
            continue
        elif number in {2, 3}:
            model.producer[number] = wire.text(data, first, last)
        elif number == 7:
            read_graph(data, (first, last), model)
        elif number == 8:
            domain, version = _opset(data, first, last)
            model.opsets[domain] = version
        elif number == 25:
            read_function(data, (first, last), model)
    if not model.graphs:
        raise DamagedError("the file holds no ONNX graph")
    return model


def _opset(data: Data, start: int, stop: int) -> tuple[str, int]:
    domain, version = "", 0
    for number, kind, first, last in wire.fields(data, start, stop):
        if number == 1 and kind == LENGTH:
            domain = wire.text(data, first, last)
        elif number == 2 and kind == VARINT:
            version = wire.signed(first)
    return domain or "ai.onnx", version


def _facts(source: ModelSource, model: OnnxContent) -> ModelFacts:
    operators, weights = model.operators, model.weights
    inputs = [pair for pair in model.inputs if pair[0] not in model.initialisers]
    files, problems = side_files(source, weights.external)
    graph, graph_faults = _graph(model)
    stated = {"IR version": model.ir_version is not None, "opset": bool(model.opsets)}
    faults = [f"the file names no {what}" for what, is_there in stated.items() if not is_there]
    faults += [*graph_faults, *weights.faults]
    untold = weights.faulty - len(weights.faults)
    return replace(
        source.facts,
        versions=(ModelVersion(source.version, files),),
        inputs=tuple(spec for _, spec in inputs),
        outputs=tuple(spec for _, spec in model.outputs),
        parameters=weights.counts.total(),
        weight_bytes=weights.size,
        precisions=ranked(weights.counts),
        graph=graph,
        onnx=OnnxFacts(
            ir_version=model.ir_version or 0,
            opsets=tuple(model.opsets.items()),
            producer=" ".join(part for _, part in sorted(model.producer.items()) if part),
            custom_domains=_custom_domains(model),
            external_files=tuple(sorted(weights.external)),
            quantized_operators=ranked(_quantised(operators.types)),
            dynamic_quantization=any(
                name.startswith(_DYNAMIC_PREFIX) for _, name in operators.types
            ),
            one_class_votes=operators.one_class_votes,
        ),
        findings=(
            *(source.facts.finding("TG102", text) for text in _shortened(faults, untold)),
            *_undecodable(source, (*inputs, *model.outputs)),
            *problems,
        ),
    )


def _graph(model: OnnxContent) -> tuple[GraphShape, list[str]]:
    """The graph's form, and what is wrong with its edges."""
    operators = model.operators
    live = {operators.number(name) for name, _ in model.inputs if name not in model.initialisers}
    extent = measure(operators.nodes, live)
    shape = extent.shape(operators.total, operators.counts)
    faults = ["operators wait for each other in a circle"] if extent.cyclic else []
    if not operators.endless:
        faults += _loose_ends(model, live)
    return shape, faults


def _loose_ends(model: OnnxContent, live: set[int]) -> list[str]:
    """Values that are read and that nothing writes."""
    operators = model.operators
    known = live | {operators.number(name) for name in model.initialisers}
    known.update(value for node in operators.nodes for value in node.outputs)
    wanted = {value for node in operators.nodes for value in node.inputs}
    wanted.update(operators.number(name) for name, _ in model.outputs if name)
    missing = wanted - known
    return [
        f"nothing in the graph produces the value {wire.shown(name)!r}"
        for name, number in operators.ids.items()
        if number in missing
    ]


def _custom_domains(model: OnnxContent) -> tuple[str, ...]:
    foreign = {
        domain
        for domain, name in model.operators.types
        if domain not in SHIPPED_DOMAINS and (domain, name) not in model.functions
    }
    return tuple(sorted(foreign))


def _quantised(types: Mapping[tuple[str, str], int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_, name), count in types.items():
        if name in _QUANTISED or name.startswith(_QUANTISED_PREFIXES):
            found[name] += count
    return found


def _shortened(faults: list[str], untold: int) -> list[str]:
    told = faults[:MAX_FAULTS]
    further = len(faults) - len(told) + untold
    return [*told, f"{further} further faults of this kind"] if further else told


def _undecodable(
    source: ModelSource, pairs: Iterable[tuple[bytes, TensorSpec]]
) -> Iterable[Finding]:
    for name, spec in pairs:
        try:
            name.decode("utf-8")
        except UnicodeDecodeError:
            message = f"the name {name!r} is not UTF-8 text"
            yield source.facts.finding("TG116", message, field=spec.name)


def side_files(
    source: ModelSource, external: Mapping[str, int]
) -> tuple[tuple[FileRef, ...], tuple[Finding, ...]]:
    """The data files that must stand beside the model, and what is wrong with them.

    Args:
        source: the model file.
        external: data file as the model spells it, to the bytes that it must have at least.
    """
    files: list[FileRef] = []
    findings: list[Finding] = []
    for location, size in sorted(external.items()):
        if not location:
            continue  # told as a fault of its tensor
        problem = _problem(source, location, size)
        if problem is not None:
            findings.append(problem)
            continue
        target = PurePosixPath(location).as_posix()
        place = (PurePosixPath(source.path).parent / target).as_posix()
        files.append(FileRef(place, target, (source.root / place).stat().st_size))
    return tuple(dict.fromkeys(files)), tuple(findings)


def _problem(source: ModelSource, location: str, size: int) -> Finding | None:
    """Why a data file cannot be used, None when nothing speaks against it."""
    path = PurePosixPath(location)
    if path.is_absolute() or ".." in path.parts or "\0" in location:
        return _finding(source, "TG107", location, "leaves the model's folder")
    if path.as_posix() == ".":
        return _finding(source, "TG102", location, "is a folder")
    own = source.file.name
    if path.as_posix() == own:
        return _finding(source, "TG102", location, "is the model file itself")
    if path.as_posix() == MAIN:
        return _finding(source, "TG109", location, f"would be overwritten by {own}, served as it")
    return _missing(source, location, size)


def _missing(source: ModelSource, location: str, size: int) -> Finding | None:
    try:
        real = contained(source.root, source.file.parent / location)
        if real is None:
            return _finding(source, "TG107", location, "is a link that leaves the models folder")
        status = real.stat()
    except OSError as error:
        return _finding(source, "TG108", location, f"cannot be found: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return _finding(source, "TG108", location, "is not a regular file")
    if real == source.file.resolve():
        return _finding(source, "TG102", location, "is the model file itself")
    if is_lfs_pointer(real):
        found = _finding(source, "TG102", location, "is a Git LFS pointer, not the data")
        return replace(found, fix=LFS_FIX)
    if status.st_size < size:
        message = f"has {status.st_size} bytes and the model reads up to byte {size}"
        return _finding(source, "TG108", location, message)
    return None


def _finding(source: ModelSource, code: str, location: str, what: str) -> Finding:
    return source.facts.finding(code, f"external data {location!r} {what}", field=location)
