"""What should change, and why: the observed traffic held against intent, plan and measurements."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritongen.fleet.capacity.capacity_plan import PlanFile, ServicePlan
from tritongen.fleet.observe.model_counters import Observed
from tritongen.model.findings import Finding, Severity, finding

# Fewer requests than this say nothing of a model's batches and times.
ENOUGH = 100
# A peak or mean that differs by no more than this from the intent agrees with it.
_AGREES = 1.15
# That so many times as many were due says something of itself.
_DUE = 3.0
_BELOW = 0.7
# A batch below this holds one request.
_ALONE = 1.1
_FAILING = 1e-3
_IDLE = 0.1
# Waiting takes more than this share of the latency goal.
_WAITING = 0.25
# From this length on, a mean and a peak are what they are.
_LONG_S = 0.95 * 86400.0
_SLOWER = 1.3


@dataclass(frozen=True, slots=True)
class ModelExpectation:
    """What was expected of one model.

    Attributes:
        average: requests per second that tritongen.yaml states, None when it does not.
        peak: requests per second at peak, None when not stated.
        window_rate: mean rate that the pattern gives for the time that was observed, None when
            nothing is stated.
        latency_ms: the goal, None when not stated.
        queue_delay_us: of the configuration, None when requests are not merged.
        instances: of one server, None when not known.
        execution_ms: measured time of one execution at the observed batch, None when unknown.
        request_batch: rows of one request.
        replicas: most replicas of the plan's service, None without a plan.
        replica_rate: requests per second that one replica holds at the goals, None where models
            share it.
        service: of the plan, empty without one.
    """

    average: float | None = None
    peak: float | None = None
    window_rate: float | None = None
    latency_ms: float | None = None
    queue_delay_us: float | None = None
    instances: int | None = None
    execution_ms: float | None = None
    request_batch: int = 1
    replicas: int | None = None
    replica_rate: float | None = None
    service: str = ""


@dataclass(frozen=True, slots=True)
class RateChange:
    """A rate for tritongen.yaml.

    Attributes:
        model: its name.
        average: requests per second.
        peak: requests per second.
    """

    model: str
    average: float
    peak: float


@dataclass(frozen=True, slots=True)
class Advised:
    """What follows for one model.

    Attributes:
        findings: what differs and what to do.
        change: the rate that tritongen.yaml should state, None when its own agrees or too little
            was seen to lower it.
    """

    findings: tuple[Finding, ...]
    change: RateChange | None


def advise(seen: Observed, wanted: ModelExpectation) -> Advised:
    """What should change for one model."""
    count = (seen.total.requests + seen.total.failures) / seen.alike
    due = (wanted.window_rate or 0.0) * seen.seconds / seen.alike
    if len(seen.steps) < 2 or (count < ENOUGH and due < _DUE * ENOUGH):
        what = f"{count:.0f} requests in {seen.seconds:.0f} s are too few to judge by"
        few = finding("TG981", Severity.INFO, what, model=seen.model)
        return Advised((few, *_restarts(seen), *_failures(seen)), None)
    findings = (
        *_restarts(seen),
        *_failures(seen),
        *_traffic(seen, wanted),
        *_batches(seen, wanted),
        *_waiting(seen, wanted),
        *_use(seen, wanted),
        *_speed(seen, wanted),
    )
    return Advised(findings, _change(seen, wanted, {item.code for item in findings}))


def _change(seen: Observed, wanted: ModelExpectation, codes: set[str]) -> RateChange | None:
    """The rate to state: what was seen over a day or more, only raised after less.

    A short time says little of the mean: it is raised as far as the pattern's rate at that time
    was exceeded, and never beyond what was seen.
    """
    if seen.rate <= 0.0 or not (codes & {"TG982", "TG983"} or wanted.average is None):
        return None
    if wanted.average is None or seen.seconds >= _LONG_S:
        return RateChange(seen.model, _three(seen.rate), _three(seen.peak))
    if "TG982" not in codes:
        return None
    ratio = seen.rate / wanted.window_rate if wanted.window_rate else math.inf
    average = max(wanted.average, min(wanted.average * ratio, seen.rate))
    peak = max(wanted.peak or 0.0, seen.peak, average)
    return RateChange(seen.model, _three(average), _three(peak))


def _three(rate: float) -> float:
    """Three digits: a person reads it, and the fourth is chance."""
    return float(f"{rate:.3g}")


def _restarts(seen: Observed) -> Iterator[Finding]:
    if seen.restarts:
        times = "once" if seen.restarts == 1 else f"{seen.restarts} times"
        what = f"its counters were reset {times}; requests after each reset are counted"
        yield finding("TG989", Severity.WARNING, what, model=seen.model)


def _failures(seen: Observed) -> Iterator[Finding]:
    share, count = seen.failure_share, seen.total.failures / seen.alike
    if count and share > _FAILING:
        what = f"{count:.0f} requests failed, {share:.2%} of all"
        yield finding("TG987", Severity.ERROR, what, model=seen.model)


def _traffic(seen: Observed, wanted: ModelExpectation) -> Iterator[Finding]:
    stated = wanted.peak if wanted.peak is not None else wanted.average
    if stated is None:
        what = f"{seen.rate:.3g}/s on average and {seen.peak:.3g}/s at peak; no rate is stated"
        yield finding("TG982", Severity.WARNING, what, model=seen.model)
        return
    ratio = seen.peak / stated if stated else math.inf
    if ratio > _AGREES:
        what = f"peak is {ratio:.2g} × the intent ({seen.peak:.3g}/s, stated {stated:.3g}/s)"
        yield finding("TG982", Severity.WARNING, what + _replicas(seen, wanted), model=seen.model)
        return
    expected = wanted.window_rate
    if expected and seen.rate < _BELOW * expected:
        what = (
            f"{seen.rate:.3g}/s came where the intent expects {expected:.3g}/s at this time"
            f"{_replicas(seen, wanted)}"
        )
        yield finding("TG983", Severity.INFO, what, model=seen.model)


def _replicas(seen: Observed, wanted: ModelExpectation) -> str:
    """Replicas that the observed peak needs, where that differs from the plan."""
    if not wanted.replicas or not wanted.replica_rate:
        return ""
    needed = max(1, math.ceil(seen.peak / wanted.replica_rate - 1e-9))
    return f": replicas {wanted.replicas} → {needed}" if needed != wanted.replicas else ""


def _batches(seen: Observed, wanted: ModelExpectation) -> Iterator[Finding]:
    batch = seen.batch
    if batch is None or not wanted.queue_delay_us:
        return
    if batch < _ALONE * wanted.request_batch:
        delay = wanted.queue_delay_us
        company = 1e6 / seen.rate
        why = (
            "is too short to matter" if company > delay else "forms no batches: instances are free"
        )
        what = (
            f"average batch {batch:.1f} under {seen.rate:.3g}/s: the queue delay of {delay:.0f} µs "
            f"{why}, drop it"
        )
        yield finding("TG984", Severity.WARNING, what, model=seen.model)


def _waiting(seen: Observed, wanted: ModelExpectation) -> Iterator[Finding]:
    queue, compute = seen.queue_us, seen.compute_us
    if queue is None or compute is None:
        return
    own = max(0.0, queue - (wanted.queue_delay_us or 0.0))
    goal = wanted.latency_ms
    if goal is not None:
        late = own / 1e3 > _WAITING * goal
    else:
        late = own > 0.5 * compute and own > 500.0
    if late:
        part = f", {own / 10.0 / goal:.0f} % of the goal" if goal is not None else ""
        what = (
            f"requests wait {own / 1e3:.3g} ms on average for an execution of "
            f"{compute / 1e3:.3g} ms{part}"
        )
        yield finding("TG985", Severity.WARNING, what, model=seen.model)


def _use(seen: Observed, wanted: ModelExpectation) -> Iterator[Finding]:
    instances = wanted.instances
    busy = seen.busy(instances * seen.sources if instances else None)
    if busy is None or instances is None:
        return
    if busy < _IDLE and instances * seen.sources > 1:
        used = max(1, math.ceil(busy * instances * seen.sources))
        what = (
            f"its {instances * seen.sources} instances execute {busy:.1%} of the time: "
            f"{used} would do"
        )
        yield finding("TG986", Severity.INFO, what, model=seen.model)


def _speed(seen: Observed, wanted: ModelExpectation) -> Iterator[Finding]:
    total, measured = seen.total, wanted.execution_ms
    if not measured or not total.executions:
        return
    executed = total.executed_us or total.compute_us * total.executions / total.requests
    now_ms = executed / total.executions / 1e3
    # Extremely short executions are mostly the server's own work.
    if now_ms > _SLOWER * measured and now_ms - measured > 0.5:
        what = f"an execution takes {now_ms:.3g} ms, {now_ms / measured:.2g} × what was measured"
        yield finding("TG988", Severity.WARNING, what, model=seen.model)


def shared_services(
    plan: PlanFile | None, seen: Sequence[Observed], costs: Mapping[str, float]
) -> Iterator[Finding]:
    """What the observed peak asks of each service with more than one model.

    A replica holds the plan's rate in the mix that was planned; another mix counts by what a
    request of each model costs.

    Args:
        plan: with the services; nothing is told without one.
        seen: models over time.
        costs: milliseconds of one request, by model; those that are unknown count alike.
    """
    known = {one.model: one for one in seen if one.steps}
    for service in plan.option.services if plan is not None else ():
        models = [known[name] for name in service.models if name in known]
        if plan is None or len(service.models) < 2 or not models:
            continue
        held = _held(plan, service, costs)
        load = _peak(models, costs)
        if held <= 0.0:
            continue
        needed = max(1, math.ceil(load / held - 1e-9))
        if needed <= service.most:
            continue
        times = load / (held * service.most)
        yield finding(
            "TG982",
            Severity.WARNING,
            f"service {service.name}: the peak of its {len(service.models)} models together is "
            f"{times:.2g} × what its replicas hold at the goals: replicas {service.most} → "
            f"{needed}",
        )


def _held(plan: PlanFile, service: ServicePlan, costs: Mapping[str, float]) -> float:
    """Milliseconds a second of requests that one replica holds, in the planned mix."""
    peaks = {one.model: one.peak_rate for one in plan.plan.traffic if one.model in service.models}
    total = sum(peaks.values())
    if total <= 0.0:
        return 0.0
    mean = sum(rate * _cost(name, costs) for name, rate in peaks.items()) / total
    return service.rate_per_s * mean


def _cost(name: str, costs: Mapping[str, float]) -> float:
    usual = sum(costs.values()) / len(costs) if costs else 1.0
    return costs.get(name, usual)


def _peak(models: Sequence[Observed], costs: Mapping[str, float]) -> float:
    """The same of what came, at the busiest time of all models together."""
    begins = {one.model: [step.begin_s for step in one.steps] for one in models}

    def rate(one: Observed, at_s: float) -> float:
        number = bisect_right(begins[one.model], at_s) - 1
        if number < 0:
            return 0.0
        step = one.steps[number]
        return step.rate if at_s < step.begin_s + step.seconds else 0.0

    times = sorted({at_s for found in begins.values() for at_s in found})
    return max(sum(rate(one, at_s) * _cost(one.model, costs) for one in models) for at_s in times)
