"""What the engine of a language model takes of each GPU's memory, and what its KV cache holds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tritongen.model.engine_facts import LanguageModelSize, TrtllmFacts, VllmFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.target_gpu import TargetGpu
from tritongen.planner.context import ModelInput, mebibytes

# Of each GPU, for activations of prompts and for CUDA graphs. Chosen; what does not fit without
# it is refused, what fits without it alone is told.
_WORKING_BYTES = 2**30
_UNKNOWN = LanguageModelSize()


@dataclass(frozen=True, slots=True)
class EngineDemand:
    """What a language model's engine asks for.

    Attributes:
        split: GPUs that one engine is split over.
        engines: that are loaded: the model's instances.
        devices: GPUs of each where the configuration says them.
        share: of each GPU's memory; of what the weights leave of it where `beside` is set.
        beside: whether the share is the KV cache's alone.
        length: tokens of a request and its answer together at most, 0 where not known.
        size: of the model.
    """

    split: int
    engines: int
    devices: tuple[tuple[int, ...], ...]
    share: float
    beside: bool
    length: int
    size: LanguageModelSize


def engine_demand(model: ModelInput) -> EngineDemand | None:
    """What a model's engine asks for, None of a model without one."""
    facts, template = model.facts, model.facts.template
    if facts.vllm is not None:
        known, found = facts.vllm.size, _vllm(facts.vllm, model.intent.instances or 1)
    elif template is not None and template.engine is not None:
        known, found = template.engine.size, _trtllm(template.engine)
    else:
        return None
    stated, size = model.intent.gpu_memory, known or _UNKNOWN
    if stated.weight_bytes is not None:
        size = replace(
            size, weight_bytes=stated.weight_bytes, source="tritongen.yaml", certain=True
        )
    if stated.token_bytes is not None:
        size = replace(size, token_bytes=stated.token_bytes)
    return replace(found, size=size, length=found.length or size.max_length)


def _vllm(facts: VllmFacts, engines: int) -> EngineDemand:
    share, length = facts.memory_share, facts.max_length
    return EngineDemand(facts.gpus, engines, (), share, beside=False, length=length, size=_UNKNOWN)


def _trtllm(facts: TrtllmFacts) -> EngineDemand:
    share, length = facts.cache_share, facts.max_length
    return EngineDemand(
        facts.gpus, facts.instances, facts.devices, share, beside=True, length=length,
        size=_UNKNOWN,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """An engine on GPUs of a kind.

    Attributes:
        demand: of the engine.
        split: GPUs that it is split over.
        usable_bytes: memory of each.
        card: what they are called.
    """

    demand: EngineDemand
    split: int
    usable_bytes: int
    card: str

    @property
    def weight_bytes(self) -> int:
        """On each GPU; 0 where not known."""
        return self.demand.size.weight_bytes // self.split

    @property
    def taken_bytes(self) -> int:
        """Of each GPU when the engine has started, whatever its cache then holds."""
        share = self.demand.share
        if not self.demand.beside:
            return int(share * self.usable_bytes)
        own = min(self.weight_bytes, self.usable_bytes)
        return own + int(share * (self.usable_bytes - own))

    @property
    def request_bytes(self) -> int:
        """KV cache of one request of the full length, on each GPU; 0 where not known."""
        return self.demand.size.token_bytes * self.demand.length // self.split

    @property
    def cache_bytes(self) -> int:
        """What is left for the KV cache on each GPU."""
        return max(0, self.taken_bytes - self.weight_bytes - _WORKING_BYTES)

    @property
    def tokens(self) -> int | None:
        """That the KV cache holds, None where that is not known."""
        size = self.demand.size
        if not (size.weight_bytes and size.token_bytes):
            return None
        return self.cache_bytes * self.split // size.token_bytes

    @property
    def needed_bytes(self) -> int:
        """Weights, and of vLLM, which refuses to start without, one request's cache."""
        return self.weight_bytes + (0 if self.demand.beside else self.request_bytes)

    @property
    def fits(self) -> bool:
        """Whether nothing that is known says that it does not."""
        return self.needed_bytes <= self.taken_bytes

    @property
    def roomy(self) -> bool:
        """Whether it fits with room to work in, too, as far as its weights are known."""
        return not self.weight_bytes or self.needed_bytes + _WORKING_BYTES <= self.taken_bytes

    @property
    def share_sentence(self) -> str:
        """What it takes of a GPU."""
        whole = f"{self.card}'s {mebibytes(self.usable_bytes)}"
        if self.demand.beside:
            return f"{self.demand.share:g} of what its weights leave of {whole}"
        return f"{self.demand.share:g} of {whole} = {mebibytes(self.taken_bytes)}"

    @property
    def needs_sentence(self) -> str:
        """The arithmetic of what must fit."""
        parts = [f"{mebibytes(self.weight_bytes)} weights by {self.demand.size.source}"]
        if self.request_bytes and not self.demand.beside:
            length = f"{self.demand.length:,} tokens"
            parts.append(f"{mebibytes(self.request_bytes)} KV cache of one request of {length}")
        whole = f" = {mebibytes(self.needed_bytes)}" if len(parts) > 1 else ""
        return f"{' + '.join(parts)}{whole}{_on(self.split)}"

    @property
    def cache_sentence(self) -> str:
        """What the KV cache holds; empty where nothing of it is known."""
        if not self.weight_bytes:
            return ""
        said = f"{mebibytes(self.cache_bytes)} of KV cache{_on(self.split)}"
        if self.tokens is None:
            return f"about {said}"
        requests = (
            f", {self.tokens // self.demand.length:,} requests of {self.demand.length:,} at a time"
            if self.demand.length
            else ""
        )
        return f"about {said}: {self.tokens:,} tokens{requests}"


def _on(split: int) -> str:
    return f" on each of {split} GPUs" if split > 1 else ""


def engine_memory(
    demand: EngineDemand, gpu: TargetGpu | None, split: int = 0
) -> EngineMemory | None:
    """An engine on GPUs of a kind, None where their memory is not known.

    Args:
        demand: of the engine.
        gpu: what each GPU is.
        split: GPUs that it is split over; its own number when 0.
    """
    if gpu is None or gpu.usable_bytes is None:
        return None
    name = gpu.card.name if gpu.card is not None else "the card"
    return EngineMemory(demand, split or demand.split, gpu.usable_bytes, name)


def memory_findings(model: ModelInput, memory: EngineMemory) -> Iterator[Finding]:
    """That weights, and a request, do not fit; an error where files or the user say how large."""
    tell, name = model.facts.finding, model.facts.name
    if memory.fits and memory.roomy:
        return
    sure = memory.demand.size.certain and not memory.fits
    what = "does not fit" if not memory.fits else "fits only without room to work in"
    message = f"{name} {what}: {memory.needs_sentence}; its engine takes {memory.share_sentence}"
    fix = (
        f"Split it over more GPUs, choose a card with more memory or a model of fewer bits; its "
        f"size is what models.{name}.gpu_memory.weights states."
    )
    severity = Severity.ERROR if sure else Severity.WARNING
    yield tell("TG160", message, severity=severity, fix=fix, field="target.gpu")
