"""Which points of a model's costs are measured, and how one follows from its samples."""

from types import SimpleNamespace

import pytest

from tritongen.model.samples import InputRecipe
from tritongen.model.tensors import DType
from tritongen.trial import costs
from tritongen.trial.costs import Sampler, Stopwatch, _Point, _rounds
from tritongen.trial.runtime import RuntimeRefusal


class Session:
    """Runs at once; refuses more rows than it holds."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most

    def run(self, inputs):
        if len(inputs["x"]) > self.most:
            raise RuntimeRefusal("too many rows")
        return {}


class Runtime:
    """Loads sessions, up to a number of threads."""

    def __init__(self, most: int = 1000) -> None:
        self.loaded: list[tuple[int, int]] = []
        self._most = most

    def load(self, _path, *, threads, inter_op):
        if threads > self._most:
            raise RuntimeRefusal("too many threads")
        self.loaded.append((threads, inter_op))
        return Session()


def stopwatch(
    threads: int = 1, *, batched=True, parallel=False, load_s=0.0, session=None, runtime=None
) -> Stopwatch:
    request = SimpleNamespace(path="m", threads=threads, seed=1, parallel=parallel)
    recipes = (InputRecipe("x", DType.FP32, (1, 2)),)
    made = (runtime or Runtime(), session or Session(), recipes, request, batched, load_s)
    return Stopwatch(*made)


@pytest.mark.parametrize(
    ("threads", "parallel", "points"),
    [
        (1, False, []),
        (1, True, []),
        (2, False, [(2, 1)]),
        (2, True, [(1, 2), (2, 1)]),
        (3, False, [(2, 1), (3, 1)]),
        (4, False, [(2, 1), (4, 1)]),
        (6, True, [(1, 2), (2, 1), (4, 1), (6, 1)]),
    ],
)
def test_threads_double_up_to_those_that_there_are(threads, parallel, points):
    assert stopwatch(threads, parallel=parallel)._alternatives() == points


def test_rows_double_until_the_model_refuses_them():
    found = stopwatch(session=Session(4)).rows(5.0)
    assert [(cost.batch, cost.threads) for cost in found] == [(1, 1), (2, 1), (4, 1)]
    (alone,) = stopwatch(batched=False).rows(5.0)
    assert alone.batch == 1
    (first,) = stopwatch().rows(0.0)
    assert first.batch == 1, "one point is measured however little time there is"


def test_threads_are_measured_while_loading_is_worth_it():
    runtime = Runtime()
    found = list(stopwatch(4, runtime=runtime).threads(0.5))
    assert [(cost.threads, cost.inter_op) for cost in found] == [(2, 1), (4, 1)] == runtime.loaded
    assert list(stopwatch(4, load_s=10.0).threads(0.5)) == []
    assert [cost.threads for cost in stopwatch(4, runtime=Runtime(2)).threads(0.5)] == [2]


@pytest.mark.parametrize(
    ("samples", "ms", "spread"),
    [
        ([0.002], 2.0, 0.0),
        ([0.001, 0.003], 2.0, 0.0),
        ([0.001, 0.002, 0.003], 2.0, 1.0),
        ([0.0, 0.0, 0.0], 0.0, 0.0),
        ([0.00123456] * 4, 1.235, 0.0),
    ],
)
def test_a_cost_is_the_median_with_the_quartiles_of_three_and_more(samples, ms, spread):
    sampler = Sampler(lambda: None, samples=samples)
    found = _Point(sampler, 8, 2).cost()
    assert (found.batch, found.threads, found.inter_op) == (8, 2, 1)
    assert (found.ms, found.spread) == (ms, spread)


@pytest.mark.parametrize(("end", "taken"), [(0.0, [1, 1]), (1e18, [costs._MAX_ROUNDS] * 2)])
def test_every_point_is_sampled_once_and_as_often_as_there_is_time(end, taken):
    points = [_Point(Sampler(lambda: None), 1, 1) for _ in range(2)]
    _rounds(points, end)
    assert [len(point.sampler.samples) for point in points] == taken
