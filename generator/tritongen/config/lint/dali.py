"""The dali backend: the pipeline's file, and what only a complete pipeline can complete."""

from collections.abc import Iterator
from dataclasses import replace

from tritongen.config.lint.inputs_outputs import normal
from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.model.findings import Finding, Severity

_FILES = ("model.dali", "dali.py")


def pipeline_file(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """The named file, or one of the usual ones, in each version."""
    named = model.parsed.message.default_model_filename
    files = (named, "dali.py") if named else _FILES
    for folder in model.served.values():
        if not any(model.view.exists(f"{folder}/{normal(name)}") for name in files):
            message = f"{folder} holds no pipeline: the backend opens {' or '.join(files)}"
            yield model.folder_error("TG454", message, path=folder)
        elif model.view.facts is None and not model.view.exists(f"{folder}/{normal(files[0])}"):
            message = f"{folder}/dali.py holds no pipeline that carries @autoserialize"
            yield model.folder_error("TG155", message, path=f"{folder}/dali.py")


def inspected_faults(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """What inspection found in a pipeline; with every tensor written, nothing need be completed."""
    facts = model.view.facts
    written = bool(model.config.input and model.config.output)
    for item in facts.findings if facts is not None else ():
        if item.severity is Severity.ERROR or (
            item.severity is Severity.WARNING and item.code == "TG155" and not written
        ):
            yield replace(item, model=model.name)
    known = facts.dali.inputs if facts is not None and facts.dali is not None else ()
    for path, tensor in model.each("input"):
        if known and tensor.name and tensor.name not in known:
            message = f"the pipeline has no input '{tensor.name}'; it has {', '.join(known)}"
            yield model.error("TG155", f"{path}.name", message)


def without_completion(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Without auto-completion the configuration must say everything."""
    config = model.config
    if context.autocomplete or (config.input and config.output and config.max_batch_size):
        return
    message = "auto-completion is off: DALI needs max_batch_size, every input and every output"
    yield model.error("TG155", "", message)
