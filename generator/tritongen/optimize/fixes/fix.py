"""What a fix is: a small named rewrite that removes a finding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tritongen.optimize.child_jobs import StageRefusal, TargetRuntime
from tritongen.optimize.rewrite_proof import Adapter
from tritongen.optimize.rewritten_graph import Graph


class CannotFix(StageRefusal):
    """There is something to fix and no sound way to do it; the message says why."""


@dataclass(frozen=True, slots=True)
class FixContext:
    """What a fix needs to know beside the graph.

    Attributes:
        runtime: the target's ONNX Runtime.
        string_labels: whether texts of class labels stay texts; False makes them indices.
        batch: the user's word on batching; False keeps the batch axis as it is.
        observed: shape of each output as the model's own run gave it.
        attempt: 0 for the first way to do it, and so on up to `Fix.attempts` - 1.
    """

    runtime: TargetRuntime
    string_labels: bool = True
    batch: bool | None = None
    observed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What a fix did.

    Attributes:
        reason: one sentence.
        adapter: how the rewritten model is compared with the one before.
        claims_batch: whether axis 0 of every input and output is now the batch axis.
        renamed: new name by old name, of inputs and outputs.
        labels: class names by index.
        labels_of: the output that they belong to.
    """

    reason: str
    adapter: Adapter = field(default_factory=Adapter)
    claims_batch: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    labels_of: str = ""


@dataclass(frozen=True, slots=True)
class Fix:
    """A rewrite with a name.

    Attributes:
        name: as it is printed and recorded.
        codes: findings that it removes.
        summary: what it does, one short phrase.
        rewrite: changes the graph in place and tells what it did; None when there is nothing to
            do. Raises `CannotFix` when there is, and it cannot be done.
        attempts: ways to do it, tried in turn until one is proven.
    """

    name: str
    codes: tuple[str, ...]
    summary: str
    rewrite: Callable[[Graph, FixContext], Rewrite | None]
    attempts: int = 1
