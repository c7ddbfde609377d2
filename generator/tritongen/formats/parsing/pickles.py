"""Pickles, read as data: what they would build is described, and nothing is built or called.

The machine knows the opcodes that `torch.save` and TorchScript write. A global is a name, a call
is the name with its arguments, and a persistent id is its tuple.
"""

import struct
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from tritongen.formats.parsing.wire import DamagedError

# Far more than the graph of any model; a pickle can repeat an opcode for ever.
_MAX_STEPS: Final = 4_000_000
_MAX_TEXT: Final = 1 << 20
_MAX_LINE: Final = 4096


@dataclass(frozen=True, slots=True)
class Name:
    """A global: `module` and `name` as written."""

    module: str
    name: str

    @property
    def full(self) -> str:
        """Both, with a dot."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True)
class Made:
    """What a call or a class would make: `of` what, from which arguments, with which state.

    `items` are those that are set afterwards, as of an OrderedDict.
    """

    of: object
    arguments: object = ()
    state: object = None
    items: dict[object, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Persistent:
    """A persistent id: a reference to something outside the pickle."""

    id: object


@dataclass(slots=True)
class _Mark:
    """Where a group on the stack begins."""


@dataclass(slots=True)
class Pickle:
    """What a pickle describes.

    Attributes:
        value: the outermost object.
        names: every global in the order of the bytes.
    """

    value: object = None
    names: list[Name] = field(default_factory=list)


class _Machine:
    """Reads one pickle."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}
        self.result = Pickle()

    def run(self) -> Pickle:
        for _ in range(_MAX_STEPS):
            code = self.take(1)[0]
            if code == 0x2E:  # STOP
                self.result.value = self.pop()
                return self.result
            action = _ACTIONS.get(code)
            if action is None:
                raise DamagedError(f"the pickle has the opcode {code:#x} at byte {self.pos - 1}")
            action(self)
        raise DamagedError(f"the pickle has more than {_MAX_STEPS} steps")

    def take(self, count: int) -> bytes:
        end = self.pos + count
        if end > len(self.data):
            raise DamagedError("the pickle is cut off")
        found = self.data[self.pos : end]
        self.pos = end
        return found

    def number(self, form: str) -> int:
        (value,) = struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))
        return int(value)

    def line(self) -> str:
        end = self.data.find(b"\n", self.pos, self.pos + _MAX_LINE)
        if end < 0:
            raise DamagedError("the pickle has a line without an end")
        found = self.data[self.pos : end].decode("utf-8", "backslashreplace")
        self.pos = end + 1
        return found

    def text(self, form: str) -> str:
        size = self.number(form)
        if size > _MAX_TEXT:
            raise DamagedError(f"the pickle has a text of {size} bytes")
        return self.take(size).decode("utf-8", "backslashreplace")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if not self.stack:
            raise DamagedError("the pickle takes more than it has")
        return self.stack.pop()

    def top(self) -> object:
        if not self.stack:
            raise DamagedError("the pickle looks at nothing")
        return self.stack[-1]

    def group(self) -> list[object]:
        """Everything above the last mark, which goes too."""
        for index in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[index], _Mark):
                found = self.stack[index + 1 :]
                del self.stack[index:]
                return found
        raise DamagedError("the pickle closes a group that it did not open")

    def name(self, module: str, name: str) -> None:
        found = Name(module, name)
        self.result.names.append(found)
        self.push(found)

    def remember(self, key: int) -> None:
        self.memo[key] = self.top()

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise DamagedError("the pickle recalls what it did not remember")
        self.push(self.memo[key])

    def tuple_of(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(items)))

    def put(self, pairs: list[object]) -> None:
        """Set items of the mapping below."""
        target = self.top()
        if isinstance(target, Made):
            target = target.items
        if isinstance(target, dict):
            for key, value in zip(pairs[::2], pairs[1::2], strict=False):
                if isinstance(key, Hashable):
                    target[_hashable(key)] = value

    def extend(self, items: list[object]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(items)

    def make(self, keywords: bool = False) -> None:
        if keywords:
            self.pop()
        arguments = self.pop()
        self.push(Made(self.pop(), arguments))

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        if isinstance(target, Made):
            target.state = state


def _hashable(key: object) -> object:
    try:
        hash(key)
    except TypeError:
        return repr(type(key))
    return key


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.name(str(module), str(name))


def _dictionary(machine: _Machine) -> None:
    pairs = machine.group()
    machine.push({})
    machine.put(pairs)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.put([key, value])


def _long(machine: _Machine, size: int) -> None:
    if size > 64:
        raise DamagedError("the pickle has an absurdly long number")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


_ACTIONS: Final[dict[int, Callable[[_Machine], object]]] = {
    0x80: lambda m: m.take(1),  # PROTO
    0x95: lambda m: m.take(8),  # FRAME
    ord("("): lambda m: m.push(_Mark()),
    ord("0"): lambda m: m.pop(),
    ord("1"): lambda m: m.group(),
    ord("2"): lambda m: m.push(m.top()),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("I"): lambda m: m.push(m.line()),
    ord("L"): lambda m: m.push(m.line()),
    ord("F"): lambda m: m.push(m.line()),
    ord("S"): lambda m: m.push(m.line()),
    ord("V"): lambda m: m.push(m.line()),
    ord("J"): lambda m: m.push(m.number("i")),
    ord("K"): lambda m: m.push(m.number("B")),
    ord("M"): lambda m: m.push(m.number("H")),
    0x8A: lambda m: _long(m, m.number("B")),
    0x8B: lambda m: _long(m, m.number("I")),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    ord("T"): lambda m: m.push(m.text("I")),
    ord("U"): lambda m: m.push(m.text("B")),
    ord("B"): lambda m: m.push(m.text("I")),
    ord("C"): lambda m: m.push(m.text("B")),
    0x8E: lambda m: m.push(m.text("Q")),
    ord("X"): lambda m: m.push(m.text("I")),
    0x8C: lambda m: m.push(m.text("B")),
    0x8D: lambda m: m.push(m.text("Q")),
    ord("]"): lambda m: m.push([]),
    ord("l"): lambda m: m.push(m.group()),
    ord("a"): lambda m: m.extend([m.pop()]),
    ord("e"): lambda m: m.extend(m.group()),
    ord("}"): lambda m: m.push({}),
    ord("d"): _dictionary,
    ord("s"): _set_item,
    ord("u"): lambda m: m.put(m.group()),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.group())),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    0x8F: lambda m: m.push([]),  # EMPTY_SET
    0x90: lambda m: m.extend(m.group()),  # ADDITEMS
    0x91: lambda m: m.push(m.group()),  # FROZENSET
    ord("p"): lambda m: m.remember(_text_key(m.line())),
    ord("q"): lambda m: m.remember(m.number("B")),
    ord("r"): lambda m: m.remember(m.number("I")),
    0x94: lambda m: m.remember(len(m.memo)),  # MEMOIZE
    ord("g"): lambda m: m.recall(_text_key(m.line())),
    ord("h"): lambda m: m.recall(m.number("B")),
    ord("j"): lambda m: m.recall(m.number("I")),
    ord("c"): lambda m: m.name(m.line(), m.line()),
    0x93: _stack_global,
    ord("R"): lambda m: m.make(),
    0x81: lambda m: m.make(),
    0x92: lambda m: m.make(keywords=True),
    ord("b"): lambda m: m.build(),
    ord("P"): lambda m: m.push(Persistent(m.line())),
    ord("Q"): lambda m: m.push(Persistent(m.pop())),
}


def _text_key(line: str) -> int:
    # Kept apart from the numbers of MEMOIZE, which count from 0.
    return -1 - int(line) if line.isdecimal() and len(line) < 10 else -1


def read_pickle(data: bytes) -> Pickle:
    """What a pickle describes.

    Raises:
        DamagedError: TG102, it is cut off, holds an unknown opcode, or is made to exhaust readers.
    """
    try:
        return _Machine(data).run()
    except (RecursionError, OverflowError, ValueError, struct.error) as error:
        raise DamagedError(f"the pickle cannot be followed: {error}") from error
