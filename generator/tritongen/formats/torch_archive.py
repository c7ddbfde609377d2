"""PyTorch's archives: what they have in common, what makes one dangerous, their pickles."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tritongen.formats.parsing.pickles import Made, Name, Persistent, Pickle, read_pickle
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.parsing.zip_archives import Archive, is_bomb, leaves
from tritongen.formats.reading import ModelSource, ranked
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding
from tritongen.model.tensors import DType
from tritongen.system.paths import read_head

# A pickle describes modules and tensors; its size goes by their number, not by their bytes.
MAX_PICKLE_BYTES = 64 << 20

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
# Chosen: numpy 2 holds no array of more axes.
_MAX_RANK = 64
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
_FIX = (
    "Export the model from its training code: torch.onnx.export (fastest on a CPU), or "
    "torch.jit.script(model).save('model.pt')."
)


def root_of(archive: Archive) -> str:
    """The folder in the archive that everything lies in, with a slash."""
    first = archive.entries[0].filename if archive.entries else ""
    return first.partition("/")[0] + "/"


def pickle_in(archive: Archive, name: str) -> Pickle | None:
    """One pickle of the archive, described; None when there is none of that name.

    Raises:
        DamagedError: it cannot be followed.
    """
    entry = archive.get(name)
    return None if entry is None else read_pickle(archive.read(entry, MAX_PICKLE_BYTES))


def weight_bytes(archive: Archive) -> int:
    """Bytes of the tensors' storages."""
    return sum(
        entry.file_size
        for entry in archive.entries
        if any(folder in entry.filename for folder in ("/data/", "/constants/", "/weights/"))
    )


def dangers(source: ModelSource, archive: Archive, *pickles: Pickle | None) -> Iterator[Finding]:
    """Entries and names that no model has reason to hold."""
    outside = next((entry.filename for entry in archive.entries if leaves(entry)), None)
    if outside is not None:
        yield source.facts.finding("TG138", f"the archive holds a file named {outside!r}")
    bomb = next((entry for entry in archive.entries if is_bomb(entry)), None)
    if bomb is not None:
        growth = f"from {bomb.compress_size} to {bomb.file_size} bytes"
        yield source.facts.finding("TG138", f"{bomb.filename} would grow {growth}")
    for pickle in pickles:
        names = _foreign_names(pickle) if pickle is not None else []
        if names:
            shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            yield source.facts.finding("TG138", f"a pickle in it refers to {shown}")


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """One tensor: element type, shape, and the storage that holds its elements."""

    label: str
    shape: tuple[int, ...]
    storage: str

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

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


def _foreign_names(pickle: Pickle) -> list[str]:
    """Names that do not belong into a pickle of tensors and modules, each once."""
    found = (name.full for name in pickle.names)
    return list(dict.fromkeys(name for name in found if not _HARMLESS.fullmatch(name)))


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
    match value:
        case Made(
            of=Name() as function,
            arguments=tuple([Persistent(id=tuple([_, storage, key, *_])), _, tuple() as shape, *_]),
        ) if len(shape) <= _MAX_RANK and _REBUILD.fullmatch(function.full):
            kind = storage.name if isinstance(storage, Name) else ""
            sizes = tuple(size for size in shape if isinstance(size, int) and 0 <= size < 1 << 48)
            place = str(key) if isinstance(key, str | int) else ""
            return PickledTensor(_STORAGES.get(kind, kind or "unknown"), sizes, place)
    return None


def read_torch_pickle(source: ModelSource) -> ModelFacts:
    """What the file holds, and why it cannot be served; nothing is unpickled.

    Raises:
        OSError: it cannot be opened.
    """
    counts: Counter[str] = Counter()
    size, what = 0, "weights"
    try:
        if read_head(source.file, 2) == b"PK":
            with Archive(source.file) as archive:
                data = pickle_in(archive, f"{root_of(archive)}data.pkl")
                size = weight_bytes(archive)
                if data is not None:
                    counts = weights_of(data.value).counts
                    match data.value:
                        case Made(of=Name() as kind) if kind.name != "OrderedDict":
                            what = f"the module {kind.full}"
    except DamagedError:
        pass  # the pickle is not loaded either way; its size is told without it
    refused = source.facts.refused(
        "TG129",
        f"a pickle of {what} without the code that runs it; loading it would run whatever code it "
        "holds",
        fix=_FIX,
    )
    return replace(refused, parameters=counts.total(), weight_bytes=size, precisions=ranked(counts))
