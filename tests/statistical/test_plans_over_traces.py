"""Plans over traces: near the work-conserving bound, and within the stated share of late requests.

Three synthetic traces and three in the shape of public ones, peak ÷ mean from 2 to 26.
"""

import statistics
from functools import cache

import pytest

from support.capacity import capacity_input
from support.traces import TRACES
from tritongen.fleet.capacity.capacity_plan import CapacityPlan
from tritongen.fleet.capacity.replicas import Policy
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.fleet.catalogue import Machine
from tritongen.model.business import Business, Scaling, ScalingMode
from tritongen.model.intent import ModelIntent

# (mean rate, milliseconds of one execution, latency goal): a small model, or a large one.
SMALL = (20_000.0, 4.0, 40.0)
LARGE = (400.0, 200.0, 5_000.0)
CASES = {
    "sine": SMALL,
    "office": SMALL,
    "ramps": SMALL,
    "balancer": SMALL,
    "conversation": LARGE,
    "code": LARGE,
}


@cache
def machine() -> Machine:
    """The one with most work for its price; one is enough here."""
    from support.capacity import machine as named

    return named("c7a.2xlarge")


@cache
def planned(name: str, mode: ScalingMode) -> CapacityPlan:
    mean, execution_ms, goal_ms = CASES[name]
    return plan_capacity(
        capacity_input(
            {"model": (execution_ms, ModelIntent(rate=mean, latency_ms=goal_ms))},
            Business(scaling=Scaling(mode=mode)),
            profiles={"model": TRACES[name](mean)},
            machines=(machine(),),
        )
    )


@pytest.mark.parametrize("name", CASES)
def test_an_autoscaled_plan_costs_little_more_than_the_bound(name: str) -> None:
    option = planned(name, ScalingMode.AUTOSCALED).options[0]
    assert option.feasible, option.reason
    assert option.services[0].policy is not Policy.STATIC
    assert 1.0 <= option.lower_bound_ratio <= 1.15


@pytest.mark.parametrize("name", CASES)
def test_an_autoscaled_plan_is_late_for_no_more_than_the_stated_share(name: str) -> None:
    forecast = planned(name, ScalingMode.AUTOSCALED).options[0].services[0].forecasts[0]
    assert forecast.late_share <= 0.01
    assert forecast.latency_s.value <= forecast.limit_s * 1.001


@pytest.mark.parametrize("name", ["office", "balancer", "code"])
def test_a_fixed_number_costs_about_the_peak(name: str) -> None:
    scaled = planned(name, ScalingMode.AUTOSCALED).options[0]
    assert scaled.static_usd_per_month is not None
    assert scaled.static_usd_per_month > 1.5 * scaled.usd_per_month


@pytest.mark.parametrize(
    ("name", "ratio"), [("conversation", 2.9), ("balancer", 10.6), ("code", 26.0)]
)
def test_traces_have_the_public_shapes(name: str, ratio: float) -> None:
    profile = TRACES[name](100.0)
    mean = statistics.fmean(profile.rates)
    assert mean == pytest.approx(100.0, rel=1e-6)
    assert profile.peak / mean == pytest.approx(ratio, rel=0.1)
