"""The Python backend's parameters, its policy of responses, and types that need care in Python."""

from collections.abc import Iterator

from tritongen.config.lint.inputs_outputs import normal, tensors
from tritongen.config.lint.linted_model import LintedModel, dtype_name
from tritongen.config.lint.repository_view import LintContext
from tritongen.model.findings import Finding

_MODEL_FOLDER = "$$TRITON_MODEL_DIRECTORY"


def execution_environment(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """The environment's archive or folder must exist when the model loads."""
    path = model.parameters.get("EXECUTION_ENV_PATH")
    if path is None:
        return
    field = 'parameters["EXECUTION_ENV_PATH"]'
    if path.startswith(_MODEL_FOLDER):
        relative = normal(path.removeprefix(_MODEL_FOLDER))
        if model.view.file(relative) is None and not model.view.has_folder(relative):
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
