"""What a measurement of the tuner says."""

import math

import pytest

from tritongen.tune.search.measurement_records import LoadReading

READING = LoadReading(100.0, ((50.0, 0.010), (90.0, 0.030), (99.0, 0.120)), requests=1000)


@pytest.mark.parametrize(
    ("percentile", "seconds"),
    [(10.0, 0.010), (50.0, 0.010), (70.0, 0.020), (90.0, 0.030), (96.0, 0.090), (99.0, 0.120),
     (99.9, 0.120)],
)  # fmt: skip
def test_a_latency_lies_between_the_known_percentiles(percentile: float, seconds: float):
    assert READING.latency_s(percentile) == pytest.approx(seconds)


def test_without_percentiles_no_latency_is_known():
    assert math.isnan(LoadReading(1.0, (), requests=1).latency_s(99.0))


@pytest.mark.parametrize(
    ("requests", "failures", "sound"),
    [(1000, 0, True), (0, 0, False), (0, 5, False), (999, 1, True), (500, 500, False)],
)
def test_a_reading_is_sound_where_next_to_nothing_failed(requests: int, failures: int, sound: bool):
    assert LoadReading(1.0, (), requests, failures).sound is sound
