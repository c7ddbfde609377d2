"""Standings: differences are found within rounds, however much the machine drifts."""

import math

import pytest

from tritongen.queueing import ClosedLoop, Stream
from tritongen.tune.search.objective import Performance
from tritongen.tune.search.search_space import Candidate
from tritongen.tune.search.standings import Sample, Standings

A, B, C = Candidate(1, 1), Candidate(2, 1), Candidate(1, 2)
LOAD = ClosedLoop(4)
LOADS = {A: LOAD, B: LOAD, C: LOAD}


def sample(throughput, excess=-1.0, load=LOAD):
    return Sample(load, Performance(throughput, 0.01, 1), math.log(throughput), excess)


def drifting(levels, rounds, noise=0.0, seed=1):
    stream = Stream(seed)
    drift = [1.0 + 0.5 * stream.uniform() for _ in range(rounds)]
    return {
        candidate: {
            number: sample(level * drift[number - 1] * stream.lognormal(noise))
            for number in range(1, rounds + 1)
        }
        for candidate, level in levels.items()
    }


def test_drift_cancels_within_rounds():
    standings = Standings(drifting({A: 100.0, B: 110.0}, 6), LOADS, 0.05, 2.0)
    difference = standings.difference(A, B)
    assert math.expm1(difference.value) == pytest.approx(100 / 110 - 1)
    assert difference.high < 0.0


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    inside = 0
    for seed in range(200):
        samples = drifting({A: 100.0, B: 100.0, C: 90.0}, 6, noise=0.07, seed=seed)
        difference = Standings(samples, LOADS, 0.06, 1.96).difference(A, B)
        inside += difference.low <= 0.0 <= difference.high
    assert inside >= 184


def test_intervals_shrink_with_rounds():
    def width(rounds):
        samples = drifting({A: 100.0, B: 100.0}, rounds, noise=0.05)
        difference = Standings(samples, LOADS, 0.05, 2.0).difference(A, B)
        return difference.high - difference.low

    assert width(16) < width(4) < width(1)


def test_who_came_late_is_compared_over_common_rounds_only():
    samples = drifting({A: 100.0, B: 100.0}, 6)
    samples[C] = {5: sample(0.8 * samples[A][5].outcome.throughput_per_s)}
    standings = Standings(samples, LOADS, 0.05, 2.0)
    assert math.exp(standings.difference(C, A).value) == pytest.approx(0.8)
    assert math.exp(standings.gain(C) - standings.gain(A)) == pytest.approx(0.8, rel=0.02)


def test_nothing_is_known_without_a_common_round():
    samples = {A: {1: sample(100.0)}, B: {2: sample(90.0)}}
    difference = Standings(samples, LOADS, 0.05, 2.0).difference(A, B)
    assert (difference.low, difference.high) == (-math.inf, math.inf)


def test_measurements_under_another_load_do_not_count():
    samples = {A: {1: sample(100.0, load=ClosedLoop(8)), 2: sample(50.0)}}
    standings = Standings(samples, LOADS, 0.05, 2.0)
    assert standings.rounds(A) == 1
    assert standings.measurement(A).throughput.value == pytest.approx(50.0)


def test_failed_measurements_do_not_count():
    standings = Standings({A: {1: None, 2: sample(50.0)}}, LOADS, 0.05, 2.0)
    assert standings.rounds(A) == 1


def test_levels_come_with_an_interval():
    standings = Standings(drifting({A: 100.0}, 8, noise=0.05), {A: LOAD}, 0.05, 2.0)
    level = standings.measurement(A).throughput
    assert level.low < level.value < level.high
    assert standings.measurement(B) is None


def test_predictions_count_while_measurements_are_few():
    samples = {A: {1: sample(100.0)}, B: {1: sample(100.0)}, C: {1: sample(50.0)}}
    predicted = {A: math.log(100.0), B: math.log(90.0), C: math.log(50.0)}
    standings = Standings(samples, LOADS, 0.05, 2.0, predicted)
    assert standings.gain(A) > standings.gain(B) > standings.gain(C)
    many = drifting({A: 100.0, B: 108.0, C: 50.0}, 30, noise=0.01)
    assert Standings(many, LOADS, 0.05, 2.0, predicted).gain(B) > standings.gain(A)


def test_predictions_that_do_not_fit_lose_their_say():
    samples = drifting({A: 100.0, B: 105.0, C: 95.0}, 4)
    wild = {A: math.log(10.0), B: math.log(1.0), C: math.log(100.0)}
    standings = Standings(samples, LOADS, 0.02, 2.0, wild)
    assert standings.gain(B) > standings.gain(A) > standings.gain(C)


def test_excess_over_the_limit():
    samples = {A: {n: sample(100.0, excess=0.2) for n in (1, 2, 3)}}
    standings = Standings(samples, LOADS, 0.05, 2.0)
    assert standings.excess(A).low > 0.0
    assert standings.excess(B).low == -math.inf
