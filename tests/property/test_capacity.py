"""Properties of scaling over traces and of costs, for any load."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tritongen.fleet.capacity.demand import demand_of
from tritongen.fleet.capacity.replicas import LoadTrace, by_hour, by_load, scheduled, static
from tritongen.fleet.catalogue import (
    lower_bound_usd_per_hour,
    usd_per_million,
    usd_per_month,
)
from tritongen.fleet.traffic.rate_profile import RateProfile, scaled_shape
from tritongen.model.business import Scaling

LOADS = st.lists(st.floats(0.0, 40.0), min_size=30, max_size=300)
SCALINGS = st.builds(
    Scaling,
    start_up_s=st.floats(0.0, 900.0),
    interval_s=st.floats(1.0, 300.0),
    cool_down_s=st.floats(1.0, 1800.0),
)


def trace(loads: list[float], step_s: float = 60.0) -> LoadTrace:
    return LoadTrace(step_s, 0.0, tuple(loads))


@given(LOADS, SCALINGS, st.integers(1, 5), st.floats(0.3, 1.0))
def test_an_autoscaler_keeps_its_bounds_and_pays_for_what_serves(
    loads: list[float], scaling: Scaling, least: int, target: float
) -> None:
    counts = by_load(trace(loads), least, scaling, target)
    assert min(counts.serving) >= least
    assert all(paid >= serving for paid, serving in zip(counts.paid, counts.serving, strict=True))
    assert counts.most == max(counts.paid)
    assert counts.most <= max(least, math.ceil(max(loads) / target + 1e-6))


@given(LOADS, SCALINGS, st.integers(1, 5))
def test_a_schedule_holds_the_usual_load_of_each_hour(
    loads: list[float], scaling: Scaling, least: int
) -> None:
    one = trace(loads)
    counts = scheduled(one, least, scaling)
    assert len(counts.hourly) == 168
    for load, replicas in zip(by_hour(one), counts.hourly, strict=True):
        assert replicas >= load - 1e-6
    assert all(paid >= serving for paid, serving in zip(counts.paid, counts.serving, strict=True))


@given(LOADS, SCALINGS, st.integers(1, 5))
def test_a_fixed_number_is_never_cheaper_than_the_clock_without_start_up(
    loads: list[float], scaling: Scaling, least: int
) -> None:
    one = trace(loads)
    at_once = Scaling(start_up_s=0.0, interval_s=scaling.interval_s)
    assert scheduled(one, least, at_once).mean_paid <= static(one, least).mean_paid + 1e-9


@given(LOADS)
def test_a_constant_load_needs_no_change(loads: list[float]) -> None:
    level = loads[0]
    counts = by_load(trace([level] * len(loads)), 1, Scaling(), 1.0)
    assert set(counts.serving) == {counts.most}


@given(
    st.lists(st.floats(0.01, 10.0), min_size=2, max_size=60),
    st.floats(0.1, 1e4),
    st.floats(1.0, 40.0),
)
def test_a_shape_is_brought_to_its_average_and_peak(
    shape: list[float], average: float, ratio: float
) -> None:
    peak = average * min(ratio, len(shape))
    rates = scaled_shape(shape, average, peak)
    assert math.isclose(math.fsum(rates) / len(rates), average, rel_tol=5e-3)
    assert math.isclose(max(rates), peak, rel_tol=5e-3)
    assert min(rates) >= 0.0


@settings(max_examples=30)
@given(st.lists(st.floats(0.0, 100.0), min_size=12, max_size=40), st.booleans())
def test_finer_steps_keep_range_and_length(rates: list[float], known: bool) -> None:
    profile = RateProfile(300.0, tuple(rates), measured=not known)
    demand = demand_of({"m": profile})
    fine = demand.finer(60.0)
    assert fine.steps == 5 * demand.steps
    assert min(rates) - 1e-9 <= min(fine.rates["m"])
    assert max(fine.rates["m"]) <= max(rates) + 1e-9


@given(st.floats(0.01, 100.0), st.floats(0.1, 1e3), st.floats(0.01, 1e6))
def test_the_bound_is_the_cost_of_machines_that_are_always_busy(
    price: float, rate_of_one: float, mean: float
) -> None:
    bound = lower_bound_usd_per_hour([mean], [rate_of_one / price]) * 730.0
    busy = usd_per_month(price, mean / rate_of_one)
    assert math.isclose(bound, busy, rel_tol=1e-9)
    assert math.isclose(
        usd_per_million(busy, mean), price / 3600.0 / rate_of_one * 1e6, rel_tol=1e-9
    )
