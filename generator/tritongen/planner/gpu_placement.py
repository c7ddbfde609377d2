"""Which models go on which of the target's GPUs, with how many rows and instances each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritongen.model.evidence import BatchVerdict
from tritongen.model.findings import Finding
from tritongen.model.serving_plan import ModelPlan, Planned, Reason, Source
from tritongen.planner.context import ModelInput, mebibytes
from tritongen.planner.engine_models import has_engine
from tritongen.planner.gpu_memory import (
    GpuMemory,
    gpu_memory,
    room_of,
    room_sentence,
)
from tritongen.planner.gpu_rows import MAX_GPU_ROWS, choose_instances, choose_rows, roofline


@dataclass(frozen=True, slots=True)
class GpuPlace:
    """What was chosen for one model.

    Attributes:
        rows: of the greatest execution, and why.
        instances: on each of its GPUs.
        memory: that it takes on each.
        gpus: None where the target has one GPU, which needs no number.
        fault: why it is not served; the rest is what it was found out with.
    """

    rows: tuple[int, str]
    instances: Planned[int]
    memory: GpuMemory
    gpus: Planned[tuple[int, ...]] | None = None
    fault: Finding | None = None


def place_models(models: Sequence[ModelInput]) -> Mapping[str, GpuPlace]:
    """A place for every model on a GPU whose memory is known.

    Each has at least the memory without which it does not run; what is left is shared alike. Where
    all fit on one card, every card has all of them; else each goes to one card, the largest first,
    to that with the least load.
    """
    models = [model for model in models if model.on_gpu and not has_engine(model)]
    gpu = models[0].gpu if models else None
    room = room_of(gpu) if gpu is not None else None
    if gpu is None or room is None:
        return {}
    cards, least = models[0].gpus, {model.facts.name: _least(model) for model in models}
    named = {model.facts.name: model for model in models if least[model.facts.name].total <= room}
    found = {
        model.facts.name: _refused(model, least[model.facts.name], [room] * cards)
        for model in models
        if model.facts.name not in named
    }
    return found | (_placed(named, least, room, cards) if named else {})


def _placed(
    models: Mapping[str, ModelInput], least: Mapping[str, GpuMemory], room: int, cards: int
) -> dict[str, GpuPlace]:
    """Places of models each of which fits a card."""
    needed = sum(least[name].total for name in models)
    everywhere = needed <= room
    slack = max(0, room * (1 if everywhere else cards) - needed) // len(models)
    chosen = {
        name: _choice(model, min(room, least[name].total + slack), cards if everywhere else 1)
        for name, model in models.items()
    }
    if everywhere:
        why = Reason(Source.TARGET, f"all models fit on each of {cards} GPUs")
        placed = Planned(tuple(range(cards)), why) if cards > 1 else None
        return {name: replace(place, gpus=placed) for name, place in chosen.items()}
    packed = _pack(models, chosen, room, cards)
    if any(place.fault for place in packed.values()):
        frugal = {name: _choice(model, least[name].total, 1) for name, model in models.items()}
        packed = _pack(models, frugal, room, cards)
    lost = {name: place for name, place in packed.items() if place.fault}
    left = {name: model for name, model in models.items() if name not in lost}
    # Without them the others may have more.
    return lost | _placed(left, least, room, cards) if lost and left else packed


def _least(model: ModelInput) -> GpuMemory:
    """Without which it does not run: its clients' rows, and the instances that are fixed."""
    return gpu_memory(model, model.intent.most_rows, model.intent.instances or 1)


def _choice(model: ModelInput, room: int, copies: int) -> GpuPlace:
    """Rows and instances within so much memory of each card."""
    fixed = model.intent.instances
    rows, why = model.intent.most_rows, "rows of one client request"
    if model.verdict is BatchVerdict.PROVEN:
        fitting = [size for size in _sizes(model) if _fits(model, size, fixed or 1, room)]
        rows, why = choose_rows(model, fitting or [rows], copies)
    if fixed is not None:
        instances = Planned(fixed, Reason(Source.INTENT, "fixed in tritongen.yaml"))
    else:
        count, reason = choose_instances(model, rows, room)
        instances = Planned(count, Reason(Source.RULE, reason))
    memory = gpu_memory(model, rows, instances.value)
    needed = f"{memory.sentence} of {mebibytes(room)}"
    if model.verdict is not BatchVerdict.PROVEN:
        sentence = f"{instances.reason.sentence}; {needed}"
        instances = Planned(instances.value, replace(instances.reason, sentence=sentence))
    return GpuPlace((rows, f"{why}; {needed}"), instances, memory)


def _sizes(model: ModelInput) -> list[int]:
    """Powers of two that hold the clients' rows, and that number itself, as far as it may go."""
    most = model.intent.most_rows
    sizes = {2**power for power in range(MAX_GPU_ROWS.bit_length())} | {most}
    return sorted(size for size in sizes if most <= size == model.limited(size))


def _fits(model: ModelInput, rows: int, instances: int, room: int) -> bool:
    return gpu_memory(model, rows, instances).total <= room


def _load(model: ModelInput, rows: int) -> float:
    """Busy share of a card, in arbitrary but common units."""
    known, rate = roofline(model), model.intent.planning_rate
    return (rate or 1.0) * (known.ms(rows) / rows if known is not None else 1.0)


def _pack(
    models: Mapping[str, ModelInput], chosen: Mapping[str, GpuPlace], room: int, cards: int
) -> dict[str, GpuPlace]:
    """Each model on one card."""
    free, load = [room] * cards, [0.0] * cards
    packed: dict[str, GpuPlace] = {}
    for name in sorted(models, key=lambda one: (-chosen[one].memory.total, one)):
        place = chosen[name]
        needed = place.memory.total
        fitting = [card for card in range(cards) if needed <= free[card]]
        if not fitting:
            packed[name] = _refused(models[name], place.memory, free)
            continue
        card = min(fitting, key=lambda one: (load[one], -free[one], one))
        free[card] -= needed
        load[card] += _load(models[name], place.rows[0])
        why = f"GPU {card}: the least load among those that have {mebibytes(needed)} left"
        gpus: Planned[tuple[int, ...]] = Planned((card,), Reason(Source.TARGET, why))
        packed[name] = replace(place, gpus=gpus if cards > 1 else None)
    return packed


def _refused(model: ModelInput, memory: GpuMemory, free: Sequence[int]) -> GpuPlace:
    """No place, with the arithmetic."""
    gpu = model.gpu
    room = room_sentence(gpu) if gpu is not None else ""
    left = f"; the most that is left on one is {mebibytes(max(free))}"
    message = f"{model.facts.name} does not fit: {memory.sentence}; {room}{left}"
    fault = model.facts.finding("TG160", message, field="target.gpu")
    nothing = Planned(memory.instances, Reason(Source.RULE, message))
    return GpuPlace((memory.rows, message), nothing, memory, fault=fault)


def bytes_on_cards(plan: ModelPlan, cards: int) -> tuple[int, ...]:
    """What a model takes on each card; empty where that is not known."""
    if not plan.gpu_bytes:
        return ()
    own = plan.gpus.value if plan.gpus is not None else range(cards)
    return tuple(plan.gpu_bytes if card in own else 0 for card in range(cards))
