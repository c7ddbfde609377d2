"""Data that a configuration gives: warm-up samples and initial states of sequences.

A warm-up sample is a request that every instance runs before the model is ready.
"""

from collections.abc import Iterator

from tritongen.config.lint.inputs_outputs import escapes, normal
from tritongen.config.lint.linted_model import LintedModel, data_bytes, show_dims
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import Message, map_path
from tritongen.config.protobuf import dtype_name
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


def _inputs(model: LintedModel, field: str, sample: Message) -> Iterator[Finding]:
    expected = {tensor.name: tensor for tensor in model.config.input}
    controls = {item.name for item in model.config.sequence_batching.control_input}
    controls |= {item.input_name for item in model.config.sequence_batching.state}
    for name, given in sorted(sample.inputs.items()):
        path = map_path(f"{field}.inputs", name)
        yield from _data(model, path, name, given)
        if name in expected:
            for part, unlike in _unlike(given, expected[name], "the model's input"):
                message = f"warm-up input '{name}' {unlike}"
                fix = f"Write the {part} of the model's input; dims leave the batch axis out."
                yield model.error("TG440", f"{path}.{part}", message, fix)
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


def _data(model: LintedModel, path: str, name: str, given: Message) -> Iterator[Finding]:
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
        yield from _file(model, f"{path}.input_data_file", name, given)
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


def _file(model: LintedModel, field: str, name: str, given: Message) -> Iterator[Finding]:
    path = f"warmup/{normal(given.input_data_file)}"
    lack = _lack(model, path, given)
    if escapes(given.input_data_file):
        yield model.warning(
            "TG440", field, f"{path} is outside the model's folder", "Move it into warmup/."
        )
    elif lack:
        fix = "Give a file of raw little-endian values without the batch axis."
        yield model.error("TG440", field, f"warm-up input '{name}': {lack}", fix)


def initial_states(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """An initial state has its state's type and rank, fixed dims, a name and data."""
    seen: set[str] = set()
    for field, state in model.each("sequence_batching.state"):
        initial = state.initial_state
        for item in initial:
            if escapes(item.data_file):
                yield model.warning(
                    "TG651",
                    f"{field}.initial_state[0].data_file",
                    f'"{item.data_file}" leaves initial_state/',
                    "Keep the file inside the model's folder.",
                )
        if len(initial) > 1:
            yield model.error(
                "TG422",
                f"{field}.initial_state",
                f"state '{state.input_name}' has {len(initial)} initial states; at most one is "
                "allowed",
                "Keep one of them.",
            )
        elif initial:
            if state.input_name in seen:
                yield model.error(
                    "TG422",
                    f"{field}.input_name",
                    f"state input '{state.input_name}' is specified more than once",
                    "Name each state input once.",
                )
            seen.add(state.input_name)
            path = f"{field}.initial_state[0]"
            for part, message in _initial_faults(model, state, initial[0]):
                yield model.error("TG422", f"{path}.{part}" if part else path, message)


def _initial_faults(
    model: LintedModel, state: Message, initial: Message
) -> Iterator[tuple[str, str]]:
    """(field, message) of every contradiction."""
    what = f"initial_state of '{state.input_name}'"
    if not initial.name:
        yield "name", f"{what} must have a name"
    for part, unlike in _unlike(initial, state, "the state"):
        yield part, f"{what} {unlike}"
    if -1 in initial.dims:
        yield "dims", f"{what} contains variable dimensions"
    choice = initial.WhichOneof("state_data")
    if choice is None:
        yield "", f"{what} must have zero_data or data_file"
    elif choice == "data_file" and not escapes(initial.data_file):
        lack = _lack(model, f"initial_state/{normal(initial.data_file)}", initial)
        if lack:
            yield "data_file", f"{what}: {lack}"


def _lack(model: LintedModel, path: str, tensor: Message) -> str:
    """Why a file cannot hold the data of a tensor, empty when it can."""
    needed, size = data_bytes(tensor), model.view.files.get(path)
    if size is None:
        return f"{path} does not exist"
    return f"{needed} bytes are needed, and {path} has {size}" if size < needed else ""


def _unlike(given: Message, expected: Message, whose: str) -> Iterator[tuple[str, str]]:
    """(field, difference) where what is given has another type or other dims, all fixed."""
    if given.data_type != expected.data_type:
        mine, theirs = dtype_name(given.data_type), dtype_name(expected.data_type)
        yield "data_type", f"is {mine}, and {whose} is {theirs}"
    dims, wanted = tuple(given.dims), tuple(expected.dims)
    fits = len(dims) == len(wanted) and all(
        want in {-1, dim} for dim, want in zip(dims, wanted, strict=True)
    )
    if not fits and -1 not in dims:
        yield "dims", f"has dims {show_dims(dims)}, and {whose} has {show_dims(wanted)}"
