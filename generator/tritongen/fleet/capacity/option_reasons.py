"""Sentences that say why an option is what it is."""

from collections.abc import Sequence

from tritongen.fleet.capacity.capacity_plan import Binding, ServicePlan
from tritongen.fleet.capacity.demand import TrafficDemand
from tritongen.fleet.capacity.scaling import Policy
from tritongen.fleet.capacity.service_plan import Screened
from tritongen.fleet.catalogue.machine_type import Machine

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
