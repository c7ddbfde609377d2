"""Calibration at rates: what wakes, what rests, what stands still, and how well that predicts."""

from dataclasses import replace

import pytest

from support.rates import CALIBRATION, MERGED, fitted, usable
from support.synthetic_triton import TEXT, TINY, TREES, SyntheticTriton
from tritongen.model.backends import BACKENDS
from tritongen.queueing import ClosedLoop, Pauses, Stream, simulate
from tritongen.tune.search.calibrate import calibration_tasks, fit, rate_task
from tritongen.tune.search.measurement_records import LoadReading, TaskRecord
from tritongen.tune.search.search_space import SearchSpace
from tritongen.tune.search.server_model import at_rates, least

ORT = BACKENDS["onnxruntime"]


def test_closed_loops_are_predicted_as_before():
    found = fitted(wake_s=0.00008, slower=1.2)
    load = ClosedLoop(32)
    one, other = (
        simulate(calibration.server(MERGED, load), seed=3, requests=2_000).of("model")
        for calibration in (CALIBRATION, found)
    )
    assert one == other


@pytest.mark.parametrize("seed", range(20))
def test_what_is_given_up_early_is_not_the_best(seed):
    stream = Stream(seed)
    table = [[stream.exponential(1.0) for _ in range(4)] for _ in range(30)]
    asked = []

    def errors(trial):
        for place, error in enumerate(table[trial][1:]):
            asked.append((trial, place))
            yield error

    found = least(range(30), lambda trial: table[trial][0], errors)
    assert found == min(range(30), key=lambda trial: sum(table[trial]))
    assert len(asked) == len(set(asked)) < 60, "of 90"


def test_a_rate_that_was_too_much_tells_nothing():
    task, reading = usable(8_500.0)
    assert at_rates(CALIBRATION, [(task, replace(reading, saturated=True))]) == CALIBRATION
    assert at_rates(CALIBRATION, []) == CALIBRATION


def test_few_answers_tell_of_no_stalls():
    task, reading = usable(1_700.0, pauses=Pauses(4.0, 0.016))
    assert at_rates(CALIBRATION, [(task, replace(reading, requests=300))]).pauses is None
    assert at_rates(CALIBRATION, [(task, replace(reading, latencies_s=()))]).pauses is None


class TestTasks:
    SPACE = SearchSpace(ORT, 1, batchable=True)

    def measured(self, profile=TEXT, space=SPACE):
        triton = SyntheticTriton(profile, 1, 1, noise=0.0, drift=0.0)
        return triton, [triton.measure(task) for task in calibration_tasks(space)]

    def test_a_low_and_a_high_rate_of_what_merges(self):
        triton, records = self.measured()
        alone = next(r for r in records if r.task.load == ClosedLoop(1) and r.task.rows == 1)
        merged = next(r for r in records if r.task.candidate.batches)
        rates = []
        while (task := rate_task(tuple(records), 1)) is not None:
            assert (task.candidate, task.rows) == (merged.task.candidate, 1)
            rates.append(task.load.rate_per_s)
            records.append(triton.measure(task))
        assert rates == pytest.approx(
            [
                0.35 * alone.reading.throughput_per_s,
                0.75 * merged.reading.throughput_per_s,
            ],
            rel=0.01,
        )

    def test_a_rate_that_was_too_much_is_followed_by_a_lower_one(self):
        triton, records = self.measured()
        for _ in range(2):
            records.append(triton.measure(rate_task(tuple(records), 1)))
        flooded = replace(records[-1], reading=replace(records[-1].reading, saturated=True))
        lower = rate_task((*records[:-1], flooded), 1)
        assert lower.load.rate_per_s < records[-1].task.load.rate_per_s
        assert rate_task((*records[:-1], flooded, triton.measure(lower)), 1) is None

    def test_a_model_that_does_not_merge_has_rates_too(self):
        space = SearchSpace(ORT, 1, batchable=False)
        _, records = self.measured(TREES, space)
        assert not rate_task(tuple(records), 1).candidate.batches

    def test_nothing_known_is_nothing_asked(self):
        assert rate_task((), 1) is None
        endless = LoadReading(0.0, ((50.0, 5.0),), 1, mean_batch=1.0, execution_s=5.0)
        task = calibration_tasks(self.SPACE)[0]
        assert rate_task((TaskRecord(task, endless, 0.0, 9.0),), 1) is None


@pytest.mark.parametrize("cores", [1, 2])
def test_a_whole_calibration_finds_what_wakes(cores):
    profile = replace(TINY, name="wakes", wake_s=0.00008)
    space = SearchSpace(ORT, cores, batchable=True)
    triton = SyntheticTriton(profile, cores, 1, noise=0.0, drift=0.0)
    records = [triton.measure(task) for task in calibration_tasks(space)]
    while (task := rate_task(tuple(records), 1)) is not None:
        records.append(triton.measure(task))
    assert fit(tuple(records), cores).wake_s == pytest.approx(0.00008, rel=0.35)
