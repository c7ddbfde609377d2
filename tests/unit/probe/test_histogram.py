import math

import numpy as np
import pytest

from support.probe import durations_of, histogram_of
from tritongen.probe.statistics.histogram import (
    BUCKETS,
    MAX_NS,
    Histogram,
    bucket_bounds,
    buckets_of,
)


def test_buckets_cover_the_range_without_gap_or_overlap():
    assert bucket_bounds(0)[0] == 0
    for bucket in range(BUCKETS - 1):
        assert bucket_bounds(bucket)[1] == bucket_bounds(bucket + 1)[0]
    assert bucket_bounds(BUCKETS - 1)[1] == MAX_NS + 1


def test_a_bucket_is_never_wider_than_one_percent_of_its_values():
    for bucket in range(128, BUCKETS):
        low, high = bucket_bounds(bucket)
        assert (high - low) / low <= 1 / 128


@pytest.mark.parametrize("value", [0, 1, 63, 64, 8191, 8192, 8193, 10**6, 10**9, MAX_NS])
def test_a_value_lies_in_its_bucket(value):
    low, high = bucket_bounds(int(buckets_of(np.array([value]))[0]))
    assert low <= value < high


def test_values_out_of_range_go_to_the_ends():
    assert buckets_of(np.array([-5, MAX_NS * 3])).tolist() == [0, BUCKETS - 1]


def test_counts_sum_and_ends_are_exact():
    histogram = histogram_of([100, 200_000, 300_000_000])
    assert histogram.total == 3
    assert histogram.sum_ns == 300_200_100
    assert (histogram.min_ns, histogram.max_ns) == (100, 300_000_000)
    assert histogram.mean_ns == pytest.approx(100_066_700)


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0])
def test_quantiles_agree_with_the_sorted_values(fraction):
    values = sorted(int(1_000 * 1.0007**index) for index in range(10_000))
    truth = values[math.ceil(fraction * len(values)) - 1]
    assert histogram_of(values).quantile(fraction) == pytest.approx(truth, rel=0.008)


def test_an_empty_histogram_has_no_values():
    assert math.isnan(Histogram().quantile(0.5))
    assert math.isnan(Histogram().mean_ns)


def test_merging_is_the_same_as_counting_everything_at_once():
    first, second = [5, 10**6, 77], [10**9, 10**6 + 3]
    merged = durations_of(first)
    for other in ([], second):
        merged.merge(durations_of(other))
    assert merged.histogram() == histogram_of([*first, *second])


def test_entries_above_a_value_are_counted():
    histogram = histogram_of([1_000] * 30 + [1_000_000] * 70)
    assert histogram.count_above(100_000) == 70
    assert histogram.count_above(10) == 100
    assert histogram.count_above(10**9) == 0


def test_the_spectrum_ends_with_everything():
    points = list(histogram_of(range(1, 10_000, 7)).spectrum())
    assert points[-1] == (1.0, 9_997.0)
    assert [f for f, _ in points] == sorted(f for f, _ in points)


def test_json_goes_there_and_back():
    histogram = histogram_of([1, 10**5, 10**5, 10**12])
    assert Histogram.from_json(histogram.to_json()) == histogram


@pytest.mark.parametrize(
    "data",
    [
        {"buckets": [[-1, 5]], "sum_ns": 0, "min_ns": 0, "max_ns": 0},
        {"buckets": [[BUCKETS, 5]], "sum_ns": 0, "min_ns": 0, "max_ns": 0},
        {"buckets": [[3, 0]], "sum_ns": 0, "min_ns": 0, "max_ns": 0},
        {"buckets": [[3, 1], [3, 1]], "sum_ns": 0, "min_ns": 0, "max_ns": 0},
        {"buckets": [[3, 1]], "sum_ns": 0, "min_ns": 9, "max_ns": 2},
    ],
)
def test_json_that_is_no_histogram_is_refused(data):
    with pytest.raises(ValueError, match=r"\w"):
        Histogram.from_json(data)
