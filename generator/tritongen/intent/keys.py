"""The keys of `tritongen.yaml`, as the fields of the intent declare them, and their JSON schema."""

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache

from tritongen.intent.value_shapes import (
    AnyMapping,
    Flag,
    KnownKeys,
    ListOf,
    MapOf,
    Number,
    OneOf,
    ShapedKey,
    Text,
    ValueShape,
    Words,
)
from tritongen.model.intent import Intent
from tritongen.model.intent_key import Key


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
def known_keys(owner: type, bare: str = "") -> KnownKeys:
    """The keys that a dataclass is read from; see `KnownKeys` for `bare`."""
    keys: dict[str, ShapedKey] = {}
    groups = {"": keys}
    for item in key_fields(owner):
        group = item.key.group
        if group.name not in groups:
            groups[group.name] = {}
            inner = KnownKeys(groups[group.name], group.bare)
            keys[group.name] = ShapedKey(inner, group.meaning)
        if item.key_name:
            shaped = ShapedKey(_shape(item.kind, item.key), item.key.meaning)
            groups[group.name][item.key_name] = shaped
        else:
            groups[group.name].update(known_keys(item.kind).keys)
    return KnownKeys(keys, bare)


def _shape(kind: typing.Any, key: Key) -> ValueShape:  # noqa: ANN401  (any hint)
    """What a value must look like to become one of this type."""
    if key.members and key.text is not None:
        members = {
            str(name): ShapedKey(Text(key.text), meaning) for name, meaning in key.members.items()
        }
        return KnownKeys(members, key.bare)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if inner[1] is object:
            return AnyMapping()
        names = MapOf(_shape(inner[1], key), key.names)
        return OneOf(Words(_values(key.word)), names) if key.word is not None else names
    if origin is tuple and inner[-1] is Ellipsis:
        return ListOf(_shape(inner[0], key), key.min_items)
    if is_dataclass(kind):
        return known_keys(typing.cast("type", kind), key.bare)
    if key.text is not None:
        return Text(key.text)
    if kind is bool:
        return Flag()
    if kind in {int, float}:
        return Number(key.minimum, key.maximum, key.above, whole=kind is int)
    return Words(key.options or _values(kind))


def _values(kind: type[Enum]) -> tuple[str, ...]:
    return tuple(member.value for member in kind)


def json_schema() -> dict[str, object]:
    """The JSON schema (draft 2020-12) of `tritongen.yaml`, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tritongen.yaml",
        **known_keys(Intent).schema(),
    }
