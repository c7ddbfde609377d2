"""Inputs and outputs as Triton's core wants them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from tritongen.config.lint.linted_model import LintedModel, element_count, show_dims
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import ConfigMessage
from tritongen.model.facts import ModelFormat
from tritongen.model.findings import Finding
from tritongen.model.releases import at_least
from tritongen.model.tensors import is_dynamic

_TENSORRT = "tensorrt_plan"
# Backends that complete inputs, outputs and batch size by themselves.
_COMPLETING = frozenset({"onnxruntime", "openvino", "tensorrt", "tensorflow", "dali"})
_NEEDS_TENSORS = frozenset({"pytorch"})
# Label files that leave the model's folder are refused from here on.
_LABELS_INSIDE_SINCE = "26.02"


def tensors(model: LintedModel) -> Iterator[tuple[str, str, ConfigMessage]]:
    """(direction, field path, message) of every input, then of every output."""
    for direction in ("input", "output"):
        for field, tensor in model.each(direction):
            yield direction, field, tensor


def _called(direction: str, tensor: ConfigMessage) -> str:
    return f"model {direction} '{tensor.name}'" if tensor.name else f"a model {direction}"


def complete(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Name, type and dims of every tensor."""
    filled = context.autocomplete and model.config.backend == "tensorrt"
    for direction, field, tensor in tensors(model):
        what = _called(direction, tensor)
        if not tensor.name:
            yield model.error("TG424", field, f"{what} must specify 'name'")
        if filled:
            continue
        if tensor.data_type == 0:
            yield model.error("TG424", f"{field}.data_type", f"{what} must specify 'data_type'")
        if not tensor.dims:
            yield model.error("TG424", f"{field}.dims", f"{what} must specify 'dims'")


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


def dimensions(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Sizes are at least 1, or -1."""
    for direction, field, tensor in tensors(model):
        what = _called(direction, tensor)
        for index, dim in enumerate(tensor.dims):
            if dim < 1 and dim != -1:
                yield model.error(
                    "TG425",
                    f"{field}.dims[{index}]",
                    f"{what} has dimension {dim}; it must be >= 1, or -1 for a variable size",
                )
        for index, dim in enumerate(tensor.reshape.shape):
            if dim < 1 and dim != -1:
                yield model.error(
                    "TG426",
                    f"{field}.reshape.shape[{index}]",
                    f"{what} has reshape dimension {dim}; it must be >= 1, or -1",
                )


def reshapes(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A reshape keeps the elements, chunk by chunk between dynamic dims."""
    for direction, field, tensor in tensors(model):
        if not tensor.HasField("reshape"):
            continue
        what, path = _called(direction, tensor), f"{field}.reshape"
        dims, shape = tuple(tensor.dims), tuple(tensor.reshape.shape)
        if not shape and model.config.max_batch_size == 0:
            yield model.error(
                "TG427",
                path,
                f"{what} cannot have an empty reshape without batching: scalars are not supported",
            )
            continue
        if any(dim < 1 and dim != -1 for dim in (*dims, *shape)) or not dims:
            continue
        if dims.count(-1) != shape.count(-1):
            dynamic = -1 in dims and -1 in shape
            yield model.error(
                "TG429" if dynamic else "TG428",
                path,
                f"{what} has a different number of variable-size dimensions for dims "
                f"{show_dims(dims)} and reshape {show_dims(shape)}",
            )
        elif _chunks(dims) != _chunks(shape):
            yield model.error(
                "TG429" if -1 in dims else "TG428",
                path,
                f"{what} has different size for dims {show_dims(dims)} and reshape "
                f"{show_dims(shape)}",
            )


def _chunks(dims: tuple[int, ...]) -> list[int | None]:
    """Products of the fixed sizes between the dynamic ones."""
    chunks: list[int | None] = []
    start = 0
    for index, dim in enumerate(dims):
        if dim == -1:
            chunks.append(element_count(dims[start:index]))
            start = index + 1
    chunks.append(element_count(dims[start:]))
    return chunks


def formats(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Image formats need three dims."""
    for field, tensor in model.each("input"):
        if tensor.format != 0 and len(tensor.dims) != 3:
            yield model.error(
                "TG430",
                f"{field}.format",
                f"model input '{tensor.name}': NHWC and NCHW require 3 dims, batch axis excluded; "
                f"it has {len(tensor.dims)}",
            )


def tensorrt_only(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Shape tensors and non-linear formats exist for TensorRT plans alone."""
    is_plan = model.config.platform == _TENSORRT
    for direction, field, tensor in tensors(model):
        what = _called(direction, tensor)
        if tensor.is_shape_tensor and not is_plan:
            yield model.error(
                "TG431",
                f"{field}.is_shape_tensor",
                f"{what}: shape tensors are only supported for TensorRT",
            )
        if tensor.is_non_linear_format_io and not is_plan:
            yield model.error(
                "TG431",
                f"{field}.is_non_linear_format_io",
                f"{what}: non-linear I/O formats are only supported for TensorRT",
            )
        elif tensor.is_non_linear_format_io and len(tensor.dims) != 3:
            yield model.error(
                "TG431",
                f"{field}.is_non_linear_format_io",
                f"{what}: a non-linear format requires 3 dims",
                "Give three dims.",
            )


def names(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Core accepts repeated and shared names, and clients then cannot tell the tensors apart."""
    for direction in ("input", "output"):
        counts = Counter(tensor.name for tensor in getattr(model.config, direction))
        for name, count in counts.items():
            if name and count > 1:
                field = _last(model, direction, name)
                yield model.warning("TG604", field, f"{count} {direction}s are called '{name}'")
    shared = {tensor.name for tensor in model.config.input} & {
        tensor.name for tensor in model.config.output
    }
    for name in sorted(shared - {""}):
        field = _last(model, "output", name)
        yield model.warning("TG605", field, f"an input and an output are both called '{name}'")


def _last(model: LintedModel, direction: str, name: str) -> str:
    return [f"{field}.name" for field, tensor in model.each(direction) if tensor.name == name][-1]


def labels(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Label files lie in the model's folder."""
    for path, tensor in model.each("output"):
        filename = tensor.label_filename
        if not filename:
            continue
        field = f"{path}.label_filename"
        if escapes(filename):
            strict = at_least(context.release.tag, _LABELS_INSIDE_SINCE)
            message = f'label file "{filename}" is outside the model\'s folder'
            if strict:
                yield model.error("TG459", field, message)
            else:
                yield model.warning(
                    "TG626", field, f"{message}; Triton {_LABELS_INSIDE_SINCE} and later refuse it"
                )
        elif normal(filename) not in model.view.files:
            yield model.error(
                "TG437",
                field,
                f"label file \"{filename}\" of output '{tensor.name}' does not exist (paths are "
                "relative to the model's folder)",
            )


def normal(path: str) -> str:
    """A relative path without ``.`` and doubled slashes; leading slashes fall away."""
    return "/".join(part for part in PurePosixPath(path).parts if part != "/")


def escapes(path: str) -> bool:
    """Whether a path relative to a folder points outside it."""
    depth = 0
    for part in PurePosixPath(normal(path)).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def batch_io(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Helper inputs and outputs of ragged batching."""
    inputs = {tensor.name for tensor in model.config.input}
    outputs = {tensor.name for tensor in model.config.output}
    for field, item in model.each("batch_input"):
        yield from _sources(model, field, "batch input", item, inputs)
        if item.data_type not in {8, 11}:
            yield model.error(
                "TG433",
                f"{field}.data_type",
                "batch input data type must be TYPE_INT32 or TYPE_FP32",
                "Use TYPE_INT32 or TYPE_FP32.",
            )
    for field, item in model.each("batch_output"):
        yield from _sources(model, field, "batch output", item, inputs)
        for name, count in Counter(item.target_name).items():
            if name not in outputs:
                yield model.error(
                    "TG433",
                    f"{field}.target_name",
                    f"unknown target output '{name}'",
                    "Name an output of the model.",
                )
            elif count > 1:
                yield model.error(
                    "TG433",
                    f"{field}.target_name",
                    f"target output '{name}' can only be specified once",
                    "Name each output once.",
                )


def _sources(
    model: LintedModel, field: str, what: str, item: ConfigMessage, inputs: set[str]
) -> Iterator[Finding]:
    path = f"{field}.source_input"
    if len(item.source_input) != 1:
        yield model.error(
            "TG433", path, f"a {what} expects 1 source input, got {len(item.source_input)}"
        )
    for name in item.source_input:
        if name not in inputs:
            yield model.error("TG433", path, f"unknown source input '{name}'")
