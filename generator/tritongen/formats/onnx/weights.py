"""Weights of an ONNX file: counted from their headers, never read, in the file or beside it."""

import math
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tritongen.formats.onnx.onnx_types import ELEMENTS, Element
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import FIXED32, LENGTH, VARINT, DamagedError, Data, shown
from tritongen.formats.reading import ModelSource
from tritongen.model.facts import FileRef
from tritongen.model.findings import Finding
from tritongen.system.paths import contained

_EXTERNAL = 1
# Typed data fields of TensorProto that hold the content when raw_data does not.
_TYPED = frozenset({4, 5, 6, 7, 10, 11})
# Chosen: numpy 2 holds no array of more axes.
_MAX_RANK = 64
# Beyond this the file is made to exhaust its reader.
MAX_TENSORS = 5_000_000

# Under this name the main file stands in the version folder.
MAIN = "model.onnx"


@dataclass(slots=True)
class OnnxWeights:
    """What the tensors of a file add up to.

    Attributes:
        counts: number of weights by element type.
        size: bytes of the weights, external data included.
        external: data file to the number of bytes that it must have at least.
        faults: sentences on tensors that no runtime would load.
        tensors: how many there are.
    """

    counts: Counter[str] = field(default_factory=Counter)
    size: int = 0
    external: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    tensors: int = 0

    def add(self, header: "TensorHeader") -> None:
        """Count one tensor.

        Raises:
            DamagedError: there are more of them than a file has reason to hold.
        """
        self.tensors += 1
        if self.tensors > MAX_TENSORS:
            raise DamagedError(f"the file holds more than {MAX_TENSORS} tensors")
        count = header.count
        self.counts[header.label] += count
        self.size += header.stored
        if header.external is not None:
            entry = header.external
            end = entry.offset + header.stored
            self.external[entry.location] = max(end, self.external.get(entry.location, 0))
        fault = header.fault()
        if fault:
            self.faults.append(fault)

    def add_plain(self, label: str, count: int, itemsize: int) -> None:
        """Count weights that are kept as a list of numbers in an attribute."""
        if count:
            self.counts[label] += count
            self.size += count * itemsize


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
        if tag == 1:
            dims.extend(wire.integers(data, item))
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
    if status.st_size < size:
        message = f"has {status.st_size} bytes and the model reads up to byte {size}"
        return _finding(source, "TG108", location, message)
    return None


def _finding(source: ModelSource, code: str, location: str, what: str) -> Finding:
    return source.facts.finding(code, f"external data {location!r} {what}", field=location)
