"""From a configuration that is handed over to its message, with the reasons of stated values."""

import re

from tritongen.config.config_message import ConfigMessage
from tritongen.config.pbtxt import parse_config
from tritongen.config.protobuf import Message
from tritongen.model.engine_facts import TemplateFacts
from tritongen.model.serving_plan import Reason, Source
from tritongen.model.template_places import template_places

_ITEM = re.compile(r"\[[0-9]+\]$")


def given_message(name: str, template: TemplateFacts) -> ConfigMessage:
    """The message of a configuration, without parameters that still wait for a value.

    A text with faults gives the message of what could be read; `check` tells of the rest.
    """
    parsed = parse_config(template.text, name)
    message: Message = parsed.message
    message.name = name
    stated = dict(template.stated)
    reasons = {
        _path(message, path): Reason(Source.INTENT, f"{stated[line]}: stated in tritongen.yaml")
        for path, line in parsed.lines.items()
        if line in stated
    }
    remarks: dict[str, Reason] = {}
    for key in sorted(message.parameters):
        value = message.parameters[key].string_value
        if next(template_places(f'"{value}"'), None) is not None:
            del message.parameters[key]
            reasons.pop(f'parameters["{key}"]', None)
            remarks[f'parameters["{key}"]'] = Reason(
                Source.RULE, f"left out: the template's {value} has no value in tritongen.yaml"
            )
    return ConfigMessage(message, reasons, remarks)


def _path(message: Message, path: str) -> str:
    """The path under which a field's reason is printed: a list's own for its numbers."""
    if path.endswith(".string_value"):
        return path.removesuffix(".string_value")
    match = _ITEM.search(path)
    if match is None:
        return path
    holder = message
    for step in re.finditer(r"([a-z_]+)(?:\[(\d+)\])?", path[: match.start()]):
        holder = getattr(holder, step[1])
        if step[2] is not None:
            holder = holder[int(step[2])]
    scalar = not hasattr(holder[0], "DESCRIPTOR") if len(holder) else True
    return path[: match.start()] if scalar else path
