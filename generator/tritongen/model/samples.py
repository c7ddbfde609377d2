"""Seeded inputs for trials, verification and load: finite, typed, the same on every machine.

Every input has a stream of its own, derived from the seed and its name, so that adding an input
does not change the others. Elements are drawn in row order: the first rows of a larger batch are
the rows of a smaller one, as long as the rows of the larger one differ. Where a user has real rows,
these are taken in their place.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tritongen.errors import EnvironmentProblem
from tritongen.model.evidence import ObservedTensor
from tritongen.model.input_values import (
    Values,
    ValueSource,
    default_values,
    dtype_bounds,
    parse_values,
)
from tritongen.model.tensors import DType

Array = NDArray[Any]

_ALPHABET = np.frombuffer(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _", dtype=np.uint8
)
# Stands for the values of an input where a user's samples were fed.
SAMPLED = "samples"
# Fewer different rows of a user's prove nothing of a batch; generated ones are added to them.
FEWEST_REAL_ROWS = 3
# A row that repeats an earlier one is drawn again this often; few values may not allow a new one.
_REDRAWS = 8


@dataclass(frozen=True, slots=True)
class InputRecipe:
    """What to feed one input with.

    Attributes:
        name: of the input.
        dtype: its element type.
        shape: the full shape as sent, batch axis included.
        values: a text of the grammar in `tritongen.model.input_values`; empty for the default.
        real: a user's own rows along axis 0, or whole arrays along an extra first axis; taken where
            they have the shape.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    values: str = ""
    real: Array | None = field(default=None, compare=False, repr=False)

    @property
    def description(self) -> str:
        """The text in force: `values`, or the default that suits name and type."""
        if self.real is not None:
            return SAMPLED
        text = "" if self.values == SAMPLED else self.values
        return text or default_values(self.name, self.dtype)

    def with_rows(self, rows: int) -> "InputRecipe":
        """The same with another size of axis 0; a scalar stays as it is."""
        shape = (rows, *self.shape[1:]) if self.shape else self.shape
        return replace(self, shape=shape)


def observed_recipes(inputs: Iterable[ObservedTensor]) -> tuple[InputRecipe, ...]:
    """Recipes of the inputs with which a trial ran; `InputRecipe.with_rows` widens axis 0."""
    return tuple(InputRecipe(item.name, item.dtype, item.shape, item.values) for item in inputs)


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """The numpy dtype of an element type; object (of bytes) for BYTES.

    Raises:
        EnvironmentProblem: TG006, BF16 is asked for and `ml_dtypes` is not installed.
    """
    if dtype is not DType.BF16:
        return np.dtype(dtype.numpy_name)
    try:
        import ml_dtypes  # only BF16 needs it; numpy has no such type
    except ImportError:
        raise EnvironmentProblem(
            "TG006", "BF16 inputs need the package ml_dtypes", fix="pip install ml_dtypes"
        ) from None
    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16


def make_inputs(recipes: Iterable[InputRecipe], seed: int) -> dict[str, Array]:
    """One array an input, of the recipe's type and shape; BYTES as an object array of bytes.

    Rows along axis 0 differ from one another wherever the described values allow it.

    Raises:
        InvalidInputError: TG304, a recipe's text does not suit its type.
        EnvironmentProblem: TG006, see `numpy_dtype`.
    """
    return {recipe.name: _make_one(recipe, seed) for recipe in recipes}


def zero_inputs(recipes: Iterable[InputRecipe]) -> dict[str, Array]:
    """All-zero inputs, as Triton's warm-up feeds them; empty strings for BYTES."""
    return {recipe.name: _filled(recipe, 0) for recipe in recipes}


def row(inputs: Mapping[str, Array], index: int) -> dict[str, Array]:
    """One row of every input, axis 0 kept with size 1; scalars pass as they are."""
    return {name: a[index : index + 1] if a.ndim else a for name, a in inputs.items()}


def stack_rows(rows: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Several inputs joined along axis 0, in order; scalars are taken from the first."""
    first = rows[0]
    return {
        name: np.concatenate([item[name] for item in rows], axis=0) if a.ndim else a
        for name, a in first.items()
    }


def _stream(seed: int, *key: str) -> np.random.PCG64:
    """A bit generator for one purpose. Its raw output is stable across numpy's versions."""
    digest = hashlib.sha256("\0".join((str(seed), *key)).encode()).digest()
    return np.random.PCG64(int.from_bytes(digest[:16], "little"))


def _unit(stream: np.random.PCG64, count: int) -> NDArray[np.float64]:
    """Uniform in [0, 1), 53 bits each."""
    raw = np.asarray(stream.random_raw(count), dtype=np.uint64)
    return (raw >> np.uint64(11)) * np.float64(2.0**-53)


def _make_one(recipe: InputRecipe, seed: int) -> Array:
    if recipe.real is not None:
        return _real(recipe, recipe.real, seed)
    values = parse_values(recipe.description, recipe.dtype)
    array = _draw(recipe, values, seed, "")
    rows = recipe.shape[0] if recipe.shape else 1
    if rows > 1 and array.size and not values.constant:
        _separate_rows(array, recipe, values, seed)
    return array


def _real(recipe: InputRecipe, real: Array, seed: int) -> Array:
    """Rows of the user's, other ones for another seed; what they do not fill is generated."""
    shape = recipe.shape
    if real.ndim > len(shape):
        real = real[seed % len(real)]
        if real.shape == shape:
            return real
    if not shape or real.shape[1:] != shape[1:]:
        return _make_one(replace(recipe, real=None), seed)
    # Far from one another: files are often sorted by class, and all of one class answer alike.
    step = round(len(real) * 0.382) or 1
    step = next(one for one in range(step, len(real) + 2) if math.gcd(one, len(real)) == 1)
    order = (seed * FEWEST_REAL_ROWS + np.arange(shape[0])) * step % len(real)
    taken: Array = real[order]
    if len(real) < min(shape[0], FEWEST_REAL_ROWS):
        taken[len(real) :] = _make_one(replace(recipe, real=None), seed)[len(real) :]
    return taken


def _separate_rows(array: Array, recipe: InputRecipe, values: Values, seed: int) -> None:
    """Draws again, in place, every row that repeats an earlier one."""
    single = recipe.with_rows(1)
    seen: set[bytes] = set()
    for index in range(array.shape[0]):
        for attempt in range(_REDRAWS):
            one = array[index : index + 1]
            key = repr(one.tolist()).encode() if array.dtype == object else one.tobytes()
            if key not in seen:
                seen.add(key)
                break
            array[index] = _draw(single, values, seed, f"row {index}, attempt {attempt}")[0]


def _draw(recipe: InputRecipe, values: Values, seed: int, purpose: str) -> Array:
    if values.source is ValueSource.ZEROS:
        return _filled(recipe, 0)
    if values.source is ValueSource.ONES:
        return _filled(recipe, 1)
    if values.source is ValueSource.CONST:
        return _filled(recipe, values.items[0])
    key = (recipe.name, purpose)
    count = math.prod(recipe.shape)
    if values.source is ValueSource.STRING:
        return _strings(values, count, seed, key).reshape(recipe.shape)
    unit = _unit(_stream(seed, *key), count)
    flat = _numbers(recipe.dtype, values, unit, seed, key)
    return flat.reshape(recipe.shape)


def _numbers(
    dtype: DType, values: Values, unit: NDArray[np.float64], seed: int, key: tuple[str, ...]
) -> Array:
    target = numpy_dtype(dtype)
    if values.source is ValueSource.BOOL:
        return unit < 0.5
    if values.source is ValueSource.CHOICE:
        picks = np.minimum((unit * len(values.items)).astype(np.int64), len(values.items) - 1)
        return _as_array(values.items, target)[picks]
    if values.source is ValueSource.INT:
        return _whole_numbers(values, unit, target)
    if values.source is ValueSource.NORMAL:
        other = _unit(_stream(seed, *key, "second"), unit.size)
        radius = np.sqrt(-2.0 * np.log(1.0 - unit))
        drawn = values.low + values.high * radius * np.cos(2.0 * np.pi * other)
        least, greatest = dtype_bounds(dtype)
        return np.clip(drawn, least, greatest).astype(target)
    # Halves first: the width of a range such as [-max, max] is not finite.
    drawn = values.low * (1.0 - unit) + values.high * unit
    result = np.clip(drawn, values.low, values.high).astype(target)
    if not values.closed:
        # Rounding to a short type can reach the bound that was left out.
        below = np.nextafter(target.type(values.high), target.type(values.low))
        result = np.where(result >= target.type(values.high), below, result)
    return result


def _whole_numbers(values: Values, unit: NDArray[np.float64], target: np.dtype[Any]) -> Array:
    low, span = int(values.low), int(values.high) - int(values.low) + 1
    if span <= 2**53:
        offsets = np.minimum((unit * span).astype(np.uint64), np.uint64(span - 1))
    else:
        # 53 random bits spread over a wider range; every value cannot occur, the ends nearly do.
        offsets = (unit * 2.0**53).astype(np.uint64) * np.uint64(span >> 53)
    if target.kind == "f" or target.itemsize == 0 or target.kind == "V":
        return (offsets.astype(np.float64) + low).astype(target)
    # Two's complement wraps around to the right signed value.
    return (offsets + np.uint64(low % 2**64)).astype(target)


def _strings(values: Values, count: int, seed: int, key: tuple[str, ...]) -> Array:
    low, longest = int(values.low), int(values.high)
    lengths = low + (_unit(_stream(seed, *key), count) * (longest - low + 1)).astype(np.int64)
    picks = (_unit(_stream(seed, *key, "characters"), count * longest) * _ALPHABET.size).astype(int)
    letters = _ALPHABET[picks].reshape(count, longest)
    array = np.empty(count, dtype=object)
    for index, length in enumerate(lengths.tolist()):
        array[index] = letters[index, :length].tobytes()
    return array


def _filled(recipe: InputRecipe, value: float | bytes) -> Array:
    target = numpy_dtype(recipe.dtype)
    if recipe.dtype is DType.BYTES:
        array = np.empty(recipe.shape, dtype=object)
        array.fill(value if isinstance(value, bytes) else b"")
        return array
    return np.full(recipe.shape, value, dtype=target)


def _as_array(items: Sequence[object], target: np.dtype[Any]) -> Array:
    array = np.empty(len(items), dtype=target)
    array[:] = items
    return array
