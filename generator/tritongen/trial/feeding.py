"""Inputs that the model accepts: sizes first, then values, until one run succeeds.

Where its file does not say which axes vary, further runs with other sizes do.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from types import MappingProxyType

from tritongen.model.evidence import ReportedTensor
from tritongen.model.input_values import default_values
from tritongen.model.samples import Array, InputRecipe, make_inputs
from tritongen.model.tensors import DType
from tritongen.trial.child_request import Feed
from tritongen.trial.runtime import LoadedModel, RuntimeRefusal
from tritongen.trial.sizes import Sizes, propose_sizes

# Chosen: what a trial has the time to try.
_MAX_PROPOSALS = 120
# The first proposals are tried with every kind of values, the others only when values are at fault.
_SIZES_WITH_ALL_VALUES = 2
# An execution beyond this is not repeated for each axis.
_MAX_EXECUTION_S = 2.0

Dims = dict[str, list[int]]


class _Kind(Enum):
    """What an input's values are, as far as the trial may choose them."""

    INTEGER = "integer"
    FLOAT = "float"
    FLAG = "flag"
    TEXT = "text"
    # Values that follow from the input's name, such as a mask's.
    NAMED = "named"


# Defaults that follow from the type alone.
_GENERAL = {"float[0,1)", "int[0,10)", "bool"}
# What to feed instead of the default, the likelier first.
_LADDERS: Mapping[_Kind, tuple[str, ...]] = MappingProxyType(
    {
        _Kind.INTEGER: ("int[0,2)", "zeros", "ones"),
        _Kind.FLOAT: ("normal(0,1)", "zeros", "ones"),
        _Kind.FLAG: ("zeros", "ones"),
        _Kind.TEXT: ("choice(0,1)", "zeros"),
    }
)


@dataclass(frozen=True, slots=True)
class Fed:
    """Inputs that ran.

    Attributes:
        recipes: one an input; axis 0 has one row where it is open and one row is accepted.
        outputs: of the run.
        first_refusal: what the runtime said to the usual sizes and values, empty when it ran.
        one_row: whether an open axis 0 was given one row.
        seconds: wall clock of the run.
    """

    recipes: tuple[InputRecipe, ...]
    outputs: dict[str, Array]
    first_refusal: str
    one_row: bool
    seconds: float


def find_inputs(
    session: LoadedModel,
    feeds: Sequence[Feed],
    seed: int,
    deadline: float,
    real: Mapping[str, Array] = MappingProxyType({}),
) -> Fed:
    """Search sizes and values that the model accepts.

    Args:
        session: the loaded model.
        feeds: its inputs.
        seed: of the values.
        deadline: `time.monotonic()` after which nothing further is tried.
        real: a user's values by input; see `InputRecipe`.

    Raises:
        RuntimeRefusal: nothing was accepted; the message is that of the first attempt.
    """
    first: RuntimeRefusal | None = None
    for one_row in (True, False):
        count = _MAX_PROPOSALS if one_row else _MAX_PROPOSALS // 4
        for index, sizes in enumerate(islice(propose_sizes(feeds, one_row=one_row), count)):
            for level, made in enumerate(_ladder(feeds, sizes)):
                recipes = tuple(replace(item, real=real.get(item.name)) for item in made)
                if first is not None and time.monotonic() > deadline:
                    raise first
                begun = time.monotonic()
                try:
                    outputs = session.run(make_inputs(recipes, seed))
                except RuntimeRefusal as refusal:
                    first = first or refusal
                    other_values = level > 0 or refusal.about_values
                    if index >= _SIZES_WITH_ALL_VALUES and not other_values:
                        break  # with these sizes they are not worth a try
                    continue
                message = first.message if first else ""
                return Fed(recipes, outputs, message, one_row, time.monotonic() - begun)
    raise first or RuntimeRefusal("the model takes no inputs that could be generated")


def _ladder(feeds: Sequence[Feed], sizes: Sizes) -> Iterator[tuple[InputRecipe, ...]]:
    """The usual values, then other integers, other floats, other texts, then all alike."""
    yield _recipes(feeds, sizes, {})
    for kind, texts in _LADDERS.items():
        if any(_kind(feed) is kind and not feed.values for feed in feeds):
            for text in texts:
                yield _recipes(feeds, sizes, {kind: text})
    yield _recipes(feeds, sizes, dict.fromkeys(_Kind, "zeros"))
    yield _recipes(feeds, sizes, dict.fromkeys(_Kind, "ones") | {_Kind.TEXT: "string(1,1)"})


def _kind(feed: Feed) -> _Kind:
    if feed.dtype is DType.BYTES:
        return _Kind.TEXT
    if feed.values or default_values(feed.name, feed.dtype) not in _GENERAL:
        return _Kind.NAMED
    if feed.dtype is DType.BOOL:
        return _Kind.FLAG
    return _Kind.FLOAT if feed.dtype.is_float else _Kind.INTEGER


def _recipes(
    feeds: Sequence[Feed], sizes: Sizes, texts: Mapping[_Kind, str]
) -> tuple[InputRecipe, ...]:
    """One recipe an input: the user's values, else the kind's text, else the default."""
    return tuple(
        InputRecipe(
            feed.name,
            feed.dtype,
            sizes[feed.name],
            feed.values or texts.get(_kind(feed)) or default_values(feed.name, feed.dtype),
        )
        for feed in feeds
    )


def find_axes(
    session: LoadedModel, fed: Fed, seed: int
) -> tuple[tuple[ReportedTensor, ...], tuple[ReportedTensor, ...]]:
    """Inputs and outputs with -1 for every axis that takes another size.

    Args:
        session: the loaded model.
        fed: inputs that ran.
        seed: of the values.
    """
    inputs: Dims = {recipe.name: list(recipe.shape) for recipe in fed.recipes}
    outputs: Dims = {name: list(array.shape) for name, array in fed.outputs.items()}
    if fed.seconds <= _MAX_EXECUTION_S:
        for recipe in fed.recipes:
            for axis in range(len(recipe.shape)):
                if inputs[recipe.name][axis] >= 0:
                    _try(session, fed, recipe.name, axis, seed, (inputs, outputs))
    return _reported(inputs), _reported(outputs)


def _try(
    session: LoadedModel, fed: Fed, name: str, axis: int, seed: int, found: tuple[Dims, Dims]
) -> None:
    """One size more on one axis, alone first, then on the same axis of the other inputs too."""
    inputs, outputs = found
    size = inputs[name][axis]
    partners = [
        recipe.name
        for recipe in fed.recipes
        if axis < len(recipe.shape) and recipe.shape[axis] == size
    ]
    for group in ([name], partners):
        recipes = [
            _wider(recipe, axis) if recipe.name in group else recipe for recipe in fed.recipes
        ]
        try:
            result = session.run(make_inputs(recipes, seed))
        except RuntimeRefusal:
            continue
        for member in group:
            inputs[member][axis] = -1
        _mark(outputs, fed.outputs, result)
        return


def _wider(recipe: InputRecipe, axis: int) -> InputRecipe:
    shape = list(recipe.shape)
    shape[axis] += 1
    return replace(recipe, shape=tuple(shape))


def _mark(outputs: Dims, before: Mapping[str, Array], after: Mapping[str, Array]) -> None:
    """Axes of the outputs that changed with the input."""
    for name, array in before.items():
        other = after.get(name)
        if other is None or other.ndim != array.ndim:
            continue
        for axis, (old, new) in enumerate(zip(array.shape, other.shape, strict=True)):
            if old != new:
                outputs[name][axis] = -1


def _reported(dims: Mapping[str, Sequence[int]]) -> tuple[ReportedTensor, ...]:
    return tuple(ReportedTensor(name, tuple(sizes)) for name, sizes in dims.items())
