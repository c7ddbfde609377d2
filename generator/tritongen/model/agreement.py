"""How far two results of the same row are apart, and how far they may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from tritongen.model.precision import Precision
from tritongen.model.samples import Array

# Below this an output counts as zero; its rounding errors have no scale to be held against.
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What counts as equal.

    Attributes:
        relative: to each element.
        absolute: in units of the row's greatest magnitude.
    """

    relative: float
    absolute: float


# Another batch size means other blocks and another order of additions: single precision keeps
# four digits of a row's magnitude (a real text classifier needs them), half and brain two; a
# rounding that tips over moves a statically quantised value by one step of 256, or a few.
TOLERANCES: Mapping[Precision, Tolerance] = MappingProxyType(
    {
        Precision.SINGLE: Tolerance(1e-3, 1e-4),
        Precision.HALF: Tolerance(1e-2, 2e-3),
        Precision.BRAIN: Tolerance(4e-2, 1e-2),
        Precision.QUANTIZED: Tolerance(2e-2, 2e-2),
    }
)

# What sums of about one that cancel leave on another machine: four units in the last place of 1,
# by IEEE 754 and the definition of bfloat16. A quantised value is computed in single precision.
_UNITS_IN_THE_LAST_PLACE = 4
NEAR_ZERO: Mapping[Precision, float] = MappingProxyType(
    {
        Precision.SINGLE: _UNITS_IN_THE_LAST_PLACE * 2.0**-23,
        Precision.HALF: _UNITS_IN_THE_LAST_PLACE * 2.0**-10,
        Precision.BRAIN: _UNITS_IN_THE_LAST_PLACE * 2.0**-7,
        Precision.QUANTIZED: _UNITS_IN_THE_LAST_PLACE * 2.0**-23,
    }
)


@dataclass(frozen=True, slots=True)
class Gap:
    """The difference between two results of one row in one output.

    Attributes:
        output: its name.
        difference: greatest absolute difference of finite numbers; 1 for texts that differ.
        allowed: absolute part of the tolerance, in the output's units.
        share: the difference in units of the row's greatest magnitude, at least 1 where only one
            of the two is a finite number; for exact outputs the share of elements that differ.
        exceeds: whether any element is beyond the tolerance.
        exact: whether the output holds integers, booleans or texts, which must be equal.
    """

    output: str
    difference: float
    allowed: float
    share: float
    exceeds: bool
    exact: bool = False


def gap(
    name: str, expected: Array, actual: Array, tolerance: Tolerance, *, near_zero: float = 0.0
) -> Gap:
    """Compare two arrays of equal shape; equal NaNs and equal infinities agree.

    Args:
        name: of the output.
        expected: what the tolerance is relative to.
        actual: the other one.
        tolerance: relative to each element and to the greatest.
        near_zero: a difference in the output's units that says nothing between two machines.
    """
    if expected.dtype == object or expected.dtype.kind in "biu":
        return _exact_gap(name, expected, actual)
    first, second = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(first) & np.isfinite(second)
    same = finite | (np.isnan(first) & np.isnan(second)) | (first == second)
    magnitudes = np.abs(np.where(finite, first, 0.0)), np.abs(np.where(finite, second, 0.0))
    scale = max(_greatest(magnitudes[0]), _greatest(magnitudes[1]), _FLOOR)
    distance = np.abs(np.where(finite, first - np.where(finite, second, 0.0), 0.0))
    allowed = max(tolerance.absolute * scale, near_zero)
    beyond = distance > allowed + tolerance.relative * magnitudes[0]
    greatest = _greatest(distance)
    share = greatest / scale if bool(np.all(same)) else max(1.0, greatest / scale)
    return Gap(name, greatest, allowed, share, bool(np.any(beyond | ~same)))


def _exact_gap(name: str, expected: Array, actual: Array) -> Gap:
    equal = np.equal(expected, actual)
    if bool(np.all(equal)):
        return Gap(name, 0.0, 0.0, 0.0, exceeds=False, exact=True)
    if expected.dtype == object:
        difference = 1.0
    else:
        pairs = zip(expected.ravel().tolist(), actual.ravel().tolist(), strict=True)
        difference = float(max(abs(int(a) - int(b)) for a, b in pairs))
    share = 1.0 - float(np.mean(equal))
    return Gap(name, difference, 0.0, share, exceeds=True, exact=True)


def _greatest(array: Array) -> float:
    return float(array.max()) if array.size else 0.0


def worst(gaps: list[Gap]) -> Gap | None:
    """The gap to speak of: one beyond its tolerance first, then the greatest; None without any."""
    return max(gaps, key=lambda item: (item.exceeds, item.share), default=None)


def tells_apart(first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    """Whether any output differs at a finite value, so that it says something of its input."""
    return any(
        name in second and array.shape == second[name].shape and _differs(array, second[name])
        for name, array in first.items()
    )


def _differs(first: Array, second: Array) -> bool:
    if first.dtype == object or first.dtype.kind in "biu":
        return not bool(np.array_equal(first, second))
    a, b = first.astype(np.float64), second.astype(np.float64)
    return bool(np.any((a != b) & np.isfinite(a) & np.isfinite(b)))
