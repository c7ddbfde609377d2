"""A message as a tree of named fields with comments, ready for the template."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from tritongen.model.printable import UNSAFE
from tritongen.model.serving_plan import Reason

# What a reader looks for first stands first; every other field follows in the schema's order.
_ORDER = (
    "name",
    "backend",
    "platform",
    "runtime",
    "default_model_filename",
    "max_batch_size",
    "input",
    "output",
    "version_policy",
    "instance_group",
    "dynamic_batching",
    "sequence_batching",
    "ensemble_scheduling",
    "optimization",
    "parameters",
    "model_warmup",
)


@dataclass(frozen=True, slots=True)
class TextNode:
    """One field in text format.

    Attributes:
        name: field name.
        comment: reason to print above it, empty for none.
        value: text of a scalar or of a list of scalars; empty for a message.
        children: fields of a message; None for a scalar.
        top: whether a blank line may stand before it.
    """

    name: str
    comment: str
    value: str
    children: tuple["TextNode", ...] | None
    top: bool = False


def nodes_of(
    message: Any,  # noqa: ANN401  (a message of any type)
    reasons: Mapping[str, Reason],
    always: frozenset[str] = frozenset(),
) -> tuple[TextNode, ...]:
    """The fields that are set, plus scalars whose path has a reason or is in `always`.

    proto3 leaves a scalar with its default value out of the text; one that was decided on
    (`max_batch_size: 0`, a delay of 0) is printed all the same, and parses to the same message.
    """
    builder = _NodeBuilder(reasons, always | set(reasons))
    names = {described.name: described for described in message.DESCRIPTOR.fields}
    order = [*(name for name in _ORDER if name in names), *(n for n in names if n not in _ORDER)]
    return tuple(
        node for name in order for node in builder.field(message, names[name], name, top=True)
    )


@dataclass(frozen=True, slots=True)
class _NodeBuilder:
    """Makes the nodes of a message.

    Attributes:
        reasons: to print, by path.
        paths: of scalars that are printed even at their default.
    """

    reasons: Mapping[str, Reason]
    paths: frozenset[str]

    def field(
        self,
        message: Any,  # noqa: ANN401  (a message of any type)
        described: FieldDescriptor,
        path: str,
        *,
        top: bool = False,
    ) -> Iterator[TextNode]:
        """The nodes of one field, none where it is not printed."""
        value, name = getattr(message, described.name), described.name
        kind = described.message_type
        if kind is not None and kind.GetOptions().map_entry:
            yield from self._map(described, value, path, top=top)
        elif described.is_repeated and kind is not None:
            for index, item in enumerate(value):
                place = f"{path}[{index}]"
                yield TextNode(name, self._comment(place), "", self._inner(item, place), top)
        elif described.is_repeated:
            if value:
                listed = ", ".join(_scalar(described, item) for item in value)
                yield TextNode(name, self._comment(path), f"[ {listed} ]", None, top)
        elif kind is not None:
            if message.HasField(name):
                yield TextNode(name, self._comment(path), "", self._inner(value, path), top)
        elif value != described.default_value or path in self.paths or _present(message, described):
            yield TextNode(name, self._comment(path), _scalar(described, value), None, top)

    def _inner(self, message: Any, path: str) -> tuple[TextNode, ...]:  # noqa: ANN401  (any message)
        return tuple(
            node
            for described in message.DESCRIPTOR.fields
            for node in self.field(message, described, f"{path}.{described.name}")
        )

    def _comment(self, path: str) -> str:
        return self.reasons[path].sentence if path in self.reasons else ""

    def _map(
        self,
        described: FieldDescriptor,
        value: Any,  # noqa: ANN401  (a map container)
        path: str,
        *,
        top: bool,
    ) -> Iterator[TextNode]:
        kind = described.message_type
        entry = kind.fields_by_name if kind is not None else {}
        for key in sorted(value):
            place = f'{path}["{key}"]'
            key_node = TextNode("key", "", _scalar(entry["key"], key), None)
            if entry["value"].message_type is not None:
                value_node = TextNode("value", "", "", self._inner(value[key], place))
            else:
                value_node = TextNode("value", "", _scalar(entry["value"], value[key]), None)
            children = (key_node, value_node)
            yield TextNode(described.name, self._comment(place), "", children, top)


def _present(message: Any, described: FieldDescriptor) -> bool:  # noqa: ANN401  (any message)
    """Whether a scalar with its default value is set all the same: a member of a oneof."""
    return described.has_presence and bool(message.HasField(described.name))


def _octal(text: str) -> str:
    """The bytes of a text in octal, as Triton reads them."""
    return "".join(f"\\{byte:03o}" for byte in text.encode())


def _scalar(described: FieldDescriptor, value: Any) -> str:  # noqa: ANN401  (any scalar)
    from google.protobuf.text_encoding import CEscape

    if described.enum_type is not None:
        known = described.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # The stubs know bytes only; text is what keeps UTF-8 readable.
        text = CEscape(value, as_utf8=True)  # type: ignore[arg-type]
        text = UNSAFE.sub(lambda found: _octal(found[0]), text)
        # A CI runner obeys `##[error]` in the middle of a line, too.
        return '"' + text.replace("##", "#" + _octal("#")) + '"'
    if isinstance(value, bytes):
        return f'"{CEscape(value, as_utf8=False)}"'
    return repr(value)
