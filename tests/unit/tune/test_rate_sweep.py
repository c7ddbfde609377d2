"""The sweep: which rates the choice is measured at, and what is made of several passes."""

from dataclasses import replace

import pytest

from support.synthetic_triton import CONVNET, TEXT, TINY, SyntheticTriton, run_tuning
from tritongen.model.backends import BACKENDS
from tritongen.queueing import ClosedLoop, OpenLoop
from tritongen.tune.search.measurement_records import LoadReading, Purpose, TaskRecord
from tritongen.tune.search.objective import TuneSettings, parse_goal
from tritongen.tune.search.rate_sweep import SHARES, sweep_tasks, swept
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.tuner import Phase, Tuner

CHOICE = Candidate(1, 2, 8, 0)


def record(task, latency_s, *, saturated=False, error=""):
    reading = LoadReading(
        task.load.rate_per_s, ((50.0, latency_s / 2), (99.0, latency_s)), 100, saturated=saturated
    )
    return TaskRecord(task, None if error else reading, 0.0, 1.0, error)


def passes_of(most_per_s, seconds, latency_s=0.01, **extras):
    history, passes = (), []
    while tasks := sweep_tasks(CHOICE, most_per_s, 1, seconds, history):
        passes.append(tasks)
        history = (*history, *(record(task, latency_s, **extras) for task in tasks))
    return passes, history


def test_many_answers_are_gathered_in_many_passes_and_few_in_one():
    fast, _ = passes_of(10_000.0, 90.0)
    some, _ = passes_of(500.0, 90.0)
    slow, _ = passes_of(50.0, 90.0)
    assert [len(tasks) for tasks in fast] == [4] * 6
    assert [task.load.rate_per_s for task in fast[0]] == pytest.approx(
        [share * 10_000 for share in SHARES]
    )
    assert len({task for tasks in fast for task in tasks}) == 24
    # At 60/s two halves of 22 s see 600 answers each.
    assert [len(tasks) for tasks in some] == [4, 4, 3, 3, 3, 3]
    assert [len(tasks) for tasks in slow] == [4]
    for passes in (fast, some, slow):
        assert sum(task.seconds for tasks in passes for task in tasks) <= 90.0


@pytest.mark.parametrize(("seconds", "passes"), [(15.0, 1), (30.0, 2), (60.0, 4), (120.0, 6)])
def test_no_pass_is_so_short_that_a_hiccup_decides_it(seconds, passes):
    found, _ = passes_of(10_000.0, seconds)
    assert len(found) == passes
    assert all(task.seconds >= 3.0 for tasks in found for task in tasks)


def test_a_rate_that_was_too_much_is_not_asked_again_and_not_reported():
    first = sweep_tasks(CHOICE, 10_000.0, 1, 45.0, ())
    *held, most = (record(task, 0.01, saturated=task is first[-1]) for task in first)
    again = sweep_tasks(CHOICE, 10_000.0, 1, 45.0, (*held, most))
    assert [task.load for task in again] == [one.task.load for one in held]
    assert [one.per_s for one in swept((*held, most), CHOICE)] == [
        one.task.load.rate_per_s for one in held
    ]


def test_a_pass_that_was_disturbed_does_not_count():
    passes, history = passes_of(10_000.0, 45.0)
    spoilt = replace(history[0], reading=replace(history[0].reading, latencies_s=((99.0, 9.0),)))
    found = swept((spoilt, *history[1:]), CHOICE)
    assert [dict(one.ms)[99.0] for one in found] == pytest.approx([10.0] * 4)
    assert found[0].requests == 300
    assert not swept(history, Candidate(2, 1, 8, 0))
    assert passes[0][0].purpose is Purpose.SWEEP


def test_nothing_is_asked_of_what_does_nothing():
    assert not sweep_tasks(CHOICE, 0.0, 1, 45.0, ())
    assert not passes_of(100.0, 45.0, error="refused")[0][1:]


@pytest.mark.parametrize(
    ("profile", "goal"),
    [(CONVNET, "throughput"), (TINY, "throughput"), (TEXT, "p99<60ms"), (TEXT, "latency@20/s")],
)
def test_a_tuner_measures_its_choice_at_rates_and_keeps_it(profile, goal):
    settings = TuneSettings(parse_goal(goal), 2, sweep_s=45.0)
    space = SearchSpace(BACKENDS["onnxruntime"], 2, batchable=True, max_batch=8)
    tuner, triton = Tuner(settings, space), SyntheticTriton(profile, 2, seed=3)
    assert tuner.sweep() is None
    history = run_tuning(tuner, triton)
    choice = tuner.best()
    assert max(one.ended_s for one in history) <= settings.race_s
    while (step := tuner.sweep()) is not None:
        assert step.phase is Phase.SWEEP
        for task in step.tasks:
            tuner.take(triton.measure(task))
    assert tuner.next() is None
    assert tuner.best() == choice
    history = tuner.history
    found = swept(history, choice.candidate)
    assert len(found) >= 3
    if isinstance(choice.load, ClosedLoop) and goal == "throughput":
        assert found[-1].per_s <= 0.7 * choice.measured.throughput.value
    assert all(isinstance(one.task.load, OpenLoop) for one in history[-4:])


def test_a_rate_at_which_a_backlog_grows_is_not_reported():
    first = sweep_tasks(CHOICE, 10_000.0, 1, 45.0, ())
    slow = [record(task, 0.4 if task is first[-1] else 0.01) for task in first]
    assert len(swept(tuple(slow), CHOICE)) == len(first) - 1


@pytest.mark.parametrize(("times", "kept"), [(8.0, 0), (8.5, 1)])
def test_eight_times_the_usual_latency_is_still_no_backlog(times, kept):
    first = sweep_tasks(CHOICE, 10_000.0, 1, 45.0, ())
    slow = [record(task, 0.25 * (times if task is first[-1] else 1.0)) for task in first]
    assert len(swept(tuple(slow), CHOICE)) == len(first) - kept
