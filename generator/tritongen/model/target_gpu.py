"""What tritongen.yaml says of the target's GPUs."""

from dataclasses import dataclass, replace

from tritongen.model.gpu_cards import CARDS, GpuCard, card_name
from tritongen.model.intent_key import SIZE_BYTES, Key, TextForm


@dataclass(frozen=True, slots=True)
class TargetGpu:
    """What each GPU of the target is; nothing is known of one without a name.

    Attributes:
        memory_bytes: None for the card's.
    """

    name: str = Key(
        "the card, which the time of an execution is estimated for",
        text=TextForm(
            f"one of {', '.join(CARDS)} (of another card leave the name out and state `memory`)",
            read=card_name,
        ),
    ).default("")
    memory_bytes: int | None = Key(
        "memory of each GPU, where it is not the card's or not all of it is free",
        "memory",
        text=SIZE_BYTES,
    ).default(None)
    mig: str = Key(
        "the MIG slice that the server sees", text=TextForm("a MIG profile such as 1g.5gb")
    ).default("")

    @property
    def card(self) -> GpuCard | None:
        """The card or its slice as the table has it, with the memory that is stated."""
        if not self.name:
            return None
        card = CARDS[self.name].slice(self.mig)
        return replace(card, memory_bytes=self.memory_bytes) if self.memory_bytes else card

    @property
    def usable_bytes(self) -> int | None:
        """Memory of each GPU, None where it is not known."""
        return self.card.memory_bytes if self.card is not None else self.memory_bytes


@dataclass(frozen=True, slots=True)
class ModelGpuMemory:
    """GPU memory of one model as the user states it; None where the model's files tell it."""

    instance_bytes: int | None = Key(
        "what one instance takes on each of its GPUs, as it was measured",
        "instance",
        text=SIZE_BYTES,
    ).default(None)
    weight_bytes: int | None = Key(
        "weights of a language model, on all its GPUs together", "weights", text=SIZE_BYTES
    ).default(None)
    token_bytes: int | None = Key(
        "one token in a language model's KV cache, on all its GPUs together",
        "token",
        text=SIZE_BYTES,
    ).default(None)
