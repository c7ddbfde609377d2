"""Inputs that the model accepts: sizes first, then values, until one run succeeds.

Where its file does not say which axes vary, further runs with other sizes do.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from types import MappingProxyType

from tritongen.model.evidence import AxisVerdict, ReportedTensor
from tritongen.model.input_values import default_values
from tritongen.model.intent import AxisIntent
from tritongen.model.samples import Array, InputRecipe, make_inputs
from tritongen.model.tensors import DType
from tritongen.trial.axes import Answer, Proofs, Reply, follow, search_axes
from tritongen.trial.child_request import Feed
from tritongen.trial.runtime import LoadedModel, RuntimeRefusal
from tritongen.trial.sizes import Sizes, axis_labels, opens_with_rows, propose_sizes

# Chosen: what a trial has the time to try.
_MAX_PROPOSALS = 120
# The first proposals are tried with every kind of values, the others only when values are at fault.
_SIZES_WITH_ALL_VALUES = 2
# Lengths that a graph may have baked in.
_LENGTHS = (512, 384, 256, 128, 100, 80, 77, 64, 32, 8, 1024)
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
    stated: Mapping[str, AxisIntent] = MappingProxyType({}),
) -> Fed:
    """Search sizes and values that the model accepts.

    Args:
        session: the loaded model.
        feeds: its inputs.
        seed: of the values.
        deadline: `time.monotonic()` after which nothing further is tried.
        real: a user's values by input; see `InputRecipe`.
        stated: sizes of axes, by the user.

    Raises:
        RuntimeRefusal: nothing was accepted; the message is that of the first attempt.
    """
    first: RuntimeRefusal | None = None
    for one_row in (True, False):
        count = _MAX_PROPOSALS if one_row else _MAX_PROPOSALS // 4
        for index, sizes in enumerate(islice(propose_sizes(feeds, stated, one_row=one_row), count)):
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
                fed = Fed(recipes, outputs, "", one_row, time.monotonic() - begun)
                if first is None:
                    return fed
                fed = replace(fed, first_refusal=first.message)
                return _as_exported(session, feeds, fed, seed, stated)
    raise first or RuntimeRefusal("the model takes no inputs that could be generated")


def usual_inputs(
    feeds: Sequence[Feed], real: Mapping[str, Array], stated: Mapping[str, AxisIntent]
) -> tuple[InputRecipe, ...]:
    """What is fed first of all, of the inputs that no user's values are for."""
    sizes = next(iter(propose_sizes(feeds, stated, one_row=True)), None)
    made = next(_ladder(feeds, sizes)) if sizes is not None else ()
    return tuple(recipe for recipe in made if recipe.name not in real)


def open_sizes(
    feeds: Sequence[Feed], recipes: Sequence[InputRecipe], *, batched: bool
) -> dict[str, int]:
    """The size of every open axis, by label; without axis 0 where that is the batch.

    Args:
        feeds: the inputs.
        recipes: how they ran.
        batched: whether axis 0 is left out.
    """
    found: dict[str, int] = {}
    for feed, recipe in zip(feeds, recipes, strict=True):
        for axis in range(batched and opens_with_rows(feed), len(recipe.shape)):
            labels = axis_labels(feed, axis)
            if len(labels) == 1 and recipe.shape[axis] > 0:
                found.setdefault(labels[0], recipe.shape[axis])
    return found


def resized(
    feeds: Sequence[Feed], recipes: Sequence[InputRecipe], more: Mapping[str, int]
) -> tuple[InputRecipe, ...]:
    """The recipes with axes made longer by so much, by label; sums of axes follow."""
    return tuple(
        replace(
            recipe,
            shape=tuple(
                size + sum(more.get(label, 0) for label in axis_labels(feed, axis))
                for axis, size in enumerate(recipe.shape)
            ),
        )
        for feed, recipe in zip(feeds, recipes, strict=True)
    )


def _as_exported(
    session: LoadedModel,
    feeds: Sequence[Feed],
    fed: Fed,
    seed: int,
    stated: Mapping[str, AxisIntent],
) -> Fed:
    """Inputs of a usual length where others were refused and these need not be what they seem.

    A size of 1 may only have been broadcast, and a row that comes out as several may be a multiple
    of the length that the graph has baked in.
    """
    sizes = open_sizes(feeds, fed.recipes, batched=fed.one_row)
    mixed = fed.one_row and not _one_row(fed.outputs)
    odd = [name for name, size in sizes.items() if (mixed or size == 1) and name not in stated]
    if any(feed.sizes is not None for feed in feeds):
        return fed  # the user's own
    for length in _LENGTHS if odd else ():
        recipes = resized(feeds, fed.recipes, {name: length - sizes[name] for name in odd})
        begun = time.monotonic()
        with suppress(RuntimeRefusal):
            outputs = session.run(make_inputs(recipes, seed))
            if not fed.one_row or _one_row(outputs):
                seconds = time.monotonic() - begun
                return replace(fed, recipes=recipes, outputs=outputs, seconds=seconds)
    return fed


def _one_row(outputs: Mapping[str, Array]) -> bool:
    return all(array.shape[:1] == (1,) for array in outputs.values())


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
    """Inputs and outputs with -1 for every axis that takes one size more, alone or with others.

    Args:
        session: the loaded model.
        fed: inputs that ran.
        seed: of the values.
    """
    outputs: Dims = {name: list(array.shape) for name, array in fed.outputs.items()}
    feeds = [Feed(item.name, item.dtype, (None,) * len(item.shape)) for item in fed.recipes]
    first = open_sizes(feeds, fed.recipes, batched=False)

    def run(sizes: Mapping[str, int]) -> Reply:
        more = {label: size - first[label] for label, size in sizes.items()}
        try:
            result = session.run(make_inputs(resized(feeds, fed.recipes, more), seed))
        except RuntimeRefusal as refusal:
            return Answer.REFUSED, refusal.message
        _mark(outputs, fed.outputs, result)
        return Answer.RAN, ""

    found: Proofs = {}
    if fed.seconds <= _MAX_EXECUTION_S:
        near = {label: AxisIntent(size, 0, size + 1) for label, size in first.items()}
        follow(search_axes(first, near, found), run)
    varying = {name for name, proof in found.items() if proof.verdict is not AxisVerdict.FIXED}
    inputs = {
        item.name: [
            -1 if f"{item.name}[{axis}]" in varying else size
            for axis, size in enumerate(item.shape)
        ]
        for item in fed.recipes
    }
    return _reported(inputs), _reported(outputs)


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
