"""Sequences on a server against a loop on this machine that carries the state by hand."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tritongen.errors import InvalidInputError, describe_error
from tritongen.model.samples import Array, InputRecipe, make_inputs
from tritongen.model.sequence_states import INITIAL_FOLDER
from tritongen.model.tensors import DType
from tritongen.serving.verify_runs import Outputs, Pair
from tritongen.system.paths import read_head
from tritongen.triton.client import SequenceStep

# Two sequences at once show that states are not mixed up; the third step rests on two others.
SEQUENCES = 2
STEPS = 4
_FALSE_TRUE = (
    ("fp32_false_true", "float32"), ("int32_false_true", "int32"), ("bool_false_true", "bool"),
)  # fmt: skip
COMPARED = f"{SEQUENCES} sequences of {STEPS} requests"

Local = Callable[[Mapping[str, Array]], Outputs]
RunStep = Callable[[Mapping[str, Array], Outputs, SequenceStep], Outputs]


def sequence_pairs(
    config: Mapping[str, Any],
    recipes: Sequence[InputRecipe],
    seed: int,
    local: Local,
    served: RunStep,
    folder: Path,
) -> list[Pair]:
    """The outputs of every step of several interleaved sequences: expected, and served.

    Args:
        config: the model's, as the server holds it.
        recipes: of all inputs of the model, one row each; states and controls are passed by.
        seed: of the inputs.
        local: runs the model once on this machine.
        served: sends one request, of which the outputs are expected.
        folder: of the model in the repository, where files with first states lie.

    Raises:
        InvalidInputError: TG836, such a file cannot be read or is too short.
    """
    batcher = config["sequence_batching"]
    states = {item["input_name"]: item["output_name"] for item in batcher.get("state", ())}
    batches = int(config.get("max_batch_size", 0)) > 0
    carried = [_initial(batcher.get("state", ()), batches, folder) for _ in range(SEQUENCES)]
    controls = list(_controls(batcher))
    own = set(states) | {name for name, _, _ in controls}
    sent = [recipe for recipe in recipes if recipe.name not in own]
    outputs = [item["name"] for item in config["output"]]
    first = 1 + secrets.randbelow(2**30)  # a sequence of another client must not be met
    pairs: list[Pair] = []
    for step in range(STEPS):
        for number in range(SEQUENCES):
            inputs = make_inputs(sent, seed + step * SEQUENCES + number)
            at = SequenceStep(first + number, start=step == 0, end=step == STEPS - 1)
            fed = {name: _control(kind, dtype, at, batches) for name, kind, dtype in controls}
            given = local({**inputs, **fed, **carried[number]})
            carried[number] = {name: given[output] for name, output in states.items()}
            expected = {name: given[name] for name in outputs}
            pairs.append(Pair(expected, served(inputs, given, at)))
    return pairs


def _initial(states: Sequence[Mapping[str, Any]], batches: bool, folder: Path) -> dict[str, Array]:
    import numpy as np

    found = {}
    for state in states:
        initial: Mapping[str, Any] = next(iter(state.get("initial_state", ())), {})
        dims = [max(1, int(dim)) for dim in initial.get("dims") or state["dims"]]
        dtype = DType.from_config(state["data_type"])
        shape = (1, *dims) if batches else tuple(dims)
        array = np.zeros(shape, np.dtype(dtype.numpy_name if dtype else "float32"))
        if initial.get("data_file"):
            path = folder / INITIAL_FOLDER / initial["data_file"]
            array = _content(path, array)
        found[state["input_name"]] = array
    return found


def _content(path: Path, like: Array) -> Array:
    import numpy as np

    try:
        data = read_head(path, like.nbytes)
    except OSError as problem:
        what = f"cannot be read: {describe_error(problem)}"
        raise InvalidInputError("TG836", what, where=str(path)) from problem
    if len(data) < like.nbytes:
        message = f"has {len(data)} bytes; the state has {like.nbytes}"
        raise InvalidInputError("TG836", message, where=str(path))
    return np.frombuffer(data, like.dtype).reshape(like.shape)


def _controls(batcher: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(input, kind, numpy's type) of every control."""
    for tensor in batcher.get("control_input", ()):
        for control in tensor.get("control", ()):
            dtype = DType.from_config(control.get("data_type", ""))
            stated = dtype.numpy_name if dtype else "uint64"
            named = (name for key, name in _FALSE_TRUE if control.get(key))
            yield tensor["name"], control["kind"], next(named, stated)


def _control(kind: str, dtype: str, at: SequenceStep, batches: bool) -> Array:
    """What the server feeds to a control, for the usual values 0 and 1."""
    import numpy as np

    values: dict[str, object] = {
        "CONTROL_SEQUENCE_START": at.start,
        "CONTROL_SEQUENCE_END": at.end,
        "CONTROL_SEQUENCE_READY": True,
        "CONTROL_SEQUENCE_CORRID": at.identity,
    }
    value = values[kind]
    if dtype == "object":
        value = str(value).encode()
    return np.array([value], np.dtype(dtype)).reshape((1, 1) if batches else (1,))
