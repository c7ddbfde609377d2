from dataclasses import replace

import pytest

from support.probe import a_level
from tritongen.probe.questions.ladder import (
    Held,
    LadderStep,
    holds,
    holds_by_estimate,
    knee_of,
    next_concurrency,
    next_for_knee,
    next_rate,
    requests_needed,
    step_of,
)
from tritongen.probe.statistics.measurement import LevelVerdict
from tritongen.probe.workload import parse_goals
from tritongen.queueing import ClosedLoop, OpenLoop


def climb_rate(truth: float, first: float = 10.0, most: float = 1e6) -> tuple[float, int]:
    history: list[LadderStep] = []
    while (value := next_rate(history, first, most, 0.05)) is not None:
        history.append(LadderStep(value, Held.YES if value <= truth else Held.NO))
    good = [step.value for step in history if step.held is Held.YES]
    return max(good, default=0.0), len(history)


@pytest.mark.parametrize("truth", [3.0, 9.0, 10.0, 137.0, 5_000.0, 90_000.0])
def test_the_greatest_rate_is_found_within_five_percent(truth):
    found, steps = climb_rate(truth)
    assert truth / 1.05 <= found <= truth
    assert steps < 25


def test_a_rate_beyond_the_limit_is_not_tried():
    assert climb_rate(1e9, most=1_000.0)[0] == 1_000.0


def test_no_rate_at_all():
    found, steps = climb_rate(0.0)
    assert found == 0.0
    assert steps < 8


@pytest.mark.parametrize("truth", [1, 2, 7, 64, 100, 1024])
def test_the_greatest_concurrency_is_found_exactly(truth):
    history: list[LadderStep] = []
    while (value := next_concurrency(history, 1, 1024)) is not None:
        history.append(LadderStep(value, Held.YES if value <= truth else Held.NO))
    assert max(step.value for step in history if step.held is Held.YES) == truth


def climb_knee(throughput, latency) -> float:
    history: list[LadderStep] = []
    while (value := next_for_knee(history, 1024)) is not None:
        x, r = throughput(value), latency(value)
        history.append(LadderStep(value, Held.YES, x / r, x))
    return knee_of(history).value


@pytest.mark.parametrize("servers", [1, 4, 10, 50])
def test_the_knee_of_parallel_servers_is_their_number(servers):
    def throughput(c):
        return min(c, servers) * 100.0

    assert climb_knee(throughput, lambda c: c / throughput(c)) == pytest.approx(servers, rel=0.3)


def goal_level(text: str, **options) -> Held:
    return holds(a_level(**options), parse_goals(text))


def test_a_goal_is_held_when_the_whole_interval_holds_it():
    assert goal_level("p99<3ms") is Held.YES
    assert goal_level("p99<1ms") is Held.NO
    assert goal_level("p99<2ms") is Held.UNDECIDED
    assert goal_level("p99<3ms,failures<1%") is Held.YES
    assert goal_level("p99<3ms,failures<1%", failed=100) is Held.NO
    assert goal_level("p99<3ms", verdict=LevelVerdict.SATURATED) is Held.NO
    assert goal_level("p99.9<3ms") is Held.UNDECIDED


def test_estimates_decide_in_the_end():
    level = a_level()
    assert holds_by_estimate(level, parse_goals("p99<2ms")) is Held.YES
    assert holds_by_estimate(level, parse_goals("p99<1.9ms")) is Held.NO
    assert holds_by_estimate(level, parse_goals("p99.9<2.1ms")) is Held.YES
    assert holds_by_estimate(level, parse_goals("mean<1ms")) is Held.NO
    assert holds_by_estimate(a_level(failed=600), parse_goals("failures<1%")) is Held.NO
    assert holds_by_estimate(a_level(latencies_us=()), parse_goals("p99<1s")) is Held.NO
    saturated = a_level(verdict=LevelVerdict.SATURATED)
    assert holds_by_estimate(saturated, parse_goals("p99<1s")) is Held.NO


def test_power_is_throughput_divided_by_latency():
    step = step_of(a_level(load=ClosedLoop(4), rate=300.0))
    assert step.value == 4
    assert step.power == pytest.approx(300.0 / 1_499.5, rel=0.01)
    assert step_of(a_level(load=OpenLoop(5.0), latencies_us=())).power == 0.0


def few(*latencies_us: float):
    level = a_level(latencies_us=latencies_us)
    return replace(level, latency=replace(level.latency, percentiles={}, mean=None))


def test_a_percentile_is_not_guessed_from_a_handful_of_requests():
    two = few(900.0, 1_000.0)
    assert holds(two, parse_goals("p99<5ms")) is Held.UNDECIDED
    assert holds_by_estimate(two, parse_goals("p99<5ms")) is Held.UNDECIDED
    assert holds_by_estimate(two, parse_goals("p50<5ms,mean<5ms")) is Held.YES
    assert holds_by_estimate(two, parse_goals("mean<0.5ms")) is Held.NO


def test_few_slow_requests_are_enough_to_miss_a_goal():
    slow = few(*(900.0,) * 36, *(9_000.0,) * 4)
    assert holds(slow, parse_goals("p99<5ms")) is Held.NO
    assert holds(slow, parse_goals("p90<5ms")) is not Held.NO
    one = few(*(900.0,) * 39, 9_000.0)
    assert holds(one, parse_goals("p99<5ms")) is Held.UNDECIDED


def test_how_many_requests_a_goal_needs():
    assert requests_needed(parse_goals("p50<1ms,p99<5ms"), 0.95) == 368
    assert requests_needed(parse_goals("mean<1ms,failures<1%"), 0.95) == 1


@pytest.mark.parametrize(
    ("knee", "following"),
    [(4, 6), (2, 3), (1, None), (8, 6)],
)
def test_the_wider_gap_beside_the_knee_is_looked_at(knee, following):
    powers = {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0} | {knee: 9.0}
    if knee < 8:
        powers |= {8: 0.3} | ({4: 0.5} if knee != 4 else {})
    history = [LadderStep(value, power=power, throughput=10.0) for value, power in powers.items()]
    assert next_for_knee(history, 8) == following
