"""Replicas of a service that two models share follow from what came to both together."""

import math
from functools import cache

from support.capacity import capacity_input, machine
from tritongen.fleet.capacity.capacity_plan import PlanFile
from tritongen.fleet.capacity.sizing import plan_capacity
from tritongen.fleet.observe.advice import shared_services
from tritongen.fleet.observe.model_counters import CounterReading, ModelCounters, Observed, observed
from tritongen.model.business import Business, Grouping
from tritongen.model.intent import ModelIntent

COSTS = {"a": 4.0, "b": 4.0}


@cache
def plan() -> PlanFile:
    """Two equal models in one service."""
    models = {name: (4.0, ModelIntent(rate=200.0, latency_ms=60.0)) for name in ("a", "b")}
    wanted = capacity_input(
        models, Business(grouping=Grouping.TOGETHER), machines=[machine("c6i.xlarge")]
    )
    return PlanFile("tritongen 1", plan_capacity(wanted), 0, "UTC")


def held() -> float:
    """Requests per second that all planned replicas hold."""
    (service,) = plan().option.services
    return service.rate_per_s * service.most


def seen(model: str, *rates: float, first_s: float = 0.0) -> Observed:
    readings, total = [CounterReading(first_s, ModelCounters())], ModelCounters()
    for number, rate in enumerate(rates, start=1):
        total = total.plus(ModelCounters(requests=rate * 10.0))
        readings.append(CounterReading(first_s + number * 10.0, total))
    return observed(model, readings)


def test_both_together_need_more_replicas() -> None:
    (service,) = plan().option.services
    rate = 0.75 * held()
    (found,) = shared_services(plan(), [seen("a", rate), seen("b", rate)], COSTS)
    assert found.code == "TG982"
    assert "1.5 × what its replicas hold" in found.message
    needed = math.ceil(1.5 * service.most - 1e-6)
    assert found.message.endswith(f"replicas {service.most} → {needed}")


def test_peaks_at_different_times_do_not_add_up() -> None:
    rate = 0.75 * held()
    shifted = [seen("a", rate, 1.0), seen("b", 1.0, rate)]
    assert list(shared_services(plan(), shifted, COSTS)) == []


def test_what_fits_is_not_mentioned() -> None:
    rate = 0.4 * held()
    assert list(shared_services(plan(), [seen("a", rate), seen("b", rate)], COSTS)) == []


def test_requests_count_by_what_they_cost() -> None:
    """As many requests, but of the dear model: one that costs three times the other."""
    dear = {"a": 6.0, "b": 2.0}
    rate = 0.9 * held()
    assert list(shared_services(plan(), [seen("b", rate)], dear)) == []
    (found,) = shared_services(plan(), [seen("a", rate)], dear)
    assert "1.4 × what its replicas hold" in found.message


def test_without_a_plan_or_traffic_nothing_is_said() -> None:
    assert list(shared_services(None, [seen("a", 1e6)], COSTS)) == []
    assert list(shared_services(plan(), [], COSTS)) == []
