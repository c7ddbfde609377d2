"""What a value must look like: each shape parses a plain value and describes itself as JSON schema.

Parsing never raises for a wrong value: it records a `Fault` and returns None, so that all faults
of a document are reported together.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tritongen.errors import InvalidInputError
from tritongen.intent.yaml_tree import Plain
from tritongen.model.intent_key import TextForm


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a document.

    Attributes:
        path: dotted path of the value, such as ``models.ocr.rate.peak``; empty for the whole.
        message: what must hold.
        line: 1-based, 0 when unknown.
        code: finding code.
    """

    path: str
    message: str
    line: int = 0
    code: str = "TG304"

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.path or 'document'}: {self.message}"


def raise_faults(faults: Sequence[Fault], where: str) -> None:
    """Raise one error that lists every fault; do nothing when there are none.

    Raises:
        InvalidInputError: with the first fault's code and one detail line a fault.
    """
    if not faults:
        return
    ordered = sorted(faults, key=lambda fault: (fault.line, fault.path))
    count = "one fault" if len(ordered) == 1 else f"{len(ordered)} faults"
    raise InvalidInputError(
        ordered[0].code,
        f"{count} in the file",
        where=where,
        details=[f"{fault} [{fault.code}]" for fault in ordered],
    )


class FaultList:
    """Collects faults with the line of their path."""

    def __init__(self, lines: Mapping[str, int]) -> None:
        self.lines = lines
        self.items: list[Fault] = []

    def add(self, path: str, message: str, code: str = "TG304") -> None:
        """Record one fault; the line is that of the path or of its nearest parent."""
        self.items.append(Fault(path, message, self.line_of(path), code))

    def line_of(self, path: str) -> int:
        """1-based line of the path or of its nearest known parent, 0 when there is none."""
        probe = path
        while probe:
            if probe in self.lines:
                return self.lines[probe]
            probe = probe[: max(probe.rfind("."), probe.rfind("["), 0)]
        return self.lines.get("", 0)


class ValueShape(Protocol):
    """A shape of values."""

    def parse(self, value: Plain, path: str, faults: FaultList) -> object:
        """The checked value, None after recording a fault."""

    def schema(self) -> dict[str, object]:
        """The JSON schema of accepted values."""


# YAML 1.1 wants a point and a sign: `1e9` is text to it.
_SCIENTIFIC = re.compile(r"[+-]?[0-9.]+[eE][+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number, or a whole number when `whole` is set."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    whole: bool = False

    def parse(self, value: Plain, path: str, faults: FaultList) -> float | int | None:
        """The number, within its bounds."""
        kind = "a whole number" if self.whole else "a number"
        if isinstance(value, bool) or not isinstance(value, int | float):
            hint = ""
            if isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
                hint = "; YAML reads it as text: write it with its zeros, or as 1.0e+9"
            faults.add(path, f"must be {kind}, got {_show(value)}{hint}")
            return None
        if not math.isfinite(value) or (self.whole and value != int(value)):
            faults.add(path, f"must be {kind}, got {_show(value)}")
            return None
        if self.minimum is not None and value < self.minimum:
            faults.add(path, f"must be at least {self.minimum:g}, got {value:g}")
            return None
        if self.above is not None and value <= self.above:
            faults.add(path, f"must be above {self.above:g}, got {value:g}")
            return None
        if self.maximum is not None and value > self.maximum:
            faults.add(path, f"must be at most {self.maximum:g}, got {value:g}")
            return None
        return int(value) if self.whole else value

    def schema(self) -> dict[str, object]:
        """A number with its bounds."""
        result: dict[str, object] = {"type": "integer" if self.whole else "number"}
        bounds = {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "exclusiveMinimum": self.above,
        }
        return result | {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def parse(self, value: Plain, path: str, faults: FaultList) -> bool | None:
        """The boolean."""
        if not isinstance(value, bool):
            faults.add(path, f"must be true or false, got {_show(value)}")
            return None
        return value

    def schema(self) -> dict[str, object]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a form."""

    form: TextForm

    def parse(self, value: Plain, path: str, faults: FaultList) -> object:
        """The text, or what it stands for."""
        form, result = self.form, None
        if form.decimals is not None and isinstance(value, float):
            value = f"{value:.{form.decimals}f}"
        if isinstance(value, str) and re.fullmatch(form.pattern, value, re.DOTALL):
            try:
                result = form.read(value) if form.read is not None else value
            except ValueError as problem:
                faults.add(path, str(problem))
                return None
        if result is None:
            faults.add(path, f"must be {form.expected}, got {_show(value)}")
        return result

    def schema(self) -> dict[str, object]:
        """A string, or also a number where that is accepted."""
        kinds = "string" if self.form.decimals is None else ["string", "number"]
        return {"type": kinds, "description": f"must be {self.form.expected}"}


@dataclass(frozen=True, slots=True)
class Words:
    """One of several texts."""

    options: tuple[str, ...]

    def parse(self, value: Plain, path: str, faults: FaultList) -> str | None:
        """The text chosen."""
        if not isinstance(value, str) or value not in self.options:
            faults.add(path, f"must be one of {', '.join(self.options)}, got {_show(value)}")
            return None
        return value

    def schema(self) -> dict[str, object]:
        """An enumeration."""
        return {"enum": list(self.options)}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of one shape."""

    item: ValueShape
    min_items: int = 0

    def parse(self, value: Plain, path: str, faults: FaultList) -> tuple[object, ...] | None:
        """A tuple of the items, None when any is wrong."""
        if not isinstance(value, list):
            faults.add(path, f"must be a list, got {_show(value)}")
            return None
        if len(value) < self.min_items:
            faults.add(path, f"must have at least {self.min_items} items")
            return None
        before = len(faults.items)
        items = tuple(
            self.item.parse(item, f"{path}[{index}]", faults) for index, item in enumerate(value)
        )
        return items if len(faults.items) == before else None

    def schema(self) -> dict[str, object]:
        """An array."""
        return {"type": "array", "items": self.item.schema(), "minItems": self.min_items}


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping from free keys to one shape."""

    item: ValueShape
    names: TextForm

    def parse(self, value: Plain, path: str, faults: FaultList) -> dict[str, object]:
        """The mapping of the right items; wrong ones are left out and recorded."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            faults.add(path, f"must be a mapping, got {_show(value)}")
            return {}
        result: dict[str, object] = {}
        for key, item in value.items():
            inner = f"{path}.{key}"
            if not re.fullmatch(self.names.pattern, key):
                faults.add(inner, f"must be {self.names.expected}, got {_show(key)}")
                continue
            result[key] = self.item.parse(item, inner, faults)
        return result

    def schema(self) -> dict[str, object]:
        """An object with free keys."""
        return {"type": ["object", "null"], "additionalProperties": self.item.schema()}


@dataclass(frozen=True, slots=True)
class OneOf:
    """A text of one shape, or anything else of another."""

    text: ValueShape
    other: ValueShape

    def parse(self, value: Plain, path: str, faults: FaultList) -> object:
        """What the shape for this kind of value makes of it."""
        shape = self.text if isinstance(value, str) else self.other
        return shape.parse(value, path, faults)

    def schema(self) -> dict[str, object]:
        """Either schema."""
        return {"anyOf": [self.text.schema(), self.other.schema()]}


@dataclass(frozen=True, slots=True)
class AnyMapping:
    """Any mapping; its content is checked elsewhere."""

    def parse(self, value: Plain, path: str, faults: FaultList) -> Plain:
        """The mapping as it is."""
        if value is not None and not isinstance(value, dict):
            faults.add(path, f"must be a mapping, got {_show(value)}")
            return None
        return value

    def schema(self) -> dict[str, object]:
        """Any object."""
        return {"type": ["object", "null"]}


@dataclass(frozen=True, slots=True)
class ShapedKey:
    """A key that is known: the shape of its values and what it means."""

    shape: ValueShape
    meaning: str


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """A mapping with known keys; a value that is no mapping is one for the key `bare`."""

    keys: Mapping[str, ShapedKey]
    bare: str = ""

    def parse(self, value: Plain, path: str, faults: FaultList) -> dict[str, object]:
        """The values of the keys present; unknown keys are faults with the nearest known one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            if self.bare:
                return {self.bare: self.keys[self.bare].shape.parse(value, path, faults)}
            faults.add(path, f"must be a mapping, got {_show(value)}")
            return {}
        result: dict[str, object] = {}
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            known = self.keys.get(key)
            if known is None:
                faults.add(inner, _unknown(key, self.keys), "TG303")
                continue
            result[key] = known.shape.parse(item, inner, faults)
        return result

    def schema(self) -> dict[str, object]:
        """An object with known keys, or the bare value's schema."""
        properties = {
            name: known.shape.schema() | {"description": known.meaning}
            for name, known in self.keys.items()
        }
        mapping: dict[str, object] = {
            "type": ["object", "null"],
            "properties": properties,
            "additionalProperties": False,
        }
        if not self.bare:
            return mapping
        return {"anyOf": [self.keys[self.bare].shape.schema(), mapping]}


def _unknown(key: str, known: Mapping[str, ShapedKey]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key, known, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else f"; known keys: {', '.join(known)}"
    return f"unknown key{hint}"


def _show(value: Plain) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
