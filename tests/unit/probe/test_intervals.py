import math

import numpy as np
import pytest
from scipy import stats

from support.probe import histogram_of
from tritongen.probe.recorder import BUCKETS, Stretch, buckets_of
from tritongen.probe.statistics.intervals import (
    Interval,
    batch_quantile_interval,
    chi_square_quantile,
    effective_batches,
    effective_size,
    group,
    lag1_autocorrelation,
    mean_interval,
    quantile_ranks,
    sample_floor,
    student_quantile,
    tells_batch_quantiles,
    warmup_end,
)

SLOTS = 100


@pytest.mark.parametrize(
    ("fraction", "floor"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3_688)]
)
def test_floors_are_the_known_ones(fraction, floor):
    assert sample_floor(fraction) == floor


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 10, 29, 30, 31, 100])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_student_quantiles_agree_with_the_tables(freedom, confidence):
    for probability in (0.5 + confidence / 2, 0.5 - confidence / 2):
        expected = stats.t.ppf(probability, freedom)
        assert student_quantile(probability, freedom) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("freedom", [5, 19, 29, 60])
def test_chi_square_quantiles_agree_with_the_tables(freedom):
    expected = stats.chi2.ppf(0.75, freedom)
    assert chi_square_quantile(0.75, freedom) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize(("fraction", "size"), [(0.5, 40), (0.99, 1_000), (0.95, 250_000)])
def test_ranks_enclose_what_the_binomial_law_says(fraction, size):
    low, high = quantile_ranks(fraction, size)
    spread = math.sqrt(size * fraction * (1 - fraction))
    assert low == pytest.approx(stats.binom.ppf(0.025, size, fraction), abs=1.0 + spread * 0.01)
    expected = stats.binom.ppf(0.975, size, fraction) + 1
    assert high == pytest.approx(expected, abs=1.0 + spread * 0.01)


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("size", [1.0, 1.96, 2.93, 4.5, 19.99, 368.2, 1_599.9, 40_000.5])
def test_ranks_enclose_the_estimate_for_any_effective_size(fraction, size):
    low, high = quantile_ranks(fraction, size)
    assert low <= fraction * size + 0.5 <= high


def test_groups_keep_everything_and_the_order():
    assert group([1, 2, 3, 4, 5, 6, 7], 3) == [3, 12, 13]
    assert group([1, 2], 30) == [1, 2]
    assert group([], 30) == []


def test_independent_requests_count_in_full():
    draw = np.random.default_rng(7)
    below = draw.binomial(100, 0.9, SLOTS).tolist()
    assert effective_size(0.9, [100] * SLOTS, below) == 100 * SLOTS


def test_requests_that_move_together_count_for_less():
    below = [100.0 if slot % 40 < 36 else 0.0 for slot in range(200)]
    size = effective_size(0.9, [100.0] * 200, below)
    assert size < 200 * 100 / 20


def test_batches_that_resemble_each_other_are_joined():
    """Slow waves hide in few exceedances; the means of the batches show them."""
    wave = [1.0 + math.sin(2 * math.pi * slot / 60) for slot in range(120)]
    draw = np.random.default_rng(9)
    counts, below = [100.0] * 120, draw.binomial(100, 0.99, 120).tolist()
    alone = effective_size(0.99, counts, below)
    told = effective_size(0.99, counts, below, sums=[100.0 * value for value in wave])
    assert told < alone / 4


def test_answers_that_came_before_a_stall_only_are_judged_by_their_own_batches():
    mean = [9.0, 8.0, 8.0, 9.0, 11.0, 12.0, 12.0, 11.0]
    counts = [100.0] * 8 + [0.0] * 22
    sums = [100.0 * value for value in mean] + [0.0] * 22
    size = effective_size(0.99, counts, [100.0] * 7 + [92.0] + [0.0] * 22, sums=sums)
    assert 1.0 <= size < 200.0


def test_independent_batches_do_not_resemble_each_other():
    draw = np.random.default_rng(8)
    found = [lag1_autocorrelation([50.0] * 30, draw.normal(50, 1, 30).tolist()) for _ in range(200)]
    assert np.mean(found) < 0.15
    assert np.mean(np.array(found) > 0.4) <= 0.04


def test_the_mean_of_unequal_batches_is_that_of_the_requests():
    interval = mean_interval([10, 30], [10.0, 90.0])
    assert interval is not None
    assert interval.value == pytest.approx(2.5)
    assert interval.contains(2.5)


def test_one_batch_has_no_interval():
    assert mean_interval([5], [10.0]) is None


def test_relative_width_is_half_the_range():
    assert Interval(100.0, 90.0, 110.0).relative_width == pytest.approx(0.1)
    assert Interval(0.0, 0.0, 1.0).relative_width == math.inf


def test_batches_have_quantiles_of_their_own_when_enough_lies_beyond():
    assert tells_batch_quantiles(0.99, 60_000)
    assert not tells_batch_quantiles(0.99, 59_999)
    assert not tells_batch_quantiles(0.999, 60_000)


def test_equal_batches_leave_no_doubt_and_unequal_ones_do():
    assert batch_quantile_interval(5.0, [5.0] * 30, [1.0] * 30).relative_width == 0.0
    uneven = batch_quantile_interval(5.0, [4.0, 6.0] * 15, [1.0] * 30)
    assert uneven.low < 5.0 < uneven.high
    assert uneven.high - 5.0 > 5.0 - uneven.low


def test_batches_that_drift_count_for_few_independent_ones():
    rising = [1.0 + index / 30 for index in range(30)]
    assert effective_batches(rising, [1.0] * 30) < 4
    assert effective_batches([1.0, 2.0] * 15, [1.0] * 30) == 30
    wide = batch_quantile_interval(1.5, rising, [1.0] * 30)
    mixed = batch_quantile_interval(1.5, rising[::2] + rising[1::2][::-1], [1.0] * 30)
    shuffled = [rising[index * 7 % 30] for index in range(30)]
    narrow = batch_quantile_interval(1.5, shuffled, [1.0] * 30)
    assert wide.relative_width >= mixed.relative_width > 2 * narrow.relative_width


def test_a_mean_that_moves_in_waves_is_known_less_well():
    wave = [100.0 * (2.0 + math.sin(2 * math.pi * slot / 60)) for slot in range(120)]
    plain = mean_interval([100.0] * 120, wave)
    wider = mean_interval([100.0] * 120, wave, autocorrelated=True)
    assert plain is not None
    assert wider is not None
    assert wider.relative_width > 2 * plain.relative_width
    assert mean_interval([5.0], [10.0], autocorrelated=True) is None


def test_percentiles_are_refused_below_their_floor():
    values = np.arange(1_000_000, 1_000_000 + 367, dtype=np.int64)
    rows = np.bincount(buckets_of(values), minlength=BUCKETS).reshape(1, -1).astype(np.int32)
    found = Stretch(rows, [int(values.sum())], (int(values[0]), int(values[-1]))).summary()
    assert found.percentiles["p99"] is None
    assert found.percentiles["p95"] is not None


def test_a_warm_up_is_cut_where_it_ends():
    counts = [50.0] * 100
    draw = np.random.default_rng(3)
    means = np.where(np.arange(100) < 20, 5_000.0, 1_000.0) + draw.normal(0, 20, 100)
    cut = warmup_end(counts, (means * 50).tolist())
    assert 20 <= cut <= 24


def test_without_a_warm_up_hardly_anything_is_cut():
    draw = np.random.default_rng(4)
    cuts = [warmup_end([50.0] * 100, draw.normal(1_000, 20, 100) * 50) for _ in range(50)]
    assert np.median(cuts) <= 25
    assert max(cuts) <= 51


def test_never_more_than_half_is_cut():
    rising = [float(index) for index in range(100)]
    assert warmup_end([1.0] * 100, rising) <= 51


def test_batches_without_requests_do_not_disturb():
    counts = [0.0, 5.0, 0.0, 5.0] * 10
    assert warmup_end(counts, [count * 100.0 for count in counts]) == 0


def test_ranks_of_a_histogram_are_interpolated():
    histogram = histogram_of([1_000_000 + 10_000 * index for index in range(100)])
    assert histogram.value_at_rank(50.5) == pytest.approx(1_495_000, rel=0.01)
