"""Sequences as `tritongen.yaml` states them: requests that belong together, and their state."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tritongen.model.intent_key import DURATION_MS, Key, TextForm


class SequenceStrategy(StrEnum):
    """How Triton's sequence batcher forms executions."""

    OLDEST = "oldest"
    DIRECT = "direct"


class SequenceControl(StrEnum):
    """What the sequence batcher can tell a model of each request."""

    START = "start"
    END = "end"
    READY = "ready"
    ID = "id"


@dataclass(frozen=True, slots=True)
class SequenceIntent:
    """Requests that belong together, and the state that the server keeps between them."""

    state: Mapping[str, str] = Key(
        "state input: the output that holds the next state; the server keeps it",
        text=TextForm("the name of an output"),
    ).mapping()
    initial: Mapping[str, str] = Key(
        "state input: a file with the first state, raw little-endian numbers; else zeros",
        text=TextForm("a path below this folder", r"[A-Za-z0-9_][A-Za-z0-9_./-]*"),
    ).mapping()
    controls: Mapping[SequenceControl, str] = Key(
        "inputs of the model that the server fills",
        text=TextForm("the name of an input"),
        members={
            SequenceControl.START: "input that is 1 at a sequence's first request",
            SequenceControl.END: "input that is 1 at a sequence's last request",
            SequenceControl.READY: "input that is 1 for rows that hold a request",
            SequenceControl.ID: "input that holds the sequence's number",
        },
    ).mapping()
    strategy: SequenceStrategy = Key(
        "oldest (default) batches sequences as they come, direct gives each a row of its own"
    ).default(SequenceStrategy.OLDEST)
    concurrent: int | None = Key(
        "sequences open at the same time", minimum=1, maximum=1_000_000
    ).default(None)
    idle_ms: float | None = Key(
        "a sequence without requests for so long loses its state", "idle", text=DURATION_MS
    ).default(None)

    @property
    def own_inputs(self) -> frozenset[str]:
        """Inputs of the model that the server feeds itself."""
        return frozenset(self.state) | frozenset(self.controls.values())
