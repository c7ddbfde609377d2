"""The ratio of paired times and its interval from order statistics."""

from random import Random

import pytest

from tritongen.optimize.paired_speed import paired_speedup


def test_ratios_are_of_pairs_and_not_of_means():
    speedup = paired_speedup([0.002, 0.040, 0.006], [0.001, 0.020, 0.003], batch=4, threads=2)
    assert (speedup.low, speedup.value, speedup.high) == (2.0, 2.0, 2.0)
    assert (speedup.batch, speedup.threads, speedup.pairs) == (4, 2, 3)
    assert speedup.original_ms == 6.0


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    # Ranks of the 95 % interval of a median by the binomial law: Conover, Practical Nonparametric
    # Statistics, table A3; 20 pairs: the 6th and the 15th, 50: the 18th and the 33rd.
    [(20, 6, 15), (50, 18, 33)],
)
def test_the_interval_ends_at_the_ranks_of_the_binomial_law(pairs: int, low: int, high: int):
    variant = [1.0] * pairs
    original = [float(rank) for rank in range(1, pairs + 1)]
    Random(1).shuffle(original)
    speedup = paired_speedup(original, variant)
    assert speedup.value == (pairs + 1) / 2
    # Ranks between two pairs are rounded away from the median, never towards it.
    assert low - 1 <= speedup.low <= low
    assert high <= speedup.high <= high + 1
    assert speedup.low - 1 == pairs - speedup.high


def test_few_pairs_have_the_interval_of_all_that_was_seen():
    speedup = paired_speedup([3.0, 1.0, 2.0], [1.0, 1.0, 1.0])
    assert (speedup.low, speedup.value, speedup.high) == (1.0, 2.0, 3.0)
