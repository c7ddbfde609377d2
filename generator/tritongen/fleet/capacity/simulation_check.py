"""The plan held against the full simulation of Triton's scheduler.

The curves by which the catalogue is searched know one model at a time. Here the whole container
is simulated at the rates that a replica is planned for: shared cores, front end, rate limiter,
batcher.
"""

import math
from dataclasses import dataclass, replace

from tritongen.fleet.capacity.container_capacity import Fit, ModelFit
from tritongen.fleet.capacity.operating_curves import with_latencies
from tritongen.queueing import (
    FrontEnd,
    OpenLoop,
    ServedModel,
    Server,
    SimulatedModel,
    simulate,
)
from tritongen.queueing.rate_profiles import CELLS

_SEED = 20_260_702
_REQUESTS = 8_000
# A model's tail is compared when it has so many requests, and is so close to its greatest rate.
_MIN_REQUESTS = 600
_LOADED = 0.6
# Factors within which one check corrects latencies; chosen: the check itself is one sample.
_MIN_STRETCH, _MAX_STRETCH = 0.85, 4.0


@dataclass(frozen=True, slots=True)
class Checked:
    """A fit after the check.

    Attributes:
        fit: with corrected curves and rates.
        concurrency: requests at a time in the container, at the planned rates.
        queue_s: mean wait of a request in its queue.
    """

    fit: Fit
    concurrency: int
    queue_s: float


def check(fit: Fit, mix: tuple[float, ...], burstiness: float) -> Checked:
    """Simulates one replica at its planned rates and corrects the fit by what it shows.

    Args:
        fit: with at least one model that has a rate.
        mix: requests per second of each model in the busiest time, in the order of the fit's
            models; scaled to one replica at its goals.
        burstiness: variation of the gaps between requests.
    """
    load = fit.load(mix)
    if load <= 0.0:
        return Checked(fit, 1, 0.0)
    rates = tuple(rate / load for rate in mix)
    server = server_of(fit, rates, burstiness)
    result = simulate(server, seed=_SEED, requests=_REQUESTS, warmup=0.15)
    found = {model.name: model for model in result.models}
    models = tuple(
        _corrected(model, rate, found.get(model.profile.name))
        for model, rate in zip(fit.models, rates, strict=True)
    )
    inside = sum(model.mean_in_system for model in result.models)
    requests = sum(model.requests for model in result.models) or 1
    wait = sum(model.mean_wait_s * model.requests for model in result.models) / requests
    return Checked(replace(fit, models=models), _at_a_time(inside), wait)


def unchecked(fit: Fit, mix: tuple[float, ...]) -> Checked:
    """Concurrency and wait by the curves alone.

    Args:
        fit: whose curves are trusted.
        mix: as for `check`.
    """
    load = max(1.0, fit.load(mix))
    inside = wait = 0.0
    for rate, model in zip(mix, fit.models, strict=True):
        one = rate / load
        cells = model.curve.cells_s(one)
        mean = math.fsum(share * cell for (_, share), cell in zip(CELLS, cells, strict=True))
        inside += one * (mean - model.profile.transport_s)
        wait += one * max(0.0, mean - model.alone_s)
    total = math.fsum(mix) / load
    return Checked(fit, _at_a_time(inside), wait / total if total > 0.0 else 0.0)


def _at_a_time(inside: float) -> int:
    """Requests at a time: the share of time with more falls fast, thrice the mean covers bursts."""
    return max(1, round(3.0 * inside + 1.0))


def server_of(fit: Fit, rates: tuple[float, ...], burstiness: float) -> Server:
    """The server to simulate: a container of the fit at given rates."""
    cores = float(fit.placement.cores)
    served = [
        _served(model, rate, fit, burstiness)
        for model, rate in zip(fit.models, rates, strict=True)
        if rate > 0.0
    ]
    total = sum(rates)
    weighted = [
        (rate * fit.speeds[model.profile.name].factor, model.profile)
        for model, rate in zip(fit.models, rates, strict=True)
    ]
    front = sum(weight * profile.front_end_s for weight, profile in weighted)
    wake = sum(weight * profile.wake_s for weight, profile in weighted)
    slots = fit.placement.cores if fit.placement.limited else 0
    door = FrontEnd(front / total, wake_s=wake / total) if total > 0.0 else None
    # The machine stands still, not a model: the one that lost most of its time tells.
    seen = [model.profile.stalls for model in fit.models if model.profile.stalls is not None]
    stalls = max(seen, key=lambda one: one.share, default=None)
    return Server(tuple(served), cores, door, slots, stalls)


def _served(model: ModelFit, rate: float, fit: Fit, burstiness: float) -> ServedModel:
    profile, placed = model.profile, model.placed
    factor = fit.speeds[profile.name].factor
    return ServedModel(
        name=profile.name,
        service=profile.service.on_cores(float(fit.placement.cores)).scaled(factor),
        load=OpenLoop(rate, burstiness),
        instances=placed.instances,
        threads=placed.threads,
        max_batch_size=placed.max_batch if placed.max_batch >= profile.rows else 0,
        queue_delay_s=placed.delay_s if placed.max_batch >= profile.rows else None,
        rows=(profile.rows,),
        transport_s=profile.transport_s,
        network_pause_s=profile.pause_s,
        slots=placed.threads if fit.placement.limited else 0,
    )


def _corrected(model: ModelFit, rate: float, seen: SimulatedModel | None) -> ModelFit:
    """The model's curve stretched by what the simulation shows of its tail.

    What was measured needs no such correction.
    """
    if (
        model.measured
        or seen is None
        or seen.requests < _MIN_REQUESTS
        or rate < _LOADED * model.rate_per_s
    ):
        return model
    goal = model.profile.goal
    expected = model.curve.latency_s(rate, goal.percentile) - model.profile.transport_s
    measured = seen.latency_s(goal.percentile) - model.profile.transport_s
    if not 0.0 < expected < float("inf"):
        return model
    stretch = min(_MAX_STRETCH, max(_MIN_STRETCH, measured / expected))
    transport = model.profile.transport_s
    curve = with_latencies(model.curve, lambda cell: (cell - transport) * stretch + transport)
    greatest = curve.greatest_rate(goal.percentile, goal.limit_s)
    return replace(model, curve=curve, rate_per_s=greatest or 0.5 * model.rate_per_s)
