"""From a configuration message to the text of `config.pbtxt`, proven to parse back."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tritongen.config.config_message import ConfigMessage
from tritongen.config.config_nodes import nodes_of
from tritongen.config.plain_template import plain_template
from tritongen.config.protobuf import new_model_config, same
from tritongen.errors import EnvironmentProblem
from tritongen.model.printable import printable
from tritongen.model.serving_plan import Reason

WIDTH = 96
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
    # Every value was escaped when the nodes were made.
    text = plain_template("config.pbtxt.j2").render(
        header=header,
        nodes=nodes_of(config.message, config.reasons, _ALWAYS),
        remarks=_remarks(config.remarks),
        printable=printable,
        wrap=_wrap,
    )
    _prove(text, config, header.model)
    return text


def _wrap(text: str, depth: int) -> list[str]:
    return textwrap.wrap(
        printable(text), WIDTH - 2 * depth, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _remarks(remarks: Mapping[str, Reason]) -> tuple[tuple[str, str], ...]:
    return tuple((name, reason.sentence) for name, reason in sorted(remarks.items()))


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
