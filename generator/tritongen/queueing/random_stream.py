"""Chance as a parameter: a small seeded generator, so that every simulation can be repeated."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

# SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): 64-bit words, the golden ratio's increment, and
# 53 bits for a float.
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_UNIT = 1.0 / (1 << 53)


def _mix(word: int) -> int:
    """SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014)."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


class Stream:
    """A stream of pseudo-random numbers: SplitMix64, the same on every machine and version.

    Streams of different seeds, and children of different labels, are independent for the
    purposes of simulation.
    """

    __slots__ = ("_spare", "_state")

    def __init__(self, seed: int) -> None:
        self._state = _mix(seed & _MASK)
        self._spare: float | None = None

    def child(self, label: str) -> "Stream":
        """A stream of its own for one purpose; the parent is not advanced."""
        word = self._state
        for byte in label.encode():
            word = _mix((word + _GOLDEN) & _MASK ^ byte)
        return Stream(word)

    def uniform(self) -> float:
        """A number strictly between 0 and 1."""
        self._state = (self._state + _GOLDEN) & _MASK
        return ((_mix(self._state) >> 11) + 0.5) * _UNIT

    def exponential(self, mean: float) -> float:
        """An exponentially distributed number of the given mean."""
        return -mean * math.log(self.uniform())

    def normal(self) -> float:
        """A standard normal number (Box and Muller's pair, one kept for the next call)."""
        if self._spare is not None:
            value, self._spare = self._spare, None
            return value
        radius = math.sqrt(-2.0 * math.log(self.uniform()))
        angle = 2.0 * math.pi * self.uniform()
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def lognormal(self, cv: float) -> float:
        """A lognormal number of mean 1 and the given coefficient of variation."""
        return self.lognormals(cv)() if cv > 0.0 else 1.0

    def lognormals(self, cv: float) -> Callable[[], float]:
        """Gives a lognormal number of mean 1 and this coefficient of variation at each call."""
        variance = math.log1p(cv * cv)
        deviation, half = math.sqrt(variance), 0.5 * variance
        normal, exp = self.normal, math.exp
        return lambda: exp(deviation * normal() - half)

    def integer(self, count: int) -> int:
        """An integer of ``range(count)``; count must be positive."""
        return int(self.uniform() * count)

    def choice(self, items: Sequence[T]) -> T:
        """One of the items, which must not be empty."""
        return items[self.integer(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.integer(last + 1)
            result[last], result[other] = result[other], result[last]
        return result
