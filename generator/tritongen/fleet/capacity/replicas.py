"""Replicas over time: by which policy, how many, and the cheapest that hold the goal.

The number is fixed, follows the clock, or an autoscaler that looks at the load. The load is counted
in replicas that would be as busy as the goals allow; it may be a fraction. Replicas cost from the
moment they are asked for, and serve once they have started.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tritongen.fleet.capacity.container_capacity import ModelFit
from tritongen.fleet.capacity.operating_curves import forecast_latency
from tritongen.fleet.traffic.rate_profile import HOURS_A_WEEK, WEEK_S, hour_of_week
from tritongen.model.business import Scaling, ScalingMode

# Shares of the load at the goal that an autoscaler may aim at, greatest first.
TARGETS: tuple[float, ...] = (
    1.0, 0.98, 0.96, 0.94, 0.92, 0.9, 0.87, 0.84, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3,
)  # fmt: skip
_EPSILON = 1e-9
# The coarsest steps in which an autoscaler is simulated.
CONTROL_STEP_S = 60.0
# Below this gain a fixed number of replicas is the simpler choice.
WORTHWHILE = 0.02
# A fixed number for a recording is found to this share of itself.
_STATIC_ERROR = 0.02


class Policy(StrEnum):
    """What decides the number of replicas."""

    STATIC = "static"
    SCHEDULE = "schedule"
    LOAD = "load"
    BOTH = "schedule and load"


@dataclass(frozen=True, slots=True)
class LoadTrace:
    """The load of one service over time.

    Attributes:
        step_s: length of each step.
        phase_s: seconds from Monday 00:00 to the first step.
        load: replicas kept as busy as the goals allow, step by step.
        known: whether the pattern is known beforehand, so that the clock can announce it.
    """

    step_s: float
    phase_s: float
    load: tuple[float, ...]
    known: bool = True

    @property
    def peak(self) -> float:
        """The greatest load."""
        return max(self.load)


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """Replicas over a trace.

    Attributes:
        policy: what decided them.
        target: share of the load at the goal that the autoscaler aims at; 1 for the clock's.
        serving: replicas that answer, step by step.
        paid: replicas that cost, step by step.
        hourly: replicas by hour of the week that the clock asks for; empty without a schedule.
        least: lower bound of the policy.
        most: upper bound that it needs.
    """

    policy: Policy
    target: float
    serving: tuple[int, ...]
    paid: tuple[int, ...]
    hourly: tuple[int, ...]
    least: int
    most: int

    @property
    def mean_paid(self) -> float:
        """Replicas paid for on average."""
        return math.fsum(self.paid) / len(self.paid)

    def times(self, parts: int) -> "ReplicaCounts":
        """Those of so many equal services together."""
        if parts == 1:
            return self
        return replace(
            self,
            serving=tuple(parts * count for count in self.serving),
            paid=tuple(parts * count for count in self.paid),
            hourly=tuple(parts * count for count in self.hourly),
            least=parts * self.least,
            most=parts * self.most,
        )


def replicas_for(load: float, least: int) -> int:
    """Whole replicas for a load."""
    return max(least, math.ceil(load - _EPSILON))


def static(trace: LoadTrace, least: int, load: float | None = None) -> ReplicaCounts:
    """The same number always.

    Args:
        trace: for its length.
        least: replicas for availability.
        load: to hold; the trace's peak when None.
    """
    count = replicas_for(trace.peak if load is None else load, least)
    steady = (count,) * len(trace.load)
    return ReplicaCounts(Policy.STATIC, 1.0, steady, steady, (), count, count)


def by_hour(trace: LoadTrace) -> tuple[float, ...]:
    """The greatest load of each hour of the week, the neighbours where an hour has no step.

    Of several weeks the mean of their greatest loads: a schedule announces what is usual.
    """
    tops: dict[int, dict[int, float]] = {}
    for index, load in enumerate(trace.load):
        at = trace.phase_s + (index + 0.5) * trace.step_s
        hour, week = hour_of_week(at), int(at // WEEK_S)
        weeks = tops.setdefault(hour, {})
        weeks[week] = max(weeks.get(week, 0.0), load)
    usual = {hour: math.fsum(weeks.values()) / len(weeks) for hour, weeks in tops.items()}
    found = sorted(usual)
    return tuple(
        usual[hour] if hour in usual else usual[min(found, key=lambda h: abs(h - hour))]
        for hour in range(HOURS_A_WEEK)
    )


def scheduled(trace: LoadTrace, least: int, scaling: Scaling) -> ReplicaCounts:
    """By the clock alone: each hour what its greatest load needs, started early enough."""
    hourly = tuple(replicas_for(load, least) for load in by_hour(trace))
    serving = tuple(hourly[hour_of(trace, index)] for index in range(len(trace.load)))
    paid = _with_start_up(serving, trace.step_s, scaling.start_up_s)
    return ReplicaCounts(Policy.SCHEDULE, 1.0, serving, paid, hourly, min(hourly), max(hourly))


def by_load(
    trace: LoadTrace, least: int, scaling: Scaling, target: float, *, floor: Sequence[int] = ()
) -> ReplicaCounts:
    """An autoscaler that sees the mean load of its last interval.

    Args:
        trace: the load.
        least: replicas for availability.
        scaling: interval, start-up and cool-down.
        target: share of the load at the goal that it aims at.
        floor: replicas by hour of the week that the clock asks for; empty for none.
    """
    step = trace.step_s
    looks = max(1, round(scaling.interval_s / step))
    starting = max(1, math.ceil(scaling.start_up_s / step))
    cooling = max(1, math.ceil(scaling.cool_down_s / (looks * step)))
    floors = [floor[hour_of(trace, index, scaling.start_up_s)] if floor else least
              for index in range(len(trace.load))]  # fmt: skip
    asked = max(replicas_for(trace.load[0] / target, least), floors[0])
    pending: deque[tuple[int, int]] = deque()
    wanted: deque[int] = deque([asked], maxlen=cooling)
    serving_now = asked
    serving, paid = [], []
    recent: deque[float] = deque([trace.load[0]], maxlen=looks)
    for index, load in enumerate(trace.load):
        while pending and pending[0][0] <= index:
            serving_now = min(asked, serving_now + pending.popleft()[1])
        if index % looks == 0:
            mean = math.fsum(recent) / len(recent)
            wanted.append(max(replicas_for(mean / target, least), floors[index]))
            following = max(wanted)
            if following > asked:
                pending.append((index + starting, following - asked))
            elif following < asked:
                serving_now = min(serving_now, following)
                pending.clear()
                if serving_now < following:
                    pending.append((index + starting, following - serving_now))
            asked = following
        recent.append(load)
        serving.append(serving_now)
        paid.append(asked)
    policy = Policy.BOTH if floor else Policy.LOAD
    return ReplicaCounts(
        policy, target, tuple(serving), tuple(paid), tuple(floor), least, max(paid)
    )


def hour_of(trace: LoadTrace, index: int, ahead_s: float = 0.0) -> int:
    """The hour of the week in which a step lies, or what comes so many seconds after it."""
    return hour_of_week(trace.phase_s + (index + 0.5) * trace.step_s + ahead_s)


def _with_start_up(serving: Sequence[int], step: float, start_up_s: float) -> tuple[int, ...]:
    """What is paid when every replica is asked for so long before it must serve."""
    ahead = math.ceil(start_up_s / step - _EPSILON)
    if ahead <= 0:
        return tuple(serving)
    count = len(serving)
    # A sliding maximum over the steps ahead; the trace repeats.
    queue: deque[int] = deque()
    paid = []
    for index in range(count + ahead):
        value = serving[index % count]
        while queue and serving[queue[-1] % count] <= value:
            queue.pop()
        queue.append(index)
        while queue[0] < index - ahead:
            queue.popleft()
        if index >= ahead:
            paid.append(serving[queue[0] % count])
    return tuple(paid)


def control_step(scaling: Scaling) -> float:
    """Steps in which an autoscaler is simulated: about as fine as it looks."""
    return min(CONTROL_STEP_S, max(scaling.interval_s, 1.0) * 2.0)


def plan_replicas(
    trace: LoadTrace, reference: ModelFit, scaling: Scaling, least: int
) -> tuple[ReplicaCounts, ReplicaCounts]:
    """The cheapest replicas that hold the goal, and those of a fixed number.

    Args:
        trace: the load in replicas at the goals, in steps of `control_step` or finer.
        reference: the model that decides the load.
        scaling: what is possible.
        least: replicas for availability.
    """
    fixed = _static(trace, reference, least)
    if scaling.mode is ScalingMode.STATIC or fixed.most <= least:
        return fixed, fixed
    moving = _moving(trace, reference, scaling, least)
    best = min(moving, key=lambda one: one.mean_paid, default=None)
    worth = fixed.mean_paid * (1.0 - WORTHWHILE)
    if best is None or (scaling.mode is ScalingMode.AUTO and best.mean_paid > worth):
        best = fixed
    return best, fixed


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

    def holding(index: int) -> ReplicaCounts | None:
        one = by_load(trace, least, scaling, TARGETS[index], floor=floor)
        return one if late_share(trace, reference, one) <= allowed else None

    high, low = 0, 0
    while (best := holding(high)) is None:
        if high == len(TARGETS) - 1:
            return None
        low, high = high + 1, min(2 * high + 1, len(TARGETS) - 1)
    while low < high:
        middle = (low + high) // 2
        found = holding(middle)
        if found is None:
            low = middle + 1
        else:
            best, high = found, middle
    return best
