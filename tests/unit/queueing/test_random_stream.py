"""The seeded generator: repeatable, and of the right distributions."""

import itertools
import statistics

import pytest

from tritongen.queueing import OpenLoop, Stream


def test_same_seed_same_numbers():
    first, second = Stream(7), Stream(7)
    assert [first.uniform() for _ in range(5)] == [second.uniform() for _ in range(5)]
    assert Stream(8).uniform() != Stream(7).uniform()


def test_numbers_do_not_depend_on_the_platform():
    assert [Stream(seed).integer(1000) for seed in (1, 2, -1)] == [749, 254, 646]


def test_children_are_independent_of_each_other_and_of_the_parent():
    parent = Stream(3)
    left, right = parent.child("left"), parent.child("right")
    pairs = [(left.uniform(), right.uniform()) for _ in range(4000)]
    assert abs(statistics.correlation(*zip(*pairs, strict=True))) < 0.05
    assert parent.uniform() == Stream(3).uniform()


def test_moments():
    stream = Stream(11)
    uniform = [stream.uniform() for _ in range(20_000)]
    assert statistics.fmean(uniform) == pytest.approx(0.5, abs=0.01)
    normal = [stream.normal() for _ in range(20_000)]
    assert statistics.fmean(normal) == pytest.approx(0.0, abs=0.03)
    assert statistics.stdev(normal) == pytest.approx(1.0, abs=0.03)
    factor = [stream.lognormal(0.3) for _ in range(20_000)]
    assert statistics.fmean(factor) == pytest.approx(1.0, abs=0.01)
    assert statistics.stdev(factor) == pytest.approx(0.3, abs=0.02)
    assert stream.lognormal(0.0) == 1.0


def test_shuffle_keeps_the_items_and_choice_takes_one():
    stream = Stream(5)
    assert sorted(stream.shuffled(range(50))) == list(range(50))
    assert {stream.choice("abc") for _ in range(100)} == {"a", "b", "c"}


@pytest.mark.parametrize("cv", [0.0, 0.4, 1.0, 3.0])
def test_gaps_have_the_rate_and_variation_asked_for(cv):
    times = OpenLoop(50.0, cv).times(Stream(9))
    ticks = [next(times) for _ in range(40_000)]
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    assert statistics.fmean(gaps) == pytest.approx(0.02, rel=0.06)
    assert statistics.stdev(gaps) / statistics.fmean(gaps) == pytest.approx(cv, abs=0.15)
