"""Calibration at rates: what wakes, what rests, what stands still, and how well that predicts."""

from dataclasses import replace

import pytest

from support.synthetic_triton import TEXT, TINY, TREES, SyntheticTriton
from tritongen.domain.backends import BACKENDS
from tritongen.domain.queueing import (
    Batcher,
    ClosedLoop,
    FrontEnd,
    OpenLoop,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    Stalls,
    simulate,
)
from tritongen.search.calibrate import Calibration, calibration_tasks, rate_task
from tritongen.search.fit import fit
from tritongen.search.rates import at_rates
from tritongen.search.records import Purpose, Reading, Record, Task
from tritongen.search.space import Candidate, SearchSpace

ORT = BACKENDS["onnxruntime"]
SERVICE = ServiceTimes((ServicePoint(1, 1, 0.0002, cv=0.1), ServicePoint(32, 1, 0.0006)), 1.0)
CALIBRATION = Calibration(SERVICE, front_end_s=0.00006, transport_s=0.00004)
MERGED = Candidate(1, 1, 16, 0)
# Of some 12,000 a second in closed loops: what calibration measures, and what it does not.
MEASURED, ELSEWHERE = (1_700.0, 8_500.0), (3_000.0, 5_000.0, 7_000.0)
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


def hidden(rate, wake_s=0.0, stalls=None, slower=1.0, seed=9, requests=40_000):
    """What a server does at a rate that the closed loops know nothing of."""
    model = ServedModel(
        "m",
        SERVICE.scaled(slower),
        OpenLoop(rate),
        max_batch_size=16,
        batcher=Batcher(),
        transport_s=CALIBRATION.transport_s,
    )
    front = FrontEnd(CALIBRATION.front_end_s * slower, wake_s=wake_s)
    server = Server((model,), 1.0, front, stalls=stalls)
    return simulate(server, seed=seed, requests=requests).of("m")


def usable(rate, **what):
    found = hidden(rate, **what)
    reading = Reading(
        rate,
        tuple((p, found.latency_s(p)) for p in PERCENTILES),
        20_000,
        mean_batch=found.mean_batch,
        execution_s=found.mean_execution_s,
    )
    return Task(MERGED, OpenLoop(rate), Purpose.CALIBRATE, 0, 2.0), reading


def fitted(**what):
    return at_rates(CALIBRATION, [usable(rate, **what) for rate in MEASURED])


def test_what_waking_costs_is_found():
    # A part of it may be taken for a server that is slower: what they predict is what counts.
    assert fitted(wake_s=0.00008).wake_s == pytest.approx(0.00008, rel=0.5)
    assert fitted().wake_s < 0.00002


def test_a_server_that_is_slower_at_rates_is_predicted_so():
    found = fitted(slower=1.2)
    assert found.at_rates == pytest.approx(1.2, abs=0.06)
    predicted = simulate(found.server(MERGED, OpenLoop(5_000.0)), seed=3).of("model")
    for percentile in (50.0, 90.0, 99.0):
        real = hidden(5_000.0, slower=1.2).latency_s(percentile)
        assert predicted.latency_s(percentile) == pytest.approx(real, rel=0.15)
    assert fitted().at_rates == pytest.approx(1.0, abs=0.06)


# Few stalls in some seconds tell less of how often they come.
@pytest.mark.parametrize(
    ("stalls", "within"),
    [
        (Stalls(10.0, 0.002), 0.5),
        (Stalls(5.0, 0.004), 0.5),
        (Stalls(2.0, 0.004), 1.0),
        (Stalls(1.0, 0.016), 1.0),
        (Stalls(5.0, 0.002), 1.0),
    ],
)
def test_stalls_are_found(stalls, within):
    found = fitted(stalls=stalls).stalls
    assert found is not None
    assert found.share == pytest.approx(stalls.share, rel=within)


def test_without_stalls_none_are_found():
    assert fitted().stalls is None
    assert fitted(wake_s=0.00008).stalls is None


def test_rates_that_were_not_measured_are_predicted():
    errors = []
    for what in (
        {},
        {"wake_s": 0.00008},
        {"stalls": Stalls(10.0, 0.002)},
        {"wake_s": 0.00008, "slower": 1.1},
    ):
        found = fitted(**what)
        for rate in ELSEWHERE:
            server = found.server(MERGED, OpenLoop(rate))
            predicted = simulate(server, seed=3, requests=40_000).of("model")
            real = hidden(rate, **what)
            assert predicted.latency_s(50) == pytest.approx(real.latency_s(50), rel=0.15)
            errors.append(abs(predicted.latency_s(99) / real.latency_s(99) - 1.0))
    # A p99 where stalls begin to show jumps with their share.
    assert max(errors) < 0.4
    assert sum(error < 0.15 for error in errors) >= 0.8 * len(errors)


def test_closed_loops_are_predicted_as_before():
    found = fitted(wake_s=0.00008, slower=1.2)
    load = ClosedLoop(32)
    one, other = (
        simulate(calibration.server(MERGED, load), seed=3, requests=2_000).of("model")
        for calibration in (CALIBRATION, found)
    )
    assert one == other


def test_a_rate_that_was_too_much_tells_nothing():
    task, reading = usable(8_500.0)
    assert at_rates(CALIBRATION, [(task, replace(reading, saturated=True))]) == CALIBRATION
    assert at_rates(CALIBRATION, []) == CALIBRATION


def test_few_answers_tell_of_no_stalls():
    task, reading = usable(1_700.0, stalls=Stalls(4.0, 0.016))
    assert at_rates(CALIBRATION, [(task, replace(reading, requests=300))]).stalls is None
    assert at_rates(CALIBRATION, [(task, replace(reading, latencies_s=()))]).stalls is None


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
        endless = Reading(0.0, ((50.0, 5.0),), 1, mean_batch=1.0, execution_s=5.0)
        task = calibration_tasks(self.SPACE)[0]
        assert rate_task((Record(task, endless, 0.0, 9.0),), 1) is None


@pytest.mark.parametrize("cores", [1, 2])
def test_a_whole_calibration_finds_what_wakes(cores):
    profile = replace(TINY, name="wakes", wake_s=0.00008)
    space = SearchSpace(ORT, cores, batchable=True)
    triton = SyntheticTriton(profile, cores, 1, noise=0.0, drift=0.0)
    records = [triton.measure(task) for task in calibration_tasks(space)]
    while (task := rate_task(tuple(records), 1)) is not None:
        records.append(triton.measure(task))
    assert fit(tuple(records), cores).wake_s == pytest.approx(0.00008, rel=0.35)
