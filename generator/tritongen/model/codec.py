"""Frozen dataclasses ↔ plain JSON values, by their type hints.

Supported hints: dataclasses, enums, `str`, `int`, `float`, `bool`, `None` unions, `tuple[T, ...]`,
`tuple[A, B]` and `Mapping[str, T]`. Fields that equal their default are left out when encoding, so
that a committed file shows only what was decided. JSON has no word for a number that is not finite:
it is written as null, and read again only where `None` is allowed.
"""

import io
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def shallow(value: object) -> dict[str, Any]:
    """One level of a dataclass or a mapping; whoever writes JSON asks for the levels below.

    Raises:
        TypeError: it is neither.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: finite(getattr(value, item.name))
            for item in fields(value)
            if not _is_default(item, getattr(value, item.name))
        }
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no JSON value")


def finite(value: object) -> object:
    """The value with null for each number that is not finite, in lists and mappings, too."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple | list):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value


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


def encode(value: object) -> Any:  # noqa: ANN401  (a JSON value)
    """The JSON value of a dataclass or of anything that it may hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: encode(item) for name, item in shallow(value).items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return finite(value)


def decode(kind: type[T], value: object, path: str = "") -> T:
    """The dataclass of a JSON value.

    Raises:
        ValueError: the value does not fit; the message names the path and what was expected.
    """
    result: T = _decode(kind, value, path)
    return result


def decode_text(kind: type[T], text: str, what: str, version: int) -> T:
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


def _is_default(item: "Field[object]", value: object) -> bool:
    if item.default is not MISSING:
        return bool(value == item.default)
    if item.default_factory is not MISSING:
        return bool(value == item.default_factory())
    return False


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(hint: Any, value: object, path: str) -> Any:  # noqa: ANN401  (any hint, any value)
    origin = typing.get_origin(hint)
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
    hints, known = _hints(hint), {item.name: item for item in fields(hint)}
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise ValueError(f"{path or 'document'}: unknown key {unknown[0]}")
    arguments = {
        name: _decode(hints[name], value[name], f"{path}.{name}" if path else name)
        for name in known
        if name in value
    }
    missing = [
        name
        for name, item in known.items()
        if name not in arguments and item.default is MISSING and item.default_factory is MISSING
    ]
    if missing:
        raise ValueError(f"{path or 'document'}: {missing[0]} is missing")
    return hint(**arguments)


def _wrong(path: str, expected: str, value: object) -> ValueError:
    text = repr(value)
    return ValueError(f"{path or 'document'}: expected {expected}, got {text[:60]}")
