"""Which GPUs the engines of language models go on.

vLLM takes its share of a GPU when it starts, whatever else is there: engines are placed by shares,
and by bytes where the card is known. One that is split over GPUs takes the first ones; one of a
single GPU is pinned, by its instance group, to that which is chosen for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tritongen.model.engine_facts import VllmFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.serving_plan import Planned, Reason, Source
from tritongen.planner.context import ModelInput
from tritongen.planner.engine_memory import (
    EngineDemand,
    EngineMemory,
    engine_demand,
    engine_memory,
    memory_findings,
)


@dataclass(frozen=True, slots=True)
class EnginePlace:
    """What was chosen for one language model.

    Attributes:
        cards: GPUs that its engines take.
        pinned: to which its instances are pinned, each with engines of its own; None where the
            engine finds its GPUs itself.
        bytes_on_cards: that it takes on every GPU of the target; empty where that is not known.
        memory: of one engine, None where that is not known.
        findings: on its memory; with an error it is not served.
    """

    cards: tuple[int, ...] = ()
    pinned: Planned[tuple[int, ...]] | None = None
    bytes_on_cards: tuple[int, ...] = ()
    memory: EngineMemory | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether nothing that is known, or guessed, says that it does not."""
        return self.fault is None and (self.memory is None or self.memory.fits)

    @property
    def fault(self) -> Finding | None:
        """Why it is not served."""
        errors = (item for item in self.findings if item.severity is Severity.ERROR)
        return next(errors, None)


def place_engines(models: Sequence[ModelInput]) -> Mapping[str, EnginePlace]:
    """A place for every language model, those first whose configuration leaves no choice."""
    asked = [(model, demand) for model in models if (demand := engine_demand(model)) is not None]
    if not asked:
        return {}
    cards = _Cards([0.0] * asked[0][0].gpus)
    fixed = [(model, demand) for model, demand in asked if not _free(model, cards)]
    loose = [(model, demand) for model, demand in asked if _free(model, cards)]
    places = {model.facts.name: _fixed(model, demand, cards) for model, demand in fixed}
    loose.sort(key=lambda one: (-one[1].share * one[1].engines, one[0].facts.name))
    engines = sum(demand.engines for _, demand in loose)
    total = sum(demand.share * demand.engines for _, demand in loose)
    everywhere = all(cards.holds(card, total, engines) for card in range(len(cards.taken)))
    for model, demand in loose:
        places[model.facts.name] = _pinned(model, demand, cards, everywhere=everywhere)
    return places


@dataclass(slots=True)
class _Cards:
    """Shares of each GPU's memory that are taken."""

    taken: list[float]

    def holds(self, card: int, share: float, engines: int) -> bool:
        """Whether a GPU has so much left for so many engines; one alone may take all of it."""
        alone = engines == 1 and not self.taken[card]
        return self.taken[card] + share < 1.0 or (alone and share <= 1.0)

    def take(self, cards: Sequence[int], share: float) -> None:
        """Give each of some GPUs' share away."""
        for card in cards:
            self.taken[card] += share


def _free(model: ModelInput, cards: _Cards) -> bool:
    """Whether there is a choice: of a vLLM engine on one of several GPUs."""
    facts = model.facts.vllm
    return facts is not None and facts.gpus == 1 and len(cards.taken) > 1


def _fixed(model: ModelInput, demand: EngineDemand, cards: _Cards) -> EnginePlace:
    """On the GPUs that its configuration names, else on the first ones."""
    devices = demand.devices or (tuple(range(demand.split)),) * demand.engines
    if (most := max(map(max, devices)) + 1) > len(cards.taken):
        return EnginePlace(findings=(_too_many(model, demand, most, len(cards.taken)),))
    own = tuple(sorted({card for each in devices for card in each}))
    engines = {card: sum(card in each for each in devices) for card in own}
    for card, count in engines.items():
        # What TensorRT-LLM takes is a share of what others have left.
        if not (demand.beside or cards.holds(card, count * demand.share, count)):
            return EnginePlace(findings=(_full(model, demand, count, card, cards),))
    for card, count in engines.items():
        cards.take([card], count * demand.share)
    return _place(model, demand, engines, cards)


def _pinned(
    model: ModelInput, demand: EngineDemand, cards: _Cards, *, everywhere: bool
) -> EnginePlace:
    """On every GPU where all fit on each, else on that with the most memory left."""
    share = demand.share * demand.engines
    if everywhere:
        own = tuple(range(len(cards.taken)))
        why = f"the engines' shares fit on each of {len(own)} GPUs: each has one of its own"
    else:
        best = min(range(len(cards.taken)), key=lambda card: (cards.taken[card], card))
        if not cards.holds(best, share, demand.engines):
            return EnginePlace(findings=(_full(model, demand, demand.engines, best, cards),))
        own = (best,)
        why = f"GPU {best}: the most of its memory is left for a share of {share:g}"
    cards.take(own, share)
    place = _place(model, demand, dict.fromkeys(own, demand.engines), cards)
    return replace(place, pinned=Planned(own, Reason(Source.TARGET, why)))


def _place(
    model: ModelInput, demand: EngineDemand, engines: Mapping[int, int], cards: _Cards
) -> EnginePlace:
    """With the bytes, where the card is known.

    Args:
        model: of the engine.
        demand: of the engine.
        engines: so many on each GPU.
        cards: of the target.
    """
    memory = engine_memory(demand, model.gpu)
    if memory is None:
        return EnginePlace(tuple(engines))
    taken = tuple(
        min(memory.usable_bytes, engines.get(card, 0) * memory.taken_bytes)
        for card in range(len(cards.taken))
    )
    found = tuple(memory_findings(model, memory))
    return EnginePlace(tuple(engines), None, taken, memory, found)


def _too_many(model: ModelInput, demand: EngineDemand, most: int, cards: int) -> Finding:
    if demand.devices:
        message = f"its engine takes GPU {most - 1}, and the target has {cards}"
    else:
        message = f"its engine takes {most} GPUs{_split(model)}, and the target has {cards}"
    fix = "Set target.gpus, or split the engine over fewer."
    return model.facts.finding("TG543", message, fix=fix, field="target.gpus")


def _split(model: ModelInput) -> str:
    return f" ({split_words(model.facts.vllm)})" if model.facts.vllm is not None else ""


def split_words(facts: VllmFacts) -> str:
    """How an engine is split over GPUs."""
    return f"tensor parallel {facts.tensor_parallel} × pipeline parallel {facts.pipeline_parallel}"


def _full(model: ModelInput, demand: EngineDemand, count: int, card: int, cards: _Cards) -> Finding:
    """No place, with the arithmetic of the shares."""
    asked = f"{count} × {demand.share:g}" if count > 1 else f"{demand.share:g}"
    left = max(0.0, 1.0 - cards.taken[card])
    memory = engine_memory(demand, model.gpu)
    known = f" ({memory.share_sentence} each)" if memory is not None else ""
    message = (
        f"{model.facts.name} does not fit: its engines take {asked} of GPU {card}'s memory{known}, "
        f"and {left:.2g} of it is left"
    )
    fix = 'Lower "gpu_memory_utilization" of the engines that share a GPU, or set target.gpus.'
    return model.facts.finding("TG160", message, fix=fix, field="target.gpu")
