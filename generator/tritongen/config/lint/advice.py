"""What is left to Triton's guesses, and what is better written otherwise."""

from collections.abc import Iterator

from tritongen.config.lint.inputs_outputs import tensors
from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.model.facts import ModelFormat
from tritongen.model.findings import Finding
from tritongen.model.releases import at_least
from tritongen.model.tensors import is_dynamic

# Backends that complete inputs, outputs and batch size by themselves.
_COMPLETING = frozenset({"onnxruntime", "openvino", "tensorrt", "tensorflow", "dali"})
_NEEDS_TENSORS = frozenset({"pytorch"})
_FILENAME_FIXED_SINCE = "26.09"


def left_to_completion(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """What a backend fills in by itself is a guess from syntax."""
    config = model.config
    lacking = [name for name in ("input", "output") if not getattr(config, name)]
    if not model.written or model.is_ensemble or config.backend not in _COMPLETING:
        return
    if lacking and context.autocomplete:
        sized = "max_batch_size" in model.parsed.lines
        guess = "" if sized else "; max_batch_size becomes 4 where every first axis is dynamic"
        yield model.warning(
            "TG644",
            "",
            f"{' and '.join(lacking)} left to auto-completion: a first axis of unknown size is "
            f"taken for the batch{guess}",
        )
    elif not lacking and "max_batch_size" not in model.parsed.lines:
        yield model.info("TG644", "", "max_batch_size is not written, which means 0: no batching")


def no_tensors(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A model without inputs or outputs loads in most backends, and nobody can use it."""
    config = model.config
    lacking = [name for name in ("input", "output") if not getattr(config, name)]
    completed = config.backend in _COMPLETING and not model.is_ensemble
    if not lacking or completed or not model.written:
        return
    named = " and ".join(f"no {name}" for name in lacking)
    if config.backend in _NEEDS_TENSORS:
        yield model.error("TG606", "", f"{named}: backend {config.backend} needs both")
        return
    note = " (unless auto_complete_config adds them)" if config.backend == "python" else ""
    yield model.warning("TG606", "", f"{named} written{note}; Triton loads it all the same")


def leading_dynamic(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Dims leave the batch axis out; a leading -1 in all of them is often that axis again."""
    found = [(field, tensor) for _, field, tensor in tensors(model)]
    known = model.view.facts is not None and model.view.facts.format is ModelFormat.ONNX
    if not model.batching or not found or known:
        return
    if all(tensor.dims and tensor.dims[0] == -1 for _, tensor in found):
        yield model.info(
            "TG640",
            f"{found[0][0]}.dims",
            "every tensor begins with -1 although max_batch_size > 0 already stands for the batch "
            "axis",
        )


def unused_batching(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Every first axis is dynamic, and the model is served one request at a time."""
    facts, config = model.view.facts, model.config
    if facts is None or facts.format is not ModelFormat.ONNX or config.max_batch_size != 0:
        return
    specs = (*facts.inputs, *facts.outputs)
    if (
        config.input
        and config.output
        and specs
        and all(spec.shape and is_dynamic(spec.shape[0]) for spec in specs)
    ):
        yield model.info(
            "TG646",
            "max_batch_size",
            "every first axis of the model is dynamic; if it is a batch axis, requests could share "
            "executions",
        )


def backend_written(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """The backend should not hang on which files lie in a folder."""
    written = model.parsed.message
    if model.written and not written.backend and model.config.backend and not model.is_ensemble:
        source = "platform" if written.platform else "the files"
        yield model.info(
            "TG645",
            "",
            f'backend is not written; Triton derives "{model.config.backend}" from {source}',
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
