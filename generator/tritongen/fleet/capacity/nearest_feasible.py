"""What must give way when no option is feasible: rate, goal or budget, and by how much."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tritongen.fleet.capacity.capacity_plan import Binding, Nearest, Option
from tritongen.fleet.capacity.model_profile import ModelProfile

# Powers of two between which a factor is sought, and steps of the bisection.
_REACH = 6
_STEPS = 7

# (factor of every rate, factor of every latency goal, budget counts) → the cheapest option.
Cheapest = Callable[[float, float, bool], Option | None]


def nearest(
    options: Sequence[Option], cheapest: Cheapest, budget: float | None
) -> tuple[Nearest, ...]:
    """Feasible plans near what is required: at another budget, another rate, another goal.

    Args:
        options: of which none is feasible.
        cheapest: plans with changed rates, goals or without the budget.
        budget: USD a month, None when not stated.
    """
    found: list[Nearest] = []
    bound_by_budget = budget is not None and any(o.binding is Binding.BUDGET for o in options)
    if bound_by_budget:
        free = cheapest(1.0, 1.0, False)
        if free is not None:
            what = f"a budget of {free.usd_per_month:,.0f} USD a month"
            found.append(Nearest(what, free.usd_per_month, free.machine.name))
    rate = _factor(lambda factor: cheapest(factor, 1.0, True), shrink=True)
    if rate is not None:
        factor, option = rate
        what = f"{factor:.2g} × the rates"
        found.append(Nearest(what, option.usd_per_month, option.machine.name))
    goal = _factor(lambda factor: cheapest(1.0, factor, True), shrink=False)
    if goal is not None:
        factor, option = goal
        what = f"{factor:.3g} × the latency goals"
        found.append(Nearest(what, option.usd_per_month, option.machine.name))
    return tuple(found)


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
    far = None
    for power in range(1, _REACH + 1):
        option = attempt(2.0 ** (sign * power))
        if option is not None:
            far = (float(power), option)
            break
    if far is None:
        return None
    low, (high, best) = far[0] - 1.0, far
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        option = attempt(2.0 ** (sign * middle))
        if option is None:
            low = middle
        else:
            high, best = middle, option
    return math.pow(2.0, sign * high), best
