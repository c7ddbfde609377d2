"""The plots of the report: traffic with replicas, costs, latency against cost, tuning."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.fleet.capacity.capacity_plan import GIVEN_UP_S, CapacityPlan, Estimate, Option
from tritongen.fleet.capacity.option_ranking import replica_range
from tritongen.fleet.traffic.rate_profile import HOURS_A_WEEK
from tritongen.model.codec import decode, parse_json
from tritongen.model.evidence import Tuned
from tritongen.pages import (
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Chart,
    Figure,
    linear_axis,
    log_axis,
    plain_number,
)
from tritongen.planner.context import show_rate
from tritongen.system.own_files import check_folder, read_own
from tritongen.tune.search.search_space import Candidate

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEK_WIDTH, _WEEK_HEIGHT = 1180, 400
# More bars than this are no longer told apart; the page's table has all.
_MAX_OPTIONS = 12
_LABEL_LEFT = 178
_BAR, _ROW = 16, 30
_LEGEND = (("best", "best"), ("fine", "holds the goals"), ("poor", "does not"))


@dataclass(frozen=True, slots=True)
class MeasuredConfiguration:
    """One configuration with its best reading.

    Attributes:
        text: its settings, for people.
        throughput: requests per second.
        p99_ms: latency at the highest percentile that was kept, up to the 99th.
        chosen: whether it is the one in the lock.
        baseline: whether it is the auto-completed one.
    """

    text: str
    throughput: float
    p99_ms: float
    chosen: bool = False
    baseline: bool = False


def week(plan: CapacityPlan, option: Option, time_zone: str) -> Chart:
    """Requests per second and replicas by hour of the week, one above the other."""
    title = "Traffic and replicas over the week"
    figure = Figure(title, height=_WEEK_HEIGHT, width=_WEEK_WIDTH)
    x = Axis(0.0, float(HOURS_A_WEEK), LEFT, _WEEK_WIDTH - RIGHT, ())
    split = TOP + 150.0
    rates = plan.hourly_rates
    y = linear_axis(max(rates) * 1.05, split, TOP + 18, wanted=3)
    _grid(figure, x, y)
    _layer(figure, rates, x, y, "area")
    figure.path(_steps(rates, x, y), "line traffic")
    figure.text(LEFT, TOP + 8, "requests per second", style="note")
    # In front of the deepest layer stand the shallower ones: sums up to each service.
    counts = [
        [
            sum(one.hourly[hour] for one in option.services[: number + 1])
            for hour in range(HOURS_A_WEEK)
        ]
        for number in range(len(option.services))
    ]
    top = max(counts[-1])
    z = linear_axis(top + 0.2, figure.bottom, split + 46.0, wanted=min(3, top))
    _grid(figure, x, z)
    for number in reversed(range(len(counts))):
        _layer(figure, counts[number], x, z, f"layer c{number % 8}")
    figure.text(LEFT, split + 36.0, "replicas", style="note")
    for day, name in enumerate(_DAYS):
        figure.text(x.at(24.0 * day + 12.0), figure.bottom + 20, name, anchor="middle")
    return Chart(
        title,
        f"Hours of {time_zone}. Replicas are the most of each hour; an autoscaler may use fewer.",
        figure.svg(),
        tuple(
            (f"c{number % 8}", f"{one.name}: {replica_range(one.least, one.most)} replicas")
            for number, one in enumerate(option.services[:8])
        ),
    )


def costs(plan: CapacityPlan) -> Chart:
    """USD a month of each option, and the bound below all."""
    options = [one for one in plan.options if math.isfinite(one.usd_per_month)][:_MAX_OPTIONS]
    figure = Figure("Cost of the options", height=TOP + _ROW * len(options) + 62, left=_LABEL_LEFT)
    most = max(max(one.usd_per_month, one.static_usd_per_month or 0.0) for one in options)
    x = linear_axis(most, _LABEL_LEFT, WIDTH - RIGHT, wanted=5)
    y = Axis(0.0, 1.0, figure.bottom, TOP, ())
    figure.axes(x, y, "USD a month", "")
    for number, one in enumerate(options):
        top = TOP + 6 + number * _ROW
        style = f"bar {_style(one, plan)}"
        tip = f"{one.machine.name}: {one.usd_per_month:,.2f} USD a month. {one.reason}"
        if one.static_usd_per_month is not None and one.static_usd_per_month > one.usd_per_month:
            fixed = f"{one.static_usd_per_month:,.2f} USD with a fixed number of replicas"
            width = x.at(one.static_usd_per_month) - _LABEL_LEFT
            figure.box(_LABEL_LEFT, top + 4, width, _BAR - 8, "bar fixed", fixed)
        figure.box(_LABEL_LEFT, top, x.at(one.usd_per_month) - _LABEL_LEFT, _BAR, style, tip)
        figure.text(_LABEL_LEFT - 8, top + 13, one.machine.name, anchor="end", style="axis")
    bound = x.at(plan.lower_bound_usd_per_month)
    figure.whisker(bound, TOP, bound, figure.bottom, "bound")
    return Chart(
        "Cost of the options",
        "Dashed: what no deployment that holds the goals can undercut. Thin: with a fixed number "
        "of replicas. Point at a bar for its reason.",
        figure.svg(),
        _LEGEND,
    )


def pareto(plan: CapacityPlan) -> Chart | None:
    """The 99th percentile against the cost; those that nothing beats in both are joined."""
    dots = [
        (one, worst, one.usd_per_month, min(worst.p99_s.value, GIVEN_UP_S) * 1e3)
        for one in plan.options
        if math.isfinite(one.usd_per_month) and (worst := one.worst) is not None
    ]
    if len(dots) < 2:
        return None
    figure = Figure("Latency against cost")
    x = linear_axis(max(d[2] for d in dots) * 1.08, LEFT, WIDTH - RIGHT, wanted=5)
    y = linear_axis(max(d[3] for d in dots) * 1.3, figure.bottom, TOP, wanted=5)
    figure.axes(x, y, "USD a month", "p99, milliseconds")
    front = _front([(cost, late) for _, _, cost, late in dots])
    figure.path([(x.at(a), y.at(b)) for a, b in front], "line thin front")
    for one, worst, cost, late in dots:
        style = f"dot {_style(one, plan)}"
        low, high = worst.p99_s.low * 1e3, min(worst.p99_s.high, GIVEN_UP_S) * 1e3
        if one.estimate is Estimate.SIMULATED:
            figure.whisker(x.at(cost), y.at(low), x.at(cost), y.at(high), "whisker soft")
        tip = f"{one.machine.name}: {cost:,.2f} USD, p99 {late:.3g} ms ({worst.model})"
        figure.dot(x.at(cost), y.at(late), style, tip, 6.0 if one is plan.best else 4.0)
        if one is plan.best:
            figure.text(x.at(cost) - 10, y.at(late) - 10, one.machine.name, anchor="end",
                        style="note")  # fmt: skip
    return Chart(
        "Latency against cost",
        "Of each option the model closest to its goal. The line joins options that none beats in "
        "both; whiskers are what unknown speed makes of the latency.",
        figure.svg(),
        _LEGEND,
    )


def tuning(model: str, measured: Sequence[MeasuredConfiguration]) -> Chart | None:
    """Throughput against latency of every configuration that was measured."""
    if not measured:
        return None
    figure = Figure(f"Configurations of {model} that were measured")
    x = linear_axis(max(c.throughput for c in measured) * 1.05, LEFT, WIDTH - RIGHT, wanted=5)
    y = log_axis(min(c.p99_ms for c in measured) * 0.9, max(c.p99_ms for c in measured) * 1.1,
                 figure.bottom, TOP, plain_number)  # fmt: skip
    figure.axes(x, y, "requests per second", "p99, milliseconds")
    for one in measured:
        style = "dot best" if one.chosen else "dot base" if one.baseline else "dot fine"
        tip = f"{one.text}: {show_rate(one.throughput)}/s, p99 {one.p99_ms:.3g} ms"
        figure.dot(x.at(one.throughput), y.at(one.p99_ms), style, tip, 6.0 if one.chosen else 4.0)
    return Chart(
        f"Configurations of {model} that were measured",
        "Right and low is good. Each point is a real measurement; point at it for its settings.",
        figure.svg(),
        (("best", "chosen"), ("base", "auto-completed"), ("fine", "others")),
    )


def _style(option: Option, plan: CapacityPlan) -> str:
    if option is plan.best:
        return "best"
    return "fine" if option.feasible else "poor"


def _grid(figure: Figure, x: Axis, y: Axis) -> None:
    for day in range(len(_DAYS) + 1):
        figure.whisker(x.at(24.0 * day), y.end, x.at(24.0 * day), y.begin, "grid")
    for value, text in y.ticks:
        figure.whisker(x.begin, y.at(value), x.end, y.at(value), "grid")
        figure.text(x.begin - 8, y.at(value) + 5, text, anchor="end")


def _layer(figure: Figure, values: Sequence[float], x: Axis, y: Axis, style: str) -> None:
    """The area below steps."""
    figure.area([*_steps(values, x, y), (x.end, y.begin), (x.begin, y.begin)], style)


def _steps(values: Sequence[float], x: Axis, y: Axis) -> list[tuple[float, float]]:
    points = []
    for hour, value in enumerate(values):
        points += [(x.at(hour), y.at(value)), (x.at(hour + 1), y.at(value))]
    return points


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that none beats in both, by ascending cost."""
    front: list[tuple[float, float]] = []
    for cost, late in sorted(points):
        if not front or late < front[-1][1]:
            front.append((cost, late))
    return front


def measured_configurations(
    state: Path, model: str, tuned: Tuned | None
) -> tuple[MeasuredConfiguration, ...]:
    """Every configuration of a model that was measured; empty without a readable journal."""
    path = state / "tune" / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', model)}.jsonl"
    try:
        check_folder(state)
        check_folder(path.parent)
        lines = read_own(path).decode("utf-8", "replace").splitlines()
    except (OSError, EnvironmentProblem):
        return ()
    best: dict[str, MeasuredConfiguration] = {}
    for line in lines[1:]:
        found = _measured(line, tuned)
        if found is not None:
            known = best.get(found.text)
            if known is None or found.throughput > known.throughput:
                best[found.text] = found
    return tuple(sorted(best.values(), key=lambda one: -one.throughput))


def _measured(line: str, tuned: Tuned | None) -> MeasuredConfiguration | None:
    """One line of a journal; None for what holds no reading or is cut off."""
    try:
        record = parse_json(line)
        candidate, reading = decode(Candidate, record["candidate"]), record["reading"]
        throughput = float(reading["throughput_per_s"])
        known = (pair for pair in reading["latencies_s"] if pair[0] <= 99.0 and pair[1] is not None)
        p99_ms = float(max(known)[1]) * 1e3
        baseline = record["purpose"] == "baseline"
    except (ValueError, TypeError, KeyError, IndexError, InvalidInputError):
        return None
    if not throughput > 0.0 or not math.isfinite(p99_ms):
        return None
    chosen = tuned is not None and all(
        getattr(candidate, item.name) == getattr(tuned, item.name) for item in fields(candidate)
    )
    return MeasuredConfiguration(candidate.words, throughput, max(p99_ms, 1e-3), chosen, baseline)
