"""Replicas of services that several models share, from what came to all of them together."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from tritongen.fleet.capacity.capacity_plan import PlanFile, ServicePlan
from tritongen.fleet.observe.model_counters import Observed
from tritongen.model.findings import Finding, Severity, finding


def shared_services(
    plan: PlanFile | None, seen: Sequence[Observed], costs: Mapping[str, float]
) -> Iterator[Finding]:
    """What the observed peak asks of each service with more than one model.

    A replica holds the plan's rate in the mix that was planned; another mix counts by what a
    request of each model costs.

    Args:
        plan: with the services; nothing is told without one.
        seen: models over time.
        costs: milliseconds of one request, by model; those that are unknown count alike.
    """
    known = {one.model: one for one in seen if one.steps}
    for service in plan.option.services if plan is not None else ():
        models = [known[name] for name in service.models if name in known]
        if plan is None or len(service.models) < 2 or not models:
            continue
        held = _held(plan, service, costs)
        load = _peak(models, costs)
        if held <= 0.0:
            continue
        needed = max(1, math.ceil(load / held - 1e-9))
        if needed <= service.most:
            continue
        times = load / (held * service.most)
        yield finding(
            "TG982",
            Severity.WARNING,
            f"service {service.name}: the peak of its {len(service.models)} models together is "
            f"{times:.2g} × what its replicas hold at the goals: replicas {service.most} → "
            f"{needed}",
        )


def _held(plan: PlanFile, service: ServicePlan, costs: Mapping[str, float]) -> float:
    """Milliseconds a second of requests that one replica holds, in the planned mix."""
    peaks = {one.model: one.peak_rate for one in plan.plan.traffic if one.model in service.models}
    total = sum(peaks.values())
    if total <= 0.0:
        return 0.0
    mean = sum(rate * _cost(name, costs) for name, rate in peaks.items()) / total
    return service.rate_per_s * mean


def _cost(name: str, costs: Mapping[str, float]) -> float:
    usual = sum(costs.values()) / len(costs) if costs else 1.0
    return costs.get(name, usual)


def _peak(models: Sequence[Observed], costs: Mapping[str, float]) -> float:
    """The same of what came, at the busiest time of all models together."""
    begins = {one.model: [step.begin_s for step in one.steps] for one in models}

    def rate(one: Observed, at_s: float) -> float:
        number = bisect_right(begins[one.model], at_s) - 1
        if number < 0:
            return 0.0
        step = one.steps[number]
        return step.rate if at_s < step.begin_s + step.seconds else 0.0

    times = sorted({at_s for found in begins.values() for at_s in found})
    return max(sum(rate(one, at_s) * _cost(one.model, costs) for one in models) for at_s in times)
