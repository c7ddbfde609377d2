"""Single values of a large JSON document, without reading the rest of it into memory.

Brackets and texts are found by one regular expression; what lies between them is never looked at,
so that long arrays of numbers cost little. Depth is counted, not recursed into.
"""

import json
import mmap
import re
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

Path = tuple[str, ...]


def find_values(
    data: mmap.mmap | bytes, wanted: Collection[Path], counted: Collection[Path] = ()
) -> dict[Path, object]:
    """Values by their keys from the root on.

    Args:
        data: the document.
        wanted: paths of values that are read; each at most 1 MB of text.
        counted: paths of arrays of objects, whose members are counted instead.

    Raises:
        DamagedError: brackets do not match, nesting is absurd, or a wanted value is too long.
    """
    return _Scan(data, frozenset(wanted), frozenset(counted)).run()


class _Scan:
    def __init__(
        self, data: mmap.mmap | bytes, wanted: frozenset[Path], counted: frozenset[Path]
    ) -> None:
        self.data = data
        self.wanted = wanted
        self.counted = counted
        self.found: dict[Path, object] = {}
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


def _container(data: mmap.mmap | bytes, start: int, stop: int) -> object:
    if stop - start > _MAX_VALUE_BYTES:
        raise DamagedError(f"a value of the JSON has {stop - start} bytes")
    try:
        return json.loads(bytes(data[start:stop]))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"a value of the JSON cannot be read: {error}") from error
