"""The entry: models, traffic, requirements and machines in; ranked options out.

Beside the options stand what was taken for granted, what evidence is weak, and, where no option is
feasible, what must give way: rate, goal or budget, and by how much.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.capacity_plan import (
    Binding,
    CapacityPlan,
    Nearest,
    Option,
    ServicePlan,
    TrafficSummary,
)
from tritongen.fleet.capacity.container_capacity import Fitter, Placer
from tritongen.fleet.capacity.demand import TrafficDemand
from tritongen.fleet.capacity.model_profile import ModelProfile
from tritongen.fleet.capacity.option_ranking import REFINED, OptionRanking
from tritongen.fleet.capacity.partition import co_located
from tritongen.fleet.capacity.service_plan import ServicePlanner, needed_endpoints
from tritongen.fleet.catalogue import (
    AZUREML_INSTANCES,
    HOURS_A_MONTH,
    Machine,
    lower_bound_usd_per_hour,
)
from tritongen.model.business import Business, Compression
from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import Intent

# Machine types that are tried when something must give way.
_NEAREST_TYPES = 4
# Powers of two between which a factor is sought, and steps of the bisection.
_MAX_POWER = 6
_BISECTIONS = 7
# (factor of every rate, factor of every latency goal, budget counts) → the cheapest option.
Cheapest = Callable[[float, float, bool], Option | None]


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


def plan_capacity(
    inputs: CapacityInput, refined: int = REFINED, *, near: bool = True
) -> CapacityPlan:
    """Ranked options for serving everything.

    Args:
        inputs: models, traffic, requirements and machines.
        refined: options that are planned in full.
        near: where no option is feasible, look for what must give way.

    Raises:
        InvalidInputError: TG320 without any rate, TG353 services that cannot be formed.
    """
    names = tuple(inputs.profiles)
    if not any(inputs.demand.mean(name) > 0.0 for name in names):
        raise InvalidInputError("TG320", "no model has a rate")
    placer = Placer(inputs.models, inputs.intent, inputs.evidence)
    options, bound = _ranked(inputs, placer, refined)
    found: tuple[Nearest, ...] = ()
    if near and not any(option.feasible for option in options):
        cheapest = _cheapest_of(inputs, placer, options)
        found = nearest(options, cheapest, inputs.intent.business.budget_usd)
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
        nearest=found,
        assumptions=assumptions(inputs.profiles, inputs.intent.business),
        findings=tuple(remarks(inputs.profiles, inputs.demand, options, found)),
    )


def _ranked(
    inputs: CapacityInput, placer: Placer, refined: int
) -> tuple[tuple[Option, ...], float]:
    """Ranked options and the lower bound in USD a month."""
    business, names = inputs.intent.business, tuple(inputs.profiles)
    fitter = Fitter(inputs.profiles, placer, business.burstiness)
    planner = ServicePlanner(inputs.demand, business, fitter)
    best = [_best_rate_per_usd(name, inputs.machines, fitter) for name in names]
    means = [inputs.demand.mean(name) for name in names]
    bound = lower_bound_usd_per_hour(means, best) * HOURS_A_MONTH
    ranking = OptionRanking(planner, co_located(inputs.intent, names), bound)
    return ranking.options(inputs.machines, refined), bound


def _cheapest_of(inputs: CapacityInput, placer: Placer, options: Sequence[Option]) -> Cheapest:
    """A function of (rate factor, goal factor, budget counts) to the cheapest option."""
    ranked = sorted(options, key=lambda o: (not math.isfinite(o.usd_per_month), o.usd_per_month))
    types = tuple(option.machine for option in ranked[:_NEAREST_TYPES])
    unlimited = replace(inputs.intent, business=replace(inputs.intent.business, budget_usd=None))

    def cheapest(rates: float, goals: float, budget: bool) -> Option | None:
        changed = replace(
            inputs,
            intent=inputs.intent if budget else unlimited,
            profiles=relaxed(inputs.profiles, goals),
            demand=inputs.demand.scaled(rates),
            machines=types,
        )
        found, _ = _ranked(changed, placer, 1)
        return next((option for option in found if option.feasible), None)

    return cheapest


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


def nearest(
    options: Sequence[Option], cheapest: Cheapest, budget: float | None
) -> tuple[Nearest, ...]:
    """Feasible plans near what is required: at another budget, another rate, another goal.

    Args:
        options: of which none is feasible.
        cheapest: plans with changed rates, goals or without the budget.
        budget: USD a month, None when not stated.
    """
    found: list[tuple[str, Option]] = []
    if budget is not None and any(one.binding is Binding.BUDGET for one in options):
        free = cheapest(1.0, 1.0, False)
        if free is not None:
            found.append((f"a budget of {free.usd_per_month:,.0f} USD a month", free))
    rate = _factor(lambda factor: cheapest(factor, 1.0, True), shrink=True)
    if rate is not None:
        found.append((f"{rate[0]:.2g} × the rates", rate[1]))
    goal = _factor(lambda factor: cheapest(1.0, factor, True), shrink=False)
    if goal is not None:
        found.append((f"{goal[0]:.3g} × the latency goals", goal[1]))
    return tuple(Nearest(what, one.usd_per_month, one.machine.name) for what, one in found)


def relaxed(profiles: Mapping[str, ModelProfile], factor: float) -> dict[str, ModelProfile]:
    """The same models with latency goals that many times as long."""
    return {
        name: replace(profile, goal=replace(profile.goal, limit_s=profile.goal.limit_s * factor))
        for name, profile in profiles.items()
    }


def _factor(
    attempt: Callable[[float], Option | None], *, shrink: bool
) -> tuple[float, Option] | None:
    """The factor nearest to 1 with which an attempt succeeds, by bisection of its logarithm."""
    sign = -1.0 if shrink else 1.0
    for power in range(1, _MAX_POWER + 1):
        best = attempt(2.0 ** (sign * power))
        if best is not None:
            break
    else:
        return None
    low, high = power - 1.0, float(power)
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        option = attempt(2.0 ** (sign * middle))
        if option is None:
            low = middle
        else:
            high, best = middle, option
    return math.pow(2.0, sign * high), best


def assumptions(profiles: Mapping[str, ModelProfile], business: Business) -> Mapping[str, str]:
    """What was taken for granted, by name."""
    scaling, clients = business.scaling, business.clients
    compression = "" if clients.compression is Compression.NONE else ", gzip"
    measured = sorted(
        {profile.measured_on or "an unknown processor" for profile in profiles.values()}
    )
    return {
        "cores": "physical cores; two hardware threads of one core count once",
        "clients": f"{clients.place.value}, {clients.protocol.value}{compression}",
        "arrivals": f"gaps between requests vary by {business.burstiness:g} of their mean",
        "start_up": f"{scaling.start_up_s:g} s until a new replica answers",
        "autoscaler": f"looks every {scaling.interval_s:g} s, takes a replica away after "
        f"{scaling.cool_down_s:g} s of less load",
        "month": "730 hours, billed by the second from the start of a machine",
        "measured_on": ", ".join(measured),
        "gpus": "not counted: nothing was measured on one",
    }


def remarks(
    profiles: Mapping[str, ModelProfile],
    demand: TrafficDemand,
    options: Sequence[Option],
    near: Sequence[Nearest],
) -> Iterator[Finding]:
    """Findings on evidence, requirements and result."""
    for name, profile in profiles.items():
        if not profile.served:
            yield finding(
                "TG340",
                Severity.WARNING,
                f"planned from the trial's times outside a server, ± "
                f"{profile.uncertainty:.0%} before the processors differ",
                model=name,
            )
        if not profile.goal.stated:
            yield finding(
                "TG343",
                Severity.INFO,
                f"no latency goal: p{profile.goal.percentile:g} < "
                f"{profile.goal.limit_s * 1e3:.3g} ms is taken, five executions (5 ms at least) "
                "and the way there",
                model=name,
            )
        if demand.mean(name) <= 0.0:
            yield finding("TG342", Severity.WARNING, "no rate: planned as idle", model=name)
    if not any(option.feasible for option in options):
        yield _infeasible(options, near)
        return
    for service in options[0].services:
        if service.endpoints > 1:
            yield _divided(service, profiles, demand)
    if "arm" in options[0].machine.isa.lower():
        what = f"{options[0].machine.name} has Arm processors: everything must be there for arm64"
        yield finding("TG335", Severity.WARNING, what)


def _divided(
    service: ServicePlan, profiles: Mapping[str, ModelProfile], demand: TrafficDemand
) -> Finding:
    used = [profiles[name] for name in service.models]
    _, why = needed_endpoints(demand, used, service.most)
    # An autoscaler asked for more of one endpoint than it asks for of several together.
    why = why or f"{AZUREML_INSTANCES} instances of one endpoint are too few"
    return finding(
        "TG352",
        Severity.INFO,
        f"{service.name} is divided among {service.endpoints} endpoints: {why}",
        fix="Let clients, or what balances their requests, give each endpoint an equal part.",
    )


def _infeasible(options: Sequence[Option], near: Sequence[Nearest]) -> Finding:
    closest = options[0]
    code = {Binding.BUDGET: "TG351", Binding.PLATFORM: "TG352"}.get(closest.binding, "TG350")
    ways = "; ".join(f"{one.change} ({one.usd_per_month:,.0f} USD, {one.machine})" for one in near)
    return finding(
        code,
        Severity.ERROR,
        f"no option is feasible; the closest is {closest.machine.name}: {closest.reason}",
        fix=f"Feasible with {ways}." if ways else "",
    )
