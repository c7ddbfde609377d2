"""The backend's `parameters`, against what the registry says that it reads."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import map_path
from tritongen.model.backends import BackendRules, ParameterRule, ValueKind
from tritongen.model.findings import Finding
from tritongen.model.releases import at_least

# Read by core for every backend.
_CORE_KEYS = frozenset({"TRITON_BATCH_STRATEGY_PATH"})
# ONNX Runtime's own default holds for counts below 1; the backend does not complain.
_IGNORED_BELOW_MINIMUM = frozenset(
    {("onnxruntime", "intra_op_thread_count"), ("onnxruntime", "inter_op_thread_count")}
)
_LEADING_NUMBER = re.compile(r"\s*[+-]?[0-9]+")


def backend_parameters(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Keys that nobody reads, values that the backend refuses, keys of other releases."""
    rules = model.rules
    if rules is None or not (rules.parameters or rules.flavour):
        return
    yield from _required(model, rules, context.release.tag)
    for key, value in sorted(model.parameters.items()):
        field = map_path("parameters", key)
        rule = rules.parameter(key)
        if rule is None:
            if key not in _CORE_KEYS and not rules.open_parameters:
                yield model.warning("TG610", field, *_unknown(rules, key))
            continue
        yield from _release(model, field, rule, context.release.tag)
        yield from _value(model, field, rules, rule, value)


def _required(model: LintedModel, rules: BackendRules, release: str) -> Iterator[Finding]:
    for rule in rules.parameters:
        if not rule.required:
            continue
        known = not rule.since or at_least(release, rule.since)
        wanted = rule.key if known else rule.instead
        if wanted and not {wanted, rule.instead} & set(model.parameters):
            yield model.error(
                "TG520",
                "parameters",
                f'backend {rules.name} requires parameter "{wanted}": {rule.effect}',
                f'Add parameters {{ key: "{wanted}" value {{ string_value: "…" }} }}.',
            )


def _unknown(rules: BackendRules, key: str) -> tuple[str, str]:
    message = f'backend {rules.name} does not read parameter "{key}"; it has no effect'
    names = {rule.key.lower(): rule.key for rule in rules.parameters}
    close = get_close_matches(key.lower(), names, n=1, cutoff=0.75)
    return message, f'Write "{names[close[0]]}".' if close else ""


def _release(
    model: LintedModel, field: str, rule: ParameterRule, release: str
) -> Iterator[Finding]:
    if rule.since and not at_least(release, rule.since):
        yield model.warning(
            "TG502", field, f'"{rule.key}" is read from Triton {rule.since} on, not by {release}'
        )
    if rule.until and not at_least(rule.until, release):
        yield model.warning(
            "TG503", field, f'"{rule.key}" is read up to Triton {rule.until}, not by {release}'
        )


def _value(
    model: LintedModel, field: str, rules: BackendRules, rule: ParameterRule, value: str
) -> Iterator[Finding]:
    if rule.kind is ValueKind.BOOL:
        yield from _boolean(model, field, rules, rule, value)
    elif rule.kind is ValueKind.CHOICE:
        yield from _choice(model, field, rule, value)
    elif rule.kind is ValueKind.INT:
        yield from _integer(model, field, rules, rule, value)
    elif rule.kind is ValueKind.FLOAT and not _is_float(value):
        yield model.error("TG501", field, f'"{rule.key}" is "{value}", not a number')


def _boolean(
    model: LintedModel, field: str, rules: BackendRules, rule: ParameterRule, value: str
) -> Iterator[Finding]:
    text = value if rules.case_sensitive else value.lower()
    accepted = (*rules.true_texts, *rules.false_texts)
    folded = accepted if rules.case_sensitive else tuple(item.lower() for item in accepted)
    if text in folded:
        return
    if rules.false_texts:
        yield model.error(
            "TG501", field, f'"{rule.key}" is "{value}"; accepted: {", ".join(accepted)}'
        )
    else:
        yield model.warning(
            "TG501",
            field,
            f'"{rule.key}" is "{value}", which counts as false; only '
            f"{', '.join(rules.true_texts)} is true",
        )


def _choice(model: LintedModel, field: str, rule: ParameterRule, value: str) -> Iterator[Finding]:
    match = _LEADING_NUMBER.match(value)
    if _chosen(rule, value):
        return
    if match is not None and match.group().strip() in rule.choices:
        yield _read_in_part(model, field, rule, value, match.group().strip())
        return
    yield model.error(
        "TG501", field, f'"{rule.key}" is "{value}"; accepted: {", ".join(rule.choices)}'
    )


def _chosen(rule: ParameterRule, value: str) -> bool:
    if rule.case_sensitive:
        return value in rule.choices
    return value.lower() in {choice.lower() for choice in rule.choices}


def _read_in_part(
    model: LintedModel, field: str, rule: ParameterRule, value: str, read: str
) -> Finding:
    return model.warning(
        "TG628", field, f'"{rule.key}" is "{value}"; the backend reads {read} and drops the rest'
    )


def _integer(
    model: LintedModel, field: str, rules: BackendRules, rule: ParameterRule, value: str
) -> Iterator[Finding]:
    match = _LEADING_NUMBER.match(value)
    if _chosen(rule, value):
        return
    if match is None:
        words = f" or one of {', '.join(rule.choices)}" if rule.choices else ""
        yield model.error("TG501", field, f'"{rule.key}" is "{value}", not an integer{words}')
        return
    number = int(match.group()) if len(match.group()) <= 40 else 2**128
    if match.group() != value:
        yield _read_in_part(model, field, rule, value, str(number))
    if rule.minimum is not None and number < rule.minimum:
        ignored = (rules.name, rule.key) in _IGNORED_BELOW_MINIMUM
        report = model.warning if ignored else model.error
        yield report(
            "TG501", field, f'"{rule.key}" is {number}; the least value is {rule.minimum:g}'
        )


def _is_float(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
