"""What the registry says of a backend beyond types, parameters and threads."""

from collections.abc import Iterator

from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.model.backends import BatchSupport
from tritongen.model.findings import Finding

_CLASSIFIER_KEYS = ("is_classifier", "output_class")


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
