"""One service on one machine type: screened by the hour, or planned in full."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tritongen.fleet.capacity.capacity_plan import Binding, ModelForecast, Range, ServicePlan
from tritongen.fleet.capacity.container_capacity import Fit, Fitter, ModelFit
from tritongen.fleet.capacity.demand import TrafficDemand
from tritongen.fleet.capacity.model_profile import ModelProfile
from tritongen.fleet.capacity.operating_curves import (
    LatencyForecast,
    forecast_latency,
    in_seconds,
    with_latencies,
)
from tritongen.fleet.capacity.replicas import (
    LoadTrace,
    Policy,
    ReplicaCounts,
    control_step,
    hour_of,
    plan_replicas,
    replicas_for,
)
from tritongen.fleet.capacity.simulation_check import Checked, check, unchecked
from tritongen.fleet.catalogue import (
    AZUREML_BYTES_PER_S,
    AZUREML_ENDPOINTS,
    AZUREML_INSTANCES,
    AZUREML_REQUESTS_PER_S,
    Machine,
)
from tritongen.fleet.traffic.rate_profile import HOURS_A_WEEK
from tritongen.model.business import Business, Platform
from tritongen.queueing import OperatingCurve

# A model that may be used to this share of its capacity is bound by the CPU, not by the goal.
_SATURATED = 0.9
# Up to this share of what the replicas for availability hold, nothing hangs on a closer look.
_SMALL = 0.6
# One model whose requests come no more in bursts than this is known by its curve.
_SMOOTH = 1.2
_P99 = 99.0


@dataclass(frozen=True, slots=True)
class Group:
    """Models that share a container."""

    name: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Screened:
    """A service as the hourly screening sees it.

    Attributes:
        group: its models.
        fit: on the machine.
        mean_replicas: with the number of each hour; a bound of any policy's cost.
        top: replicas of the busiest hour.
        refusal: why it cannot be served, empty when it can.
        binding: of the refusal.
        excess: how far from feasible.
        endpoints: among which the platform's limits divide it.
    """

    group: Group
    fit: Fit
    mean_replicas: float
    top: int
    refusal: str = ""
    binding: Binding = Binding.CPU
    excess: float = 0.0
    endpoints: int = 1


class ServicePlanner:
    """Plans services on machines for one traffic."""

    def __init__(self, demand: TrafficDemand, business: Business, fitter: Fitter) -> None:
        """Remember traffic and requirements."""
        self.demand = demand
        self.hourly = demand.hourly()
        self.fine = demand.finer(control_step(business.scaling))
        self.business = business
        self.fitter = fitter
        self._checks: dict[object, Checked] = {}
        self._screened: dict[tuple[tuple[str, ...], tuple[str, str, str]], Screened] = {}

    def screen(self, group: Group, machine: Machine) -> Screened:
        """Replicas hour by hour, and what forbids them."""
        key = (group.models, machine.key)
        found = self._screened.get(key)
        if found is None:
            found = self._screened[key] = self._screen(group, machine)
        return replace(found, group=group) if found.group != group else found

    def _screen(self, group: Group, machine: Machine) -> Screened:
        fit = self.fitter.fit(group.models, machine)
        least = self.business.min_replicas
        if fit.refusal:
            over = 1.0 if fit.lacks_memory else _worst_excess(fit)
            binding = Binding.MEMORY if fit.lacks_memory else Binding.LATENCY
            return Screened(group, fit, math.inf, 0, fit.refusal, binding, over)
        loads = self.hourly.load(fit).load
        parts, why = self.endpoints(fit)
        counts = [parts * replicas_for(load / parts, least) for load in loads]
        mean, top = math.fsum(counts) / len(counts), max(counts)
        screened = Screened(group, fit, mean, top, endpoints=parts)
        most = self.business.scaling.max_replicas
        if most is not None and top > most:
            spread = f" in {parts} endpoints ({why})" if parts > 1 else ""
            what = f"{top} replicas are needed{spread}, {most} are allowed"
            return replace(
                screened, refusal=what, binding=Binding.PLATFORM, excess=top / most - 1.0
            )
        if parts > AZUREML_ENDPOINTS:
            what = f"{why}: {parts} endpoints are needed, a region has {AZUREML_ENDPOINTS}"
            over = parts / AZUREML_ENDPOINTS - 1.0
            return replace(screened, refusal=what, binding=Binding.PLATFORM, excess=over)
        return screened

    def endpoints(self, fit: Fit) -> tuple[int, str]:
        """Endpoints among which the platform's limits divide a service; see `needed_endpoints`."""
        if self.business.cloud.platform is not Platform.AZUREML:
            return 1, ""
        profiles = [model.profile for model in fit.models]
        return needed_endpoints(self.demand, profiles, math.ceil(self.demand.load(fit).peak))

    def _replicas(
        self, trace: LoadTrace, reference: ModelFit, parts: int
    ) -> tuple[ReplicaCounts, ReplicaCounts, int]:
        """The cheapest replicas, and a fixed number's: of so many endpoints, or of more.

        An autoscaler may ask for more instances than an endpoint has.
        """
        business = self.business
        part = replace(trace, load=tuple(one / parts for one in trace.load))
        best, fixed = plan_replicas(part, reference, business.scaling, business.min_replicas)
        azure = business.cloud.platform is Platform.AZUREML
        if azure and best.most > AZUREML_INSTANCES and parts < AZUREML_ENDPOINTS:
            return self._replicas(trace, reference, parts + 1)
        return best.times(parts), fixed.times(parts), parts

    def plan(self, group: Group, machine: Machine) -> tuple[ServicePlan, float]:
        """The whole plan of a service that the screening admits, and a fixed number's replicas."""
        checked = self._checked(self.fitter.fit(group.models, machine))
        fit = checked.fit
        load = self.demand.load(fit)
        reference, trace = self._reference(fit), self.fine.load(fit)
        business = self.business
        best, fixed, parts = self._replicas(trace, reference, self.endpoints(fit)[0])
        mix = self.demand.busiest(fit)
        serving = _coarse(best, self.demand.steps)
        utilization = fit.utilization(self.demand.rates_of(fit.names), serving)
        plan = ServicePlan(
            name=group.name,
            placement=fit.placement,
            memory_bytes=fit.memory_bytes,
            policy=best.policy,
            least=min(best.serving) if best.policy is Policy.SCHEDULE else best.least,
            most=best.most,
            mean_paid=best.mean_paid,
            hourly=_by_hour(trace, best),
            rate_per_s=fit.rate_in(mix),
            concurrency=checked.concurrency,
            queue_s=checked.queue_s,
            target=best.target,
            start_up_s=business.scaling.start_up_s,
            forecasts=self._forecasts(group, fit, best),
            mean_utilization=utilization[0],
            peak_utilization=utilization[1],
            binding=self._binding(fit, reference, load.peak / parts, mix),
            endpoints=parts,
        )
        return plan, fixed.mean_paid

    def _checked(self, fit: Fit) -> Checked:
        """The fit held against the full simulation, where the number of replicas hangs on it."""
        busiest = self.demand.busiest(fit)
        small = self.demand.load(fit).peak <= _SMALL * self.business.min_replicas
        alone = len(fit.models) == 1 and self.business.burstiness <= _SMOOTH
        if small or alone:
            return unchecked(fit, busiest)
        key = (fit.placement, tuple(sorted((n, s.factor) for n, s in fit.speeds.items())))
        found = self._checks.get(key)
        if found is None:
            found = check(fit, busiest, self.business.burstiness)
            self._checks[key] = found
        return replace(found, fit=replace(found.fit, machine=fit.machine))

    def _reference(self, fit: Fit) -> ModelFit:
        """The model that asks for most replicas over the whole traffic."""
        means = [self.demand.peak(model.profile.name) / model.rate_per_s for model in fit.models]
        return fit.models[means.index(max(means))]

    def _binding(self, fit: Fit, reference: ModelFit, peak: float, mix: Sequence[float]) -> Binding:
        if peak <= self.business.min_replicas:
            return Binding.AVAILABILITY
        if fit.network_load(mix) >= fit.load(mix) * (1.0 - 1e-9):
            return Binding.NETWORK
        return Binding.CPU if reference.saturation >= _SATURATED else Binding.LATENCY

    def _forecasts(self, group: Group, fit: Fit, best: ReplicaCounts) -> tuple[ModelForecast, ...]:
        # The clock changes replicas between steps; an autoscaler within them.
        follows = best.policy in {Policy.LOAD, Policy.BOTH}
        demand = self.fine if follows else self.demand
        serving = _coarse(best, demand.steps)
        models = {model.profile.name: model for model in fit.models}
        result = []
        for name in group.models:
            model = models[name]
            late = 0.0
            if self.demand.peak(name) > 0.0:
                percentile = model.profile.goal.percentile
                late = _forecast_of(model, demand, serving, percentile).late_share
            at = partial(self._range, fit.machine, model, demand, serving, follows)
            result.append(model_forecast(model.profile, at, late))
        return tuple(result)

    def _range(
        self,
        machine: Machine,
        model: ModelFit,
        demand: TrafficDemand,
        serving: Sequence[int],
        follows: bool,
        percentile: float,
    ) -> Range:
        """A percentile, and what it is if executions are faster or slower than estimated.

        An autoscaler that looks at the load answers slower executions with more replicas.
        """
        name = model.profile.name
        if self.demand.peak(name) <= 0.0:
            return Range(model.alone_s, model.alone_s, model.alone_s)
        value = _forecast_of(model, demand, serving, percentile).latency_s
        speed, unknown = self.fitter.speed(name, machine), model.profile.uncertainty
        faster = speed.low / speed.factor / (1.0 + unknown)
        slower = speed.high / speed.factor * (1.0 + unknown)
        ends = []
        for factor in (faster, slower):
            other = replace(model, curve=stretched(model, factor))
            count = [max(n, math.ceil(n * factor)) for n in serving] if follows else serving
            ends.append(_forecast_of(other, demand, count, percentile).latency_s)
        return Range.bounded(value, *ends)


def needed_endpoints(
    demand: TrafficDemand, profiles: Sequence[ModelProfile], replicas: int
) -> tuple[int, str]:
    """Azure ML's endpoints that models need, and the limit that asks for most of them.

    Args:
        demand: of the models.
        profiles: theirs.
        replicas: that they need together.

    Returns:
        The number, and the limit with both numbers; that is empty where one endpoint is enough.
    """
    rates = list(zip(*demand.rates_of([one.name for one in profiles]), strict=True))
    sizes = [one.request_bytes + one.response_bytes for one in profiles]
    peak = max(map(sum, rates))
    sent = max(sum(map(operator.mul, values, sizes)) for values in rates)
    limits = {
        f"{peak:,.0f}/s at peak exceed the {AZUREML_REQUESTS_PER_S:.0f}/s": (
            peak / AZUREML_REQUESTS_PER_S
        ),
        f"{sent / 1e6:.3g} MB/s at peak exceed the {AZUREML_BYTES_PER_S / 1e6:.0f} MB/s": (
            sent / AZUREML_BYTES_PER_S
        ),
        f"{replicas} replicas exceed the {AZUREML_INSTANCES} instances": (
            replicas / AZUREML_INSTANCES
        ),
    }
    why = max(limits, key=limits.__getitem__)
    if limits[why] <= 1.0:
        return 1, ""
    return math.ceil(limits[why]), f"{why} of one endpoint"


def model_forecast(
    profile: ModelProfile, latency_at: Callable[[float], Range], late_share: float | None = None
) -> ModelForecast:
    """What clients of a model will see.

    Args:
        profile: of the model.
        latency_at: the latency at a percentile.
        late_share: of requests; by the goal's percentile alone when None.
    """
    goal = profile.goal
    latency = latency_at(goal.percentile)
    if late_share is None:
        late_share = goal.late_share if latency.value > goal.limit_s else 0.0
    p99 = latency if goal.percentile == _P99 else latency_at(_P99)
    return ModelForecast(
        profile.name, goal.percentile, latency, p99, goal.limit_s, goal.stated, late_share
    )


def _forecast_of(
    model: ModelFit, demand: TrafficDemand, serving: Sequence[int], percentile: float
) -> LatencyForecast:
    rates = demand.rates_of((model.profile.name,))[0]
    step, limit = demand.step_s, model.profile.goal.limit_s
    return forecast_latency(model.curve, rates, serving, step, percentile, limit)


def stretched(model: ModelFit, factor: float) -> OperatingCurve:
    """The model's curve when executions take `factor` times as long; the way there does not."""
    transport = model.profile.transport_s
    inside = with_latencies(model.curve, lambda cell: cell - transport)
    return in_seconds(inside, factor, transport)


def _coarse(counts: ReplicaCounts, steps: int) -> list[int]:
    """Replicas in the traffic's own steps, the least of each."""
    ratio = len(counts.serving) // steps
    if ratio <= 1:
        return list(counts.serving)
    return [
        min(counts.serving[begin : begin + ratio]) for begin in range(0, len(counts.serving), ratio)
    ]


def _by_hour(trace: LoadTrace, best: ReplicaCounts) -> tuple[int, ...]:
    """The most replicas that serve in each hour of the week."""
    hours: dict[int, int] = {}
    for index, count in enumerate(best.serving):
        hour = hour_of(trace, index)
        hours[hour] = max(hours.get(hour, 0), count)
    usual = max(hours.values())
    return tuple(hours.get(hour, usual) for hour in range(HOURS_A_WEEK))


def _worst_excess(fit: Fit) -> float:
    return max(
        (model.alone_s / model.profile.goal.limit_s - 1.0 for model in fit.models), default=1.0
    )
