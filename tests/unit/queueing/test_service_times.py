"""Service times: measured points are kept, the rest follows from them."""

from statistics import NormalDist

import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.evidence import Cost, Trial
from tritongen.queueing import ServicePoint, ServiceTimes, trial_points


def times(*points, cores=4.0, **options):
    return ServiceTimes(tuple(ServicePoint(*point) for point in points), cores, **options)


def test_measured_points_are_reproduced():
    model = times((1, 1, 0.010), (4, 1, 0.025), (8, 1, 0.060), (1, 2, 0.006))
    assert model.alone(4, 1) == pytest.approx(0.025)
    assert model.alone(1, 2) == pytest.approx(0.006)


def test_linear_between_and_beyond_the_points():
    model = times((1, 1, 0.010), (4, 1, 0.025), (8, 1, 0.060))
    assert model.alone(2, 1) == pytest.approx(0.015)
    assert model.alone(6, 1) == pytest.approx(0.0425)
    assert model.alone(16, 1) == pytest.approx(0.060 + 8 * 0.035 / 4)


def test_one_batch_measured_promises_no_gain():
    assert times((1, 1, 0.01)).alone(8, 1) == pytest.approx(0.08)


def test_noise_never_makes_more_rows_faster_than_the_measured_ones():
    model = times((1, 1, 0.010), (2, 1, 0.0099), (4, 1, 0.0097))
    assert model.alone(64, 1) >= 0.0097


def test_threads_that_were_not_measured_follow_amdahl():
    model = times((1, 1, 0.012), (1, 2, 0.007), (1, 4, 0.0045))
    assert 0.0045 < model.alone(1, 3) < 0.007
    assert model.alone(1, 8) < 0.0045
    assert model.alone(1, 1000) > 0.001


def test_one_thread_count_measured_uses_the_serial_share():
    model = times((1, 1, 0.01), serial_share=0.2)
    assert model.alone(1, 4) == pytest.approx(0.01 * (0.2 + 0.8 / 4))


def test_batches_beyond_a_thread_counts_own_follow_the_best_known_curve():
    model = times((1, 1, 0.010), (8, 1, 0.040), (1, 2, 0.006))
    assert model.alone(8, 2) == pytest.approx(0.024)


def test_cores_are_shared_fairly_when_threads_exceed_them():
    model = times((1, 1, 0.01), cores=2.0, contention=0.0)
    assert model.slowdown(1, 2) == pytest.approx(1.0)
    assert model.slowdown(1, 4) == pytest.approx(2.0)
    assert model.slowdown(1, 1, foreign=3.0) == pytest.approx(2.0)


def test_teams_of_threads_lose_more_than_their_share():
    model = times((1, 2, 0.01), cores=2.0, contention=0.0)
    assert model.slowdown(2, 1) == pytest.approx(1.0)
    assert model.slowdown(2, 2) > 2.0


def test_a_quota_below_one_core_slows_everything():
    assert times((1, 1, 0.01), cores=0.5, contention=0.0).seconds(1, 1) == pytest.approx(0.02)


def test_contention_grows_with_the_cores_that_others_keep_busy():
    model = times((1, 1, 0.010), cores=4.0, contention=0.4)
    assert model.slowdown(1, 4) == pytest.approx(1.3)
    assert 1.0 < model.slowdown(1, 2) < 1.3
    assert model.slowdown(2, 2) == pytest.approx(1.2)
    assert model.slowdown(1, 2, foreign=2.0) == model.slowdown(1, 4)


def test_scaled_and_moved_to_other_cores():
    model = times((1, 1, 0.010), cores=4.0, contention=0.8 / 3.0)
    assert model.scaled(2.0).alone(1, 1) == pytest.approx(0.02)
    assert model.scaled(2.0).slowdown(1, 4) == pytest.approx(1.2)
    moved = model.on_cores(1.0)
    assert moved.slowdown(1, 2) == pytest.approx(2.0)


def test_variation_is_the_median_of_the_measured():
    points = (
        ServicePoint(1, 1, 0.01, cv=0.1),
        ServicePoint(2, 1, 0.02, cv=0.3),
        ServicePoint(4, 1, 0.03),
    )
    assert ServiceTimes(points, 1.0).cv == 0.3
    assert times((1, 1, 0.01)).cv == 0.0


def test_the_quartiles_of_a_trial_become_a_coefficient_of_variation():
    low, median, high = NormalDist(10.0, 1.5).quantiles(n=4)
    measured = Cost(1, 1, median, spread=(high - low) / median)
    side_by_side = Cost(1, 1, median, inter_op=2)
    (point,) = trial_points(Trial("", ok=True, costs=(measured, side_by_side)))
    assert point.seconds == pytest.approx(0.010)
    assert point.cv == pytest.approx(0.15, rel=0.01)
    assert trial_points(Trial("", ok=False, costs=(measured,))) == trial_points(None) == ()


@pytest.mark.parametrize(
    "point", [(0, 1, 0.01), (1, 0, 0.01), (1, 1, 0.0), (1, 1, float("nan")), (1, 1, 0.01, -0.5)]
)
def test_impossible_points_are_refused(point):
    with pytest.raises(InvalidInputError):
        ServicePoint(*point)


def test_no_points_are_refused():
    with pytest.raises(InvalidInputError):
        ServiceTimes((), 2.0)
