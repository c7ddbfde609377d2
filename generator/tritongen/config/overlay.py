"""The user's overlay: any field of `ModelConfig`, merged over the generated message.

Messages merge field by field and maps key by key; a list replaces the generated one as a whole;
null removes what was generated. `parameters` takes plain texts: ``KEY: "value"``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from tritongen.config.config_message import ConfigMessage
from tritongen.config.pbtxt.parsed_config import map_path
from tritongen.config.protobuf import new_model_config
from tritongen.model.serving_plan import Reason, Source

# Fields without which there is no configuration.
_REQUIRED = frozenset({"backend"})
_OVERLAID = Reason(Source.INTENT, "set by the overlay in tritongen.yaml")


@dataclass(frozen=True, slots=True)
class OverlayFault:
    """What is wrong with one field of an overlay; `path` is relative to the overlay."""

    path: str
    message: str


def overlay_faults(overlay: Mapping[str, object]) -> tuple[OverlayFault, ...]:
    """Check an overlay against the schema of `ModelConfig`, every field by itself."""
    from google.protobuf.json_format import ParseDict, ParseError

    faults: list[OverlayFault] = []
    schema = new_model_config().DESCRIPTOR
    for name, value in overlay.items():
        unknown = tuple(_unknown_fields(schema, {name: _plain(name, value)}, ""))
        faults.extend(unknown)
        if unknown or value is None:
            if name in _REQUIRED:
                faults.append(OverlayFault(name, "cannot be removed"))
            continue
        try:
            ParseDict({name: _plain(name, _without_nulls(value))}, new_model_config())
        except (ParseError, TypeError, ValueError) as problem:
            faults.append(OverlayFault(name, " ".join(str(problem).split()).rstrip(".")))
    if "name" in overlay:
        faults.append(OverlayFault("name", "is the model's folder; rename that instead"))
    return tuple(faults)


def _unknown_fields(
    schema: Any,  # noqa: ANN401  (a message descriptor)
    value: Mapping[str, object],
    path: str,
) -> Iterator[OverlayFault]:
    """Fields that the schema does not have, with the nearest one that it has."""
    fields = schema.fields_by_name
    for name, item in value.items():
        place = f"{path}.{name}" if path else name
        if name not in fields:
            near = get_close_matches(name, fields, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else f"; it has {', '.join(fields)}"
            yield OverlayFault(place, f"{schema.name} has no such field{hint}")
            continue
        described = fields[name]
        if described.message_type is None:
            continue
        items = item if isinstance(item, list) else [item]
        for inner in items:
            if not isinstance(inner, Mapping):
                continue
            if not _is_map(described):
                yield from _unknown_fields(described.message_type, inner, place)
                continue
            kind = described.message_type.fields_by_name["value"].message_type
            for key, entry in inner.items():
                if kind is not None and isinstance(entry, Mapping):
                    yield from _unknown_fields(kind, entry, f"{place}.{key}")


def apply_overlay(
    config: ConfigMessage, overlay: Mapping[str, object], reason: Reason = _OVERLAID
) -> ConfigMessage:
    """The configuration with the overlay merged in; the overlay must be free of faults.

    Args:
        config: left as it is.
        overlay: fields by name.
        reason: stands beside every field that it sets.
    """
    if not overlay:
        return config
    from google.protobuf.json_format import ParseDict

    message = new_model_config()
    message.CopyFrom(config.message)
    reasons, remarks = dict(config.reasons), dict(config.remarks)
    for name, value in overlay.items():
        plain = _plain(name, value)
        if not isinstance(plain, Mapping) or _is_list(message, name):
            message.ClearField(name)
            _forget(reasons, name)
            if value is None:
                remarks[name] = Reason(Source.INTENT, "removed by the overlay in tritongen.yaml")
                continue
            ParseDict({name: plain}, message)
            reasons[_first(message, name)] = reason
        else:
            _clear_rivals(message, name, reasons)
            _merge(message, name, plain, name, (reasons, reason))
        remarks.pop(name, None)
    return ConfigMessage(message, reasons, remarks)


def _is_list(message: Any, name: str) -> bool:  # noqa: ANN401  (a message of any type)
    described = message.DESCRIPTOR.fields_by_name[name]
    return bool(described.is_repeated) and not _is_map(described)


def _is_map(described: Any) -> bool:  # noqa: ANN401  (a field descriptor)
    kind = described.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)


def _map_key(described: Any, text: str) -> str | int:  # noqa: ANN401  (a field descriptor)
    """The key of a map as its message has it; a mapping of YAML has texts."""
    key = described.message_type.fields_by_name["key"]
    return text if key.type == key.TYPE_STRING else int(text)


def _merge(
    message: Any,  # noqa: ANN401  (a message of any type)
    name: str,
    value: Mapping[str, object],
    path: str,
    notes: tuple[dict[str, Reason], Reason],
) -> None:
    """Merge a mapping into the message or map field `name`; `notes` are all reasons and its own."""
    from google.protobuf.json_format import ParseDict

    reasons, reason = notes
    described = message.DESCRIPTOR.fields_by_name[name]
    if _is_map(described):
        target = getattr(message, name)
        for text, item in value.items():
            key = _map_key(described, text)
            if key in target:
                del target[key]
            if item is not None:
                # Into a message of its own: ParseDict empties a map before it fills it.
                entry = type(message)()
                ParseDict({name: {text: item}}, entry)
                message.MergeFrom(entry)
            place = map_path(path, key)
            _forget(reasons, place)
            reasons[place] = reason
        return
    inner = getattr(message, name)
    inner.SetInParent()
    for key, item in value.items():
        below = f"{path}.{key}"
        if isinstance(item, Mapping) and not _is_list(inner, key):
            _clear_rivals(inner, key, reasons)
            _merge(inner, key, item, below, notes)
            continue
        inner.ClearField(key)
        _forget(reasons, below)
        if item is not None:
            ParseDict({key: item}, inner)
            reasons[below] = reason


def _clear_rivals(
    message: Any,  # noqa: ANN401  (a message of any type)
    name: str,
    reasons: dict[str, Reason],
) -> None:
    """Clear the other member of a oneof: `sequence_batching` replaces `dynamic_batching`."""
    group = message.DESCRIPTOR.fields_by_name[name].containing_oneof
    rival = message.WhichOneof(group.name) if group is not None else None
    if rival is not None and rival != name:
        message.ClearField(rival)
        _forget(reasons, rival)


def _forget(reasons: dict[str, Reason], path: str) -> None:
    for known in [
        key for key in reasons if key == path or key.startswith((f"{path}.", f"{path}["))
    ]:
        del reasons[known]


def _first(message: Any, name: str) -> str:  # noqa: ANN401  (a message of any type)
    return f"{name}[0]" if _is_list(message, name) and getattr(message, name) else name


def _plain(name: str, value: object) -> object:
    """`parameters: {KEY: "value"}` in the message's own form."""
    if name != "parameters" or not isinstance(value, Mapping):
        return value
    return {
        key: item if item is None or isinstance(item, Mapping) else {"string_value": _text(item)}
        for key, item in value.items()
    }


def _text(value: object) -> object:
    """A parameter's text: numbers and booleans as Triton's backends spell them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _without_nulls(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
