"""Single values of a UBJSON document; typed arrays are stepped over by their length."""

import mmap
import struct
from collections.abc import Collection
from typing import Final

from tritongen.formats.parsing.wire import DamagedError

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
# Chosen as for JSON; of a list of numbers the first ones are kept.
_MAX_DEPTH: Final = 64
_MAX_TEXT_BYTES: Final = 1 << 20
_MAX_VALUES: Final = 20_000_000
_MAX_LIST: Final = 64


def find_values(
    data: Data, wanted: Collection[Path], counted: Collection[Path] = ()
) -> dict[Path, object]:
    """Values by their keys from the root on, and how many members the `counted` arrays have.

    A wanted array must be one of plain numbers.

    Raises:
        DamagedError: a length or marker that does not fit, or absurd nesting.
    """
    walk = _Walk(data, frozenset(wanted), frozenset(counted))
    walk.value((), walk.marker())
    return walk.found


class _Walk:
    def __init__(self, data: Data, wanted: frozenset[Path], counted: frozenset[Path]) -> None:
        self.data = data
        self.size = len(data)
        self.pos = 0
        self.values = 0
        self.wanted = wanted
        self.counted = counted
        self.found: dict[Path, object] = {}

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
        if size > _MAX_TEXT_BYTES:
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
