"""Changes to the text of `tritongen.yaml` that leave everything else as the user wrote it."""

from collections.abc import Mapping
from typing import Any

import yaml

from tritongen.errors import InvalidInputError
from tritongen.intent.reader import parse_intent


def with_rates(text: str, rates: Mapping[str, tuple[float, float]], where: str) -> str:
    """The document with other rates; comments, order and every other value stay.

    Args:
        text: of the document; empty where there is none yet.
        rates: (average, peak) requests per second, by model.
        where: the file, for messages.

    Raises:
        InvalidInputError: TG301 not YAML; TG979, written in a way that cannot be changed safely,
            and nothing is.
    """
    result = text
    for model, (average, peak) in rates.items():
        result = _with_rate(result, model, f"{{average: {average:g}, peak: {peak:g}}}")
    _prove(text, result, rates, where)
    return result


def _with_rate(text: str, model: str, value: str) -> str:
    models = _value(yaml.compose(text, Loader=yaml.SafeLoader), "models")
    if models is None:
        return f"{_ended(text)}models:\n  {_key(model)}:\n    rate: {value}\n"
    if _empty(models):
        return _spliced(text, models, f"\n  {_key(model)}:\n    rate: {value}")
    if not isinstance(models, yaml.MappingNode):
        return text
    entry = _value(models, model)
    if entry is None:
        first = models.value[0][0].start_mark
        if models.flow_style:
            return _inserted(text, first.index, f"{_key(model)}: {{rate: {value}}}, ")
        indent = " " * first.column
        return _inserted(text, first.index, f"{_key(model)}:\n{indent}  rate: {value}\n{indent}")
    if _empty(entry):
        return _spliced(text, entry, f" {{rate: {value}}}")
    rate = _value(entry, "rate")
    if rate is not None:
        return _spliced(text, rate, f" {value}")
    if not isinstance(entry, yaml.MappingNode):
        return text
    first = entry.value[0][0].start_mark
    separator = ", " if entry.flow_style else f"\n{' ' * first.column}"
    return _inserted(text, first.index, f"rate: {value}{separator}")


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    pairs: list[tuple[yaml.Node, yaml.Node]] = node.value
    return next(
        (value for name, value in pairs if isinstance(name, yaml.ScalarNode) and name.value == key),
        None,
    )


def _empty(node: yaml.Node) -> bool:
    """A value that is not there, ``null`` or ``{}``."""
    if isinstance(node, yaml.MappingNode):
        return not node.value
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _spliced(text: str, node: yaml.Node, value: str) -> str:
    begin, end = node.start_mark.index, _end(node)
    if begin != end:
        value = value.lstrip(" ")
    return text[:begin] + value + text[end:]


def _end(node: yaml.Node) -> int:
    """Where a value ends; a block's mark stands behind the comments that follow it."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        last: yaml.Node = node.value[-1][1]
        return _end(last)
    end: int = node.end_mark.index
    return end


def _inserted(text: str, index: int, value: str) -> str:
    return text[:index] + value + text[index:]


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _key(model: str) -> str:
    """The model's name as a key; quoted where YAML could take it for something else."""
    plain = (
        yaml.safe_load(f"{model}: 0") if model.replace("_", "").replace("-", "").isalnum() else 0
    )
    return model if plain == {model: 0} else '"' + model.replace('"', '\\"') + '"'


def _prove(before: str, after: str, rates: Mapping[str, tuple[float, float]], where: str) -> None:
    """Both texts say the same but for the rates."""
    try:
        old, new = yaml.safe_load(before) or {}, yaml.safe_load(after) or {}
        intent = parse_intent(after, where).intent
    except (yaml.YAMLError, InvalidInputError) as problem:
        raise _by_hand(rates, where) from problem
    told = all(
        (intent.of(model).rate, intent.of(model).peak_rate)
        == (float(f"{average:g}"), float(f"{peak:g}"))
        for model, (average, peak) in rates.items()
    )
    if not told or _without(old, rates) != _without(new, rates):
        raise _by_hand(rates, where)


def _without(document: dict[str, Any], rates: Mapping[str, object]) -> dict[str, Any]:
    """The document without these rates, and without models of which nothing else is said."""
    models = dict(document.get("models") or {})
    for model in rates:
        entry = models.get(model)
        left = {k: v for k, v in entry.items() if k != "rate"} if isinstance(entry, dict) else entry
        if left:
            models[model] = left
        else:
            models.pop(model, None)
    return {**document, "models": models}


def _by_hand(rates: Mapping[str, tuple[float, float]], where: str) -> InvalidInputError:
    lines = [
        f"models.{model}.rate: {{average: {average:g}, peak: {peak:g}}}"
        for model, (average, peak) in rates.items()
    ]
    return InvalidInputError(
        "TG979",
        "the rates cannot be changed without touching something else; nothing was written",
        where=where,
        details=lines,
    )
