"""Warm-up samples: each is a request that every instance runs before the model is ready."""

from collections.abc import Iterator

from tritongen.config.lint.inputs_outputs import escapes, normal
from tritongen.config.lint.linted_model import (
    LintedModel,
    data_bytes,
    dtype_name,
    show_dims,
)
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import ConfigMessage, map_path
from tritongen.model.findings import Finding


def samples(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Every sample must be a request that the model accepts."""
    if model.is_ensemble:
        return
    for field, sample in model.each("model_warmup"):
        if sample.batch_size == 0:
            yield model.warning(
                "TG612", field, f"warm-up sample '{sample.name}' has batch_size 0 and is skipped"
            )
            continue
        most = max(1, model.config.max_batch_size)
        if sample.batch_size > most:
            yield model.error(
                "TG440",
                f"{field}.batch_size",
                f"warm-up sample '{sample.name}': batch size {sample.batch_size}, max allowed is "
                f"{most}",
                "Lower batch_size.",
            )
        yield from _inputs(model, field, sample)


def _inputs(model: LintedModel, field: str, sample: ConfigMessage) -> Iterator[Finding]:
    expected = {tensor.name: tensor for tensor in model.config.input}
    controls = {item.name for item in model.config.sequence_batching.control_input}
    controls |= {item.input_name for item in model.config.sequence_batching.state}
    for name, given in sorted(sample.inputs.items()):
        path = map_path(f"{field}.inputs", name)
        yield from _data(model, path, name, given)
        if name in expected:
            yield from _against(model, path, given, expected[name])
        elif name not in controls and expected:
            yield model.warning(
                "TG440",
                path,
                f"warm-up sample '{sample.name}' gives '{name}', which is no input of the model",
                "Remove it or correct its name.",
            )
    missing = [
        name
        for name, tensor in expected.items()
        if not tensor.optional and name not in sample.inputs
    ]
    if missing:
        yield model.error(
            "TG440",
            field,
            f"warm-up sample '{sample.name}' is missing required input(s) {', '.join(missing)}",
            "Give every required input.",
        )


def _data(model: LintedModel, path: str, name: str, given: ConfigMessage) -> Iterator[Finding]:
    """Dims are fixed, and there is data for them."""
    dims = tuple(given.dims)
    if any(dim < 0 for dim in dims):
        yield model.error(
            "TG440",
            f"{path}.dims",
            f"warm-up expects all variable-size dimensions of '{name}' to be specified; dims are "
            f"{show_dims(dims)}",
            "Give fixed sizes, without the batch axis.",
        )
        return
    choice = given.WhichOneof("input_data_type")
    if choice is None:
        yield model.error(
            "TG440",
            path,
            f"warm-up expects input '{name}' to have zero_data, random_data or input_data_file",
            "Add zero_data: true.",
        )
    elif choice == "input_data_file":
        yield from _file(model, path, name, given)
    elif choice == "zero_data" and not given.zero_data:
        yield model.info(
            "TG622", f"{path}.zero_data", f"zero_data: false still fills '{name}' with zeros"
        )
    elif choice == "random_data" and dtype_name(given.data_type) == "TYPE_STRING":
        yield model.info(
            "TG622",
            f"{path}.random_data",
            f"'{name}' is TYPE_STRING: it gets zeros, not random data",
        )


def _file(model: LintedModel, path: str, name: str, given: ConfigMessage) -> Iterator[Finding]:
    relative = f"warmup/{normal(given.input_data_file)}"
    field = f"{path}.input_data_file"
    if escapes(given.input_data_file):
        yield model.warning(
            "TG440", field, f"{relative} is outside the model's folder", "Move it into warmup/."
        )
        return
    if relative not in model.view.files:
        yield model.error(
            "TG440", field, f"{relative}, the data of '{name}', does not exist", "Add the file."
        )
        return
    needed, size = data_bytes(given), model.view.files[relative]
    if size < needed:
        yield model.error(
            "TG440",
            field,
            f"warm-up expects {needed} bytes for '{name}', but {relative} has {size}",
            "Write raw little-endian values without the batch axis.",
        )


def _against(
    model: LintedModel, path: str, given: ConfigMessage, tensor: ConfigMessage
) -> Iterator[Finding]:
    """The sample has the input's type and shape."""
    if given.data_type != tensor.data_type:
        yield model.error(
            "TG440",
            f"{path}.data_type",
            f"warm-up input '{tensor.name}' is {dtype_name(given.data_type)}, but the model "
            f"expects {dtype_name(tensor.data_type)}",
            "Write the input's data_type.",
        )
    dims, expected = tuple(given.dims), tuple(tensor.dims)
    fits = len(dims) == len(expected) and all(
        want in {-1, dim} for dim, want in zip(dims, expected, strict=True)
    )
    if not fits and not any(dim < 0 for dim in dims):
        yield model.error(
            "TG440",
            f"{path}.dims",
            f"warm-up input '{tensor.name}' has dims {show_dims(dims)}; the model expects "
            f"{show_dims(expected)}, batch axis excluded",
            "Write the input's dims with fixed sizes.",
        )
