"""Pickles, read as data: what they would build is described, and nothing is built or called.

The machine knows the opcodes that `torch.save` and TorchScript write. A global is a name, a call
is the name with its arguments, and a persistent id is its tuple.
"""

import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tritongen.formats.parsing.wire import DamagedError

# Far more than the graph of any model; a pickle can repeat an opcode for ever.
_MAX_STEPS: Final = 4_000_000
# Chosen: names and documents are shorter, and sizes are numbers of 64 bits.
_MAX_TEXT_LENGTH: Final = 1 << 20
_MAX_BITS: Final = 8 * 64
# Of LONG_BINPUT, which names a place in 32 bits.
_MAX_MEMO: Final = 1 << 32


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


# What puts a value on the stack that stands in the pickle itself.
_VALUES: Final = frozenset(
    {
        "INT", "LONG", "FLOAT", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT",
        "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
        "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    }
)  # fmt: skip
_CONSTANTS: Final[Mapping[str, object]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Final[Mapping[str, Callable[[], object]]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
    "MARK": _Mark,
}
_TUPLES: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """Follows the opcodes of one pickle."""

    def __init__(self) -> None:
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}
        self.names: list[Name] = []

    def step(self, code: str, argument: object, place: int) -> None:
        """Carry one opcode out.

        Raises:
            DamagedError: it is not one that PyTorch writes, or does not fit what came before.
        """
        if code in _VALUES:
            self.stack.append(_bounded(argument))
        elif code in _CONSTANTS:
            self.stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            self.stack.append(_EMPTY[code]())
        elif code in _TUPLES:
            self.stack.append(tuple(self.taken(_TUPLES[code])))
        elif code in {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}:
            self.memo[len(self.memo) if code == "MEMOIZE" else _key(argument)] = self.top()
        elif code in {"GET", "BINGET", "LONG_BINGET"}:
            if _key(argument) not in self.memo:
                raise DamagedError("the pickle recalls what it did not remember")
            self.stack.append(self.memo[_key(argument)])
        elif code in _ACTIONS:
            _ACTIONS[code](self, argument)
        elif code not in {"PROTO", "FRAME"}:
            raise DamagedError(f"the pickle has the opcode {code} at byte {place}")

    def pop(self) -> object:
        if not self.stack:
            raise DamagedError("the pickle takes more than it has")
        return self.stack.pop()

    def taken(self, count: int) -> list[object]:
        """So many values from the stack, the lowest first."""
        return [self.pop() for _ in range(count)][::-1]

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

    def name(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise DamagedError("the pickle has a global whose name is no text")
        found = Name(module, name)
        self.names.append(found)
        self.stack.append(found)

    def put(self, pairs: list[object]) -> None:
        """Set items of the mapping below."""
        target = self.top()
        if isinstance(target, Made):
            target = target.items
        if isinstance(target, dict):
            for key, value in zip(pairs[::2], pairs[1::2], strict=False):
                # To hash anything else may take for ever; its value counts all the same.
                target[key if isinstance(key, str) else object()] = value

    def extend(self, items: list[object]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(items)

    def make(self) -> None:
        arguments = self.pop()
        self.stack.append(Made(self.pop(), arguments))

    def build(self) -> None:
        state = self.pop()
        target = self.top()
        if isinstance(target, Made):
            target.state = state


def _bounded(value: object) -> object:
    if isinstance(value, str | bytes) and len(value) > _MAX_TEXT_LENGTH:
        raise DamagedError(f"the pickle has a text of {len(value)} bytes")
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise DamagedError("the pickle has an absurdly long number")
    return value


def _key(argument: object) -> int:
    if isinstance(argument, int) and 0 <= argument < _MAX_MEMO:
        return argument
    raise DamagedError(f"the pickle remembers a value under {argument!r:.20}")


def _global(machine: _Machine, argument: object) -> None:
    # The two lines arrive joined by a blank, which no name holds.
    module, _, name = str(argument).rpartition(" ")
    machine.name(module, name)


def _dictionary(machine: _Machine, _: object) -> None:
    pairs = machine.group()
    machine.stack.append({})
    machine.put(pairs)


def _make_with_keywords(machine: _Machine, _: object) -> None:
    machine.pop()
    machine.make()


_ACTIONS: Final[Mapping[str, Callable[[_Machine, object], object]]] = {
    "POP": lambda m, _: m.pop(),
    "POP_MARK": lambda m, _: m.group(),
    "DUP": lambda m, _: m.stack.append(m.top()),
    "LIST": lambda m, _: m.stack.append(m.group()),
    "FROZENSET": lambda m, _: m.stack.append(m.group()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.group())),
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.group()),
    "ADDITEMS": lambda m, _: m.extend(m.group()),
    "DICT": _dictionary,
    "SETITEM": lambda m, _: m.put(m.taken(2)),
    "SETITEMS": lambda m, _: m.put(m.group()),
    "GLOBAL": _global,
    "STACK_GLOBAL": lambda m, _: m.name(*m.taken(2)),
    "REDUCE": lambda m, _: m.make(),
    "NEWOBJ": lambda m, _: m.make(),
    "NEWOBJ_EX": _make_with_keywords,
    "BUILD": lambda m, _: m.build(),
    "PERSID": lambda m, argument: m.stack.append(Persistent(argument)),
    "BINPERSID": lambda m, _: m.stack.append(Persistent(m.pop())),
}


def read_pickle(data: bytes) -> Pickle:
    """What a pickle describes.

    Raises:
        DamagedError: TG102, it is cut off, holds an unknown opcode, or is made to exhaust readers.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            # A doubtful escape in a hostile name is nothing to tell of.
            warnings.simplefilter("ignore")
            for count, (opcode, argument, place) in enumerate(pickletools.genops(data)):
                if opcode.name == "STOP":
                    return Pickle(machine.pop(), machine.names)
                if count > _MAX_STEPS:
                    raise DamagedError(f"the pickle has more than {_MAX_STEPS} steps")
                machine.step(opcode.name, argument, place or 0)
    except (RecursionError, OverflowError, ValueError) as error:
        raise DamagedError(f"the pickle cannot be followed: {error}") from error
    raise DamagedError("the pickle is cut off")
