"""Levels that end when they are precise hold the truth as often as they say."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from support.probe import (
    ReplayedLoad,
    autocorrelated,
    virtual_run,
)
from tritongen.probe.level import Conditions, run_load
from tritongen.queueing import ClosedLoop


@pytest.mark.parametrize(("phi", "runs"), [(0.5, 50), (0.9, 20)])
def test_ending_early_leaves_the_intervals_right(phi, runs):
    """A level ends when its interval is narrow; that must not prefer those that miss the truth.

    Long simulations give 95 % for the weaker correlation and 93 % for the stronger one.
    """
    truth = {q: 10_000.0 * math.exp(0.3 * NormalDist().inv_cdf(q / 100.0)) for q in (50.0, 99.0)}
    held = dict.fromkeys(truth, 0)
    for seed in range(runs):
        service = autocorrelated(0.010, phi, seed)
        run, (level,) = virtual_run(service, ClosedLoop(4), Conditions(budget_s=60.0))
        assert run.window_s < 60.0
        for percentile, value in truth.items():
            held[percentile] += level.percentile(percentile).contains(value)
    assert all(count >= 0.86 * runs for count in held.values()), held


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_levels_that_end_early_hold_the_truth_as_often_as_they_say(phi):
    """400 requests a second, at most 30 s: a 95 % interval of p99 holds it in 93 to 97 %."""
    from scipy.signal import lfilter  # for two seconds, and one test

    draw, size, runs = np.random.default_rng(2027), 16_000, 2_000
    truth = 2_400.0 * math.exp(0.3 * NormalDist().inv_cdf(0.99))
    conditions = Conditions(budget_s=30.0, warmup_s=0.0)
    held = early = 0
    for _ in range(runs):
        noise = draw.standard_normal(size + 200) * math.sqrt(1.0 - phi * phi)
        series = lfilter([1.0], [1.0, -phi], noise)[200:]
        source = ReplayedLoad(np.round(2.4e6 * np.exp(0.3 * series)).astype(np.int64))
        run = run_load(source, ClosedLoop(1), conditions, lambda: None)
        found = run.records.main[0].stretch(0, run.end_ns).quantile(0.99)
        held += found.contains(truth)
        early += run.window_s < 29.0
    assert early > 0.8 * runs
    assert 0.93 <= held / runs <= 0.97
