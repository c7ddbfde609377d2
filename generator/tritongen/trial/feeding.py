"""Inputs that the model accepts: sizes first, then values, until one run succeeds."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from types import MappingProxyType

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


def find_inputs(session: LoadedModel, feeds: Sequence[Feed], seed: int, deadline: float) -> Fed:
    """Search sizes and values that the model accepts.

    Args:
        session: the loaded model.
        feeds: its inputs.
        seed: of the values.
        deadline: `time.monotonic()` after which nothing further is tried.

    Raises:
        RuntimeRefusal: nothing was accepted; the message is that of the first attempt.
    """
    first: RuntimeRefusal | None = None
    for one_row in (True, False):
        count = _MAX_PROPOSALS if one_row else _MAX_PROPOSALS // 4
        for index, sizes in enumerate(islice(propose_sizes(feeds, one_row=one_row), count)):
            for level, recipes in enumerate(_ladder(feeds, sizes)):
                if first is not None and time.monotonic() > deadline:
                    raise first
                begun = time.monotonic()
                try:
                    outputs = session.run(make_inputs(recipes, seed))
                except RuntimeRefusal as refusal:
                    first = first or refusal
                    if _next_sizes(refusal, index, level):
                        break
                    continue
                message = first.message if first else ""
                return Fed(recipes, outputs, message, one_row, time.monotonic() - begun)
    raise first or RuntimeRefusal("the model takes no inputs that could be generated")


def _next_sizes(refusal: RuntimeRefusal, index: int, level: int) -> bool:
    """Whether other values are not worth a try with these sizes."""
    if level > 0 or refusal.about_values:
        return False
    return index >= _SIZES_WITH_ALL_VALUES


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
