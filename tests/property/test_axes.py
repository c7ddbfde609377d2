"""For any hidden rule of an axis the search finds it, within a bounded number of runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritongen.model.evidence import AxisProof, AxisVerdict
from tritongen.model.intent import AxisIntent
from tritongen.trial.axes import Answer, search_axes

FREE, BOUNDED, MULTIPLE = AxisVerdict.FREE, AxisVerdict.BOUNDED, AxisVerdict.MULTIPLE
EQUAL, FIXED, UNTESTED = AxisVerdict.EQUAL, AxisVerdict.FIXED, AxisVerdict.UNTESTED
# Halves between 1,024 and 4,096, after a ladder of four steps and two wrong guesses.
MAX_RUNS_OF_AN_AXIS = 24


def found(first, runs_at, stated=None, allowed=lambda _sizes: True):
    """The rules of a model that runs where `runs_at` says so, and the runs that it took."""
    rules: dict[str, AxisProof] = {}
    search = search_axes(first, stated or {}, rules)
    runs = []
    try:
        sizes = next(search)
        while True:
            assert min(sizes.values()) >= 1
            assert sizes not in runs, "asked twice"
            if allowed(sizes):
                runs.append(sizes)
                reply = (Answer.RAN, "") if runs_at(sizes) else (Answer.REFUSED, "no")
            else:
                reply = (Answer.NOT_RUN, "too long")
            sizes = search.send(reply)
    except StopIteration:
        return rules, runs


def verdict(rules, name="a"):
    return rules[name].verdict, rules[name].bound


FIRST = st.sampled_from((3, 16, 64, 224, 512))


@given(FIRST, st.integers(0, 3000))
def test_a_bound_is_found_exactly(size, more):
    bound = size + more
    rules, runs = found({"a": size}, lambda sizes: sizes["a"] <= bound)
    assert verdict(rules) == (BOUNDED, bound)
    assert len(runs) <= MAX_RUNS_OF_AN_AXIS


@given(st.integers(2, 64), st.integers(1, 16))
def test_a_factor_is_found_exactly(factor, times):
    size = factor * times
    rules, runs = found({"a": size}, lambda sizes: sizes["a"] % factor == 0)
    assert verdict(rules) == (MULTIPLE, factor)
    assert len(runs) <= MAX_RUNS_OF_AN_AXIS


@given(st.integers(2, 600))
def test_a_fixed_size_takes_four_runs(size):
    rules, runs = found({"a": size}, lambda sizes: sizes["a"] == size)
    assert verdict(rules) == (FIXED, size)
    assert len(runs) <= 4


@given(FIRST, st.integers(1, 4096))
def test_a_free_axis_is_tried_as_far_as_is_stated(size, most):
    stated = {"a": AxisIntent(1, 0, size + most)}
    rules, runs = found({"a": size}, lambda _sizes: True, stated)
    assert verdict(rules) == (FREE, None)
    assert max(run["a"] for run in runs) == size + most
    assert min(run["a"] for run in runs) == 1
    assert len(runs) <= 8


@given(FIRST, st.sampled_from(((FREE, None), (BOUNDED, 700), (MULTIPLE, 8), (FIXED, 0))))
def test_equal_axes_are_told_whatever_else_holds(size, rule):
    kind, bound = rule
    size = size * 8 if kind is MULTIPLE else size

    def runs_at(sizes):
        own = {
            FREE: True,
            BOUNDED: sizes["a"] <= 700,
            MULTIPLE: sizes["a"] % 8 == 0,
            FIXED: sizes["a"] == size,
        }
        return sizes["a"] == sizes["b"] and own[kind]

    rules, runs = found({"a": size, "b": size, "c": 5}, runs_at)
    assert verdict(rules, "c") == (FREE, None)
    if kind is FIXED:
        assert verdict(rules, "a") == verdict(rules, "b") == (FIXED, size)
    else:
        assert verdict(rules, "a") == ((EQUAL, "b") if kind is FREE else (kind, bound))
        assert verdict(rules, "b") == (EQUAL, "a")
    assert len(runs) <= 3 * MAX_RUNS_OF_AN_AXIS


@given(st.integers(2, 40), st.integers(2, 40))
def test_axes_that_hang_together_otherwise_are_never_called_fixed(past, new):
    first = {"past": past, "new": new, "total": past + new}
    rules, _ = found(first, lambda sizes: sizes["total"] == sizes["past"] + sizes["new"])
    assert FIXED not in {rule.verdict for rule in rules.values()}


@pytest.mark.parametrize("count", [3, 8])
def test_many_axes_of_one_size_are_equal_together(count):
    names = [f"x{index}" for index in range(count)]
    rules, _ = found(dict.fromkeys(names, 16), lambda sizes: len(set(sizes.values())) == 1)
    assert {rule.verdict for rule in rules.values()} == {EQUAL}


def test_what_is_too_large_ends_the_search_of_that_axis_alone():
    rules, _ = found(
        {"a": 16, "b": 16}, lambda _sizes: True, allowed=lambda sizes: sizes["a"] <= 64
    )
    assert verdict(rules) == (FREE, None)
    assert "64" in rules["a"].reason
    assert "4096" in rules["b"].reason


def test_nothing_is_said_of_an_axis_that_could_not_be_run_at_another_size():
    rules, _ = found({"a": 16}, lambda _sizes: True, allowed=lambda _sizes: False)
    assert verdict(rules) == (UNTESTED, None)
    assert "too long" in rules["a"].reason


@pytest.mark.parametrize(
    ("stated", "narrow", "expected"),
    [
        (AxisIntent(1, 16, 512), False, (FREE, None)),
        (AxisIntent(1, 16, 1024), True, (BOUNDED, 512)),
        (AxisIntent(), False, (BOUNDED, 512)),
        (AxisIntent(16, 16, 16), False, (FIXED, 16)),
    ],
)
def test_a_bound_below_the_stated_range_is_narrow(stated, narrow, expected):
    rules, _ = found({"a": 16}, lambda sizes: sizes["a"] <= 512, {"a": stated})
    assert verdict(rules) == expected
    assert rules["a"].narrow is narrow


def test_a_stated_minimum_that_is_refused_is_told():
    stated = {"a": AxisIntent(2, 16, 64)}
    rules, _ = found({"a": 16}, lambda sizes: sizes["a"] >= 4, stated)
    assert verdict(rules) == (BOUNDED, 64)
    assert rules["a"].narrow
    assert "2 is refused: no" in rules["a"].reason


def test_a_size_that_is_only_broadcast_stands_for_no_other():
    rules, _ = found({"a": 2}, lambda sizes: sizes["a"] in {1, 2})
    assert verdict(rules) == (FIXED, 2)
