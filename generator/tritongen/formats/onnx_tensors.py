"""ONNX's element types, the declared types of inputs and outputs, and the headers of tensors."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import FIXED32, LENGTH, VARINT, DamagedError, Data, shown
from tritongen.model.tensors import Dim, DType, Shape, TensorKind, TensorSpec

_EXTERNAL = 1
# Typed data fields of TensorProto that hold the content when raw_data does not.
_TYPED = frozenset({4, 5, 6, 7, 10, 11})
# Chosen: numpy 2 holds no array of more axes.
_MAX_RANK = 64
# protobuf refuses messages nested deeper than 100; a type uses two levels for each container.
_MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Element:
    """An element type of ONNX.

    Attributes:
        name: in ``TensorProto.DataType``.
        dtype: Triton's type, None when it has none.
        bits: size of one element, 0 for strings.
    """

    name: str
    dtype: DType | None
    bits: int

    @property
    def label(self) -> str:
        """Triton's name where there is one, else ONNX's."""
        return self.name if self.dtype is None else self.dtype.value

    def size(self, count: int) -> int:
        """Bytes of `count` elements; types below one byte are packed."""
        return (count * self.bits + 7) // 8


# Numbers of TensorProto.DataType.
ELEMENTS: Mapping[int, Element] = {
    1: Element("FLOAT", DType.FP32, 32),
    2: Element("UINT8", DType.UINT8, 8),
    3: Element("INT8", DType.INT8, 8),
    4: Element("UINT16", DType.UINT16, 16),
    5: Element("INT16", DType.INT16, 16),
    6: Element("INT32", DType.INT32, 32),
    7: Element("INT64", DType.INT64, 64),
    8: Element("STRING", DType.BYTES, 0),
    9: Element("BOOL", DType.BOOL, 8),
    10: Element("FLOAT16", DType.FP16, 16),
    11: Element("DOUBLE", DType.FP64, 64),
    12: Element("UINT32", DType.UINT32, 32),
    13: Element("UINT64", DType.UINT64, 64),
    14: Element("COMPLEX64", None, 64),
    15: Element("COMPLEX128", None, 128),
    16: Element("BFLOAT16", DType.BF16, 16),
    17: Element("FLOAT8E4M3FN", None, 8),
    18: Element("FLOAT8E4M3FNUZ", None, 8),
    19: Element("FLOAT8E5M2", None, 8),
    20: Element("FLOAT8E5M2FNUZ", None, 8),
    21: Element("UINT4", None, 4),
    22: Element("INT4", None, 4),
    23: Element("FLOAT4E2M1", None, 4),
    24: Element("FLOAT8E8M0", None, 8),
    25: Element("UINT2", None, 2),
    26: Element("INT2", None, 2),
    27: Element("FLOAT6E2M3", None, 6),
    28: Element("FLOAT6E3M2", None, 6),
}


UNDECLARED = TensorSpec("", None, None)


def read_value_info(data: Data, start: int, stop: int) -> tuple[bytes, TensorSpec]:
    """One ValueInfoProto, and its name as stored.

    Raises:
        DamagedError: a field does not fit, or types are nested without end.
    """
    name, declared = b"", UNDECLARED
    for number, first, last in wire.parts(data, start, stop):
        if number == 1:
            name = wire.raw(data, first, last)
        elif number == 2:
            declared = read_type(data, first, last)
    return name, replace(declared, name=shown(name))


def read_type(data: Data, start: int, stop: int, depth: int = 0) -> TensorSpec:
    """One TypeProto, as a tensor without a name; the last member of its oneof counts.

    The declared type is in ONNX's words: ``FLOAT`` for a tensor, else ``seq(map(int64,float))``.

    Raises:
        DamagedError: a field does not fit, or types are nested without end.
    """
    if depth > _MAX_DEPTH:
        raise DamagedError("an input's or output's type is nested without end")
    declared = UNDECLARED
    for number, first, last in wire.parts(data, start, stop):
        if number in _MEMBERS:
            declared = _MEMBERS[number](data, first, last, depth + 1)
    return declared


def _tensor(data: Data, start: int, stop: int, _depth: int) -> TensorSpec:
    number, shape = _tensor_fields(data, start, stop)
    dtype = ELEMENTS[number].dtype if number in ELEMENTS else None
    return TensorSpec("", dtype, shape, declared_type=_element_name(number))


def _sparse(data: Data, start: int, stop: int, _depth: int) -> TensorSpec:
    number, shape = _tensor_fields(data, start, stop)
    name = f"sparse_tensor({_element_name(number).lower()})"
    return TensorSpec("", None, shape, TensorKind.SPARSE, name)


def _tensor_fields(data: Data, start: int, stop: int) -> tuple[int, Shape | None]:
    number, shape = 0, None
    for field, kind, first, last in wire.fields(data, start, stop):
        if field == 1 and kind == VARINT:
            number = first
        elif field == 2 and kind == LENGTH:
            shape = tuple(
                _dimension(data, inner, end)
                for part, inner, end in wire.parts(data, first, last)
                if part == 1
            )
    return number, shape


def _dimension(data: Data, start: int, stop: int) -> Dim:
    """One axis. Sizes below zero are dynamic: that is how ONNX Runtime reads them."""
    dim: Dim = None
    for number, kind, first, last in wire.fields(data, start, stop):
        if number == 1 and kind == VARINT:
            size = wire.signed(first)
            dim = size if size >= 0 else None
        elif number == 2 and kind == LENGTH:
            dim = wire.text(data, first, last) or None
    return dim


def _sequence(data: Data, start: int, stop: int, depth: int) -> TensorSpec:
    inner = _inner(data, start, stop, 1, depth)
    return TensorSpec("", None, None, TensorKind.SEQUENCE, f"seq({_nested(inner)})")


def _optional(data: Data, start: int, stop: int, depth: int) -> TensorSpec:
    inner = _inner(data, start, stop, 1, depth)
    name = f"optional({_nested(inner)})"
    return TensorSpec("", None, None, TensorKind.OPTIONAL, name, optional=True)


def _map(data: Data, start: int, stop: int, depth: int) -> TensorSpec:
    key = 0
    for number, kind, first, _ in wire.fields(data, start, stop):
        if number == 1 and kind == VARINT:
            key = first
    value = _inner(data, start, stop, 2, depth)
    # A map's values are single numbers as a rule, and are written that way.
    name = value.declared_type
    if value.kind is TensorKind.TENSOR:
        name = name.lower() or "?"
    return TensorSpec("", None, None, TensorKind.MAP, f"map({_element_name(key).lower()},{name})")


def _opaque(data: Data, start: int, stop: int, _depth: int) -> TensorSpec:
    parts = {1: "", 2: ""}
    for number, first, last in wire.parts(data, start, stop):
        if number in parts:
            parts[number] = wire.text(data, first, last)
    return TensorSpec("", None, None, TensorKind.OPAQUE, f"opaque({parts[1]},{parts[2]})")


def _inner(data: Data, start: int, stop: int, field: int, depth: int) -> TensorSpec:
    """The type that a container holds."""
    inner = UNDECLARED
    for number, first, last in wire.parts(data, start, stop):
        if number == field:
            inner = read_type(data, first, last, depth)
    return inner


def _nested(inner: TensorSpec) -> str:
    if inner.kind is TensorKind.TENSOR:
        return f"tensor({inner.declared_type.lower() or '?'})"
    return inner.declared_type


def _element_name(number: int) -> str:
    if number in ELEMENTS:
        return ELEMENTS[number].name
    return f"TYPE_{number}" if number else ""


_MEMBERS: Mapping[int, Callable[[Data, int, int, int], TensorSpec]] = {
    1: _tensor,
    4: _sequence,
    5: _map,
    7: _opaque,
    8: _sparse,
    9: _optional,
}


@dataclass(frozen=True, slots=True)
class External:
    """Where a tensor's content is kept outside the model file; length None means all of it."""

    location: str = ""
    offset: int = 0
    length: int | None = None


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """A TensorProto without its content.

    Attributes:
        name: bytes as stored.
        number: element type.
        dims: sizes.
        inline: bytes of raw_data, None when it has none.
        typed: bytes in the typed data fields.
        external: place outside the file, None when the content is inside.
    """

    name: bytes
    number: int
    dims: tuple[int, ...]
    inline: int | None = None
    typed: int = 0
    external: External | None = None

    @property
    def type(self) -> Element | None:
        """The element type, None when it is not known."""
        return ELEMENTS.get(self.number)

    @property
    def label(self) -> str:
        """The element type's name."""
        return f"TYPE_{self.number}" if self.type is None else self.type.label

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.dims)

    @property
    def stored(self) -> int:
        """Bytes of the content."""
        if self.inline is not None:
            return self.inline
        if self.external is not None and self.external.length is not None:
            return self.external.length
        if self.type is None or not self.type.bits:
            return self.typed
        return self.type.size(self.count)

    def fault(self) -> str:
        """Why no runtime would load it, empty when nothing speaks against it."""
        name = shown(self.name)
        if self.type is None:
            return f"tensor {name!r} has the unknown element type {self.number}"
        if self.external is not None and not self.external.location:
            return f"tensor {name!r} is kept outside the file, and the file's name is missing"
        if not self.type.bits:
            return ""
        expected = self.type.size(self.count)
        if expected and self.inline is None and not self.typed and self.external is None:
            return f"tensor {name!r} has {self.count} elements and no content"
        held = self.stored
        if (self.inline is not None or self.external is not None) and held != expected:
            return f"tensor {name!r} holds {held} bytes and its shape asks for {expected}"
        return ""


def read_tensor(data: Data, start: int, stop: int) -> TensorHeader:
    """The header of one TensorProto.

    Raises:
        DamagedError: a field does not fit, or a size is negative.
    """
    name, number, inline, typed, outside = b"", 0, None, 0, False
    dims: list[int] = []
    entries: dict[str, str] = {}
    for item in wire.fields(data, start, stop):
        tag, kind, first, last = item
        if tag == 1 and len(dims) <= _MAX_RANK:
            dims.extend(islice(wire.integers(data, item), _MAX_RANK + 1))
        elif tag == 2 and kind == VARINT:
            number = first
        elif tag == 8 and kind == LENGTH:
            name = wire.raw(data, first, last)
        elif tag == 9 and kind == LENGTH:
            inline = last - first
        elif tag == 13 and kind == LENGTH:
            key, value = wire.map_entry(data, first, last)
            entries[key] = "" if value is None else wire.text(data, *value)
        elif tag == 14 and kind == VARINT:
            outside = first == _EXTERNAL
        elif tag in _TYPED:
            typed += last - first if kind != VARINT else 1
    external = _external(entries) if outside else None
    header = TensorHeader(name, number, tuple(dims), inline, typed, external)
    if len(dims) > _MAX_RANK or min(dims, default=0) < 0 or header.count >= 1 << 63:
        raise DamagedError(f"tensor {shown(name)!r} has sizes that no tensor can have")
    return header


def read_sparse(data: Data, start: int, stop: int) -> TensorHeader | None:
    """The values of one SparseTensorProto, which carry its name; None when it has none.

    Raises:
        DamagedError: a field does not fit.
    """
    values = None
    for number, first, last in wire.parts(data, start, stop):
        if number == 1:
            values = read_tensor(data, first, last)
    return values


def count_floats(data: Data, start: int, stop: int, tag: int) -> int:
    """Entries of a repeated float field that makes up the rest of an attribute, packed or not.

    Unpacked entries take a tag and four bytes each; their run is measured in one slice.
    """
    total = 0
    pos = start
    while pos < stop:
        number, kind, first, last = next(iter(wire.fields(data, pos, stop)))
        if number != tag:
            break
        if kind == FIXED32 and last - pos == 5:
            marks = bytes(data[pos:stop:5])
            run = min(len(marks) - len(marks.lstrip(marks[:1])), (stop - pos) // 5)
            total += run
            pos += 5 * run
        elif kind == LENGTH:
            total += (last - first) // 4
            pos = last
        else:
            break
    return total


def _external(entries: dict[str, str]) -> External:
    return External(
        location=entries.get("location", ""),
        offset=_number(entries.get("offset", "0")),
        length=_number(entries["length"]) if "length" in entries else None,
    )


def _number(text: str) -> int:
    """A decimal number below 2**63.

    Raises:
        DamagedError: it is something else.
    """
    if text.isascii() and text.isdigit() and len(text) < 20:
        return int(text)
    raise DamagedError(f"external data has the offset or length {text[:40]!r}")
