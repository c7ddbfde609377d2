"""A service as the hourly screening knows it: enough to rank, not yet simulated over time."""

from dataclasses import replace
from functools import partial

from tritongen.fleet.capacity.capacity_plan import Binding, ModelForecast, Range, ServicePlan
from tritongen.fleet.capacity.container_capacity import ModelFit
from tritongen.fleet.capacity.scaling import Policy, by_hour, replicas_for
from tritongen.fleet.capacity.service_plan import Screened, ServicePlanner, model_forecast
from tritongen.fleet.catalogue.processors import Speed


def service_by_hour(one: Screened, planner: ServicePlanner) -> ServicePlan:
    """The plan of a screened service: replicas hour by hour, latency in the busiest one."""
    least = planner.business.min_replicas
    trace = planner.hourly.load(one.fit)
    hourly = tuple(replicas_for(load, least) for load in by_hour(trace))
    counts = [replicas_for(load, least) for load in trace.load]
    mix = planner.hourly.busiest(one.fit)
    utilization = one.fit.utilization(planner.hourly.rates_of(one.fit.names), counts)
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
                model, rate / counts[at], planner.fitter.speed(model.profile.name, one.fit.machine)
            )
            for model, rate in zip(one.fit.models, mix, strict=True)
        ),
        mean_utilization=utilization[0],
        peak_utilization=utilization[1],
        binding=Binding.AVAILABILITY if one.top <= least else Binding.CPU,
    )


def _forecast(model: ModelFit, rate: float, speed: Speed) -> ModelForecast:
    goal = model.profile.goal
    found = model_forecast(model.profile, partial(_range, model, rate, speed))
    late = goal.late_share if found.latency_s.value > goal.limit_s else 0.0
    return replace(found, late_share=late)


def _range(model: ModelFit, rate: float, speed: Speed, percentile: float) -> Range:
    """A percentile at a rate, with what unknown speed makes of it; a queue without end is cut."""
    profile = model.profile
    inside = model.curve.latency_s(rate, percentile) - profile.transport_s
    low = inside * speed.low / speed.factor / (1.0 + profile.uncertainty)
    high = inside * speed.high / speed.factor * (1.0 + profile.uncertainty)
    return Range.bounded(
        inside + profile.transport_s, low + profile.transport_s, high + profile.transport_s
    )
