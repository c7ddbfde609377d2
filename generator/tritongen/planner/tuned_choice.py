"""Whether a tuned choice is still one for what is planned: goal, rate, protocol, rows and cores."""

from dataclasses import replace

from tritongen.model.evidence import Served, Tuned
from tritongen.model.findings import Finding, Severity, finding
from tritongen.planner.context import ModelInput, show_figure
from tritongen.queueing import (
    ClosedLoop,
    FrontEnd,
    OpenLoop,
    Pauses,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    simulate,
)

# Any seed will do; the same one makes a plan the same everywhere.
_SEED = 20_260_101
# Enough for a rough p99. Chosen, as for models side by side.
_REQUESTS = 3_000
# A rate is too much where more than this share of the requests is without an answer at the end.
_BACKLOG_SHARE = 0.1
# Rates so many times beyond what could be served at best are not simulated: until enough requests
# were answered, millions of others would come to wait.
_FAR = 2.0


def still_tuned(model: ModelInput, cores: int) -> tuple[ModelInput, tuple[Finding, ...]]:
    """A model with its tuned choice only where that holds, and what there is to say about it.

    Args:
        model: with what tritongen.yaml wants of it now.
        cores: that it has now.
    """
    tuned = model.tuned
    if tuned is None:
        return model, ()
    name, now = model.facts.name, model.intent.wanted(model.clients.protocol)
    kept = False
    if tuned.gpu != model.device:
        on, has = _device(tuned.gpu), _device(model.device)
        message = f"{name} was tuned on {on}, and the target has {has}"
    elif model.on_gpu and tuned.wanted not in {None, now}:
        message = f"{name} was tuned for {tuned.wanted}; it is to do {now}: tune it again"
    elif tuned.total_threads > cores and not model.on_gpu:
        message = f"{name} was tuned for more cores than the {cores} that it has now"
    elif tuned.wanted not in {None, now}:
        kept, forecast = _holds(model, tuned, cores)
        message = f"{name} was tuned for {tuned.wanted}; it is to do {now}{forecast}"
    elif tuned.cores not in {0, cores} and not model.on_gpu:
        kept, forecast = _holds(model, tuned, cores)
        message = f"{name} was tuned for {tuned.cores} cores and has {cores} now{forecast}"
    elif tuned.wanted is None and model.intent.has_goal:
        kept = True
        message = f"an older `tune` chose for {name} and did not note whether for {now}"
    else:
        return model, ()
    if not kept:
        model = replace(model, tuned=None)
    return model, (finding("TG317", Severity.WARNING, message),)


def _device(card: str) -> str:
    """A device in words."""
    return {"": "a CPU", "GPU": "a GPU"}.get(card, f"a GPU of the type {card}")


def _holds(model: ModelInput, tuned: Tuned, cores: int) -> tuple[bool, str]:
    """Whether a choice holds what is wanted now, and why that is expected, to follow a sentence.

    What was measured at a rate at least as high counts; else the simulation says.
    """
    intent, served = model.intent, model.served
    if not intent.has_goal:
        return True, ""
    fallen = ": it is planned from the trial alone"
    if 0 < tuned.max_batch_size < intent.most_rows:
        return False, f", and takes {tuned.max_batch_size} rows at most{fallen}"
    if served is None:
        return False, f", and no times on a server say whether it will{fallen}"
    at, limit = f"p{intent.percentile:g}", intent.latency_ms
    seen = _measured_ms(model, served, cores)
    if seen is not None and (limit is None or seen <= limit):
        return True, f", which it was seen to: {at} {show_figure(seen)} ms"
    expected = _simulated_ms(model, tuned, served, cores)
    if expected is None:
        return False, f", which is too much for it by simulation{fallen}"
    figure = f"{at} {show_figure(expected)} ms by simulation"
    if limit is None or expected <= limit:
        return True, f", which it is expected to: {figure}"
    return False, f", which it is not expected to ({figure}){fallen}"


def _measured_ms(model: ModelInput, served: Served, cores: int) -> float | None:
    """The percentile as measured at the nearest rate that is at least as high, None without one."""
    rate, rows = model.intent.planning_rate, model.intent.request_batch
    if rate is None or served.cpus != cores:
        return None
    higher = [one for one in served.rates if one.per_s >= rate and one.rows == rows]
    nearest = min(higher, key=lambda one: one.per_s, default=None)
    return dict(nearest.ms).get(model.intent.percentile) if nearest is not None else None


def _simulated_ms(model: ModelInput, tuned: Tuned, served: Served, cores: int) -> float | None:
    """The percentile by simulation, None where requests come faster than they are served."""
    service, rate = served_times(served), model.intent.planning_rate
    if service is None:
        return None
    own, delay = model.intent.request_batch, tuned.queue_delay_us
    if rate is not None and rate * own > _FAR * _most_rows_per_s(service, tuned, own):
        return None
    load = ClosedLoop(model.clients.concurrency or 1) if rate is None else OpenLoop(rate)
    one = ServedModel(
        "model",
        service.on_cores(cores),
        load,
        tuned.instances,
        tuned.threads,
        tuned.max_batch_size,
        None if delay is None else delay / 1e6,
        rows=(own,),
        transport_s=served.transport_ms / 1e3,
    )
    front = FrontEnd(served.front_end_ms / 1e3, wake_s=served.wake_ms / 1e3)
    server = Server((one,), cores, front, pauses=stalls_of(served))
    found = simulate(server, seed=_SEED, requests=_REQUESTS).of("model")
    if found.unfinished > _BACKLOG_SHARE * _REQUESTS:
        return None
    return found.latency_s(model.intent.percentile) * 1e3


def _most_rows_per_s(service: ServiceTimes, tuned: Tuned, own: int) -> float:
    """Rows in a second at best: each execution of the best size, alone on its cores."""
    most = own if tuned.queue_delay_us is None else max(own, tuned.max_batch_size)
    speeds = (rows / service.alone(rows, tuned.threads) for rows in range(own, most + 1, own))
    return tuned.instances * max(speeds)


def served_times(served: Served | None) -> ServiceTimes | None:
    """Times of executions on a server, None where there are none."""
    costs = served.costs if served is not None else ()
    points = tuple(
        ServicePoint(cost.batch, cost.threads, cost.ms / 1e3, cv=cost.spread)
        for cost in costs
        if cost.inter_op == 1
    )
    if served is None or not points:
        return None
    return ServiceTimes(points, served.cpus, served.contention, idle_penalty=max(0.0, served.cold))


def stalls_of(served: Served | None) -> Pauses | None:
    """Moments in which nothing ran, None where none were seen."""
    if served is None or not (served.stall_ms > 0.0 and served.stalls_per_s > 0.0):
        return None
    return Pauses(min(served.stalls_per_s, 1e3 / served.stall_ms), served.stall_ms / 1e3)
