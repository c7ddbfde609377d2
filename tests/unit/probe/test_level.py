"""Whole levels on an engine with a virtual clock: the numbers are held against closed forms."""

import math

import pytest

from support.probe import (
    SECOND,
    VirtualClock,
    VirtualEngine,
    VirtualPacer,
    a_plan,
    autocorrelated,
    constant,
    one_server,
    stalling,
    uniform,
    virtual_level,
    virtual_run,
)
from tritongen.probe.generator import Generator
from tritongen.probe.level import Conditions, ServerReading, Update, run_load
from tritongen.probe.schedule import Replay, parse_schedule
from tritongen.probe.statistics.measurement import LevelVerdict, WantedPrecision
from tritongen.queueing import ClosedLoop, OpenLoop, Pacing
from tritongen.triton.statistics import ModelStatistics, ServedConfig

FIXED = Conditions(budget_s=60.0, fixed=True)


def p(level, percentile):
    interval = level.percentile(percentile)
    assert interval is not None
    return interval.value / 1e3


@pytest.mark.parametrize("concurrency", [1, 8, 64])
def test_a_closed_loop_follows_littles_law(concurrency):
    level = virtual_level(constant(0.020), ClosedLoop(concurrency), FIXED)
    assert level.throughput.value == pytest.approx(concurrency / 0.020, rel=0.005)
    assert p(level, 50.0) == pytest.approx(20.0, rel=0.005)
    assert p(level, 99.0) == pytest.approx(20.0, rel=0.005)
    assert level.verdict is LevelVerdict.VALID


@pytest.mark.parametrize("load", [ClosedLoop(16), OpenLoop(200.0), OpenLoop(200.0, cv=0.0)])
def test_percentiles_of_uniform_latencies(load):
    level = virtual_level(uniform(0.010, 0.050), load, FIXED)
    for percentile in (50.0, 90.0, 95.0, 99.0):
        assert p(level, percentile) == pytest.approx(10.0 + 0.4 * percentile, rel=0.02)
    assert level.latency.mean.value == pytest.approx(30_000.0, rel=0.01)


def test_one_server_with_poisson_arrivals_has_the_latency_of_theory():
    """M/M/1: the time in the system is exponential with rate μ − λ."""
    level = virtual_level(
        one_server(0.010), OpenLoop(50.0), Conditions(budget_s=2_000.0, fixed=True)
    )
    for percentile in (50.0, 90.0, 95.0):
        truth = -math.log(1.0 - percentile / 100.0) / (100.0 - 50.0) * 1e3
        assert p(level, percentile) == pytest.approx(truth, rel=0.05)
    assert level.percentile(95.0).contains(-math.log(0.05) / 50.0 * 1e6)


def test_a_stalled_server_is_seen_from_the_schedule():
    """500 ms in every 5 s: one request in ten waits, evenly between 0 and 500 ms."""
    level = virtual_level(stalling(5.0, 0.5, 0.001), OpenLoop(100.0, cv=0.0), FIXED)
    assert p(level, 50.0) == pytest.approx(1.0, rel=0.01)
    assert p(level, 95.0) == pytest.approx(250.0, rel=0.05)
    assert p(level, 99.0) == pytest.approx(450.0, rel=0.05)


def test_the_schedule_does_not_wait_for_the_server():
    """One request at a time: the client queues, and from the schedule that is in the latency.

    Who is due t ms after the begin of the stall waits for its end and for t/10 others: 500 - 0.9 t.
    """
    level = virtual_level(
        stalling(5.0, 0.5, 0.001), OpenLoop(100.0, cv=0.0), FIXED, max_outstanding=1
    )
    assert p(level, 95.0) == pytest.approx(275.0, rel=0.05)
    service = level.service.percentiles["p95"].value / 1e3
    assert service == pytest.approx(1.0, rel=0.02)
    assert level.client.lateness.percentiles["p95"].value / 1e3 == pytest.approx(274.0, rel=0.05)


def test_a_closed_loop_hides_the_stall():
    level = virtual_level(stalling(5.0, 0.5, 0.010), ClosedLoop(1), FIXED)
    assert p(level, 95.0) < 15.0


def test_a_level_ends_when_it_is_precise():
    run, (level,) = virtual_run(uniform(0.010, 0.011), ClosedLoop(8), Conditions(budget_s=600.0))
    assert level.verdict is LevelVerdict.VALID
    assert run.window_s < 5.0


def test_correlated_latencies_take_longer_to_be_known():
    conditions = Conditions(budget_s=600.0, precision=WantedPrecision(width=0.03))
    independent, _ = virtual_run(autocorrelated(0.010, 0.0), ClosedLoop(1), conditions)
    correlated, _ = virtual_run(autocorrelated(0.010, 0.95), ClosedLoop(1), conditions)
    assert correlated.window_s > 2 * independent.window_s


def test_a_level_that_cannot_become_precise_ends_with_its_budget():
    run, (level,) = virtual_run(
        autocorrelated(0.5, 0.99), ClosedLoop(1), Conditions(budget_s=300.0)
    )
    assert run.window_s == pytest.approx(300.0, rel=0.01)
    assert level.verdict is LevelVerdict.UNSTABLE
    assert "±10% was wanted" in level.reason


def test_too_few_requests_are_no_percentile():
    level = virtual_level(constant(0.5), ClosedLoop(1), Conditions(budget_s=30.0, fixed=True))
    assert level.verdict is LevelVerdict.TOO_FEW
    assert "at least 368" in level.reason
    assert level.percentile(99.0) is None
    assert level.percentile(50.0) is not None


def test_the_warm_up_is_left_out():
    def slow_begin(number: int, sent: int) -> int:
        return sent + (200_000_000 if number < 100 else 10_000_000)

    run, (level,) = virtual_run(slow_begin, ClosedLoop(8), Conditions(budget_s=20.0, fixed=True))
    assert level.latency.max_us == pytest.approx(10_000.0, rel=0.01)
    assert level.warmup_s > 2.0
    assert any(moment.warmup for moment in level.timeline)
    assert run.mark_ns > run.begin_ns


def test_a_stall_within_the_window_is_no_warm_up():
    """One second in the first half of the window, after a quick begin."""
    begin = VirtualClock().now

    def serve(_: int, sent: int) -> int:
        phase = (sent - begin) / SECOND
        return sent + 10_000_000 + (round((7.0 - phase) * SECOND) if 6.0 < phase < 7.0 else 0)

    conditions = Conditions(budget_s=20.0, fixed=True)
    level = virtual_level(serve, OpenLoop(100.0, cv=0.0), conditions)
    assert level.latency.max_us > 950_000
    assert level.warmup_s < 5.1


def test_no_warm_up_when_none_is_wanted():
    run, _ = virtual_run(constant(0.01), ClosedLoop(1), Conditions(budget_s=5.0, warmup_s=0.0))
    assert run.mark_ns - run.begin_ns < 0.1 * SECOND


def test_a_rate_beyond_the_capacity_is_saturation():
    level = virtual_level(one_server(0.010), OpenLoop(150.0), Conditions(budget_s=30.0, fixed=True))
    assert level.verdict is LevelVerdict.SATURATED
    assert "does not keep up" in level.reason
    assert level.requests.unfinished > 0


def test_a_hopeless_backlog_ends_the_level():
    run, (level,) = virtual_run(
        one_server(1.0), OpenLoop(5_000.0), Conditions(budget_s=300.0, fixed=True)
    )
    assert run.window_s < 30.0
    assert level.verdict is LevelVerdict.SATURATED


def test_a_late_generator_says_so():
    level = virtual_level(constant(0.002), OpenLoop(100.0), FIXED, late_ns=3_000_000)
    assert level.verdict is LevelVerdict.GENERATOR_LATE
    assert level.client.lateness.percentiles["p50"].value == pytest.approx(3_000.0, rel=0.02)
    assert p(level, 50.0) == pytest.approx(5.0, rel=0.02)


def test_failures_are_data():
    level = virtual_level(
        constant(0.01), ClosedLoop(4), FIXED, fails=lambda n: "HTTP 503" if n % 100 == 0 else ""
    )
    assert level.verdict is LevelVerdict.VALID
    assert level.requests.failure_share == pytest.approx(0.01, abs=0.001)
    assert level.requests.failures_by_code.keys() == {"HTTP 503"}
    assert level.requests.sent == level.requests.ok + level.requests.failed
    assert level.latency_all.histogram.total == level.requests.sent
    assert level.latency.histogram.total == level.requests.ok


def test_nothing_but_failures_still_gives_a_result():
    run, (level,) = virtual_run(
        constant(0.01), ClosedLoop(4), Conditions(budget_s=60.0), fails=lambda _: "HTTP 500"
    )
    assert level.verdict is LevelVerdict.TOO_FEW
    assert "requests failed: HTTP 500" in level.reason
    assert level.throughput is None
    assert run.gone
    assert run.window_s < 15.0


def test_a_server_that_falls_silent_ends_the_level():
    run, (level,) = virtual_run(
        lambda n, sent: sent + (10_000_000 if n < 2_000 else 10**15),
        ClosedLoop(4),
        Conditions(budget_s=120.0, fixed=True),
    )
    assert run.gone
    assert "no right answer for 1" in level.reason
    assert level.requests.ok > 1_000
    assert level.requests.failures_by_code == {"UNFINISHED": 4}


def test_a_server_that_dies_in_the_warm_up_still_gives_numbers():
    run, (level,) = virtual_run(
        lambda n, sent: sent + (10_000_000 if n < 100 else 10**15),
        ClosedLoop(4),
        Conditions(budget_s=60.0, fixed=True),
    )
    assert run.gone
    assert level.requests.ok == 100
    assert p(level, 50.0) == pytest.approx(10.0, rel=0.01)


def test_a_schedule_is_replayed_to_its_end():
    schedule = parse_schedule("10s 20\n5s 100\n10s 20\n", "burst")
    run, (level,) = virtual_run(
        constant(0.005), Replay(schedule, Pacing.CONSTANT), Conditions(budget_s=600.0)
    )
    assert level.requests.sent == 900
    assert run.window_s == pytest.approx(25.0, abs=1.0)
    peak = max(level.timeline, key=lambda moment: moment.completed / moment.seconds)
    assert 10.0 <= peak.at_s <= 15.1
    assert level.warmup_s < 0.1


def test_models_at_once_share_the_load():
    plans = [a_plan("a", 3.0), a_plan("b", 1.0)]
    _, (first, second) = virtual_run(constant(0.002), OpenLoop(1_000.0), FIXED, plans=plans)
    assert first.throughput.value == pytest.approx(750.0, rel=0.03)
    assert second.throughput.value == pytest.approx(250.0, rel=0.05)


def test_shares_of_one_load_are_made_by_several_generators():
    counts = []
    for part in range(2):
        clock = VirtualClock()
        engine = VirtualEngine(clock, constant(0.01))
        generator = Generator(engine, OpenLoop(100.0), 0, part, 2, clock=clock, pacer=VirtualPacer)
        run = run_load(generator, OpenLoop(100.0), FIXED, lambda: None)
        counts.append(run.records.main[0].successes)
    assert sum(counts) == pytest.approx(6_000, rel=0.05)
    assert counts[0] == pytest.approx(counts[1], rel=0.05)


def test_ctrl_c_keeps_the_numbers():
    seen: list[Update] = []

    def tell(update: Update) -> None:
        seen.append(update)
        if update.phase == "measuring" and update.elapsed_s > 5.0:
            raise KeyboardInterrupt

    clock = VirtualClock()
    engine = VirtualEngine(clock, constant(0.01))
    generator = Generator(engine, ClosedLoop(2), 0, clock=clock, pacer=VirtualPacer)
    run = run_load(
        generator, ClosedLoop(2), Conditions(budget_s=60.0, fixed=True), lambda: None, tell
    )
    assert run.interrupted
    assert run.records.main[0].successes == pytest.approx(1_200, rel=0.2)
    assert seen[0].phase == "warm-up"
    assert seen[-1].latency_us == pytest.approx(10_000.0, rel=0.01)
    assert seen[-1].throughput == pytest.approx(200.0, rel=0.05)


def test_the_servers_statistics_become_an_attribution():
    readings = iter(range(10))

    def read() -> ServerReading:
        count = 1_000 * next(readings)
        statistics = ModelStatistics(
            requests=count,
            inferences=count,
            executions=count,
            request_ns=count * 9_000_000,
            queue_ns=count * 6_000_000,
            compute_infer_ns=count * 3_000_000,
            executed_ns=count * 3_000_000,
        )
        return ServerReading({"m": statistics}, {"m": ServedConfig("m", 8, instances=1)})

    level = virtual_level(constant(0.010), ClosedLoop(1), FIXED, read=read)
    assert level.attribution is not None
    parts = dict(level.attribution.parts)
    assert parts["queue"] == pytest.approx(6_000.0)
    assert parts["compute infer"] == pytest.approx(3_000.0)
    assert sum(parts.values()) == pytest.approx(level.latency.mean.value, rel=0.001)
    assert level.advice[0].command == "tritongen tune -m m"
