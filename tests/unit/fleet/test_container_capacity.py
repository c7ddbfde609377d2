"""What one container can do: curves beside the full simulation, refusals, shared cores."""

from dataclasses import replace
from functools import cache

import pytest

from support import queueing_theory as theory
from support.capacity import capacity_input, machine
from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.container_capacity import Fit, Fitter, Placer
from tritongen.fleet.capacity.operating_curves import (
    QueueParameters,
    forecast_latency,
    steady_curve,
)
from tritongen.fleet.capacity.simulation_check import check, server_of, unchecked
from tritongen.model.business import Business, Payload
from tritongen.model.intent import ModelIntent
from tritongen.queueing import simulate


@cache
def fit(
    ms: float, on: str, *, item: float = 1.0, names: tuple[str, ...] = ("m",), goal: float = 8.0
) -> Fit:
    models = {name: (ms, ModelIntent(rate=10.0, latency_ms=goal * ms)) for name in names}
    given = capacity_input(models, Business(), item=item)
    fitter = Fitter(given.profiles, Placer(given.models, given.intent, given.evidence), 1.0)
    return fitter.fit(names, machine(on))


@pytest.mark.parametrize("on", ["c6i.large", "c7a.xlarge"])
@pytest.mark.parametrize("item", [1.0, 0.3])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_curve_agrees_with_the_simulation_of_triton(on: str, item: float, share: float) -> None:
    found = fit(4.0, on, item=item)
    model = found.models[0]
    rate = share * model.rate_per_s
    simulated = simulate(server_of(found, (rate,), 1.0), seed=7, requests=8_000, warmup=0.15)
    assert model.curve.latency_s(rate, 99.0) == pytest.approx(
        simulated.models[0].latency_s(99.0), rel=0.25
    )


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_curve_knows_what_rests_cost(share: float) -> None:
    given = capacity_input({"m": (4.0, ModelIntent(rate=10.0, latency_ms=32.0))}, Business())
    profile = given.profiles["m"]
    profiles = {"m": replace(profile, service=replace(profile.service, idle_penalty=0.4))}
    fitter = Fitter(profiles, Placer(given.models, given.intent, given.evidence), 1.0)
    cold = fitter.fit(("m",), machine("c6i.large"))
    curve = cold.models[0].curve
    rate = share * curve.capacity_per_s
    simulated = simulate(server_of(cold, (rate,), 1.0), seed=7, requests=8_000, warmup=0.15)
    assert curve.latency_s(rate, 50.0) == pytest.approx(
        simulated.models[0].latency_s(50.0), rel=0.15
    )
    warm = fit(4.0, "c6i.large").models[0].curve
    assert curve.capacity_per_s == pytest.approx(warm.capacity_per_s)
    assert curve.latency_s(rate, 50.0) > warm.latency_s(rate, 50.0)


def test_curves_never_fall_and_end_in_no_answer() -> None:
    curve = steady_curve(QueueParameters(4, cv=0.25))
    rates = [0.05 * n * curve.capacity_per_s for n in range(1, 20)]
    values = [curve.latency_s(rate, 99.0) for rate in rates]
    assert values == sorted(values)
    assert curve.latency_s(curve.capacity_per_s, 99.0) == float("inf")


def test_random_arrivals_at_one_server_wait_as_theory_says() -> None:
    """M/D/1: the mean wait is half of M/M/1's."""
    curve = steady_curve(QueueParameters(1))
    cells = curve.cells_s(0.7)
    mean = sum(cells[:99]) / 99.0 - 1.0
    half = 0.5 * theory.erlang_c(1, 0.7) / (1.0 - 0.7)
    assert mean == pytest.approx(half, rel=0.2)


def test_more_servers_may_be_busier() -> None:
    small, large = fit(4.0, "c6i.large").models[0], fit(4.0, "c7a.4xlarge").models[0]
    assert large.saturation > small.saturation


def test_a_goal_below_one_execution_is_refused() -> None:
    assert "takes" in fit(4.0, "c6i.large", goal=0.9).refusal
    assert fit(4.0, "c6i.large", goal=0.9).models[0].rate_per_s == 0.0


def test_without_any_rate_there_is_nothing_to_simulate() -> None:
    with pytest.raises(InvalidInputError, match="needs a model"):
        server_of(fit(4.0, "c6i.large"), (0.0,), 1.0)


def test_more_models_than_cores_share_them() -> None:
    names = ("a", "b", "c")
    found = fit(4.0, "c6i.large", names=names)
    assert found.placement.limited
    alone = fit(4.0, "c6i.large").models[0].rate_per_s
    third = alone / 3.0
    assert found.load((third, third, third)) >= 0.95
    checked = check(found, (third, third, third), 1.0)
    assert checked.concurrency >= 1
    assert all(model.rate_per_s > 0.0 for model in checked.fit.models)


def test_large_requests_fill_the_network_first() -> None:
    models = {"m": (0.5, ModelIntent(rate=10.0, latency_ms=50.0, payload=Payload(5_000_000, 100)))}
    given = capacity_input(models)
    fitter = Fitter(given.profiles, Placer(given.models, given.intent, given.evidence), 1.0)
    found = fitter.fit(("m",), machine("c6i.large"))
    assert found.network_load((100.0,)) > found.models[0].profile.service.alone(1, 1) * 100.0
    assert found.load((100.0,)) == found.network_load((100.0,))


def test_requests_at_a_time_follow_little() -> None:
    found = fit(4.0, "c7a.4xlarge")
    half = 0.5 * found.models[0].rate_per_s
    expected = half * found.models[0].alone_s
    assert unchecked(found, (half,)).concurrency == pytest.approx(3.0 * expected + 1.0, rel=0.3)


def test_latency_over_a_day_lies_between_its_hours() -> None:
    model = fit(4.0, "c7a.xlarge").models[0]
    rates = [0.2 * model.rate_per_s] * 12 + [0.9 * model.rate_per_s] * 12
    whole = forecast_latency(model.curve, rates, [1] * 24, 3600.0, 99.0, model.profile.goal.limit_s)
    calm, busy = (model.curve.latency_s(rate, 99.0) for rate in (rates[0], rates[-1]))
    assert calm < whole.latency_s <= busy * 1.01
    assert whole.late_share <= 0.01


def test_an_overload_lasts_until_its_backlog_is_gone() -> None:
    model = fit(4.0, "c7a.xlarge").models[0]
    capacity = model.curve.capacity_per_s
    rates = [0.5 * capacity] * 10 + [1.5 * capacity] + [0.5 * capacity] * 10
    found = forecast_latency(model.curve, rates, [1] * 21, 60.0, 99.0, model.profile.goal.limit_s)
    # The minute of overload, and the minute that its backlog takes.
    assert 2.0 / 12.0 * 0.8 < found.late_share < 0.35
