"""Which models go on which of the target's GPUs, with how many rows and instances each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tritongen.model.evidence import BatchVerdict
from tritongen.model.facts import ModelFormat
from tritongen.model.findings import Finding
from tritongen.model.serving_plan import ModelPlan, Planned, Reason, Source
from tritongen.planner.context import ModelInput, mebibytes
from tritongen.planner.engine_placement import EnginePlace, place_engines
from tritongen.planner.gpu_memory import (
    GpuMemory,
    gpu_memory,
    room_of,
    room_sentence,
)
from tritongen.planner.gpu_rows import MAX_GPU_ROWS, choose_instances, choose_rows, roofline

# What the others of a TensorRT-LLM set take is next to nothing: they run on CPUs.
_LANGUAGE_MODELS = frozenset({ModelFormat.VLLM, ModelFormat.TEMPLATE})


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


@dataclass(frozen=True, slots=True)
class Placement:
    """A place for every model on a GPU.

    Attributes:
        models: by name, where the GPUs' memory is known.
        engines: language models by name.
    """

    models: Mapping[str, GpuPlace] = field(default_factory=dict)
    engines: Mapping[str, EnginePlace] = field(default_factory=dict)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Errors of models that no GPU of the target holds."""
        faults = [place.fault for place in self.models.values()]
        faults += [place.fault for place in self.engines.values()]
        return tuple(fault for fault in faults if fault is not None)

    @property
    def remarks(self) -> tuple[Finding, ...]:
        """What is said of engines that are served.

        It may rest on folders that another machine does not have, and is not kept with a plan.
        """
        served = (place for place in self.engines.values() if place.fault is None)
        return tuple(item for place in served for item in place.findings)


def place_models(models: Sequence[ModelInput]) -> Placement:
    """A place for every model on a GPU.

    Language models come first: their engines take what they are told to. Each other has at least
    the memory without which it does not run; what is left is shared alike. Where all fit on one
    card, every card has all of them; else each goes to one card, the largest first, to that with
    the least load.
    """
    models = [model for model in models if model.on_gpu]
    engines = place_engines(models)
    models = [model for model in models if model.facts.format not in _LANGUAGE_MODELS]
    gpu = models[0].gpu if models else None
    if gpu is None or room_of(gpu) is None:
        return Placement(engines=engines)
    cards, least = models[0].gpus, {model.facts.name: _least(model) for model in models}
    served = [place.bytes_on_cards for place in engines.values() if place.fault is None]
    taken = [sum(own[card] for own in served if own) for card in range(cards)]
    rooms = [room_of(gpu, size) or 0 for size in taken]
    fitting = (model for model in models if least[model.facts.name].total <= max(rooms))
    named = {model.facts.name: model for model in fitting}
    found = {
        model.facts.name: _refused(model, least[model.facts.name], rooms)
        for model in models
        if model.facts.name not in named
    }
    return Placement(found | (_placed(named, least, rooms) if named else {}), engines)


def _placed(
    models: Mapping[str, ModelInput], least: Mapping[str, GpuMemory], rooms: Sequence[int]
) -> dict[str, GpuPlace]:
    """Places of models each of which fits a card."""
    needed, cards = sum(least[name].total for name in models), len(rooms)
    everywhere = needed <= min(rooms)
    slack = max(0, (min(rooms) if everywhere else sum(rooms)) - needed) // len(models)
    most = min(rooms) if everywhere else max(rooms)
    chosen = {
        name: _choice(model, min(most, least[name].total + slack), cards if everywhere else 1)
        for name, model in models.items()
    }
    if everywhere:
        why = Reason(Source.TARGET, f"all models fit on each of {cards} GPUs")
        placed = Planned(tuple(range(cards)), why) if cards > 1 else None
        return {name: replace(place, gpus=placed) for name, place in chosen.items()}
    packed = _pack(models, chosen, rooms)
    if any(place.fault for place in packed.values()):
        frugal = {name: _choice(model, least[name].total, 1) for name, model in models.items()}
        packed = _pack(models, frugal, rooms)
    lost = {name: place for name, place in packed.items() if place.fault}
    left = {name: model for name, model in models.items() if name not in lost}
    # Without them the others may have more.
    return lost | _placed(left, least, rooms) if lost and left else packed


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
    models: Mapping[str, ModelInput], chosen: Mapping[str, GpuPlace], rooms: Sequence[int]
) -> dict[str, GpuPlace]:
    """Each model on one card."""
    cards, free = len(rooms), list(rooms)
    load = [0.0] * cards
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
    if plan.engine_bytes or not plan.gpu_bytes:
        return plan.engine_bytes
    own = plan.gpus.value if plan.gpus is not None else range(cards)
    return tuple(plan.gpu_bytes if card in own else 0 for card in range(cards))
