"""The cheapest replicas of one service over its traffic that hold the goal."""

import math
from dataclasses import dataclass

from tritongen.fleet.capacity.container_capacity import ModelFit
from tritongen.fleet.capacity.latency_forecast import forecast_latency
from tritongen.fleet.capacity.scaling import (
    TARGETS,
    LoadTrace,
    ReplicaCounts,
    by_load,
    replicas_for,
    scheduled,
    static,
)
from tritongen.fleet.traffic.rate_profile import WEEK_S
from tritongen.model.business import Scaling, ScalingMode

# The coarsest steps in which an autoscaler is simulated.
CONTROL_STEP_S = 60.0
# Below this gain a fixed number of replicas is the simpler choice.
WORTHWHILE = 0.02
# A fixed number for a recording is found to this share of itself.
_STATIC_ERROR = 0.02


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """Replicas of a service over its traffic.

    Attributes:
        best: the cheapest that holds the goal.
        static: with a fixed number of replicas.
        trace: the load in the steps of both.
        late_share: of requests under `best`, by the model that decides the load.
    """

    best: ReplicaCounts
    static: ReplicaCounts
    trace: LoadTrace
    late_share: float


def control_step(scaling: Scaling) -> float:
    """Steps in which an autoscaler is simulated: about as fine as it looks."""
    return min(CONTROL_STEP_S, max(scaling.interval_s, 1.0) * 2.0)


def plan_replicas(
    trace: LoadTrace, reference: ModelFit, scaling: Scaling, least: int
) -> ReplicaPlan:
    """Chooses between a fixed number, the clock, and an autoscaler.

    Args:
        trace: the load in replicas at the goals, in steps of `control_step` or finer.
        reference: the model that decides the load.
        scaling: what is possible.
        least: replicas for availability.
    """
    fixed = _static(trace, reference, least)
    if scaling.mode is ScalingMode.STATIC or fixed.most <= least:
        return ReplicaPlan(fixed, fixed, trace, late_share(trace, reference, fixed))
    moving = _moving(trace, reference, scaling, least)
    best = min(moving, key=lambda one: one.mean_paid, default=None)
    worth = fixed.mean_paid * (1.0 - WORTHWHILE)
    if best is None or (scaling.mode is ScalingMode.AUTO and best.mean_paid > worth):
        best = fixed
    return ReplicaPlan(best, fixed, trace, late_share(trace, reference, best))


def late_share(trace: LoadTrace, reference: ModelFit, counts: ReplicaCounts) -> float:
    """Share of the requests later than the goal, the load being the reference's own."""
    goal, rate = reference.profile.goal, reference.rate_per_s
    rates = [load * rate for load in trace.load]
    figures = forecast_latency(
        reference.curve, rates, counts.serving, trace.step_s, goal.percentile, goal.limit_s
    )
    return figures.late_share


def _static(trace: LoadTrace, reference: ModelFit, least: int) -> ReplicaCounts:
    """The fewest replicas: at every time of a known pattern, over the whole of a recording."""
    top = static(trace, least)
    if trace.known or top.most <= least:
        return top
    allowed = reference.profile.goal.late_share
    mean = math.fsum(trace.load) / len(trace.load)
    low, high = replicas_for(mean, least), top.most
    while high - low > _STATIC_ERROR * high:
        middle = (low + high) // 2
        if late_share(trace, reference, static(trace, least, float(middle))) <= allowed:
            high = middle
        else:
            low = middle + 1
    return static(trace, least, float(high))


def _moving(
    trace: LoadTrace, reference: ModelFit, scaling: Scaling, least: int
) -> list[ReplicaCounts]:
    """Every policy that holds the goal, each at the highest target with which it does."""
    allowed = reference.profile.goal.late_share
    found = []
    clock = scheduled(trace, least, scaling)
    weeks = trace.step_s * len(trace.load) / WEEK_S
    announces = trace.known or weeks >= 2.0 - 1e-9
    if trace.known or (announces and late_share(trace, reference, clock) <= allowed):
        found.append(clock)
    floors: list[tuple[int, ...]] = [()]
    if announces and not trace.known:
        floors.append(clock.hourly)
    for floor in floors:
        best = _highest(trace, reference, scaling, least, floor)
        if best is not None:
            found.append(best)
    return found


def _highest(
    trace: LoadTrace, reference: ModelFit, scaling: Scaling, least: int, floor: tuple[int, ...]
) -> ReplicaCounts | None:
    """The autoscaler with the highest target that holds the goal.

    The first targets usually do: the search doubles its steps, then halves them.
    """
    allowed = reference.profile.goal.late_share
    best: ReplicaCounts | None = None

    def holds(index: int) -> bool:
        nonlocal best
        one = by_load(trace, least, scaling, TARGETS[index], floor=floor)
        fine = late_share(trace, reference, one) <= allowed
        if fine:
            best = one
        return fine

    high, low = 0, 0
    while not holds(high):
        if high == len(TARGETS) - 1:
            return None
        low, high = high + 1, min(2 * high + 1, len(TARGETS) - 1)
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return best
