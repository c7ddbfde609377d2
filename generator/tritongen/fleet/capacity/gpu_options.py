"""GPU machine types for the same traffic, by roofline alone: nothing of it was measured."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tritongen.fleet.catalogue import Machine, usd_per_month
from tritongen.model.business import Cloud
from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.gpu_cards import card_name
from tritongen.model.intent import Intent
from tritongen.model.target_gpu import TargetGpu
from tritongen.planner import model_inputs
from tritongen.planner.context import GOAL_SHARE
from tritongen.planner.engine_models import has_engine
from tritongen.planner.gpu_placement import place_models
from tritongen.planner.gpu_rows import roofline
from tritongen.planner.roofline import UNCERTAINTY

# Busy part of a GPU at peak; beyond it queues grow. Chosen.
_BUSY_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class GpuOption:
    """A machine type that could serve all models, as far as memory and estimates tell.

    Attributes:
        machine: with its GPUs.
        card: of the table.
        replicas: at peak, were executions as slow as the estimate allows.
        fewest: at peak, were they as fast as it allows.
        usd_per_month: of `replicas`, always up.
        execution_ms: estimate of the longest execution, at the rows that would be planned.
        rows: of the greatest execution, by model.
        unpredicted: models beside those, which fit and whose throughput nothing estimates.
    """

    machine: Machine
    card: str
    replicas: int
    fewest: int
    usd_per_month: float
    execution_ms: float
    rows: Mapping[str, int] = field(default_factory=dict)
    unpredicted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Served:
    """What one machine with such GPUs would do.

    Attributes:
        busy: GPUs that the busiest card's models would need at peak, by the estimate.
        execution_ms: as in `GpuOption`.
        rows: likewise.
        unpredicted: likewise.
    """

    busy: float
    execution_ms: float
    rows: Mapping[str, int]
    unpredicted: tuple[str, ...]


def gpu_options(
    machines: Iterable[Machine],
    models: Sequence[ModelFacts],
    intent: Intent,
    evidence: Evidence,
    peaks: Mapping[str, float],
) -> tuple[GpuOption, ...]:
    """The machine types whose memory and estimate hold, the cheapest first.

    Args:
        machines: to choose from; those without a GPU of the table are left out.
        models: that are served.
        intent: of the project.
        evidence: of the models.
        peaks: requests per second by model.
    """
    known: dict[tuple[str, int], _Served | None] = {}
    found = []
    for machine in machines:
        card = _card(machine)
        if card is None or not _admitted(machine, intent.business.cloud):
            continue
        key = (card, machine.gpus)
        if key not in known:
            gpu = replace(intent.target, gpus=machine.gpus, gpu=TargetGpu(card))
            known[key] = _served(models, replace(intent, target=gpu), evidence, peaks)
        served = known[key]
        if served is None:
            continue
        least = intent.business.min_replicas
        slow, fast = (
            max(least, math.ceil(served.busy * times / _BUSY_SHARE))
            for times in (UNCERTAINTY, 1 / UNCERTAINTY)
        )
        cost = usd_per_month(machine.usd_per_hour, slow)
        what = (served.execution_ms, served.rows, served.unpredicted)
        found.append(GpuOption(machine, card, slow, fast, cost, *what))
    return tuple(sorted(found, key=lambda one: (one.usd_per_month, one.machine.name)))


def _admitted(machine: Machine, cloud: Cloud) -> bool:
    """Whether the choice of a cloud has it."""
    named = not cloud.machines or machine.name in cloud.machines
    return (
        named and cloud.provider in {"", machine.provider} and cloud.region in {"", machine.region}
    )


def _card(machine: Machine) -> str | None:
    """Its GPUs in the table; a share of one is none of them."""
    if not machine.gpus or "/" in machine.gpu:
        return None
    return card_name(machine.gpu, machine.gpu_memory_bytes / machine.gpus)


def _served(
    models: Sequence[ModelFacts],
    intent: Intent,
    evidence: Evidence,
    peaks: Mapping[str, float],
) -> _Served | None:
    """None where a model does not fit, misses its goal, or no estimate is known of any."""
    # Replicas share the rate: rows are those of the greatest throughput.
    silent = {name: replace(own, rate=None, peak_rate=None) for name, own in intent.models.items()}
    inputs = model_inputs(models, replace(intent, models=silent), evidence, len(models))
    places = place_models([model for model, _ in inputs])
    if places.faults or not all(place.fits for place in places.engines.values()):
        return None
    load, longest, rows = [0.0] * intent.target.gpus, 0.0, {}
    for model, _ in inputs:
        name, known = model.facts.name, roofline(model)
        place = places.models.get(name)
        if place is None or known is None:
            continue
        took, goal = known.ms(place.rows[0]), model.intent.latency_ms
        if goal is not None and took * UNCERTAINTY > goal * GOAL_SHARE:
            return None
        cards = place.gpus.value if place.gpus is not None else (0,)
        each_s = took / 1e3 / place.rows[0] * model.intent.request_batch
        for card in cards:
            load[card] += peaks.get(name, 0.0) * each_s / len(cards)
        longest, rows[name] = max(longest, took), place.rows[0]
    others = tuple(model.facts.name for model, _ in inputs if has_engine(model.facts))
    return _Served(max(load), longest, rows, others) if rows or others else None
