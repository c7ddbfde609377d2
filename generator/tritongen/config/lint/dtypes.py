"""Element types and options that a backend refuses."""

from collections.abc import Iterator

from tritongen.config.lint.inputs_outputs import tensors
from tritongen.config.lint.linted_model import LintedModel, dtype_of
from tritongen.config.lint.repository_view import LintContext
from tritongen.model.findings import Finding
from tritongen.model.releases import at_least
from tritongen.model.tensors import DType


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
