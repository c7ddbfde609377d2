"""The user's overlay: any field of `ModelConfig`, merged over the generated message.

Messages merge field by field and maps key by key; a list replaces the generated one as a whole;
null removes what was generated. `parameters` takes plain texts: ``KEY: "value"``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tritongen.config.config_message import ConfigMessage
from tritongen.config.parsed_config import map_path
from tritongen.config.protobuf import Message, is_repeated, new_model_config
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
    schema: Descriptor, value: Mapping[str, object], path: str
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
    message = new_model_config()
    message.CopyFrom(config.message)
    reasons, remarks = dict(config.reasons), dict(config.remarks)
    for name, value in overlay.items():
        remarks.pop(name, None)
        if value is None:
            remarks[name] = Reason(Source.INTENT, "removed by the overlay in tritongen.yaml")
    fields = {name: _plain(name, value) for name, value in overlay.items()}
    _Overlay(reasons, reason).merge(message, fields)
    return ConfigMessage(message, reasons, remarks)


def _is_map(described: FieldDescriptor) -> bool:
    kind = described.message_type
    return kind is not None and bool(kind.GetOptions().map_entry)


@dataclass(frozen=True, slots=True)
class _Overlay:
    """Merges fields into a message; `reason` comes to stand among `reasons` for each of them."""

    reasons: dict[str, Reason]
    reason: Reason

    def merge(self, message: Message, fields: Mapping[str, object], path: str = "") -> None:
        """Messages merge field by field, maps key by key; everything else is replaced."""
        from google.protobuf.json_format import ParseDict

        for name, value in fields.items():
            below = f"{path}.{name}" if path else name
            described = message.DESCRIPTOR.fields_by_name[name]
            if isinstance(value, Mapping) and _is_map(described):
                self._merge_map(message, name, value, below)
            elif isinstance(value, Mapping) and not is_repeated(described):
                self._clear_rival(message, described)
                inner = getattr(message, name)
                inner.SetInParent()
                self.merge(inner, value, below)
            else:
                message.ClearField(name)
                self._forget(below)
                if value is not None:
                    ParseDict({name: value}, message)
                    # Of a list at the top, the first entry bears the comment.
                    listed = not path and is_repeated(described) and getattr(message, name)
                    self.reasons[f"{below}[0]" if listed else below] = self.reason

    def _merge_map(
        self, message: Message, name: str, entries: Mapping[str, object], path: str
    ) -> None:
        from google.protobuf.json_format import ParseDict

        target = getattr(message, name)
        kind = message.DESCRIPTOR.fields_by_name[name].message_type.fields_by_name["key"]
        for text, item in entries.items():
            # A mapping of YAML has texts; the message may have numbers.
            key = text if kind.type == kind.TYPE_STRING else int(text)
            if key in target:
                del target[key]
            if item is not None:
                # Into a message of its own: ParseDict empties a map before it fills it.
                entry = type(message)()
                ParseDict({name: {text: item}}, entry)
                message.MergeFrom(entry)
            place = map_path(path, key)
            self._forget(place)
            self.reasons[place] = self.reason

    def _clear_rival(self, message: Message, described: FieldDescriptor) -> None:
        """Clear the other member of a oneof: `sequence_batching` replaces `dynamic_batching`."""
        group = described.containing_oneof
        rival = message.WhichOneof(group.name) if group is not None else None
        if rival is not None and rival != described.name:
            message.ClearField(rival)
            self._forget(rival)

    def _forget(self, path: str) -> None:
        inside = (f"{path}.", f"{path}[")
        for known in [key for key in self.reasons if key == path or key.startswith(inside)]:
            del self.reasons[known]


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
