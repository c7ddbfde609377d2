from itertools import islice

import numpy as np
import pytest

from tritongen.probe.arrivals.due_times import arrivals
from tritongen.probe.arrivals.schedule import named_schedule, parse_schedule
from tritongen.probe.arrivals.workload import Replay
from tritongen.queueing import OpenLoop, Pacing


def first(load, count, seed=0, **options):
    found: list[int] = []
    for block in arrivals(load, seed, **options):
        found += block
        if len(found) >= count:
            break
    return found[:count]


def test_constant_gaps_are_all_the_same():
    assert first(OpenLoop(100.0, cv=0.0), 5) == [0, 10**7, 2 * 10**7, 3 * 10**7, 4 * 10**7]
    late = first(OpenLoop(1_000.0, cv=0.0), 10_000)
    assert late[-1] == 9_999 * 10**6


def test_poisson_gaps_are_exponential():
    times = np.array(first(OpenLoop(1_000.0), 50_000, seed=3))
    gaps = np.diff(times) / 1e6
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(1.0, rel=0.02)
    assert gaps.std() == pytest.approx(1.0, rel=0.02)
    assert np.mean(gaps > 2.0) == pytest.approx(np.exp(-2.0), rel=0.03)


def test_the_seed_decides():
    assert first(OpenLoop(10.0), 100, seed=5) == first(OpenLoop(10.0), 100, seed=5)
    assert first(OpenLoop(10.0), 100, seed=5) != first(OpenLoop(10.0), 100, seed=6)


@pytest.mark.parametrize("parts", [2, 3])
def test_shares_together_are_the_whole_stream(parts):
    load = OpenLoop(200.0)
    shares = [first(load, 6_000 // parts, seed=9, part=i, parts=parts) for i in range(parts)]
    assert sorted(time for share in shares for time in share) == first(load, 6_000, seed=9)


def test_a_trace_is_replayed_as_it_is():
    schedule = parse_schedule("0\n0.5\n0.5\n3\n", "t")
    assert list(arrivals(Replay(schedule), 1)) == [[0, 500_000_000, 500_000_000, 3_000_000_000]]


def test_a_ramp_has_its_requests_where_the_rate_is():
    schedule = parse_schedule("100s 0..200\n", "ramp")
    times = np.array([t for block in arrivals(Replay(schedule, Pacing.CONSTANT), 0) for t in block])
    assert len(times) == pytest.approx(10_000, abs=1)
    assert np.all(np.diff(times) >= 0)
    # Half of the requests of a ramp from nothing come in the last 29 % of the time.
    assert np.median(times) / 1e11 == pytest.approx(np.sqrt(0.5), abs=0.001)


def test_periods_without_requests_are_skipped():
    schedule = parse_schedule("1s 10\n100s 0\n1s 10\n", "gap")
    times = [t / 1e9 for block in arrivals(Replay(schedule, Pacing.CONSTANT), 0) for t in block]
    assert len(times) == 20
    assert not [t for t in times if 1.0 < t < 101.0]


def test_a_poisson_schedule_ends():
    schedule = named_schedule("bursts", 50.0, 40.0)
    count = sum(len(block) for block in islice(arrivals(Replay(schedule), 4), 100))
    assert count == pytest.approx(2_000, rel=0.1)
