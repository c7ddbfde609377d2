"""OpenVINO's intermediate representation, read from its XML alone, as a stream."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final
from xml.parsers import expat

from tritongen.formats.operator_graph import Operator, Role, measure
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.reading import ModelSource, ranked
from tritongen.model.facts import GraphShape, ModelFacts
from tritongen.model.findings import Finding
from tritongen.model.tensors import Dim, DType, Shape, TensorSpec, shape_of_dims
from tritongen.system.paths import open_regular

# Chosen: weights lie in the file beside the XML, which stays far below these; beyond them the file
# is made to exhaust its reader.
_MAX_DOCUMENT_BYTES: Final = 512 << 20
_MAX_LAYERS: Final = 2_000_000
_MAX_DEPTH: Final = 64
_MAX_TEXT_CHARACTERS: Final = 64
_CHUNK: Final = 1 << 20

# Layer and port.
End = tuple[str, str]
# Size, and the bounds of one that is a range.
Axis = tuple[Dim, tuple[int, int | None] | None]

_DTYPES: Mapping[str, DType] = {
    "boolean": DType.BOOL,
    "bool": DType.BOOL,
    "u8": DType.UINT8,
    "u16": DType.UINT16,
    "u32": DType.UINT32,
    "u64": DType.UINT64,
    "i8": DType.INT8,
    "i16": DType.INT16,
    "i32": DType.INT32,
    "i64": DType.INT64,
    "f16": DType.FP16,
    "fp16": DType.FP16,
    "f32": DType.FP32,
    "fp32": DType.FP32,
    "f64": DType.FP64,
    "fp64": DType.FP64,
    "bf16": DType.BF16,
    "string": DType.BYTES,
}
_BITS = {"u1": 1, "u2": 2, "u3": 3, "u4": 4, "i4": 4, "nf4": 4, "f4e2m1": 4, "u6": 6}
_ROLES = {
    "Const": Role.CONSTANT,
    "Result": Role.PASS,
    "ShapeOf": Role.SIZE,
    "RandomUniform": Role.CHANCE,
    "Multinomial": Role.CHANCE,
}


@dataclass(slots=True)
class Port:
    """One output of a layer: its element type, sizes and tensor names as written."""

    precision: str
    names: str
    dims: list[int] = field(default_factory=list)

    @property
    def shape(self) -> Shape:
        """Its sizes; -1 is dynamic."""
        return shape_of_dims(self.dims)


@dataclass(slots=True)
class Layer:
    """One layer with its attributes and its output ports by id."""

    id: str
    name: str
    type: str
    data: Mapping[str, str] = field(default_factory=dict)
    output_names: str = ""
    outputs: dict[str, Port] = field(default_factory=dict)

    @property
    def port(self) -> Port:
        """Its first output."""
        return next(iter(self.outputs.values()), Port("", ""))


@dataclass(slots=True)
class OpenVinoDocument:
    """A model.

    Attributes:
        version: of the representation.
        layers: of the outermost graph, by id.
        edges: from where each input of a layer comes.
        inner: types of the layers in sub-graphs.
        inner_constants: attributes of their constants.
        writer: version of OpenVINO that wrote it, empty when it does not say.
    """

    version: str = ""
    layers: dict[str, Layer] = field(default_factory=dict)
    edges: dict[End, End] = field(default_factory=dict)
    inner: list[str] = field(default_factory=list)
    inner_constants: list[Mapping[str, str]] = field(default_factory=list)
    writer: str = ""

    @property
    def constants(self) -> Iterator[Mapping[str, str]]:
        """Attributes of every constant, those of sub-graphs last."""
        yield from (layer.data for layer in self.layers.values() if layer.type == "Const")
        yield from self.inner_constants


def read_document(path: Path) -> OpenVinoDocument:
    """Parse a file; entities are refused and nesting is bounded.

    Raises:
        DamagedError: TG102, it is no well-formed model, or made to exhaust its reader.
        OSError: it cannot be opened.
    """
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    read, chunk = 0, b"-"
    with open(open_regular(path), "rb") as file:  # noqa: PTH123  (a descriptor, not a path)
        while chunk:
            chunk = file.read(_CHUNK)
            read += len(chunk)
            if read > _MAX_DOCUMENT_BYTES:
                raise DamagedError(f"the XML has more than {_MAX_DOCUMENT_BYTES >> 20} MiB")
            try:
                parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                raise DamagedError(f"the XML cannot be read: {error}") from error
    if not builder.document.version:
        raise DamagedError("the XML is no OpenVINO model")
    return builder.document


def _refuse_doctype(*_: object) -> None:
    raise DamagedError("the XML declares a document type, which a model has no reason to do")


class _Builder:
    """Follows the elements; only what is asked for is kept."""

    def __init__(self) -> None:
        self.document = OpenVinoDocument()
        self.stack: list[str] = []
        self.bodies = 0
        self.layer: Layer | None = None
        self.port: Port | None = None
        self.characters: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.stack.append(tag)
        if len(self.stack) > _MAX_DEPTH:
            raise DamagedError("the XML is nested too deeply")
        if tag == "net" and len(self.stack) == 1:
            self.document.version = attributes.get("version", "")
        elif tag in {"body", "then_body", "else_body"}:
            self.bodies += 1
        elif self.bodies:
            self._inner(tag, attributes)
        elif tag == "edge":
            self._edge(attributes)
        else:
            self._outer(tag, attributes)

    def end(self, tag: str) -> None:
        self.stack.pop()
        if tag in {"body", "then_body", "else_body"}:
            self.bodies -= 1
        elif tag == "dim" and self.characters is not None and self.port is not None:
            text = "".join(self.characters).strip()
            self.characters = None
            try:
                self.port.dims.append(int(text))
            except ValueError as error:
                raise DamagedError(f"a size of the XML is {text[:20]!r}") from error
        elif tag == "port":
            self.port = None
        elif tag == "layer" and not self.bodies:
            self.layer = None

    def text(self, characters: str) -> None:
        if self.characters is not None and len(self.characters) < _MAX_TEXT_CHARACTERS:
            self.characters.append(characters[:_MAX_TEXT_CHARACTERS])

    def _inner(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "layer":
            self.document.inner.append(attributes.get("type", ""))
            self._bounded(len(self.document.inner))
        elif tag == "data" and self.document.inner and self.document.inner[-1] == "Const":
            self.document.inner_constants.append(attributes)

    def _outer(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "layer":
            self.layer = Layer(
                attributes.get("id", ""),
                attributes.get("name", ""),
                attributes.get("type", ""),
                output_names=attributes.get("output_names", ""),
            )
            self.document.layers[self.layer.id] = self.layer
            self._bounded(len(self.document.layers))
        elif self.layer is None:
            if tag == "info" and attributes.get("name") == "OpenVINO Runtime":
                self.document.writer = attributes.get("value", "")
        elif tag == "data":
            self.layer.data = attributes
        elif tag == "port" and self.stack[-2:-1] == ["output"]:
            self.port = Port(attributes.get("precision", ""), attributes.get("names", ""))
            self.layer.outputs[attributes.get("id", "")] = self.port
        elif tag == "dim" and self.port is not None:
            self.characters = []

    def _edge(self, attributes: dict[str, str]) -> None:
        source = (attributes.get("from-layer", ""), attributes.get("from-port", ""))
        target = (attributes.get("to-layer", ""), attributes.get("to-port", ""))
        self.document.edges[target] = source
        self._bounded(len(self.document.edges) // 8)

    def _bounded(self, count: int) -> None:
        if count > _MAX_LAYERS:
            raise DamagedError(f"the XML holds more than {_MAX_LAYERS} layers")


def split_names(text: str) -> list[str]:
    """Tensor names, separated by commas; a comma within a name is escaped by a backslash."""
    parts = re.findall(r"(?:[^,\\]|\\.?)+", text, re.DOTALL)
    names = (re.sub(r"\\(.?)", r"\1", part, flags=re.DOTALL) for part in parts)
    return [name for name in names if name]


def parse_shape(text: str) -> tuple[Axis, ...] | None:
    """The axes of a ``shape`` attribute, None for a rank that is not known (``...``).

    Raises:
        DamagedError: a size that is no number.
    """
    if text.strip() in {"...", "?..."} or (text.count("...") and "," not in text):
        return None
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    return tuple(_size(part) for part in parts)


def _size(part: str) -> Axis:
    if part in {"?", "-1"}:
        return None, None
    low, dots, high = part.partition("..")
    try:
        if not dots:
            return int(part), None
        return None, (int(low or 0), int(high) if high else None)
    except ValueError as error:
        raise DamagedError(f"a size of the XML is {part[:20]!r}") from error


def read_openvino(source: ModelSource) -> ModelFacts:
    """The facts of one model.

    Raises:
        DamagedError: TG102, the XML cannot be read as a model.
        OSError: it cannot be opened.
    """
    document = read_document(source.file)
    constants = list(_constants(document))
    counts: Counter[str] = Counter()
    for element, count, _ in constants:
        counts[element] += count
    inputs = [item for item in document.layers.values() if item.type == "Parameter"]
    outputs = [item for item in document.layers.values() if item.type == "Result"]
    return replace(
        source.facts,
        inputs=tuple(_input(document, layer) for layer in inputs),
        outputs=tuple(_output(document, layer) for layer in outputs),
        parameters=counts.total(),
        weight_bytes=sum(size for *_, size in constants),
        precisions=ranked(counts),
        graph=_graph(document),
        producer=f"OpenVINO {document.writer}" if document.writer else "",
        findings=tuple(_findings(source, document, inputs)),
    )


def _constants(document: OpenVinoDocument) -> Iterator[tuple[str, int, int]]:
    """(Element type, elements, bytes) of every constant, those of sub-graphs included."""
    for data in document.constants:
        element = data.get("element_type", "")
        size = _whole(data.get("size", "0"))
        dtype = _DTYPES.get(element)
        bits = 8 * dtype.itemsize if dtype else _BITS.get(element, 8)
        yield (dtype.value if dtype else element or "unknown"), size * 8 // max(bits, 1), size


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise DamagedError(f"a size of the XML is {text[:20]!r}")
    return int(text)


def _input(document: OpenVinoDocument, layer: Layer) -> TensorSpec:
    element = layer.data.get("element_type", "") or layer.port.precision
    shape: Shape | None = layer.port.shape
    if "shape" in layer.data:
        axes = parse_shape(layer.data["shape"])
        shape = None if axes is None else tuple(size for size, _ in axes)
    name = _name(document, layer.port.names, layer)
    return TensorSpec(name, _DTYPES.get(element.lower()), shape, declared_type=element)


def _output(document: OpenVinoDocument, layer: Layer) -> TensorSpec:
    producer, port = _producer(document, layer)
    name = _name(document, layer.output_names or port.names, producer)
    dtype = _DTYPES.get(port.precision.lower())
    return TensorSpec(name, dtype, port.shape, declared_type=port.precision)


def _producer(document: OpenVinoDocument, result: Layer) -> tuple[Layer, Port]:
    origin = next(
        (source for target, source in document.edges.items() if target[0] == result.id), None
    )
    layer = document.layers.get(origin[0]) if origin else None
    port = layer.outputs.get(origin[1]) if layer is not None and origin else None
    if layer is None or port is None:
        raise DamagedError(f"nothing feeds the result {result.name!r}")
    return layer, port


def _name(document: OpenVinoDocument, names: str, layer: Layer) -> str:
    """The first of the tensor's names, by which the backend knows it; the layer's in old files."""
    found = split_names(names)
    if found:
        return min(found)
    version = document.version
    return layer.name if len(version) < 3 and version.isdecimal() and int(version) < 11 else ""


def _graph(document: OpenVinoDocument) -> GraphShape:
    numbers: dict[tuple[str, str], int] = {}
    incoming: dict[str, list[int]] = {}
    for (target, _), source in document.edges.items():
        number = numbers.setdefault(source, len(numbers))
        incoming.setdefault(target, []).append(number)
    nodes, live = [], set()
    for layer in document.layers.values():
        ends = [numbers[layer.id, port] for port in layer.outputs if (layer.id, port) in numbers]
        if layer.type == "Parameter":
            live.update(ends)
            continue
        role = _ROLES.get(layer.type, Role.WORK)
        nodes.append(Operator(role, tuple(incoming.get(layer.id, ())), tuple(ends)))
    extent = measure(nodes, live)
    counts = Counter(layer.type for layer in document.layers.values())
    for plain in ("Parameter", "Result", "Const"):
        counts.pop(plain, None)
    return extent.shape(counts.total() + len(document.inner), counts)


def _findings(
    source: ModelSource, document: OpenVinoDocument, inputs: list[Layer]
) -> Iterator[Finding]:
    yield from _weights(source, document)
    for layer in inputs:
        sizes = parse_shape(layer.data["shape"]) if "shape" in layer.data else None
        for axis, (_, bounds) in enumerate(sizes or ()):
            if bounds is not None and bounds[1] is not None:
                name = _name(document, layer.port.names, layer)
                message = (
                    f"axis {axis} of input {name!r} is bounded to {bounds[0]}..{bounds[1]}; the "
                    "backend refuses -1 there, and a fixed size only strictly between the bounds"
                )
                yield source.facts.finding("TG139", message, field=name)


def _weights(source: ModelSource, document: OpenVinoDocument) -> Iterator[Finding]:
    """The .bin file must hold every constant's bytes."""
    end = 0
    for data in document.constants:
        end = max(end, _whole(data.get("offset", "0")) + _whole(data.get("size", "0")))
    path = PurePosixPath(source.path).with_suffix(".bin")
    try:
        size = (source.root / path).stat().st_size
    except OSError:
        return  # its absence is told where the files are gathered
    if size < end:
        yield source.facts.finding(
            "TG102", f"{path.name} has {size} bytes, the model asks for {end}"
        )
