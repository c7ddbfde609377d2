"""Tensors in the pickles that PyTorch writes: counted from their descriptions, never read."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tritongen.formats.parsing.pickles import Made, Name, Persistent, Pickle
from tritongen.model.tensors import DType

# Names that a pickle of tensors and modules has reason to hold.
_HARMLESS = re.compile(
    r"__torch__\..*"
    r"|torch\.\w+Storage|torch\.storage\.\w+|torch\.device|torch\.Size"
    r"|torch\._utils\._rebuild_\w+|torch\.jit\._pickle\.\w+|torch\._tensor\._rebuild_\w+"
    r"|collections\.OrderedDict"
)
_REBUILD = re.compile(r"torch\._utils\._rebuild_(?:tensor|parameter|qtensor|sparse)\w*")
# Chosen: beyond this the file is made to exhaust its reader.
_MAX_OBJECTS = 2_000_000

_STORAGES = {
    "FloatStorage": "FP32",
    "HalfStorage": "FP16",
    "BFloat16Storage": "BF16",
    "DoubleStorage": "FP64",
    "LongStorage": "INT64",
    "IntStorage": "INT32",
    "ShortStorage": "INT16",
    "CharStorage": "INT8",
    "ByteStorage": "UINT8",
    "BoolStorage": "BOOL",
    "QInt8Storage": "INT8",
    "QUInt8Storage": "UINT8",
    "QInt32Storage": "INT32",
}


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """One tensor: element type, shape, and the storage that holds its elements."""

    label: str
    shape: tuple[int, ...]
    storage: str

    @property
    def count(self) -> int:
        """Number of elements."""
        total = 1
        for size in self.shape:
            total *= size
        return total

    @property
    def dtype(self) -> DType | None:
        """The element type, None when Triton has no name for it."""
        return DType(self.label) if self.label in DType.__members__.values() else None


@dataclass(slots=True)
class PickledWeights:
    """Every tensor of a pickle.

    Attributes:
        tensors: (dotted name, tensor) in the order of the bytes.
        counts: elements by type; a storage that several tensors share counts once.
    """

    tensors: list[tuple[str, PickledTensor]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def foreign_names(pickle: Pickle) -> tuple[str, ...]:
    """Names that do not belong into a pickle of tensors and modules, each once."""
    found = [name.full for name in pickle.names if not _HARMLESS.fullmatch(name.full)]
    return tuple(dict.fromkeys(found))


def weights_of(value: object) -> PickledWeights:
    """The tensors below an object, depth first."""
    weights = PickledWeights()
    storages: set[str] = set()
    for name, tensor in _walk(value):
        weights.tensors.append((name, tensor))
        if tensor.storage not in storages:
            storages.add(tensor.storage)
            weights.counts[tensor.label] += tensor.count
    return weights


def _walk(root: object) -> Iterator[tuple[str, PickledTensor]]:
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting and len(seen) < _MAX_OBJECTS:
        name, value = waiting.pop()
        if id(value) in seen:
            continue
        if isinstance(value, Made | dict | list | tuple):
            seen.add(id(value))
        tensor = _tensor(value)
        if tensor is not None:
            yield name, tensor
            continue
        waiting.extend(reversed(list(_children(name, value))))


def _children(name: str, value: object) -> Iterator[tuple[str, object]]:
    prefix = f"{name}." if name else ""
    if isinstance(value, Made):
        yield name, value.items
        yield name, value.state
        yield name, value.arguments
    elif isinstance(value, dict):
        for key, item in value.items():
            inner = key if isinstance(key, str) and not key.startswith("_") else ""
            yield (prefix + inner if inner else name), item
    elif isinstance(value, list | tuple):
        for item in value:
            yield name, item


def _tensor(value: object) -> PickledTensor | None:
    if not (isinstance(value, Made) and isinstance(value.of, Name)):
        return None
    if not (_REBUILD.fullmatch(value.of.full) and isinstance(value.arguments, tuple)):
        return None
    arguments = value.arguments
    if len(arguments) < 3 or not isinstance(arguments[0], Persistent):
        return None
    storage, shape = arguments[0].id, arguments[2]
    if not (isinstance(storage, tuple) and len(storage) > 2 and isinstance(shape, tuple)):
        return None
    kind = storage[1].name if isinstance(storage[1], Name) else ""
    sizes = tuple(size for size in shape if isinstance(size, int) and 0 <= size < 1 << 48)
    return PickledTensor(_STORAGES.get(kind, kind or "unknown"), sizes, str(storage[2]))
