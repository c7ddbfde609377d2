"""What backends demand: parameters, batch size, states, names and types, by the registry."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from tritongen.config.lint.inputs_outputs import normal, tensors
from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import map_path
from tritongen.config.protobuf import dtype_name, dtype_of
from tritongen.model.backends import BackendRules, BatchSupport, ParameterRule, ValueKind
from tritongen.model.findings import Finding, Severity
from tritongen.model.releases import at_least
from tritongen.model.tensors import DType

_FILENAME_FIXED_SINCE = "26.09"
# Read by core for every backend.
_CORE_KEYS = frozenset({"TRITON_BATCH_STRATEGY_PATH"})
# ONNX Runtime's own default holds for counts below 1; the backend does not complain.
_IGNORED_BELOW_MINIMUM = frozenset(
    {("onnxruntime", "intra_op_thread_count"), ("onnxruntime", "inter_op_thread_count")}
)
# (Code, severity, what is wrong).
_Fault = tuple[str, Severity, str]
_LEADING_NUMBER = re.compile(r"\s*[+-]?[0-9]+")
_CLASSIFIER_KEYS = ("is_classifier", "output_class")
_MODEL_FOLDER = "$$TRITON_MODEL_DIRECTORY"


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
        for code, message in _release(rule, context.release.tag):
            yield model.warning(code, field, f'"{key}" is read {message}')
        if value.startswith("${"):
            continue  # a template's placeholder, told as such
        for code, severity, message in _value(rules, rule, value):
            yield model.finding(code, severity, field, f'"{key}" is {message}')


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


def _release(rule: ParameterRule, release: str) -> Iterator[tuple[str, str]]:
    """(Code, releases that read a key) where the target is none of them."""
    if rule.since and not at_least(release, rule.since):
        yield "TG502", f"from Triton {rule.since} on, not by {release}"
    if rule.until and not at_least(rule.until, release):
        yield "TG503", f"up to Triton {rule.until}, not by {release}"


def _value(rules: BackendRules, rule: ParameterRule, value: str) -> Iterator[_Fault]:
    if rule.kind is ValueKind.BOOL:
        yield from _boolean(rules, value)
    elif rule.kind is ValueKind.CHOICE:
        yield from _choice(rule, value)
    elif rule.kind is ValueKind.INT:
        yield from _integer(rules, rule, value)
    elif rule.kind is ValueKind.FLOAT and not _is_float(value):
        yield "TG501", Severity.ERROR, f'"{value}", not a number'


def _boolean(rules: BackendRules, value: str) -> Iterator[_Fault]:
    accepted = (*rules.true_texts, *rules.false_texts)
    if _among(accepted, value, case_sensitive=rules.case_sensitive):
        return
    if rules.false_texts:
        yield "TG501", Severity.ERROR, f'"{value}"; accepted: {", ".join(accepted)}'
    else:
        only = ", ".join(rules.true_texts)
        yield "TG501", Severity.WARNING, f'"{value}", which counts as false; only {only} is true'


def _choice(rule: ParameterRule, value: str) -> Iterator[_Fault]:
    match = _LEADING_NUMBER.match(value)
    read = match.group().strip() if match is not None else ""
    if _among(rule.choices, value, case_sensitive=rule.case_sensitive):
        return
    if read in rule.choices:
        yield _read_in_part(value, read)
    else:
        yield "TG501", Severity.ERROR, f'"{value}"; accepted: {", ".join(rule.choices)}'


def _among(texts: Sequence[str], value: str, *, case_sensitive: bool) -> bool:
    return value in texts if case_sensitive else value.lower() in {text.lower() for text in texts}


def _read_in_part(value: str, read: str) -> _Fault:
    message = f'"{value}"; the backend reads {read} and drops the rest'
    return "TG628", Severity.WARNING, message


def _integer(rules: BackendRules, rule: ParameterRule, value: str) -> Iterator[_Fault]:
    match = _LEADING_NUMBER.match(value)
    if _among(rule.choices, value, case_sensitive=rule.case_sensitive):
        return
    if match is None:
        words = f" or one of {', '.join(rule.choices)}" if rule.choices else ""
        yield "TG501", Severity.ERROR, f'"{value}", not an integer{words}'
        return
    number = int(match.group()) if len(match.group()) <= 40 else 2**128
    if match.group() != value:
        yield _read_in_part(value, str(number))
    if rule.minimum is not None and number < rule.minimum:
        ignored = (rules.name, rule.key) in _IGNORED_BELOW_MINIMUM
        severity = Severity.WARNING if ignored else Severity.ERROR
        yield "TG501", severity, f"{number}; the least value is {rule.minimum:g}"


def _is_float(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def batch_support(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Some backends need a batch size, others take whole batches alone."""
    rules, size = model.rules, model.config.max_batch_size
    if rules is None or not model.written:
        return
    if rules.batching is BatchSupport.REQUIRED and size == 0:
        yield model.error(
            "TG521",
            "max_batch_size",
            f"backend {rules.name} needs max_batch_size > 0: inputs are tables of rows",
            "Write a large one, such as 32768.",
        )
    padded = model.parameters.get("ENABLE_BATCH_PADDING", "").upper() == "YES"
    if rules.batching is BatchSupport.EXACT and size > 1 and not padded:
        yield model.warning(
            "TG522",
            "max_batch_size",
            f"backend {rules.name} refuses every execution that has not exactly {size} rows",
            "Set max_batch_size to 0 and write the batch axis as -1 in dims.",
        )


def kept_states(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """States need a backend that hands them back, and real sequences."""
    rules, config = model.rules, model.config
    if rules is None or not config.sequence_batching.state:
        return
    field = "sequence_batching.state[0]"
    if not rules.states:
        yield model.warning(
            "TG523",
            field,
            f"backend {rules.name} hands no state back to Triton, so that every request would see "
            "the initial one",
        )
    elif any(sample.batch_size for sample in config.model_warmup):
        yield model.error(
            "TG524",
            "model_warmup[0]",
            "a warm-up request belongs to no sequence; handing its state back fails, and so does "
            "the load",
        )


def tensor_names(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Backends that map inputs and outputs by the form of their names."""
    rules, facts, config = model.rules, model.view.facts, model.config
    if rules is None or facts is None or not config.input or not config.output:
        return
    batcher = config.sequence_batching
    inputs = (
        *(tensor.name for tensor in config.input),
        *(state.input_name for state in batcher.state),
        *(control.name for control in batcher.control_input),
    )
    # A state that clients get as well is one output of the model.
    named = (*(item.name for item in config.output), *(s.output_name for s in batcher.state))
    outputs = tuple(dict.fromkeys(named))
    for fault in rules.names(facts, inputs, outputs):
        yield model.error("TG507", "input", fault, f"Names: {rules.naming}.")


def classifier_threshold(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """FIL's documentation gives the threshold a default; its code requires it."""
    if "threshold" in model.parameters:
        return
    if any(model.parameters.get(key) == "true" for key in _CLASSIFIER_KEYS):
        yield model.error(
            "TG520",
            "parameters",
            'backend fil requires parameter "threshold" of a classifier',
            'Add parameters { key: "threshold" value { string_value: "0.5" } }.',
        )


def refused_types(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Types that the backend cannot serve, at all or in this release."""
    backend, release, rules = model.config.backend, context.release.tag, model.rules
    if rules is None:
        return
    for direction, field, tensor in tensors(model):
        dtype = dtype_of(tensor.data_type)
        path = f"{field}.data_type"
        if dtype is None:
            continue
        name = dtype.config_name
        never = dtype is DType.BF16 and rules.bf16_since == ""
        if dtype in rules.refused_dtypes or never:
            yield model.error(
                "TG504", path, f"backend {backend} refuses {name} of {direction} '{tensor.name}'"
            )
        elif dtype is DType.BF16 and not at_least(release, rules.bf16_since):
            yield model.error(
                "TG505",
                path,
                f"backend {backend} serves {name} from Triton {rules.bf16_since} on; "
                f"{release} refuses {direction} '{tensor.name}'",
            )


def optional_inputs(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Most backends refuse optional inputs."""
    backend, rules = model.config.backend, model.rules
    for path, tensor in model.each("input"):
        if not tensor.optional:
            continue
        field = f"{path}.optional"
        if rules is not None and not rules.optional_inputs:
            yield model.error(
                "TG436",
                field,
                f"'optional' is set to true for input '{tensor.name}', and backend {backend} does "
                "not support optional inputs",
            )
        elif backend == "onnxruntime" and model.batching:
            yield model.error(
                "TG512", field, f"optional input '{tensor.name}' is refused with max_batch_size > 0"
            )
        elif backend == "onnxruntime" and tensor.allow_ragged_batch:
            yield model.error(
                "TG512",
                field,
                f"input '{tensor.name}' cannot be optional and ragged at once",
                "Drop one of the two.",
            )


def execution_environment(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """The environment's archive or folder must exist when the model loads."""
    path = model.parameters.get("EXECUTION_ENV_PATH")
    if path is None:
        return
    field = 'parameters["EXECUTION_ENV_PATH"]'
    if path.startswith(_MODEL_FOLDER):
        relative = normal(path.removeprefix(_MODEL_FOLDER))
        if not model.view.exists(relative):
            yield model.error("TG519", field, f'"{relative}" does not exist in the model\'s folder')
    elif not path.startswith("/"):
        yield model.warning(
            "TG651",
            field,
            f'"{path}" is looked up from the server\'s working directory',
            f"Write {_MODEL_FOLDER}/{normal(path)}.",
        )


def element_types(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Types without a plain numpy array."""
    for direction, field, tensor in tensors(model):
        name = dtype_name(tensor.data_type)
        if name == "TYPE_BF16":
            yield model.warning(
                "TG617",
                f"{field}.data_type",
                f"{direction} '{tensor.name}' is TYPE_BF16: as_numpy() fails on it",
                "Use to_dlpack() and from_dlpack().",
            )
        elif name == "TYPE_STRING":
            yield model.info(
                "TG617",
                f"{field}.data_type",
                f"{direction} '{tensor.name}' is TYPE_STRING: an array of bytes objects in Python",
                "Decode and encode the bytes in model.py.",
            )


def ignored_operations(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Operator libraries are loaded by some backends only."""
    if model.config.model_operations.op_library_filename:
        yield model.warning(
            "TG614",
            "model_operations.op_library_filename",
            "the Python backend does not load operator libraries",
        )


def decoupled_policy(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """A model that gives other than one response to a request needs the decoupled policy.

    Triton refuses its second response, and waits for one where it gives none.
    """
    facts, trial = model.view.facts, model.view.trial
    python = facts.python if facts is not None else None
    policy, field = model.config.model_transaction_policy, "model_transaction_policy.decoupled"
    if policy.decoupled or python is None:
        return
    refused = model.config.HasField("model_transaction_policy")
    if python.decoupled and (refused or not context.autocomplete):
        yield model.error("TG525", field, "its auto_complete_config sets the decoupled policy")
    elif python.decoupled is None and trial is not None and trial.decoupled:
        yield model.error("TG525", field, "in the trial a request did not get exactly one response")
    elif python.decoupled is None and python.sends:
        yield model.warning(
            "TG525",
            field,
            "its code takes a response sender; Triton accepts exactly one response from it",
        )


def python_runtime_filename(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """PyTorch's Python flavour was given the wrong file name by older servers."""
    config = model.config
    if (
        config.runtime == "model.py"
        and not model.parsed.message.default_model_filename
        and not at_least(context.release.tag, _FILENAME_FIXED_SINCE)
    ):
        yield model.warning(
            "TG648",
            "runtime",
            f"servers before {_FILENAME_FIXED_SINCE} fill in a wrong default_model_filename for "
            "this runtime",
        )
