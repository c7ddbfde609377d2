"""A service as the hourly screening knows it: enough to rank, not yet simulated over time."""

import math

from tritongen.domain.capacity.fit import ModelFit
from tritongen.domain.capacity.result import Binding, ModelForecast, Range, ServicePlan
from tritongen.domain.capacity.scaling import Policy, by_hour, replicas_for
from tritongen.domain.capacity.service import Screened, ServicePlanner
from tritongen.domain.catalogue import Speed


def service_by_hour(one: Screened, planner: ServicePlanner) -> ServicePlan:
    """The plan of a screened service: replicas hour by hour, latency in the busiest one."""
    least = planner.business.min_replicas
    trace = planner.hourly.load(one.fit)
    hourly = tuple(replicas_for(load, least) for load in by_hour(trace))
    counts = [replicas_for(load, least) for load in trace.load]
    mix = planner.hourly.busiest(one.fit)
    load = one.fit.load(mix)
    busy = _busy(one, planner, counts)
    at = max(range(len(counts)), key=trace.load.__getitem__)
    return ServicePlan(
        name=one.group.name,
        placement=one.fit.placement,
        memory_bytes=one.fit.memory_bytes,
        policy=Policy.SCHEDULE if max(counts) > min(counts) else Policy.STATIC,
        least=min(counts),
        most=one.top,
        mean_paid=one.mean_replicas,
        hourly=hourly,
        rate_per_s=one.fit.rate_in(mix),
        concurrency=1,
        queue_s=0.0,
        target=1.0,
        start_up_s=planner.business.scaling.start_up_s,
        forecasts=tuple(
            _forecast(
                model, rate / counts[at], planner.fitter.speed(model.work.name, one.fit.machine)
            )
            for model, rate in zip(one.fit.models, mix, strict=True)
        ),
        mean_utilization=math.fsum(busy) / sum(counts),
        peak_utilization=max(b / n for b, n in zip(busy, counts, strict=True)),
        binding=Binding.AVAILABILITY if one.top <= least else Binding.CPU,
    )


def _forecast(model: ModelFit, rate: float, speed: Speed) -> ModelForecast:
    goal, work = model.work.goal, model.work
    value = model.curve.latency_s(rate, goal.percentile)
    low = high = value
    if math.isfinite(value):
        inside = value - work.transport_s
        low = inside * speed.low / speed.factor / (1.0 + work.uncertainty) + work.transport_s
        high = inside * speed.high / speed.factor * (1.0 + work.uncertainty) + work.transport_s
    return ModelForecast(
        work.name, goal.percentile, Range(value, low, high), goal.limit_s, goal.stated,
        goal.late_share if value > goal.limit_s else 0.0,
    )  # fmt: skip


def _busy(one: Screened, planner: ServicePlanner, counts: list[int]) -> list[float]:
    """Busy share of the cores, summed over the replicas, hour by hour."""
    busy = [0.0] * len(counts)
    cores = one.fit.placement.cores
    for series, model in zip(planner.hourly.rates_of(one.fit.names), one.fit.models, strict=True):
        own = cores if one.fit.placement.limited else model.placed.instances * model.placed.threads
        weight = own / (model.curve.capacity_per_s * cores)
        for index, rate in enumerate(series):
            busy[index] += rate * weight
    return busy
