"""Inputs and outputs as Triton's core wants them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from tritongen.config.lint.linted_model import LintedModel, element_count, show_dims
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import Message
from tritongen.model.findings import Finding
from tritongen.model.releases import at_least
from tritongen.model.tensors import is_dynamic

_TENSORRT = "tensorrt_plan"
# Backends that complete inputs, outputs and batch size by themselves.
_COMPLETING = frozenset({"onnxruntime", "openvino", "tensorrt", "tensorflow"})
_KNOWING = frozenset({"dali", "vllm", "tensorrtllm"})
_NEEDS_TENSORS = frozenset({"pytorch"})
# Label files that leave the model's folder are refused from here on.
_LABELS_INSIDE_SINCE = "26.02"


def tensors(model: LintedModel) -> Iterator[tuple[str, str, Message]]:
    """(direction, field path, message) of every input, then of every output."""
    for direction in ("input", "output"):
        for field, tensor in model.each(direction):
            yield direction, field, tensor


# (Code, rest of the field's path, message), and perhaps a fix.
_Fault = tuple[str, ...]


def each_tensor(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """What core wants of every input and output by itself."""
    filled = context.autocomplete and model.config.backend == "tensorrt"
    for direction, field, tensor in tensors(model):
        what = f"model {direction} '{tensor.name}'" if tensor.name else f"a model {direction}"
        faults = (
            *_lacking(tensor, filled=filled),
            *_sizes(tensor),
            *_reshape(tensor, batching=model.config.max_batch_size != 0),
            *_layout(tensor, direction, is_plan=model.config.platform == _TENSORRT),
        )
        for code, part, message, *fix in faults:
            yield model.error(code, f"{field}{part}", f"{what} {message}", *fix)


def _lacking(tensor: Message, *, filled: bool) -> Iterator[_Fault]:
    """Name, type and dims, unless the backend fills them in."""
    if not tensor.name:
        yield "TG424", "", "must specify 'name'"
    if tensor.data_type == 0 and not filled:
        yield "TG424", ".data_type", "must specify 'data_type'"
    if not tensor.dims and not filled:
        yield "TG424", ".dims", "must specify 'dims'"


def _sizes(tensor: Message) -> Iterator[_Fault]:
    """Sizes are at least 1, or -1."""
    for index, dim in enumerate(tensor.dims):
        if dim < 1 and dim != -1:
            message = f"has dimension {dim}; it must be >= 1, or -1 for a variable size"
            yield "TG425", f".dims[{index}]", message
    for index, dim in enumerate(tensor.reshape.shape):
        if dim < 1 and dim != -1:
            message = f"has reshape dimension {dim}; it must be >= 1, or -1"
            yield "TG426", f".reshape.shape[{index}]", message


def _reshape(tensor: Message, *, batching: bool) -> Iterator[_Fault]:
    """A reshape keeps the elements, chunk by chunk between dynamic dims."""
    dims, shape = tuple(tensor.dims), tuple(tensor.reshape.shape)
    shown = f"dims {show_dims(dims)} and reshape {show_dims(shape)}"
    if not tensor.HasField("reshape"):
        return
    if not shape and not batching:
        message = "cannot have an empty reshape without batching: scalars are not supported"
        yield "TG427", ".reshape", message
    elif not dims or any(dim < 1 and dim != -1 for dim in (*dims, *shape)):
        return
    elif dims.count(-1) != shape.count(-1):
        code = "TG429" if -1 in dims and -1 in shape else "TG428"
        message = f"has a different number of variable-size dimensions for {shown}"
        yield code, ".reshape", message
    elif _chunks(dims) != _chunks(shape):
        yield "TG429" if -1 in dims else "TG428", ".reshape", f"has different size for {shown}"


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


def _layout(tensor: Message, direction: str, *, is_plan: bool) -> Iterator[_Fault]:
    """Formats need three dims; some, and shape tensors, exist for TensorRT plans alone."""
    rank = len(tensor.dims)
    if direction == "input" and tensor.format != 0 and rank != 3:
        message = f"must have 3 dims for NHWC or NCHW, batch axis excluded; it has {rank}"
        yield "TG430", ".format", message
    if tensor.is_shape_tensor and not is_plan:
        message = "is a shape tensor; these are only supported for TensorRT"
        yield "TG431", ".is_shape_tensor", message
    if tensor.is_non_linear_format_io and not is_plan:
        message = "has a non-linear format; these are only supported for TensorRT"
        yield "TG431", ".is_non_linear_format_io", message
    elif tensor.is_non_linear_format_io and rank != 3:
        message = "must have 3 dims for a non-linear format"
        yield "TG431", ".is_non_linear_format_io", message, "Give three dims."


def unlisted(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """What is not listed is guessed by the backend, or nobody can use the model."""
    config = model.config
    lacking = [name for name in ("input", "output") if not getattr(config, name)]
    sized = "max_batch_size" in model.parsed.lines
    named = " and ".join(f"no {name}" for name in lacking)
    # These know their batch and tensors; what they do not complete has rules of its own.
    if not model.written or config.backend in _KNOWING:
        return
    if config.backend in _COMPLETING and not model.is_ensemble:
        if lacking and context.autocomplete:
            guess = "" if sized else "; max_batch_size becomes 4 where every first axis is dynamic"
            yield model.warning(
                "TG644",
                "",
                f"{' and '.join(lacking)} left to auto-completion: a first axis of unknown size is "
                f"taken for the batch{guess}",
            )
        elif not lacking and not sized:
            message = "max_batch_size is not written, which means 0: no batching"
            yield model.info("TG644", "", message)
    elif lacking and config.backend in _NEEDS_TENSORS:
        yield model.error("TG606", "", f"{named}: backend {config.backend} needs both")
    elif lacking:
        note = " (unless auto_complete_config adds them)" if config.backend == "python" else ""
        yield model.warning("TG606", "", f"{named} written{note}; Triton loads it all the same")


def leading_dynamic(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Dims leave the batch axis out; a leading -1 in all of them is often that axis again."""
    found = [(field, tensor) for _, field, tensor in tensors(model)]
    if not model.batching or not found or model.onnx is not None:
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
    facts, config = model.onnx, model.config
    specs = (*facts.inputs, *facts.outputs) if facts is not None else ()
    listed = config.input and config.output and config.max_batch_size == 0
    if listed and specs and all(spec.shape and is_dynamic(spec.shape[0]) for spec in specs):
        yield model.info(
            "TG646",
            "max_batch_size",
            "every first axis of the model is dynamic; if it is a batch axis, requests could share "
            "executions",
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
    for kind in ("batch_input", "batch_output"):
        for field, item in model.each(kind):
            for part, message, *fix in _helper_faults(model, kind, item):
                yield model.error("TG433", f"{field}.{part}", message, *fix)


def _helper_faults(model: LintedModel, kind: str, item: Message) -> Iterator[tuple[str, ...]]:
    """(Field, message), and perhaps a fix."""
    what = kind.replace("_", " ")
    if len(item.source_input) != 1:
        yield "source_input", f"a {what} expects 1 source input, got {len(item.source_input)}"
    for name in item.source_input:
        if all(tensor.name != name for tensor in model.config.input):
            yield "source_input", f"unknown source input '{name}'"
    if kind == "batch_input":
        if item.data_type not in {8, 11}:
            message = "batch input data type must be TYPE_INT32 or TYPE_FP32"
            yield "data_type", message, "Use TYPE_INT32 or TYPE_FP32."
        return
    for name, count in Counter(item.target_name).items():
        if all(tensor.name != name for tensor in model.config.output):
            yield "target_name", f"unknown target output '{name}'", "Name an output of the model."
        elif count > 1:
            message = f"target output '{name}' can only be specified once"
            yield "target_name", message, "Name each output once."
