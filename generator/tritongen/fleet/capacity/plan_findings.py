"""What must be said beside a plan: assumptions, weak evidence, what stands in the way."""

from collections.abc import Iterator, Mapping, Sequence

from tritongen.fleet.capacity.capacity_plan import Binding, Nearest, Option
from tritongen.fleet.capacity.demand import TrafficDemand
from tritongen.fleet.capacity.model_profile import ModelProfile
from tritongen.model.business import Business, Compression
from tritongen.model.findings import Finding, Severity, finding


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
    elif "arm" in options[0].machine.isa.lower():
        what = f"{options[0].machine.name} has Arm processors: everything must be there for arm64"
        yield finding("TG335", Severity.WARNING, what)


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
