"""From the text of `tritongen.yaml` to an `Intent`, and the JSON schema of its keys."""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError, describe_error
from tritongen.intent import value_shapes as shapes
from tritongen.intent.contradictions import derived_fields
from tritongen.intent.yaml_tree import MAX_BYTES, parse
from tritongen.model.intent import Intent
from tritongen.model.intent_key import Key
from tritongen.system.paths import read_head

INTENT_FILE = "tritongen.yaml"


@dataclass(frozen=True, slots=True)
class KeyField:
    """A field of the intent that is read from the file.

    Attributes:
        name: of the field.
        kind: its type, without None.
        key: how it is written.
        key_name: empty for a dataclass that has no key of its own.
        required: it has no default.
    """

    name: str
    kind: typing.Any
    key: Key
    key_name: str
    required: bool


@cache
def key_fields(owner: type) -> tuple[KeyField, ...]:
    """The fields of a dataclass that are read from the file, in the order of its keys."""
    hints = typing.get_type_hints(owner)
    found = []
    for item in fields(owner):
        if Key in item.metadata:
            key: Key = item.metadata[Key]
            name = (key.name or item.name) if key.meaning else ""
            required = item.default is MISSING and item.default_factory is MISSING
            kind = _without_none(hints[item.name])
            found.append(KeyField(item.name, kind, key, name, required))
    return tuple(found)


def _without_none(hint: object) -> object:
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        return next(one for one in typing.get_args(hint) if one is not types.NoneType)
    return hint


@cache
def known_keys(owner: type, bare: str = "") -> shapes.KnownKeys:
    """The keys that a dataclass is read from; see `KnownKeys` for `bare`."""
    keys: dict[str, shapes.ShapedKey] = {}
    groups = {"": keys}
    for item in key_fields(owner):
        group = item.key.group
        if group.name not in groups:
            groups[group.name] = {}
            inner = shapes.KnownKeys(groups[group.name], group.bare)
            keys[group.name] = shapes.ShapedKey(inner, group.meaning)
        if item.key_name:
            shaped = shapes.ShapedKey(_shape(item.kind, item.key), item.key.meaning)
            groups[group.name][item.key_name] = shaped
        else:
            groups[group.name].update(known_keys(item.kind).keys)
    return shapes.KnownKeys(keys, bare)


def _shape(kind: typing.Any, key: Key) -> shapes.ValueShape:  # noqa: ANN401  (any hint)
    """What a value must look like to become one of this type."""
    if key.members and key.text is not None:
        members = {
            str(name): shapes.ShapedKey(shapes.Text(key.text), meaning)
            for name, meaning in key.members.items()
        }
        return shapes.KnownKeys(members, key.bare)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if inner[1] is object:
            return shapes.AnyMapping()
        names = shapes.MapOf(_shape(inner[1], key), key.names)
        if key.or_text:
            return shapes.OneOf(names.item, names)
        return (
            shapes.OneOf(shapes.Words(_values(key.word)), names) if key.word is not None else names
        )
    if origin is tuple and inner[-1] is Ellipsis:
        return shapes.ListOf(_shape(inner[0], key), key.min_items)
    if is_dataclass(kind):
        return known_keys(typing.cast("type", kind), key.bare)
    if key.text is not None:
        return shapes.Text(key.text)
    if kind is bool:
        return shapes.Flag()
    if kind in {int, float}:
        return shapes.Number(key.minimum, key.maximum, key.above, whole=kind is int)
    return shapes.Words(key.options or _values(kind))


def _values(kind: type[Enum]) -> tuple[str, ...]:
    return tuple(member.value for member in kind)


def json_schema() -> dict[str, object]:
    """The JSON schema (draft 2020-12) of `tritongen.yaml`, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tritongen.yaml",
        **known_keys(Intent).schema(),
    }


@dataclass(frozen=True, slots=True)
class IntentDocument:
    """An intent with what is needed to report further faults of its text.

    Attributes:
        intent: the checked content; defaults where the file is silent.
        path: the file, empty when there is none.
        faults: everything wrong so far; the caller adds its own and raises once.
        lines: 1-based line of each value, by dotted path.
    """

    intent: Intent
    path: str = ""
    faults: tuple[shapes.Fault, ...] = ()
    lines: Mapping[str, int] | None = None

    def line_of(self, path: str) -> int:
        """1-based line of a value or of its nearest known parent, 0 when there is none."""
        return shapes.FaultList(self.lines or {}).line_of(path)

    def fault(self, path: str, message: str, code: str = "TG304") -> shapes.Fault:
        """A fault at the line of `path`."""
        return shapes.Fault(path, message, self.line_of(path), code)


def read_intent(path: Path) -> IntentDocument:
    """Read a `tritongen.yaml`; the defaults when the file does not exist.

    Raises:
        InvalidInputError: TG003 unreadable, TG301 not UTF-8 or not YAML, TG302 too large. Other
            faults are collected in the result.
    """
    try:
        data = read_head(path, MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidInputError(
                "TG302", f"the file is larger than {MAX_BYTES:,} bytes", where=str(path)
            )
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        return IntentDocument(Intent())
    except OSError as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG003", what, where=str(path)) from problem
    except UnicodeDecodeError as problem:
        raise InvalidInputError(
            "TG301",
            f"not UTF-8 text: byte {problem.start} is {data[problem.start]:#04x}",
            where=str(path),
            fix="Save it as UTF-8 text.",
        ) from problem
    return parse_intent(text, str(path))


def parse_intent(text: str, where: str) -> IntentDocument:
    """Check a document's text; faults are collected in the result.

    Raises:
        InvalidInputError: TG301 not YAML, TG302 beyond the bounds.
    """
    document = parse(text, where)
    faults = shapes.FaultList(document.lines)
    for path, line in document.duplicates:
        faults.items.append(shapes.Fault(path, "the key occurs twice", line))
    values = known_keys(Intent).parse(document.value, "", faults)
    intent = _built(Intent, values, "", faults)
    return IntentDocument(intent, where, tuple(faults.items), document.lines)


def _built(
    owner: Any,  # noqa: ANN401  (any dataclass of the intent)
    values: Mapping[str, Any],
    path: str,
    faults: shapes.FaultList,
    **given: object,
) -> Any:  # noqa: ANN401  (an instance of `owner`)
    """The dataclass of values that have the right shape; None where one is missing that it needs.

    A value that is not there, or was faulty, leaves its field at the default.
    """
    given |= derived_fields(owner, values, path, faults)
    for item in key_fields(owner):
        if item.name in given:
            continue
        group = item.key.group.name
        inner = (values.get(group) or {}) if group else values
        stated = inner.get(item.key_name) if item.key_name else inner
        if stated is None and not item.required:
            continue
        place = ".".join(part for part in (path, group, item.key_name) if part)
        value = _typed(item.kind, stated, place, faults)
        if value is not None:
            given[item.name] = value
        elif item.required and place not in {fault.path for fault in faults.items}:
            faults.add(place, "is missing")
    needed = {item.name for item in key_fields(owner) if item.required}
    return owner(**given) if needed <= given.keys() else None


def _typed(kind: Any, value: Any, path: str, faults: shapes.FaultList) -> object:  # noqa: ANN401  (any hint)
    """A value as the type of its field."""
    inner = typing.get_args(kind)
    if isinstance(value, str) and inner == (str, str):
        return {"": value}
    if value is None or inner[1:] == (object,):
        return value
    if isinstance(value, dict) and inner:
        entries = {
            inner[0](name): _entry(inner[1], name, entry, f"{path}.{name}", faults)
            for name, entry in value.items()
        }
        return {name: entry for name, entry in entries.items() if entry is not None}
    if isinstance(value, tuple) and is_dataclass(inner[0]):
        steps = [
            _built(inner[0], entry, f"{path}[{index}]", faults) for index, entry in enumerate(value)
        ]
        return tuple(step for step in steps if step is not None)
    if is_dataclass(kind):
        return _built(kind, value, path, faults) if value else None
    return kind(value) if isinstance(kind, type) and issubclass(kind, Enum) else value


def _entry(kind: Any, name: str, value: Any, path: str, faults: shapes.FaultList) -> object:  # noqa: ANN401  (as `_typed`)
    """A value of a mapping from names; a dataclass that has a name takes it from there."""
    if not is_dataclass(kind):
        return _typed(kind, value, path, faults)
    named = {"name": name} if "name" in {item.name for item in fields(kind)} else {}
    return _built(kind, value, path, faults, **named)
