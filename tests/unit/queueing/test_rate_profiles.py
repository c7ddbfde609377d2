"""Profiles of rates: the steady states are those of the simulation, overload is a fluid."""

import pytest

from support.queueing import deterministic, operating_curve, run
from tritongen.errors import InvalidInputError
from tritongen.queueing import (
    ClosedLoop,
    OpenLoop,
    RateStep,
    ServedModel,
    Server,
    simulate_rates,
)

SERVICE = deterministic((1, 0.005), (8, 0.020))


@pytest.fixture(scope="module")
def curve():
    model = ServedModel("m", SERVICE, OpenLoop(100.0), 2, max_batch_size=8, queue_delay_s=0.0)
    return operating_curve(Server((model,), 1000.0), "m", seed=4)


def test_capacity_is_that_of_full_batches(curve):
    assert curve.capacity_per_s == pytest.approx(2 * 8 / 0.020, rel=0.02)


@pytest.mark.parametrize("rate", [150.0, 330.0, 600.0])
def test_latency_is_that_of_a_simulation_at_the_rate(curve, rate):
    found = run(
        SERVICE,
        OpenLoop(rate),
        instances=2,
        max_batch_size=8,
        queue_delay_s=0.0,
        seed=9,
        requests=40_000,
    )
    for percentile in (50, 99):
        assert curve.latency_s(rate, percentile) == pytest.approx(
            found.latency_s(percentile), rel=0.12
        )


def test_the_greatest_rate_holds_the_limit(curve):
    rate = curve.greatest_rate(99, 0.030)
    assert curve.latency_s(rate, 99) == pytest.approx(0.030, rel=0.01)
    assert curve.greatest_rate(99, 0.001) == 0.0
    assert curve.latency_s(curve.capacity_per_s, 99) == float("inf")


def test_slower_cores_stretch_the_curve(curve):
    slower = curve.scaled(2.0)
    assert slower.capacity_per_s == pytest.approx(curve.capacity_per_s / 2)
    assert slower.latency_s(100.0, 99) == pytest.approx(2 * curve.latency_s(200.0, 99))
    assert slower.greatest_rate(99, 0.06) == pytest.approx(curve.greatest_rate(99, 0.03) / 2)


def test_a_constant_profile_is_the_steady_state(curve):
    figures = simulate_rates(curve, [RateStep(60.0, 400.0)] * 10)
    assert figures.requests == pytest.approx(240_000)
    assert figures.latency_s(99) == pytest.approx(curve.latency_s(400.0, 99), rel=0.05)
    assert figures.share_within(10.0) == pytest.approx(1.0)


def test_replicas_share_the_rate(curve):
    one = simulate_rates(curve, [RateStep(60.0, 300.0)])
    three = simulate_rates(curve, [RateStep(60.0, 900.0, replicas=3)])
    assert three.latency_s(99) == one.latency_s(99)


def test_a_burst_leaves_a_backlog_that_drains(curve):
    capacity = curve.capacity_per_s
    steps = [RateStep(60.0, 200.0), RateStep(10.0, capacity + 100.0), *[RateStep(2.0, 200.0)] * 5]
    figures = simulate_rates(curve, steps)
    # A thousand requests wait at its end; the last of them for as long as they take.
    longest = figures.spread[-1][0] - curve.cells_s(capacity)[-1]
    assert longest == pytest.approx(1000.0 / capacity, rel=0.15)
    # Once it is drained the latencies are those of the rate again.
    longer = simulate_rates(curve, [*steps, *[RateStep(60.0, 200.0)] * 100])
    assert longer.latency_s(50) == pytest.approx(curve.latency_s(200.0, 50), rel=0.1)
    missed = 1.0 - figures.share_within(0.2)
    assert 0.3 < missed < 0.6


def test_a_fluid_burst_agrees_with_a_simulated_one(curve):
    capacity = curve.capacity_per_s
    figures = simulate_rates(curve, [RateStep(5.0, 2.0 * capacity)])
    found = run(
        SERVICE,
        OpenLoop(2.0 * capacity),
        instances=2,
        max_batch_size=8,
        queue_delay_s=0.0,
        requests=int(5.0 * capacity),
    )
    # After five seconds of twice the capacity the last request has waited for five seconds.
    assert figures.spread[-1][0] == pytest.approx(5.0, rel=0.15)
    assert found.latencies_s[-1] == pytest.approx(2.5, rel=0.15)


def test_two_models_share_the_capacity():
    models = tuple(
        ServedModel(name, deterministic((1, 0.01), cores=2.0), OpenLoop(50.0), 2) for name in "ab"
    )
    both = operating_curve(Server(models, 2.0), "a", seed=1)
    alone = operating_curve(Server(models[:1], 2.0), "a", seed=1)
    assert both.capacity_per_s == pytest.approx(alone.capacity_per_s / 2, rel=0.05)


def test_an_empty_profile_has_no_requests(curve):
    figures = simulate_rates(curve, [])
    assert figures.requests == 0
    assert figures.share_within(0.1) == 1.0


@pytest.mark.parametrize("step", [RateStep(-1.0, 1.0), RateStep(1.0, -1.0), RateStep(1.0, 1.0, 0)])
def test_impossible_steps_are_refused(curve, step):
    with pytest.raises(InvalidInputError):
        simulate_rates(curve, [step])


def test_a_curve_needs_open_loads():
    server = Server((ServedModel("m", SERVICE, ClosedLoop(2)),), 2.0)
    with pytest.raises(InvalidInputError, match="open"):
        operating_curve(server, "m", seed=1)
