"""Element types and options that a backend refuses."""

from collections.abc import Iterator
from types import MappingProxyType

from tritongen.domain.findings import Finding
from tritongen.domain.releases import at_least
from tritongen.domain.tensors import DType
from tritongen.render.lint.model import LintedModel, dtype_of
from tritongen.render.lint.tensors import tensors
from tritongen.render.lint.view import LintContext

_WIDE_UNSIGNED = frozenset({DType.UINT16, DType.UINT32, DType.UINT64})
# For backends without an entry in the registry.
_REFUSED = MappingProxyType(
    {
        "pytorch": _WIDE_UNSIGNED | {DType.BF16},
        "openvino": frozenset({DType.FP64, DType.BYTES, DType.BF16}),
        "tensorflow": frozenset({DType.BF16}),
        "tensorrt": _WIDE_UNSIGNED | {DType.INT16, DType.FP64, DType.BYTES},
        "fil": frozenset(DType) - {DType.FP32},
    }
)
# Backends of the standard image that take `optional: true`.
_OPTIONAL = frozenset({"onnxruntime", "python"})
_NOT_OPTIONAL = frozenset({"tensorrt", "openvino", "pytorch", "tensorflow", "fil", "dali"})
_AOTI_BF16_SINCE = "26.11"


def refused_types(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Types that the backend cannot serve, at all or in this release."""
    backend, release, rules = model.config.backend, context.release.tag, model.rules
    refused = rules.refused_dtypes if rules else _REFUSED.get(backend, frozenset())
    if model.config.platform == "torch_aoti" and at_least(release, _AOTI_BF16_SINCE):
        refused = refused - {DType.BF16}
    for direction, field, tensor in tensors(model):
        dtype = dtype_of(tensor.data_type)
        path = f"{field}.data_type"
        if dtype is None:
            continue
        name = dtype.config_name
        never = dtype is DType.BF16 and rules is not None and rules.bf16_since == ""
        if dtype in refused or never:
            yield model.error(
                "TG504", path, f"backend {backend} refuses {name} of {direction} '{tensor.name}'"
            )
        elif dtype is DType.BF16 and rules and not at_least(release, rules.bf16_since):
            yield model.error(
                "TG505",
                path,
                f"backend {backend} serves {name} from Triton {rules.bf16_since} on; "
                f"{release} refuses {direction} '{tensor.name}'",
            )


def optional_inputs(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Most backends refuse optional inputs."""
    backend, rules = model.config.backend, model.rules
    accepted = rules.optional_inputs if rules else backend not in _NOT_OPTIONAL
    for index, tensor in enumerate(model.config.input):
        if not tensor.optional:
            continue
        field = f"input[{index}].optional"
        if not accepted and backend not in _OPTIONAL:
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
