"""How a point of a model's costs is sampled."""

import pytest

from tritongen.trial.costs import Sampler


def sampler(repeats: int) -> tuple[Sampler, list[int]]:
    calls: list[int] = []
    return Sampler(lambda: calls.append(1), repeats=repeats), calls


def test_a_long_execution_is_a_sample_of_its_own():
    found, calls = sampler(1)
    found.sample()
    assert (len(calls), len(found.samples)) == (1, 1)


def test_short_executions_follow_one_that_is_not_timed():
    found, calls = sampler(5)
    found.sample()
    assert (len(calls), len(found.samples)) == (6, 1)


@pytest.mark.parametrize(("most", "least"), [(7, 7), (200, 8)])
def test_short_executions_are_repeated_up_to_a_bound(most, least):
    found = Sampler(lambda: None, most)
    found.warm()
    assert least <= found.repeats <= most
