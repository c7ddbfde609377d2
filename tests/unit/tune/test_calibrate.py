"""Calibration: few measurements, and a model that reproduces them."""

import math
from dataclasses import replace

import pytest

from support.synthetic_triton import CONVNET, TEXT, TINY, TREES, SyntheticTriton, truth
from tritongen.model.backends import BACKENDS
from tritongen.queueing import ClosedLoop, OpenLoop, ServicePoint, ServiceTimes, simulate
from tritongen.tune.search.calibrate import calibration_tasks, fit, rate_task
from tritongen.tune.search.measurement_records import LoadReading, Purpose, Task, TaskRecord
from tritongen.tune.search.search_space import Candidate, SearchSpace
from tritongen.tune.search.server_model import Calibration

ORT = BACKENDS["onnxruntime"]


def calibrated(profile, cores, prior=None, noise=0.0, seed=1):
    space = SearchSpace(ORT, cores, batchable=True)
    triton = SyntheticTriton(profile, cores, seed, noise=noise, drift=0.0)
    tasks = calibration_tasks(space, prior)
    records = [triton.measure(task) for task in tasks]
    while (task := rate_task(tuple(records), space.request_rows)) is not None:
        records.append(triton.measure(task))
    return fit(tuple(records), cores, prior)


def test_few_measurements_are_enough():
    for cores in (1, 2, 4, 32):
        assert len(calibration_tasks(SearchSpace(ORT, cores, batchable=True))) <= 9
        assert len(calibration_tasks(SearchSpace(ORT, cores, batchable=False))) <= 5


def test_what_the_trial_knows_is_not_measured_again():
    prior = ServiceTimes((ServicePoint(1, 1, 0.006), ServicePoint(32, 1, 0.110)), 2.0)
    space = SearchSpace(ORT, 2, batchable=True)
    assert len(calibration_tasks(space, prior)) < len(calibration_tasks(space))


def test_every_task_is_legal_and_asked_once():
    space = SearchSpace(ORT, 4, batchable=True, parallel=(2,), arena_test=True)
    tasks = calibration_tasks(space)
    assert len(set(tasks)) == len(tasks)
    assert all(task.candidate.total_threads <= 4 for task in tasks)
    modes = {(task.candidate.inter_op, task.candidate.arena) for task in tasks}
    assert modes == {(1, True), (2, True)}


def test_requests_of_several_rows_are_measured_as_such():
    space = SearchSpace(ORT, 2, batchable=True, max_batch=16, request_rows=4)
    tasks = calibration_tasks(space)
    assert {task.rows for task in tasks} == {4, 16}
    assert all(task.candidate.max_batch_size >= task.rows for task in tasks)


@pytest.mark.parametrize("profile", [CONVNET, TEXT, TREES])
def test_the_fit_finds_the_hidden_service_times(profile):
    found = calibrated(profile, 2)
    for rows, share in profile.batch:
        assert found.service.alone(rows, 1) == pytest.approx(profile.first_s * share, rel=0.15)
    assert found.service.alone(1, 2) == pytest.approx(
        profile.first_s * dict(profile.threads)[2], rel=0.08
    )
    assert 0.02 < found.service.cv < 0.2


@pytest.mark.parametrize("profile", [CONVNET, TEXT, TREES])
@pytest.mark.parametrize(
    ("candidate", "load"),
    [
        (Candidate(2, 1), ClosedLoop(4)),
        (Candidate(1, 2, 8, 0), ClosedLoop(16)),
        (Candidate(2, 1, 4, 0), OpenLoop(80.0)),
    ],
)
def test_the_fitted_server_predicts_what_was_not_measured(profile, candidate, load):
    found = calibrated(profile, 2)
    predicted = simulate(found.server(candidate, load), seed=5, requests=3_000).of("model")
    real = truth(profile, 2, candidate, load)
    assert predicted.throughput_per_s == pytest.approx(real.throughput_per_s, rel=0.12)
    assert predicted.latency_s(99) == pytest.approx(real.latency_s(99), rel=0.25)


def test_the_prior_gives_the_shape_and_the_measurement_the_level():
    prior = ServiceTimes((ServicePoint(1, 1, 0.003), ServicePoint(32, 1, 0.057)), 2.0)
    found = calibrated(TEXT, 2, prior)
    assert found.service.alone(1, 1) == pytest.approx(0.006, rel=0.08)
    assert found.service.alone(32, 1) == pytest.approx(0.114, rel=0.1)


def test_the_overhead_adds_up_to_what_a_client_alone_waits():
    found = calibrated(TREES, 2)
    hidden = TREES.front_end_s + TREES.transport_s
    assert found.front_end_s + found.transport_s == pytest.approx(hidden, rel=0.3)


@pytest.mark.parametrize("cores", [1, 2])
def test_what_a_request_costs_beside_its_execution_is_found(cores):
    found = calibrated(TINY, cores)
    assert found.front_end_s == pytest.approx(TINY.front_end_s, rel=0.2)
    for candidate in (Candidate(1, 1, 16, 0), Candidate(1, 1, 4, 0)):
        load = ClosedLoop(32)
        predicted = simulate(found.server(candidate, load), seed=5, requests=3_000).of("model")
        real = truth(TINY, cores, candidate, load)
        assert predicted.throughput_per_s == pytest.approx(real.throughput_per_s, rel=0.12)


def test_what_a_rest_costs_is_found():
    cold = replace(TEXT, name="cold text", idle_penalty=0.3)
    assert calibrated(cold, 1).service.idle_penalty == pytest.approx(0.3, abs=0.08)
    assert calibrated(TEXT, 1).service.idle_penalty == pytest.approx(0.0, abs=0.08)


def test_modes_are_scaled_by_what_was_measured():
    def record(candidate, execution_s):
        task = Task(candidate, ClosedLoop(1), Purpose.CALIBRATE, 0, 1.0)
        reading = LoadReading(
            1.0 / execution_s, ((50.0, execution_s),), 100, mean_batch=1.0, execution_s=execution_s
        )
        return TaskRecord(task, reading, 0.0, 1.0)

    found = fit((record(Candidate(1, 1), 0.010), record(Candidate(1, 1, inter_op=2), 0.007)), 2)
    parallel = found.service_of(Candidate(1, 1, inter_op=2))
    assert parallel.alone(1, 1) == pytest.approx(0.007)
    assert found.service_of(Candidate(1, 1)).alone(1, 1) == pytest.approx(0.010)


def test_nothing_measured_is_nothing_known():
    task = calibration_tasks(SearchSpace(ORT, 2, batchable=True))[0]
    assert fit((), 2) is None
    assert fit((TaskRecord(task, None, 0.0, 1.0, error="no"),), 2) is None
    unknown = LoadReading(10.0, ((50.0, 0.1),), 10, execution_s=math.nan)
    assert fit((TaskRecord(task, unknown, 0.0, 1.0),), 2) is None


def test_a_calibration_without_extras_simulates():
    plain = Calibration(ServiceTimes((ServicePoint(1, 1, 0.01),), 1.0))
    server = plain.server(Candidate(1, 1), ClosedLoop(1))
    assert simulate(server, seed=1, requests=50).of("model").throughput_per_s == pytest.approx(100)
