"""OpenVINO models: inputs, outputs, weights and the graph's form."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from tritongen.formats.openvino.document import (
    Layer,
    OpenVinoDocument,
    Port,
    parse_shape,
    read_document,
    split_names,
)
from tritongen.formats.operator_graph import Operator, Role, measure
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.reading import ModelSource, ranked
from tritongen.model.facts import GraphShape, ModelFacts
from tritongen.model.findings import Finding
from tritongen.model.tensors import DType, TensorSpec

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
    return ModelFacts(
        source.model,
        source.path,
        source.format,
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
    layers = document.layers.values()
    outer = [layer.data for layer in layers if layer.type == "Const"]
    for data in (*outer, *document.inner_constants):
        element = data.get("element_type", "")
        size = _whole(data.get("size", "0"))
        bits = _BITS.get(element) or 8 * (_DTYPES[element].itemsize if element in _DTYPES else 1)
        dtype = _DTYPES.get(element)
        yield (dtype.value if dtype else element or "unknown"), size * 8 // max(bits, 1), size


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise DamagedError(f"a size of the XML is {text[:20]!r}")
    return int(text)


def _input(document: OpenVinoDocument, layer: Layer) -> TensorSpec:
    port = next(iter(layer.outputs.values()), Port("", ""))
    element = layer.data.get("element_type", "") or port.precision
    sizes = parse_shape(layer.data["shape"]) if "shape" in layer.data else _of_port(port)
    shape = None if sizes is None else tuple(size for size, _ in sizes)
    name = _name(document, port.names, layer)
    return TensorSpec(name, _DTYPES.get(element.lower()), shape, declared_type=element)


def _of_port(port: Port) -> tuple[tuple[int | None, None], ...]:
    return tuple((dim if dim >= 0 else None, None) for dim in port.dims)


def _output(document: OpenVinoDocument, layer: Layer) -> TensorSpec:
    producer, port = _producer(document, layer)
    names = layer.output_names or port.names
    name = _name(document, names, producer)
    shape = tuple(dim if dim >= 0 else None for dim in port.dims)
    dtype = _DTYPES.get(port.precision.lower())
    return TensorSpec(name, dtype, shape, declared_type=port.precision)


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
    return layer.name if document.version.isdecimal() and int(document.version) < 11 else ""


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
        port = next(iter(layer.outputs.values()), Port("", ""))
        sizes = parse_shape(layer.data["shape"]) if "shape" in layer.data else None
        for axis, (_, bounds) in enumerate(sizes or ()):
            if bounds is not None and bounds[1] is not None:
                name = _name(document, port.names, layer)
                message = (
                    f"axis {axis} of input {name!r} is bounded to {bounds[0]}..{bounds[1]}; the "
                    "backend refuses -1 there, and a fixed size only strictly between the bounds"
                )
                yield source.finding("TG139", message, field=name)


def _weights(source: ModelSource, document: OpenVinoDocument) -> Iterator[Finding]:
    """The .bin file must hold every constant's bytes."""
    end = 0
    outer = [layer.data for layer in document.layers.values() if layer.type == "Const"]
    for data in (*outer, *document.inner_constants):
        end = max(end, _whole(data.get("offset", "0")) + _whole(data.get("size", "0")))
    path = PurePosixPath(source.path).with_suffix(".bin")
    try:
        size = (source.root / path).stat().st_size
    except OSError:
        return  # its absence is told where the files are gathered
    if size < end:
        yield source.finding("TG102", f"{path.name} has {size} bytes, the model asks for {end}")
