"""One option for each machine type: screened for all, planned in full for the cheapest."""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from tritongen.fleet.capacity.capacity_plan import (
    Binding,
    Estimate,
    Option,
    Range,
    ServicePlan,
)
from tritongen.fleet.capacity.container_capacity import Fit, ModelFit
from tritongen.fleet.capacity.demand import TrafficDemand
from tritongen.fleet.capacity.partition import Units, partitions
from tritongen.fleet.capacity.replicas import Policy, by_hour, replicas_for
from tritongen.fleet.capacity.service_plan import Screened, ServicePlanner, model_forecast
from tritongen.fleet.catalogue import (
    Machine,
    platform_refusal,
    usd_per_million,
    usd_per_month,
)

# Options that are planned in full, beginning with the cheapest.
REFINED = 6
# Options that are planned in full because the others turned out dearer.
_LAST_LOOKS = 4
# Of a recording by the second fewer are: each takes a simulation of every second.
_LONG_STEPS, _LONG_REFINED = 40_000, 3
# Percentiles are read from a simulation: so much above the stated share is its noise.
_TOLERANCE = 1.02
_BINDS = {
    Binding.CPU: "the cores bind: they could serve hardly more without the goal",
    Binding.LATENCY: "the latency goal binds: the cores have room",
    Binding.NETWORK: "the network binds",
    Binding.AVAILABILITY: "availability binds: fewer replicas could serve it",
}
_POLICIES = {
    Policy.STATIC: "a fixed number of replicas",
    Policy.SCHEDULE: "replicas by the clock",
    Policy.LOAD: "replicas by the load",
    Policy.BOTH: "replicas by clock and load",
}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A machine type with a division into services, as screened."""

    machine: Machine
    services: tuple[Screened, ...]

    @property
    def refusal(self) -> Screened | None:
        """The service that stands farthest from feasible, None when all are feasible."""
        refused = [one for one in self.services if one.refusal]
        return max(refused, key=lambda one: one.excess, default=None)

    @property
    def usd_per_month(self) -> float:
        """A bound of the cost."""
        return usd_per_month(
            self.machine.usd_per_hour, math.fsum(one.mean_replicas for one in self.services)
        )


class OptionRanking:
    """Makes options from machines."""

    def __init__(self, planner: ServicePlanner, units: Units, bound: float) -> None:
        """Remember what is planned.

        Args:
            planner: of services.
            units: models that one container must hold, by a name.
            bound: the work-conserving lower bound, USD a month.
        """
        self._planner = planner
        self._business = planner.business
        self._units = units
        self._bound = bound
        self._rate = math.fsum(
            planner.demand.mean(name) for models in units.values() for name in models
        )

    def options(self, machines: Sequence[Machine], refined: int = REFINED) -> tuple[Option, ...]:
        """Ranked options, best first.

        The hourly screening gives a bound of every machine's cost. Machines are planned in full
        in the order of their bounds until so many stand before all that are left.
        """
        if self._planner.fine.steps > _LONG_STEPS:
            refined = min(refined, _LONG_REFINED)
        heap: list[tuple[float, int, _Candidate | Option]] = []
        infeasible: list[Option] = []
        for number, machine in enumerate(machines):
            candidate = self._candidate(machine)
            if isinstance(candidate, Option):
                infeasible.append(candidate)
            else:
                heapq.heappush(heap, (candidate.usd_per_month, number, candidate))
        found = self._cheapest_planned(list(self._popped(heap, refined)))
        infeasible += [option for option in found if not option.feasible]
        infeasible.sort(key=lambda option: (option.excess, option.usd_per_month))
        return (*(option for option in found if option.feasible), *infeasible)

    def _cheapest_planned(self, found: list[Option]) -> list[Option]:
        """By cost, the first one planned in full: the screening is no strict bound."""
        for _ in range(_LAST_LOOKS):
            found.sort(key=lambda option: (not option.feasible, option.usd_per_month))
            if not found or found[0].estimate is Estimate.SIMULATED:
                return found
            candidate = self._candidate(found[0].machine)
            if isinstance(candidate, Option):
                return found
            found[0] = self._planned(candidate)
        # So many turned out dearer than they seemed: those that were simulated come first.
        found.sort(key=lambda o: (not o.feasible, o.estimate is Estimate.BOUND, o.usd_per_month))
        return found

    def _popped(
        self, heap: list[tuple[float, int, _Candidate | Option]], refined: int
    ) -> Iterator[Option]:
        while heap:
            _, number, item = heapq.heappop(heap)
            if isinstance(item, Option):
                yield item
                continue
            if refined > 0:
                refined -= 1
                option = self._planned(item)
            else:
                option = self._bounded(item)
            heapq.heappush(heap, (option.usd_per_month, number, option))

    def _candidate(self, machine: Machine) -> "_Candidate | Option":
        """The cheapest feasible division on a machine, or an option that says why there is none."""
        cloud = self._business.cloud
        refusal = platform_refusal(machine, cloud.platform)
        if not refusal and machine.gpus and machine.name not in cloud.machines:
            refusal = (
                f"its {machine.gpu or 'accelerator'} would stand idle: nothing was measured on one"
            )
        if refusal:
            return self._refused(machine, refusal, Binding.PLATFORM, math.inf)
        candidates = [
            _Candidate(machine, tuple(self._planner.screen(group, machine) for group in groups))
            for groups in partitions(self._units, self._business, self._planner, machine)
        ]
        fine = [one for one in candidates if one.refusal is None]
        if fine:
            return min(fine, key=lambda one: (one.usd_per_month, len(one.services)))
        nearest = min(candidates, key=lambda one: one.refusal.excess if one.refusal else 0.0)
        worst = nearest.refusal
        assert worst is not None  # noqa: S101  (a candidate without a refusal is feasible)
        return self._refused(machine, worst.refusal, worst.binding, worst.excess)

    def _planned(self, candidate: _Candidate) -> Option:
        plans: list[ServicePlan] = []
        paid = static = 0.0
        for screened in candidate.services:
            plan, fixed = self._planner.plan(screened.group, candidate.machine)
            plans.append(plan)
            paid += plan.mean_paid
            static += fixed
        price = candidate.machine.usd_per_hour
        cost = usd_per_month(price, paid)
        refusal, binding, excess = self._limits(plans, cost)
        largest = max(plans, key=lambda plan: plan.mean_paid)
        return Option(
            machine=candidate.machine,
            services=tuple(plans),
            usd_per_month=cost,
            static_usd_per_month=usd_per_month(price, static),
            usd_per_million=usd_per_million(cost, self._rate),
            lower_bound_ratio=cost / self._bound,
            feasible=not refusal,
            binding=binding if refusal else largest.binding,
            reason=refusal or served_reason(candidate.machine, plans, self._planner.demand),
            excess=excess,
        )

    def _limits(self, plans: Sequence[ServicePlan], cost: float) -> tuple[str, Binding, float]:
        """What the full plan breaks: the platform's replicas, the goals, the budget."""
        most = self._business.scaling.max_replicas
        for plan in plans:
            if most is not None and plan.most > most:
                what = f"{plan.name} needs {plan.most} replicas, {most} are allowed"
                return what, Binding.PLATFORM, plan.most / most - 1.0
            for one in plan.forecasts:
                allowed = 1.0 - one.percentile / 100.0
                if one.late_share > allowed * _TOLERANCE:
                    what = f"{one.late_share:.2%} of the requests to {one.model} would be late"
                    return what, Binding.LATENCY, one.late_share / allowed - 1.0
        return self._budget(cost)

    def _budget(self, cost: float) -> tuple[str, Binding, float]:
        budget = self._business.budget_usd
        if budget is not None and cost > budget:
            what = f"{cost:,.0f} USD a month are {cost / budget:.2f} × the budget of {budget:,.0f}"
            return what, Binding.BUDGET, cost / budget - 1.0
        return "", Binding.CPU, 0.0

    def _bounded(self, candidate: _Candidate) -> Option:
        cost = candidate.usd_per_month
        refusal, binding, excess = self._budget(cost)
        return Option(
            machine=candidate.machine,
            services=tuple(service_by_hour(one, self._planner) for one in candidate.services),
            usd_per_month=cost,
            static_usd_per_month=usd_per_month(
                candidate.machine.usd_per_hour, sum(one.top for one in candidate.services)
            ),
            usd_per_million=usd_per_million(cost, self._rate),
            lower_bound_ratio=cost / self._bound,
            feasible=not refusal,
            binding=binding if refusal else _binding(candidate, self._business.min_replicas),
            reason=refusal or bound_reason(candidate.machine, candidate.services),
            estimate=Estimate.BOUND,
            excess=excess,
        )

    def _refused(self, machine: Machine, refusal: str, binding: Binding, excess: float) -> Option:
        return Option(
            machine=machine,
            services=(),
            usd_per_month=math.inf,
            static_usd_per_month=None,
            usd_per_million=math.inf,
            lower_bound_ratio=math.inf,
            feasible=False,
            binding=binding,
            reason=refusal,
            estimate=Estimate.BOUND,
            excess=excess,
        )


def _binding(candidate: _Candidate, least: int) -> Binding:
    if all(one.top <= one.endpoints * least for one in candidate.services):
        return Binding.AVAILABILITY
    return Binding.CPU


def service_by_hour(one: Screened, planner: ServicePlanner) -> ServicePlan:
    """The plan of a screened service: replicas hour by hour, latency in the busiest one."""
    fit, parts = one.fit, one.endpoints
    least, trace = planner.business.min_replicas, planner.hourly.load(fit)
    hourly = tuple(parts * replicas_for(load / parts, least) for load in by_hour(trace))
    counts = [parts * replicas_for(load / parts, least) for load in trace.load]
    mix = planner.hourly.busiest(fit)
    utilization = fit.utilization(planner.hourly.rates_of(fit.names), counts)
    at = max(range(len(counts)), key=trace.load.__getitem__)
    return ServicePlan(
        name=one.group.name,
        placement=fit.placement,
        memory_bytes=fit.memory_bytes,
        policy=Policy.SCHEDULE if max(counts) > min(counts) else Policy.STATIC,
        least=min(counts),
        most=one.top,
        mean_paid=one.mean_replicas,
        hourly=hourly,
        rate_per_s=fit.rate_in(mix),
        concurrency=1,
        queue_s=0.0,
        target=1.0,
        start_up_s=planner.business.scaling.start_up_s,
        forecasts=tuple(
            model_forecast(model.profile, partial(_hourly_range, fit, model, rate / counts[at]))
            for model, rate in zip(fit.models, mix, strict=True)
        ),
        mean_utilization=utilization[0],
        peak_utilization=utilization[1],
        binding=Binding.AVAILABILITY if one.top <= parts * least else Binding.CPU,
        endpoints=parts,
    )


def _hourly_range(fit: Fit, model: ModelFit, rate: float, percentile: float) -> Range:
    """A percentile at a rate, with what unknown speed makes of it; a queue without end is cut."""
    profile = model.profile
    speed = fit.speeds[profile.name]
    inside = model.curve.latency_s(rate, percentile) - profile.transport_s
    low = inside * speed.low / speed.factor / (1.0 + profile.uncertainty)
    high = inside * speed.high / speed.factor * (1.0 + profile.uncertainty)
    return Range.bounded(
        inside + profile.transport_s, low + profile.transport_s, high + profile.transport_s
    )


def figure(value: float) -> str:
    """A number for people: no more digits than count, no exponent."""
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"


def replica_range(least: int, most: int) -> str:
    """Numbers of replicas for people: ``2`` or ``2–6``."""
    return str(most) if least == most else f"{least}–{most}"


def served_reason(machine: Machine, plans: Sequence[ServicePlan], demand: TrafficDemand) -> str:
    """Why a planned option costs what it does."""
    largest = max(plans, key=lambda plan: plan.mean_paid)
    spare = 1.0 - largest.peak_utilization
    services = "" if len(plans) == 1 else f", {len(plans)} services"
    if (endpoints := sum(plan.endpoints for plan in plans)) > len(plans):
        services += f", {endpoints} endpoints"
    mean = sum(demand.mean(name) for name in largest.models)
    return (
        f"one {machine.name} ({machine.cores} {'core' if machine.cores == 1 else 'cores'}) serves "
        f"{figure(largest.rate_per_s)}/s at the goals; {figure(mean)}/s on average take "
        f"{largest.mean_paid:.3g} of them, "
        f"{_POLICIES[largest.policy]}, {spare:.0%} of the cores spare at the peak{services}; "
        f"{_BINDS[largest.binding]}"
    )


def bound_reason(machine: Machine, services: Sequence[Screened]) -> str:
    """Why an option that was only screened costs about so much."""
    mean = sum(one.mean_replicas for one in services)
    return f"about {mean:.3g} × {machine.name} on average, counted hour by hour and not simulated"
