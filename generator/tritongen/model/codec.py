"""Frozen dataclasses ↔ plain JSON values, by their fields.

Supported hints: dataclasses, enums, `str`, `int`, `float`, `bool`, `None` unions, `tuple[T, ...]`,
`tuple[A, B]` and `Mapping[str, T]`. Where JSON differs from a field, its hint says so:

- `Annotated[T, JsonKey("name")]`: it has another name.
- `Annotated[float, Digits(3)]`: it is rounded to decimal places when it is written.

JSON has no word for a number that is not finite: it is written as null, and read again only where
`None` is allowed.

Fields that equal their default are left out of what is stored, so that a committed file shows only
what was decided; a `whole` document has every field.
"""

import io
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Annotated, Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JsonKey:
    """The name of a field in JSON."""

    name: str


@dataclass(frozen=True, slots=True)
class Digits:
    """Decimal places that a field is rounded to when it is written."""

    places: int


@dataclass(frozen=True, slots=True)
class _Member:
    """A field of a dataclass with what its hint says of its JSON."""

    field: "Field[object]"
    key: str
    digits: int | None

    @property
    def required(self) -> bool:
        return self.field.default is MISSING and self.field.default_factory is MISSING

    def is_default(self, value: object) -> bool:
        if self.field.default_factory is not MISSING:
            return bool(value == self.field.default_factory())
        return not self.required and bool(value == self.field.default)

    def written(self, value: object) -> object:
        if self.digits is not None and isinstance(value, float) and math.isfinite(value):
            return round(value, self.digits)
        return finite(value)


@cache
def _members(kind: type) -> Mapping[str, _Member]:
    """The fields of a dataclass by their names."""
    return {item.name: _member(item) for item in fields(kind)}


def _member(item: "Field[object]") -> _Member:
    marks = {type(mark): mark for mark in getattr(item.type, "__metadata__", ())}
    key = marks[JsonKey].name if JsonKey in marks else item.name
    return _Member(item, key, marks[Digits].places if Digits in marks else None)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def shallow(value: object, *, whole: bool = False) -> dict[str, Any]:
    """One level of a dataclass or a mapping; whoever writes JSON asks for the levels below.

    Raises:
        TypeError: it is neither.
    """
    if is_dataclass(value) and not isinstance(value, type):
        members = _members(type(value))
        return {
            member.key: member.written(getattr(value, name))
            for name, member in members.items()
            if whole or not member.is_default(getattr(value, name))
        }
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no JSON value")


def view(value: object, *names: str) -> dict[str, Any]:
    """Some fields and properties of a dataclass, in that order, as its hints have them written."""
    kind: type = type(value)
    members = _members(kind)
    found: dict[str, Any] = {}
    for name in names:
        item, member = getattr(value, name), members.get(name)
        found[member.key if member else name] = member.written(item) if member else item
    return found


def finite(value: object) -> object:
    """The value with null for each number that is not finite, in lists and mappings, too."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple | list):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value


def significant(value: float | None) -> float | None:
    """The number to six significant digits; None where there is none, or none that is finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def text_of(value: object, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """The JSON text of anything that `encode` takes, keys sorted.

    Piece by piece: as one document of plain values, thousands of models take ten times as much.
    """
    writer = json.JSONEncoder(
        indent=indent,
        sort_keys=True,
        ensure_ascii=ascii_only,
        default=shallow,
        allow_nan=False,
    )
    text = io.StringIO()
    text.writelines(writer.iterencode(finite(value)))
    return text.getvalue()


def encode(value: object, *, whole: bool = False) -> Any:  # noqa: ANN401  (a JSON value)
    """The JSON value of a dataclass or of anything that it may hold.

    Args:
        value: a dataclass, a mapping, a sequence or a plain value.
        whole: with the fields that equal their default.
    """
    if isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
        levels = shallow(value, whole=whole).items()
        return {key: encode(item, whole=whole) for key, item in levels}
    if isinstance(value, tuple | list):
        return [encode(item, whole=whole) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, PurePath) else finite(value)


def decode(kind: type[T], value: object, path: str = "") -> T:
    """The dataclass of a JSON value.

    Raises:
        ValueError: the value does not fit; the message names the path and what was expected.
    """
    try:
        result: T = _decode(kind, value, path)
    except (OverflowError, RecursionError) as problem:  # a number beyond a float, or depth
        raise ValueError(f"{path or 'document'}: {problem}") from problem
    return result


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401  (any JSON value)
    """The value of a JSON text.

    Raises:
        ValueError: it is none, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decode_text(kind: type[T], text: str | bytes, what: str, version: int) -> T:
    """The dataclass of a JSON document that says its ``schema_version``.

    Args:
        kind: the dataclass.
        text: of the document.
        what: it is called in messages.
        version: the only one that is read.

    Raises:
        ValueError: it is not JSON, of another version, or does not fit.
    """
    try:
        document = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"not JSON: {problem}") from problem
    if not isinstance(document, dict) or document.pop("schema_version", None) != version:
        raise ValueError(f"not a {what} of schema version {version}")
    return decode(kind, document)


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _decode(hint: Any, value: object, path: str) -> Any:  # noqa: ANN401  (any hint, any value)
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _decode(typing.get_args(hint)[0], value, path)
    if origin in {types.UnionType, typing.Union}:
        return _union(hint, value, path)
    if origin is tuple:
        return _tuple(hint, value, path)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = typing.get_args(hint)[1]
        if not isinstance(value, dict):
            raise _wrong(path, "a mapping", value)
        return {str(key): _decode(inner, item, f"{path}.{key}") for key, item in value.items()}
    if is_dataclass(hint):
        return _dataclass(hint, value, path)
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            raise _wrong(path, f"one of {[member.value for member in hint]}", value) from None
    return _scalar(hint, value, path)


def _scalar(hint: Any, value: object, path: str) -> object:  # noqa: ANN401  (any hint)
    if hint in {Any, object}:
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (isinstance(value, bool) and hint is not bool):
        return value
    raise _wrong(path, getattr(hint, "__name__", str(hint)), value)


def _union(hint: Any, value: object, path: str) -> object:  # noqa: ANN401  (a union hint)
    options = typing.get_args(hint)
    if value is None and type(None) in options:
        return None
    for option in options:
        if option is type(None):
            continue
        try:
            return _decode(option, value, path)
        except ValueError:
            continue
    raise _wrong(path, str(hint), value)


def _tuple(hint: Any, value: object, path: str) -> tuple[object, ...]:  # noqa: ANN401  (a tuple hint)
    inner = typing.get_args(hint)
    if not isinstance(value, list):
        raise _wrong(path, "a list", value)
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(_decode(inner[0], item, f"{path}[{n}]") for n, item in enumerate(value))
    if len(inner) != len(value):
        raise _wrong(path, f"{len(inner)} items", value)
    return tuple(
        _decode(kind, item, f"{path}[{n}]")
        for n, (kind, item) in enumerate(zip(inner, value, strict=True))
    )


def _dataclass(hint: Any, value: object, path: str) -> object:  # noqa: ANN401  (a dataclass)
    if not isinstance(value, dict):
        raise _wrong(path, "a mapping", value)
    members, hints = _members(hint), _hints(hint)
    unknown = sorted(set(value) - {member.key for member in members.values()})
    if unknown:
        raise ValueError(f"{path or 'document'}: unknown key {unknown[0]}")
    arguments = {}
    for name, member in members.items():
        if member.key in value:
            place = f"{path}.{member.key}" if path else member.key
            arguments[name] = _decode(hints[name], value[member.key], place)
        elif member.required:
            raise ValueError(f"{path or 'document'}: {member.key} is missing")
    return hint(**arguments)


def _wrong(path: str, expected: str, value: object) -> ValueError:
    text = repr(value)
    return ValueError(f"{path or 'document'}: expected {expected}, got {text[:60]}")
