"""Which format a file is in, told by its content.

The name decides only where the content cannot: it says what a damaged or empty file was meant to
be, and it keeps weak signatures from claiming files that merely look alike. Nothing is unpickled,
executed or expanded here.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from xml.parsers import expat

from tritongen.formats.dali import is_dali_module
from tritongen.formats.parsing import wire
from tritongen.formats.parsing.wire import FIXED32, FIXED64, LENGTH, VARINT, DamagedError
from tritongen.formats.parsing.zip_archives import zip_names
from tritongen.formats.python_model import defines_triton_model
from tritongen.formats.vllm import VLLM_FILE, is_vllm
from tritongen.model.facts import ModelFormat
from tritongen.system.paths import read_head

# Chosen: every mark of a format stands in these.
HEAD_BYTES = 1 << 16

# What a file with this suffix claims to be.
CLAIMS: dict[str, ModelFormat] = {
    ".onnx": ModelFormat.ONNX,
    ".pt": ModelFormat.TORCHSCRIPT,
    ".pth": ModelFormat.TORCH_PICKLE,
    ".torchscript": ModelFormat.TORCHSCRIPT,
    ".pt2": ModelFormat.TORCH_AOTI,
    ".plan": ModelFormat.TENSORRT,
    ".engine": ModelFormat.TENSORRT,
    ".trt": ModelFormat.TENSORRT,
    ".graphdef": ModelFormat.GRAPHDEF,
    ".pb": ModelFormat.GRAPHDEF,
    ".ubj": ModelFormat.XGBOOST_UBJ,
    ".tl": ModelFormat.TREELITE,
    ".pkl": ModelFormat.SKLEARN_PICKLE,
    ".pickle": ModelFormat.SKLEARN_PICKLE,
    ".joblib": ModelFormat.SKLEARN_PICKLE,
    ".keras": ModelFormat.KERAS,
    ".safetensors": ModelFormat.SAFETENSORS,
    ".tflite": ModelFormat.TFLITE,
    ".dali": ModelFormat.DALI,
}

_HDF5 = b"\x89HDF\r\n\x1a\n"
_PLAN = (b"ptrt", b"ftrt")
# The number that torch.save wrote before its zip format, pickled.
_TORCH_LEGACY = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
_COMPRESSED = (
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
)
_BOOSTER = re.compile(rb"\x00(?:gbtree|gblinear|dart)")
_OBJECTIVE = re.compile(rb"(?:reg|binary|multi|rank|count|survival):[a-z]+")
_XGBOOST_JSON = re.compile(rb'\{\s*"(?:learner|version|Config)"')

# Wire type of ModelProto's fields.
_MODEL_PROTO = {
    **dict.fromkeys((1, 5), VARINT),
    **dict.fromkeys((2, 3, 4, 6, 7, 8, 14, 20, 25, 26), LENGTH),
}


def detect(path: Path) -> ModelFormat | None:
    """The format of a regular file, None when its content is no model known here.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    head = read_head(path, HEAD_BYTES)
    suffix = path.suffix.lower()
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    for test in _TESTS:
        found = test(head, suffix)
        if found is not None:
            return found
    if suffix == ".py" and defines_triton_model(path):
        return ModelFormat.PYTHON
    if suffix == ".py" and is_dali_module(head):
        return ModelFormat.DALI_PYTHON
    if path.name == VLLM_FILE and is_vllm(head):
        return ModelFormat.VLLM
    return None


def claimed(path: Path) -> ModelFormat | None:
    """The format that a file's name promises, None when it promises none."""
    return CLAIMS.get(path.suffix.lower())


def _zip(path: Path) -> ModelFormat | None:
    names = zip_names(path)
    inner = {name.partition("/")[2] for name in names}
    exported = "archive_format" in inner and any(name.startswith("models/") for name in inner)
    if exported or any("aotinductor" in name for name in names):
        return ModelFormat.TORCH_AOTI
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        return ModelFormat.TORCHSCRIPT
    if "data.pkl" in inner:
        return ModelFormat.TORCH_PICKLE
    if {"config.json", "model.weights.h5"} <= set(names):
        return ModelFormat.KERAS
    return None


def _magic(head: bytes, suffix: str) -> ModelFormat | None:
    """Formats with a signature of their own."""
    if head.startswith(_PLAN):
        return ModelFormat.TENSORRT
    # A flatbuffer starts with the offset of its root, right behind its identifier.
    if head[4:8] == b"TFL3" and head[2:4] == b"\0\0":
        return ModelFormat.TFLITE
    if head.startswith(_HDF5) and suffix in {".h5", ".hdf5", ".keras"}:
        return ModelFormat.KERAS
    if head.startswith(b"tree\n") and b"\nversion=" in head[:256]:
        return ModelFormat.LIGHTGBM
    length = int.from_bytes(head[:8], "little")
    if (
        2 <= length < 1 << 30
        and head[8:10] in {b'{"', b"{}"}
        and (b'"dtype"' in head or b"__metadata__" in head or suffix == ".safetensors")
    ):
        return ModelFormat.SAFETENSORS
    return None


def _pickle(head: bytes, suffix: str) -> ModelFormat | None:
    """Pickles, by their bytes: protocol 2 and later start with 0x80 and the protocol."""
    pickled = len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5
    if pickled and _TORCH_LEGACY in head[:32]:
        return ModelFormat.TORCH_PICKLE
    named = suffix in {".pkl", ".pickle", ".joblib"}
    if pickled and (named or b"sklearn" in head):
        return ModelFormat.SKLEARN_PICKLE
    if named and head.startswith(_COMPRESSED):
        return ModelFormat.SKLEARN_PICKLE
    return None


def _boosted(head: bytes, suffix: str) -> ModelFormat | None:
    """XGBoost's three formats, and Treelite's checkpoint."""
    if head[:1] == b"{":
        start = head[:64]
        if re.match(rb"\{[iUIlL].{1,8}learner", start, re.DOTALL):
            return ModelFormat.XGBOOST_UBJ
        if _XGBOOST_JSON.match(head) and b'"learner"' in head:
            return ModelFormat.XGBOOST_JSON
    if head.startswith(b"binf") or (
        b"\x00" in head[:8] and _OBJECTIVE.search(head[:1024]) and _BOOSTER.search(head[:1024])
    ):
        return ModelFormat.XGBOOST_BINARY
    versions = [int.from_bytes(head[at : at + 4], "little") for at in (0, 4, 8)]
    if suffix == ".tl" and len(head) > 12 and 0 < versions[0] < 100 and max(versions) < 1000:
        return ModelFormat.TREELITE
    return None


def _onnx(head: bytes, suffix: str) -> ModelFormat | None:
    """A ModelProto, complete or cut off: known fields only, its version, and a graph."""
    seen = _leading_fields(head)
    if not seen or any(_MODEL_PROTO.get(number) != kind for number, kind in seen):
        return None
    numbers = {number for number, _ in seen}
    if 1 in numbers and (7 in numbers or suffix == ".onnx"):
        return ModelFormat.ONNX
    return ModelFormat.ONNX if 7 in numbers and 8 in numbers else None


def _tensorflow(head: bytes, suffix: str) -> ModelFormat | None:
    """A GraphDef: field 1 repeated, each a node with a name and an operator."""
    if suffix not in {".pb", ".graphdef"}:
        return None
    try:
        number, kind, first, last = next(wire.fields(head, 0, len(head)))
        parts = {tag for tag, _, _ in wire.parts(head, first, last)}
    except (DamagedError, StopIteration):
        return None
    return ModelFormat.GRAPHDEF if (number, kind) == (1, LENGTH) and {1, 2} <= parts else None


def _dali(head: bytes, suffix: str) -> ModelFormat | None:
    """A serialised pipeline has no mark of its own: a message under the name that DALI gives it."""
    if suffix != ".dali":
        return None
    numbers = [number for number, _ in _leading_fields(head)]
    return ModelFormat.DALI if numbers and all(numbers) else None


def _openvino(head: bytes, _suffix: str) -> ModelFormat | None:
    """An XML document whose root is ``net`` with a version, and that declares no DOCTYPE."""
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<net")):
        return None
    root: list[tuple[str, dict[str, str]]] = []

    def element(name: str, attributes: dict[str, str]) -> None:
        if not root:
            root.append((name, attributes))

    def doctype(*_: object) -> None:
        raise DamagedError("the XML declares a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler = element
    parser.StartDoctypeDeclHandler = doctype
    # The head of a long file ends anywhere; what matters stands in front of it.
    with suppress(expat.ExpatError, DamagedError):
        parser.Parse(head, False)
    if root and root[0][0] == "net" and "version" in root[0][1]:
        return ModelFormat.OPENVINO
    return None


def _leading_fields(head: bytes) -> list[tuple[int, int]]:
    """The fields of the outermost message that start within the head."""
    seen: list[tuple[int, int]] = []
    pos = 0
    try:
        while pos < len(head):
            key, pos = wire.varint(head, pos, len(head))
            number, kind = key >> 3, key & 7
            seen.append((number, kind))
            if kind == VARINT:
                _, pos = wire.varint(head, pos, len(head))
            elif kind == LENGTH:
                size, pos = wire.varint(head, pos, len(head))
                pos += size
            else:
                pos += {FIXED64: 8, FIXED32: 4}.get(kind, len(head))
    except DamagedError:
        pass
    return seen


_TESTS: tuple[Callable[[bytes, str], ModelFormat | None], ...] = (
    _magic,
    _openvino,
    _boosted,
    _onnx,
    _tensorflow,
    _dali,
    _pickle,
)
