"""ONNX files, loaded without their weights and saved without a second copy of them.

`load` maps the file and leaves every large weight where it is: its tensor becomes a reference to
bytes of the file. A rewrite then works on the small rest. `save` streams the referenced bytes into
the new file; weights that lie in data files beside the model stay there, linked beside the new
model. No more than the small rest is ever in memory.
"""

import mmap
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import IO

from tritongen.errors import InvalidInputError
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import LENGTH, VARINT
from tritongen.optimize.libraries import Proto, onnx

# Below this, a tensor stays in the message, so that constants can be read and rewritten.
LARGE_BYTES = 4096
# protobuf reads no message of 2 GiB or more.
PROTOBUF_LIMIT_BYTES = 2**31 - 2**20
_CHUNK_BYTES = 2**20
_ALIGNMENT_BYTES = 64
DATA_FILE = "model.onnx.data"
# Location of weights that lie in the model's own file; no path can be spelled like this.
_OWN = "\0own"

# Field numbers of onnx.proto.
_MODEL_IR, _MODEL_GRAPH = 1, 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_OUTPUT, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 2, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_TENSOR = 1, 5
_TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_DOUBLES = 4, 8, 9, 10
# Packed little-endian numbers are the same bytes as raw data.
_PAYLOADS = {_TENSOR_FLOATS, _TENSOR_RAW, _TENSOR_DOUBLES}
# IR version from which an initialiser need not be an input too.
_FREE_INITIALIZERS = 4

# Where a field's value begins and ends in the file.
_Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose large weights are references.

    Attributes:
        proto: the ModelProto; large tensors have `data_location` EXTERNAL.
        source: the file that it came from; references are relative to its folder.
        bytes_: of the file and its data files.
        data_files: data files, relative to the folder.
    """

    proto: Proto
    source: Path
    bytes_: int = 0
    data_files: tuple[str, ...] = field(default=())


def load(path: Path) -> Model:
    """Load a model without its large weights.

    Raises:
        InvalidInputError: TG102 not an ONNX file, TG107 or TG108 a data file is outside its folder
            or missing.
        EnvironmentProblem: TG006, onnx is not installed.
    """
    from google.protobuf.message import DecodeError

    proto = onnx().ModelProto()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise InvalidInputError("TG103", "the file is empty", where=str(path))
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            slim = b"".join(_slim_model(view))
    try:
        proto.ParseFromString(slim)
    except DecodeError as error:
        raise InvalidInputError("TG102", f"not an ONNX file: {error}", where=str(path)) from None
    names = _data_files(proto, path.parent)
    total = size + sum((path.parent / name).stat().st_size for name in names)
    return Model(proto, path, total, names)


def _data_files(proto: Proto, folder: Path) -> tuple[str, ...]:
    names = {_reference(tensor)[0] for tensor in _tensors(proto)} - {_OWN, ""}
    for name in sorted(names):
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise InvalidInputError("TG107", f"data file {name!r} leaves the model's folder")
        if not (folder / name).is_file():
            raise InvalidInputError("TG108", f"data file {name!r} is missing", where=str(folder))
    return tuple(sorted(names))


def _tensors(proto: Proto) -> Iterator[Proto]:
    """Every initialiser of the main graph and its sub-graphs."""
    for graph in graphs_of(proto.graph):
        yield from graph.initializer
        for node in graph.node:
            yield from (item.t for item in node.attribute if item.HasField("t"))


def graphs_of(graph: Proto) -> Iterator[Proto]:
    """A graph, and every sub-graph of its nodes."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs_of(inner)


def subgraphs(node: Proto) -> Iterator[Proto]:
    """Graphs in a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def is_reference(tensor: Proto) -> bool:
    """Whether a tensor's content lies elsewhere."""
    return bool(tensor.data_location == 1)


def _reference(tensor: Proto) -> tuple[str, int, int]:
    """Location, offset and length (-1 for up to the end) of a referenced tensor."""
    if not is_reference(tensor):
        return "", 0, 0
    entries = {item.key: item.value for item in tensor.external_data}
    return (
        entries.get("location", ""),
        int(entries.get("offset") or 0),
        int(entries.get("length") or -1),
    )


def _slim_model(data: memoryview) -> Iterator[bytes]:
    hoist = _ir_version(data) >= _FREE_INITIALIZERS
    at = 0
    for number, kind, first, last in wire.fields(data, 0, len(data)):
        if number == _MODEL_GRAPH and kind == LENGTH:
            graph = b"".join(_slim_graph(data, (first, last), hoist=hoist))
            yield wire.header(_MODEL_GRAPH, len(graph)) + graph
        else:
            yield bytes(data[at:last])
        at = last


def _ir_version(data: memoryview) -> int:
    found = wire.fields(data, 0, len(data))
    versions = (first for number, kind, first, _ in found if (number, kind) == (_MODEL_IR, VARINT))
    return next(versions, 0)


def _slim_graph(data: memoryview, graph: _Span, *, hoist: bool) -> Iterator[bytes]:
    at = graph[0]
    for number, kind, first, last in wire.fields(data, *graph):
        span = first, last
        large = kind == LENGTH and last - first > LARGE_BYTES
        tensor = None
        if large and number == _GRAPH_INITIALIZER:
            tensor = _slim_tensor(data, span)
        elif large and hoist and number == _GRAPH_NODE and (found := _constant(data, span)):
            # A large Constant is an initialiser by another name.
            tensor = _slim_tensor(data, found[1], found[0])
        if tensor is None:
            yield bytes(data[at:last])
        else:
            yield wire.header(_GRAPH_INITIALIZER, len(tensor)) + tensor
        at = last


def _constant(data: memoryview, node: _Span) -> tuple[bytes, _Span] | None:
    """Output name and tensor of a node that is a Constant with a tensor, None for others."""
    texts: dict[int, bytes] = {}
    attribute: _Span | None = None
    for number, _, first, last in wire.fields(data, *node):
        if number in {_NODE_OUTPUT, _NODE_OP_TYPE, _NODE_DOMAIN}:
            texts[number] = wire.raw(data, first, last)
        elif number == _NODE_ATTRIBUTE:
            attribute = first, last
    own = texts.get(_NODE_DOMAIN, b"") in {b"", b"ai.onnx"}
    if texts.get(_NODE_OP_TYPE) != b"Constant" or not own:
        return None
    if attribute is None or _NODE_OUTPUT not in texts:
        return None
    found = {number: (first, last) for number, _, first, last in wire.fields(data, *attribute)}
    name, tensor = found.get(_ATTRIBUTE_NAME), found.get(_ATTRIBUTE_TENSOR)
    if name is None or tensor is None or wire.raw(data, *name) != b"value":
        return None
    return texts[_NODE_OUTPUT], tensor


def _slim_tensor(data: memoryview, tensor: _Span, name: bytes | None = None) -> bytes:
    """The tensor with a large payload replaced by a reference, and with another name."""
    parts: list[bytes] = []
    payload: _Span | None = None
    at = tensor[0]
    for number, kind, first, last in wire.fields(data, *tensor):
        large = kind == LENGTH and last - first > LARGE_BYTES
        if number in _PAYLOADS and large and payload is None:
            payload = first, last
        elif number != _TENSOR_NAME or name is None:
            parts.append(bytes(data[at:last]))
        at = last
    if name is not None:
        parts.append(wire.header(_TENSOR_NAME, len(name)) + name)
    if payload is None:
        return b"".join(parts)
    reference = onnx().TensorProto()
    _refer(reference, _OWN, payload[0], payload[1] - payload[0])
    return b"".join(parts) + bytes(reference.SerializeToString())


def _refer(tensor: Proto, location: str, offset: int, length: int) -> None:
    del tensor.external_data[:]
    tensor.data_location = 1
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def save(model: Model, path: Path, *, outside: bool = False) -> tuple[Path, ...]:
    """Write a model and its data files; the folder must exist and be the model's own.

    Args:
        model: to write.
        path: its main file.
        outside: whether large weights go to a data file even where they would fit inside.

    Returns:
        The files written or linked, the model first.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing is cleaned up.
    """
    files = [path]
    for name in model.data_files:
        target = path.parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(model.source.parent / name, target)
        files.append(target)
    own = [tensor for tensor in _tensors(model.proto) if _reference(tensor)[0] == _OWN]
    top = {id(tensor) for tensor in model.proto.graph.initializer}
    inside = sum(_reference(tensor)[2] for tensor in own)
    room = inside + model.proto.ByteSize() < PROTOBUF_LIMIT_BYTES
    embeddable = room and not model.data_files and not outside
    if own and not (embeddable and all(id(tensor) in top for tensor in own)):
        files.append(path.parent / _free_name(model.data_files))
        _move_out(model, own, files[-1])
        own = []
    if not own:
        with path.open("wb") as sink:
            sink.write(model.proto.SerializeToString())
        return tuple(files)
    with path.open("wb") as sink, model.source.open("rb") as source:
        _stream(model.proto, source, sink)
    return tuple(files)


def save_within(source: Path, target: Path, ir: int) -> None:
    """Save a model again, within the IR version that the target reads; see `load` and `save`."""
    model = load(source)
    model.proto.ir_version = min(model.proto.ir_version, ir)
    save(model, target)


def unlinked(source: Path, folder: Path) -> Path:
    """A model whose data files onnx's own reader takes: it refuses those that are links.

    Args:
        source: main file.
        folder: for a copy; made when one is needed.

    Returns:
        `source`, or the main file of the copy.

    Raises:
        InvalidInputError: as `load`.
        OSError: the disk is full.
    """
    names = load(source).data_files
    places = [source.parent / name for name in names]
    if not any(place.is_symlink() or place.stat().st_nlink > 1 for place in places):
        return source
    folder.mkdir()
    for name in (source.name, *names):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.parent / name, target)
    return folder / source.name


def _free_name(taken: Sequence[str]) -> str:
    """A name for one more data file: those that are taken are links to the original's own."""
    names = chain((DATA_FILE,), (f"model.onnx.{number}.data" for number in count(1)))
    return next(name for name in names if name not in taken)


def link_or_copy(source: Path, target: Path) -> None:
    """The same bytes under another name: linked where the file system allows, else copied."""
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)
    with suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _move_out(model: Model, tensors: list[Proto], path: Path) -> None:
    """Streams weights of the model's own file into a data file, and refers to them there."""
    # What is there may be a link to a file of the user's.
    path.unlink(missing_ok=True)
    with path.open("wb") as sink, model.source.open("rb") as source:
        for tensor in tensors:
            _, offset, length = _reference(tensor)
            sink.write(b"\0" * (-sink.tell() % _ALIGNMENT_BYTES))
            _refer(tensor, path.name, sink.tell(), length)
            _copy(source, offset, length, sink)


def _copy(source: IO[bytes], offset: int, length: int, sink: IO[bytes]) -> None:
    source.seek(offset)
    left = length
    while left:
        chunk = source.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise InvalidInputError("TG102", "the model file ends early", where=source.name)
        sink.write(chunk)
        left -= len(chunk)


def _stream(proto: Proto, source: IO[bytes], sink: IO[bytes]) -> None:
    """Writes the message with referenced weights inside, without ever holding them."""
    library = onnx()
    heads: list[tuple[bytes, int, int]] = []
    for tensor in proto.graph.initializer:
        location, offset, length = _reference(tensor)
        small = library.TensorProto()
        small.CopyFrom(tensor)
        if location == _OWN:
            del small.external_data[:]
            small.ClearField("data_location")
            head = small.SerializeToString() + wire.header(_TENSOR_RAW, length)
        else:
            head, length = small.SerializeToString(), 0
        heads.append((wire.header(_GRAPH_INITIALIZER, len(head) + length) + head, offset, length))
    graph = library.GraphProto()
    graph.CopyFrom(proto.graph)
    del graph.initializer[:]
    rest = graph.SerializeToString()
    outer = library.ModelProto()
    outer.CopyFrom(proto)
    outer.ClearField("graph")
    sink.write(outer.SerializeToString())
    size = len(rest) + sum(len(head) + length for head, _, length in heads)
    sink.write(wire.header(_MODEL_GRAPH, size) + rest)
    for head, offset, length in heads:
        sink.write(head)
        if length:
            _copy(source, offset, length, sink)
