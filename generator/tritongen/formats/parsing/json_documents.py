"""Single values of a large JSON or UBJSON document, without reading the rest of it into memory."""

import json
import mmap
import re
import struct
from collections.abc import Collection
from typing import Final

from tritongen.formats.parsing.wire import DamagedError

# A text with the colon that makes it a key, or a bracket. A text that is not closed ends at a
# control character, which JSON forbids within one.
_TOKEN: Final = re.compile(rb'"((?:[^"\\\x00-\x1f]|\\.)*+)"(\s*:)?|[\[\]{}]')
_CONTAINER: Final = re.compile(rb"\s*[\[{]")
# Chosen: values that are used, numbers, names and levels of models' documents stay far below
# these; beyond them the file is made to exhaust its reader.
_MAX_VALUE_BYTES: Final = 1 << 20
_MAX_SCALAR_BYTES: Final = 1 << 12
_MAX_KEY_BYTES: Final = 256
_MAX_DEPTH: Final = 64
_MAX_TOKENS: Final = 200_000_000

# Of a list of numbers the first ones are kept.
_MAX_LIST: Final = 64
_MAX_VALUES: Final = 20_000_000

Data = mmap.mmap | bytes
Path = tuple[str, ...]

_FORMATS: Final = {
    ord("i"): ">b",
    ord("U"): ">B",
    ord("I"): ">h",
    ord("l"): ">i",
    ord("L"): ">q",
    ord("d"): ">f",
    ord("D"): ">d",
}
_WHOLE: Final = b"iUIlL"
_LITERALS: Final = {ord("Z"): None, ord("T"): True, ord("F"): False}


def json_values(
    data: Data, wanted: Collection[Path], counted: Collection[Path] = ()
) -> dict[Path, object]:
    """Values by their keys from the root on.

    Args:
        data: the document.
        wanted: paths of values that are read; each at most 1 MB of text.
        counted: paths of arrays of objects, whose members are counted instead.

    Raises:
        DamagedError: brackets do not match, nesting is absurd, or a wanted value is too long.
    """
    return _Scan(data, wanted, counted).run()


class _Reader:
    def __init__(self, data: Data, wanted: Collection[Path], counted: Collection[Path]) -> None:
        self.data = data
        self.wanted = frozenset(wanted)
        self.counted = frozenset(counted)
        self.found: dict[Path, object] = {}


class _Scan(_Reader):
    def __init__(self, data: Data, wanted: Collection[Path], counted: Collection[Path]) -> None:
        super().__init__(data, wanted, counted)
        self.keys: list[str] = []  # of the containers that are open; "[]" stands for an array
        self.kinds: list[bytes] = []
        self.starts: list[int] = []  # where each open container begins
        self.members: list[int] = []  # containers right inside each open container

    def run(self) -> dict[Path, object]:
        for count, match in enumerate(_TOKEN.finditer(self.data)):
            if count > _MAX_TOKENS:
                raise DamagedError("the JSON is too long")
            token = match[0]
            if match[1] is not None:
                if match[2] is not None and self.kinds:
                    self.key(match[1], match.end())
            elif token in {b"{", b"["}:
                self.open(token, match.start())
            else:
                self.close(token, match.start())
                if not self.kinds:
                    return self.found
        raise DamagedError("the JSON is cut off")

    def key(self, name: bytes, end: int) -> None:
        self.keys[-1] = name[:_MAX_KEY_BYTES].decode("utf-8", "replace")
        path = tuple(self.keys)
        if path in self.wanted and path not in self.found:
            head = bytes(self.data[end : end + _MAX_SCALAR_BYTES])
            if not _CONTAINER.match(head):
                self.found[path] = _scalar(head)

    def open(self, token: bytes, start: int) -> None:
        if len(self.kinds) >= _MAX_DEPTH:
            raise DamagedError("the JSON is nested too deeply")
        if self.members:
            self.members[-1] += 1
        self.kinds.append(token)
        self.keys.append("[]" if token == b"[" else "")
        self.starts.append(start)
        self.members.append(0)

    def close(self, token: bytes, start: int) -> None:
        if not self.kinds or (self.kinds.pop() == b"{") != (token == b"}"):
            raise DamagedError(f"the JSON's brackets do not match at byte {start}")
        self.keys.pop()
        opened, members = self.starts.pop(), self.members.pop()
        path = tuple(self.keys)
        if token == b"]" and path in self.counted:
            self.found[path] = members
        if path in self.wanted and path not in self.found:
            self.found[path] = _container(self.data, opened, start + 1)


def _scalar(head: bytes) -> object:
    """The text, number or literal at the start of some bytes."""
    try:
        value, _ = json.JSONDecoder().raw_decode(head.decode("utf-8", "replace").lstrip())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"a value of the JSON cannot be read: {error}") from error
    return value


def _container(data: Data, start: int, stop: int) -> object:
    if stop - start > _MAX_VALUE_BYTES:
        raise DamagedError(f"a value of the JSON has {stop - start} bytes")
    try:
        return json.loads(bytes(data[start:stop]))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"a value of the JSON cannot be read: {error}") from error


def ubjson_values(
    data: Data, wanted: Collection[Path], counted: Collection[Path] = ()
) -> dict[Path, object]:
    """Values by their keys from the root on, and how many members the `counted` arrays have.

    A wanted array must be one of plain numbers.

    Raises:
        DamagedError: a length or marker that does not fit, or absurd nesting.
    """
    walk = _Walk(data, wanted, counted)
    walk.value((), walk.marker())
    return walk.found


class _Walk(_Reader):
    def __init__(self, data: Data, wanted: Collection[Path], counted: Collection[Path]) -> None:
        super().__init__(data, wanted, counted)
        self.size = len(data)
        self.pos = 0
        self.values = 0

    def marker(self) -> int:
        """The next marker that is no padding."""
        while self.pos < self.size:
            code = int(self.data[self.pos])
            self.pos += 1
            if code != ord("N"):
                return code
        raise DamagedError("the UBJSON is cut off")

    def skip(self, count: int) -> int:
        start = self.pos
        if count < 0 or count > self.size - start:
            raise DamagedError(f"a UBJSON value at byte {start} claims {count} bytes")
        self.pos += count
        return start

    def number(self, code: int) -> int | float:
        form = _FORMATS[code]
        start = self.skip(struct.calcsize(form))
        (value,) = struct.unpack_from(form, self.data, start)
        return float(value) if code in b"dD" else int(value)

    def length(self) -> int:
        code = self.marker()
        if code not in _WHOLE:
            raise DamagedError(f"a UBJSON length at byte {self.pos - 1} is no whole number")
        value = int(self.number(code))
        if value < 0:
            raise DamagedError(f"a UBJSON length at byte {self.pos} is negative")
        return value

    def text(self) -> str:
        size = self.length()
        start = self.skip(size)
        if size > _MAX_VALUE_BYTES:
            return ""
        return bytes(self.data[start : start + size]).decode("utf-8", "replace")

    def value(self, path: Path, code: int) -> None:
        self.values += 1
        if self.values > _MAX_VALUES or len(path) > _MAX_DEPTH:
            raise DamagedError("the UBJSON is nested too deeply or too long")
        if code == ord("{"):
            self.mapping(path)
        elif code == ord("["):
            self.array(path)
        else:
            scalar = self.scalar(code)
            if path in self.wanted:
                self.found.setdefault(path, scalar)

    def scalar(self, code: int) -> object:
        if code in _LITERALS:
            return _LITERALS[code]
        if code in _FORMATS:
            return self.number(code)
        if code in b"SH":
            return self.text()
        if code == ord("C"):
            return chr(self.data[self.skip(1)])
        raise DamagedError(f"UBJSON has no type {code:#x}, found at byte {self.pos - 1}")

    def header(self) -> tuple[int | None, int | None]:
        """(Type, count) of an optimised container, None for each that is not given."""
        kind: int | None = None
        if self.peek() == ord("$"):
            self.pos += 1
            kind = self.marker()
            if self.peek() != ord("#"):
                raise DamagedError(f"a typed UBJSON container at byte {self.pos} has no count")
        if self.peek() == ord("#"):
            self.pos += 1
            return kind, self.length()
        return kind, None

    def peek(self) -> int:
        return int(self.data[self.pos]) if self.pos < self.size else -1

    def mapping(self, path: Path) -> None:
        kind, count = self.header()
        seen = 0
        while count is None or seen < count:
            if count is None and self.peek() == ord("}"):
                self.pos += 1
                return
            key = self.text()
            self.value((*path, key), self.marker() if kind is None else kind)
            seen += 1

    def array(self, path: Path) -> None:
        kind, count = self.header()
        kept: list[object] | None = [] if path in self.wanted else None
        if kind in _FORMATS and count is not None and kept is None:
            self.skip(count * struct.calcsize(_FORMATS[kind]))
            seen = count
        else:
            seen = self.members(path, kind, count, kept)
        if path in self.counted:
            self.found[path] = seen
        if kept is not None:
            self.found[path] = kept

    def members(
        self, path: Path, kind: int | None, count: int | None, kept: list[object] | None
    ) -> int:
        if kind in _LITERALS and count is not None:
            return count  # its members take no bytes, however many it claims
        seen = 0
        while count is None or seen < count:
            if count is None and self.peek() == ord("]"):
                self.pos += 1
                break
            code = self.marker() if kind is None else kind
            if kept is not None and len(kept) < _MAX_LIST and code in _FORMATS:
                kept.append(self.number(code))
            else:
                self.value((*path, "[]"), code)
            seen += 1
        return seen
