"""The XML of an OpenVINO model, parsed as a stream into layers and edges."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.parsers import expat

from tritongen.formats.parsing.wire import DamagedError
from tritongen.model.tensors import Dim
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


@dataclass(slots=True)
class Port:
    """One output of a layer: its element type, sizes and tensor names as written."""

    precision: str
    names: str
    dims: list[int] = field(default_factory=list)
    layout: str = ""


@dataclass(slots=True)
class Layer:
    """One layer with its attributes and its output ports by id."""

    id: str
    name: str
    type: str
    data: Mapping[str, str] = field(default_factory=dict)
    output_names: str = ""
    outputs: dict[str, Port] = field(default_factory=dict)


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
    read = 0
    with open(open_regular(path), "rb") as file:  # noqa: PTH123  (a descriptor, not a path)
        while chunk := file.read(_CHUNK):
            read += len(chunk)
            if read > _MAX_DOCUMENT_BYTES:
                raise DamagedError(f"the XML has more than {_MAX_DOCUMENT_BYTES >> 20} MiB")
            _feed(parser, chunk, last=False)
        _feed(parser, b"", last=True)
    if not builder.document.version:
        raise DamagedError("the XML is no OpenVINO model")
    return builder.document


def _feed(parser: expat.XMLParserType, chunk: bytes, *, last: bool) -> None:
    try:
        parser.Parse(chunk, last)
    except expat.ExpatError as error:
        raise DamagedError(f"the XML cannot be read: {error}") from error


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
        elif tag == "attribute" and self.port is not None and attributes.get("name") == "layout":
            self.port.layout = attributes.get("layout", "")

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
    names, current, escaped = [], "", False
    for char in text:
        if escaped:
            current, escaped = current + char, False
        elif char == "\\":
            escaped = True
        elif char == ",":
            names.append(current)
            current = ""
        else:
            current += char
    return [name for name in (*names, current) if name]


def parse_shape(text: str) -> tuple[tuple[Dim, tuple[int, int | None] | None], ...] | None:
    """Sizes of a ``shape`` attribute: (size or None, bounds of a range or None) for each axis.

    None stands for a rank that is not known (``...``).

    Raises:
        DamagedError: a size that is no number.
    """
    if text.strip() in {"...", "?..."} or (text.count("...") and "," not in text):
        return None
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    return tuple(_size(part) for part in parts)


def _size(part: str) -> tuple[Dim, tuple[int, int | None] | None]:
    if part in {"?", "-1"}:
        return None, None
    low, dots, high = part.partition("..")
    try:
        if not dots:
            return int(part), None
        return None, (int(low or 0), int(high) if high else None)
    except ValueError as error:
        raise DamagedError(f"a size of the XML is {part[:20]!r}") from error
