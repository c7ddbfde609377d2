"""From a configuration message to the text of `config.pbtxt`, proven to parse back.

The message becomes a tree of named fields with comments, which the template prints.
"""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from tritongen.config.config_message import ConfigMessage
from tritongen.config.protobuf import Message, is_repeated, new_model_config, same
from tritongen.errors import EnvironmentProblem
from tritongen.model.printable import UNSAFE, printable
from tritongen.model.serving_plan import Reason, Source
from tritongen.resources import plain_template

WIDTH = 96
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


# Lines for the inputs of a warm-up sample; of very many several share one. Chosen: one sample then
# fits a screen.
_MAX_WARMUP_INPUT_LINES = 52

# In the place of a measurement that several fields rest on; it stands at the top once.
_AT_THE_TOP = "measured; see the top"

# Printed even at its default: its absence would read as "not decided".
_ALWAYS = frozenset({"max_batch_size"})


@dataclass(frozen=True, slots=True)
class Header:
    """What the first lines say.

    Attributes:
        model: the model's name.
        source: the model file it was generated from, relative to the models folder.
        notes: further lines.
    """

    model: str
    source: str
    notes: Sequence[str] = ()


def render_config(config: ConfigMessage, header: Header) -> str:
    """The commented text of a configuration.

    Raises:
        EnvironmentProblem: TG001, the text would not parse back to the identical message.
    """
    shared = _shared((*config.reasons.values(), *config.remarks.values()))
    header = replace(header, notes=(*header.notes, *shared))
    # Every value was escaped when the nodes were made.
    text = plain_template("config.pbtxt.j2").render(
        header=header,
        nodes=tuple(_Nodes(config.reasons, shared).of(config.message)),
        remarks=sorted((name, _told(one.sentence, shared)) for name, one in config.remarks.items()),
        printable=printable,
        wrap=_wrap,
    )
    _prove(text, config, header.model)
    return text


def _shared(reasons: Iterable[Reason]) -> tuple[str, ...]:
    """Measurements that more than one field rests on, or is left out for, in words."""
    measured = (one.sentence for one in reasons if one.source is Source.MEASURED)
    return tuple(sentence for sentence, fields in Counter(measured).items() if fields > 1)


def _told(sentence: str, shared: Sequence[str]) -> str:
    return _AT_THE_TOP if sentence in shared else sentence


def _wrap(text: str, depth: int) -> list[str]:
    return textwrap.wrap(
        printable(text), WIDTH - 2 * depth, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _prove(text: str, config: ConfigMessage, model: str) -> None:
    from google.protobuf import text_format

    parsed = new_model_config()
    try:
        text_format.Parse(text, parsed)
    except text_format.ParseError as problem:
        raise EnvironmentProblem(
            "TG001", f"the rendered configuration does not parse: {problem}", where=model
        ) from problem
    if not same(parsed, config.message):
        raise EnvironmentProblem(
            "TG001", "the rendered configuration parses to another message", where=model
        )


@dataclass(frozen=True, slots=True)
class TextNode:
    """One field in text format.

    Attributes:
        name: field name; empty where `value` is the whole line.
        comment: reason to print above it, empty for none.
        value: text of a scalar or of a list of scalars; empty for a message.
        children: fields of a message; None for a scalar.
    """

    name: str
    comment: str
    value: str
    children: tuple["TextNode", ...] | None

    @property
    def line(self) -> str:
        """All of it in one line, without comments."""
        if self.children is None:
            return f"{self.name}: {self.value}"
        return " ".join((self.name, "{", *(child.line for child in self.children), "}"))


def _folded(sample: tuple[TextNode, ...]) -> tuple[TextNode, ...]:
    """The fields of a warm-up sample, each of its inputs in one line."""
    rest = tuple(node for node in sample if node.name != "inputs")
    inputs = [node.line for node in sample if node.name == "inputs"]
    each = math.ceil(len(inputs) / _MAX_WARMUP_INPUT_LINES) or 1
    lines = (" ".join(inputs[at : at + each]) for at in range(0, len(inputs), each))
    return (*rest, *(TextNode("", "", line, None) for line in lines))


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The fields of a message that are set, and scalars that have a reason.

    proto3 leaves a scalar with its default value out of the text; one that was decided on
    (`max_batch_size: 0`, a delay of 0) is printed all the same, and parses to the same message.

    Attributes:
        reasons: to print, by path.
        shared: sentences that stand at the top.
    """

    reasons: Mapping[str, Reason]
    shared: Sequence[str] = ()

    def of(self, message: Message) -> Iterator[TextNode]:
        """The nodes of the top level."""
        names = {described.name: described for described in message.DESCRIPTOR.fields}
        first = [name for name in _ORDER if name in names]
        for name in dict.fromkeys((*first, *names)):
            yield from self._field(message, names[name], name)

    def _field(self, message: Message, described: FieldDescriptor, path: str) -> Iterator[TextNode]:
        """The nodes of one field, none where it is not printed."""
        value, name = getattr(message, described.name), described.name
        kind = described.message_type
        if kind is not None and kind.GetOptions().map_entry:
            entry = kind.fields_by_name
            for key in sorted(value):
                place = f'{path}["{key}"]'
                pair = (
                    self._node(entry["key"], key, ""),
                    self._node(entry["value"], value[key], place),
                )
                yield TextNode(name, self._comment(place), "", pair)
        elif is_repeated(described) and kind is not None:
            for index, item in enumerate(value):
                place = f"{path}[{index}]"
                yield self._node(described, item, place, self._comment(place))
        elif is_repeated(described):
            if value:
                listed = ", ".join(_scalar(described, item) for item in value)
                yield TextNode(name, self._comment(path), f"[ {listed} ]", None)
        elif self._is_printed(message, described, path):
            yield self._node(described, value, path, self._comment(path))

    def _is_printed(self, message: Message, described: FieldDescriptor, path: str) -> bool:
        """Whether a single value is set, such as a member of a oneof, or was decided on."""
        if described.has_presence and message.HasField(described.name):
            return True
        return described.message_type is None and (
            getattr(message, described.name) != described.default_value
            or path in self.reasons
            or path in _ALWAYS
        )

    def _node(
        self, described: FieldDescriptor, value: Message, path: str, comment: str = ""
    ) -> TextNode:
        if described.message_type is None:
            return TextNode(described.name, comment, _scalar(described, value), None)
        inner = tuple(
            node
            for field in value.DESCRIPTOR.fields
            for node in self._field(value, field, f"{path}.{field.name}")
        )
        if described.name == "model_warmup":
            inner = _folded(inner)
        return TextNode(described.name, comment, "", inner)

    def _comment(self, path: str) -> str:
        sentence = self.reasons[path].sentence if path in self.reasons else ""
        return _told(sentence, self.shared)


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
        text = CEscape(value, as_utf8=True)  # type: ignore[arg-type]  # as above
        text = UNSAFE.sub(lambda found: _octal(found[0]), text)
        # A CI runner obeys `##[error]` in the middle of a line, too.
        return '"' + text.replace("##", "#" + _octal("#")) + '"'
    if isinstance(value, bytes):
        return f'"{CEscape(value, as_utf8=False)}"'
    return repr(value)
