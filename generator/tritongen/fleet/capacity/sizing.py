"""The entry: models, traffic, requirements and machines in; ranked options out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.capacity_plan import CapacityPlan, Nearest, Option, TrafficSummary
from tritongen.fleet.capacity.container_capacity import Fitter
from tritongen.fleet.capacity.demand import TrafficDemand
from tritongen.fleet.capacity.model_profile import ModelProfile
from tritongen.fleet.capacity.nearest_feasible import Cheapest, nearest, relaxed
from tritongen.fleet.capacity.option_ranking import REFINED, OptionRanking
from tritongen.fleet.capacity.placement import Placer
from tritongen.fleet.capacity.plan_findings import assumptions, remarks
from tritongen.fleet.capacity.requirements import co_located
from tritongen.fleet.capacity.service_plan import ServicePlanner
from tritongen.fleet.catalogue.machine_type import Machine
from tritongen.fleet.cost import HOURS_A_MONTH, lower_bound_usd_per_hour
from tritongen.fleet.traffic.rate_profile import Aligned
from tritongen.model.business import Business
from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import Intent

# Machine types that are tried when something must give way.
_NEAREST_TYPES = 4


@dataclass(frozen=True, slots=True)
class CapacityInput:
    """What a plan of machines rests on.

    Attributes:
        models: facts of the models to serve.
        intent: what the user wants.
        evidence: what was observed.
        profiles: what each model asks of a machine.
        demand: rates over time of every model in `profiles`.
        patterns: how each model's traffic is known, for people.
        machines: types to choose from.
    """

    models: tuple[ModelFacts, ...]
    intent: Intent
    evidence: Evidence
    profiles: Mapping[str, ModelProfile]
    demand: TrafficDemand
    patterns: Mapping[str, str]
    machines: tuple[Machine, ...]


def plan_capacity(inputs: CapacityInput, refined: int = REFINED) -> CapacityPlan:
    """Ranked options for serving everything.

    Args:
        inputs: models, traffic, requirements and machines.
        refined: options that are planned in full.

    Raises:
        InvalidInputError: TG320 without any rate, TG353 services that cannot be formed.
    """
    names = tuple(inputs.profiles)
    if not any(inputs.demand.mean(name) > 0.0 for name in names):
        raise InvalidInputError("TG320", "no model has a rate")
    solver = _Solver(inputs)
    options, bound = solver.options(inputs.demand, inputs.profiles, inputs.intent.business, refined)
    near: tuple[Nearest, ...] = ()
    if not any(option.feasible for option in options):
        near = nearest(options, solver.cheapest_of(options), inputs.intent.business.budget_usd)
    return CapacityPlan(
        options=options,
        traffic=tuple(
            TrafficSummary(
                name, inputs.demand.mean(name), inputs.demand.peak(name), inputs.patterns[name]
            )
            for name in names
        ),
        hourly_rates=inputs.demand.total_by_hour(),
        lower_bound_usd_per_month=bound,
        nearest=near,
        assumptions=assumptions(inputs.profiles, inputs.intent.business),
        findings=tuple(remarks(inputs.profiles, inputs.demand, options, near)),
    )


class _Solver:
    """Solves the same inputs with other rates, goals or budgets."""

    def __init__(self, inputs: CapacityInput) -> None:
        self._inputs = inputs
        self._placer = Placer(inputs.models, inputs.intent, inputs.evidence)

    def options(
        self,
        demand: TrafficDemand,
        profiles: Mapping[str, ModelProfile],
        business: Business,
        refined: int,
        machines: Sequence[Machine] | None = None,
    ) -> tuple[tuple[Option, ...], float]:
        """Ranked options and the lower bound in USD a month."""
        types = self._inputs.machines if machines is None else tuple(machines)
        fitter = Fitter(profiles, self._placer, business.burstiness)
        planner = ServicePlanner(demand, business, fitter)
        names = tuple(profiles)
        best = [_best_rate_per_usd(name, types, fitter) for name in names]
        means = [demand.mean(name) for name in names]
        bound = lower_bound_usd_per_hour(means, best) * HOURS_A_MONTH
        ranking = OptionRanking(planner, business, co_located(self._inputs.intent, names), bound)
        return ranking.options(types, refined), bound

    def cheapest_of(self, options: Sequence[Option]) -> Cheapest:
        """A function of (rate factor, goal factor, budget counts) to the cheapest option."""
        ranked = sorted(
            options, key=lambda o: (not math.isfinite(o.usd_per_month), o.usd_per_month)
        )
        types = tuple(option.machine for option in ranked[:_NEAREST_TYPES])
        inputs = self._inputs

        def cheapest(rates: float, goals: float, budget: bool) -> Option | None:
            business = inputs.intent.business
            if not budget:
                business = replace(business, budget_usd=None)
            found, _ = self.options(
                scaled(inputs.demand, rates), relaxed(inputs.profiles, goals), business, 1, types
            )
            return next((option for option in found if option.feasible), None)

        return cheapest


def scaled(demand: TrafficDemand, factor: float) -> TrafficDemand:
    """The same traffic with every rate multiplied."""
    if factor == 1.0:
        return demand
    aligned = demand.aligned
    rates = tuple(tuple(rate * factor for rate in series) for series in aligned.rates)
    return replace(demand, aligned=Aligned(aligned.step_s, aligned.phase_s, rates))


def _best_rate_per_usd(name: str, machines: Sequence[Machine], fitter: Fitter) -> float:
    """The greatest rate at the goal that one USD an hour buys; most types are ruled out unseen."""
    ceilings = sorted(
        (
            (fitter.ceiling(name, one) / one.usd_per_hour, number)
            for number, one in enumerate(machines)
        ),
        reverse=True,
    )
    best = 0.0
    for ceiling, number in ceilings:
        if ceiling <= best:
            break
        machine = machines[number]
        fit = fitter.fit((name,), machine)
        best = max(best, fit.models[0].rate_per_s / machine.usd_per_hour)
    return best
