"""Language models in a plan: memory and the cards that fit; throughput is for AIPerf to measure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tritongen.model.evidence import Evidence
from tritongen.model.facts import ModelFacts
from tritongen.model.gpu_cards import CARDS
from tritongen.model.intent import Intent
from tritongen.model.target_gpu import TargetGpu
from tritongen.planner import model_inputs
from tritongen.planner.engine_memory import EngineDemand, EngineMemory, engine_demand, engine_memory

# GPUs of one machine that an engine may be split over.
_SPLITS = (1, 2, 4, 8)
# What the configurations of models name that take texts.
_TEXT, _LLM_API = '"text_input"', '"sampling_param_max_tokens"'


@dataclass(frozen=True, slots=True)
class CardFit:
    """One kind of GPU.

    Attributes:
        card: its name.
        gpus: that the model must be split over at least, from its own number on; 0 where eight do
            not hold it.
        memory: of the engine there, or on eight.
    """

    card: str
    gpus: int
    memory: EngineMemory

    @property
    def requests(self) -> int | None:
        """Of the full length at a time, None where that is not known."""
        tokens, length = self.memory.tokens, self.memory.demand.length
        return tokens // length if tokens is not None and length else None


@dataclass(frozen=True, slots=True)
class LanguageModelPlan:
    """What is known of a language model before anything is measured.

    Attributes:
        name: of the model.
        asked: name of the model that takes its texts: of a set it is another than the engine's.
        requests: the form of these: as of vllm, of tensorrtllm or of its llmapi.
        demand: of its engine.
        here: on the target's own card, None where that is not known.
        cards: of the table; empty where its weights are not known.
        rate: requests per second that are planned for, None where not stated.
    """

    name: str
    asked: str
    requests: str
    demand: EngineDemand
    here: EngineMemory | None
    cards: tuple[CardFit, ...]
    rate: float | None = None


def language_model_plans(
    models: Sequence[ModelFacts], intent: Intent, evidence: Evidence
) -> Iterator[LanguageModelPlan]:
    """What is known of each language model.

    Args:
        models: of the project.
        intent: of the project.
        evidence: of the models.
    """
    # Whether the target has any GPU is a question of its own.
    target = replace(intent.target, gpus=max(1, intent.target.gpus))
    for model, _ in model_inputs(models, replace(intent, target=target), evidence, 1):
        demand = engine_demand(model)
        if demand is None:
            continue
        fits = tuple(_fit(demand, name) for name in CARDS) if demand.size.weight_bytes else ()
        asked, form = _asked(model.facts, models)
        here, rate = engine_memory(demand, intent.target.gpu), intent.of(asked).planning_rate
        yield LanguageModelPlan(model.facts.name, asked, form, demand, here, fits, rate)


def _asked(facts: ModelFacts, models: Sequence[ModelFacts]) -> tuple[str, str]:
    """The model that clients send texts to, and the form of their requests."""
    if facts.template is None:
        return facts.name, "vllm"
    if _LLM_API in facts.template.text:
        return facts.name, "llmapi"
    fronts = [
        (one.template.backend != "", one.name)
        for one in models
        if one.template is not None and _TEXT in one.template.text
    ]
    # The ensemble, which names no backend, before a model that calls the others.
    return min(fronts, default=(True, facts.name))[1], "tensorrtllm"


def _fit(demand: EngineDemand, card: str) -> CardFit:
    """Over how many of a card it must be split."""
    gpu = TargetGpu(card)
    for split in (demand.split, *(one for one in _SPLITS if one > demand.split)):
        memory = EngineMemory(demand, split, gpu.usable_bytes or 0, card)
        if memory.fits and memory.roomy:
            return CardFit(card, split, memory)
    return CardFit(card, 0, memory)
