"""Memory that a model takes on a GPU, before anything is launched there."""

from dataclasses import dataclass

from tritongen.model.facts import ModelFormat
from tritongen.model.lock import CONTEXT_BYTES
from tritongen.model.target_gpu import TargetGpu
from tritongen.planner.context import ModelInput, mebibytes

# Of a process of the Python backend, each instance one of its own: another context.
_PROCESS_BYTES = 320 * 2**20
# Of what a card has, for what the estimate does not know. Chosen.
_USABLE_SHARE = 0.85
# Beside what the greatest operator reads and writes: tensors that later ones still need, and an
# arena that grows in powers of two. Chosen.
_ARENA_FACTOR = 3
# cuDNN searches its algorithms with as much room as it gets; 0.1 to 1 GB are usual.
_CONVOLUTION_BYTES = 256 * 2**20
# Decoders and buffers of a DALI pipeline, whose graph is not read. Chosen.
_PIPELINE_BYTES = 2**30
_PIPELINES = frozenset({ModelFormat.DALI, ModelFormat.DALI_PYTHON})
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "FusedConv"})


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """What one model takes.

    Attributes:
        instances: each with weights and an arena of its own.
        rows: of the greatest execution.
        weight_bytes: of one instance.
        activation_bytes: of one instance at those rows.
        workspace_bytes: of one instance.
        stated: whether the user says what an instance takes: all of it is workspace.
    """

    instances: int
    rows: int
    weight_bytes: int
    activation_bytes: int
    workspace_bytes: int
    stated: bool = False

    @property
    def total(self) -> int:
        """All of it."""
        each = self.weight_bytes + self.activation_bytes + self.workspace_bytes
        return self.instances * each

    @property
    def sentence(self) -> str:
        """The arithmetic."""
        if self.stated:
            each = f"{mebibytes(self.workspace_bytes)}, as tritongen.yaml states"
            return f"{self.instances} × ({each}) = {mebibytes(self.total)}"
        rows = f" of {self.rows} rows" if self.rows > 1 else ""
        parts = [
            f"{mebibytes(self.weight_bytes)} weights",
            f"{mebibytes(self.activation_bytes)} activations{rows}",
        ]
        if self.workspace_bytes:
            parts.append(f"{mebibytes(self.workspace_bytes)} workspace")
        return f"{self.instances} × ({' + '.join(parts)}) = {mebibytes(self.total)}"


def gpu_memory(model: ModelInput, rows: int, instances: int) -> GpuMemory:
    """What a model takes with so many rows in an execution and instances on the card."""
    stated = model.intent.gpu_memory.instance_bytes
    if stated is not None:
        return GpuMemory(instances, rows, 0, 0, stated, stated=True)
    if model.facts.format in _PIPELINES:
        return GpuMemory(instances, rows, 0, 0, _PIPELINE_BYTES)
    python = model.backend.name == "python"
    convolves = model.facts.graph is not None and any(
        name in _CONVOLUTIONS for name, _ in model.facts.graph.counts
    )
    workspace = _PROCESS_BYTES if python else _CONVOLUTION_BYTES if convolves else 0
    return GpuMemory(
        instances, rows, model.facts.weight_bytes, _activations(model, rows), workspace
    )


def _activations(model: ModelInput, rows: int) -> int:
    """By the graph's shapes; where they are not known, by what the trial took."""
    work = model.trial.work if model.trial is not None else None
    if work is not None:
        return work.of(rows).live_bytes * _ARENA_FACTOR
    return trial_row_bytes(model) * rows


def trial_row_bytes(model: ModelInput) -> int:
    """What a row took in the trial, beside the weights."""
    tried = max((cost.batch for cost in model.costs), default=1)
    peak = model.trial.peak_bytes if model.trial is not None else 0
    return max(0, peak - model.facts.weight_bytes) // tried


def room_of(gpu: TargetGpu, taken: int = 0) -> int | None:
    """Bytes of a card that models may take; None where nothing is known of it.

    Args:
        gpu: of the target.
        taken: of it, by engines of language models.
    """
    usable = gpu.usable_bytes
    if usable is None:
        return None
    return max(0, int((usable - taken) * _USABLE_SHARE) - CONTEXT_BYTES)


def room_sentence(gpu: TargetGpu) -> str:
    """How much of a card models may take, and why."""
    name = gpu.card.name if gpu.card is not None else "the card"
    whole, room = mebibytes(gpu.usable_bytes or 0), mebibytes(room_of(gpu) or 0)
    kept = f"{mebibytes(CONTEXT_BYTES)} for CUDA's context and Triton's pools"
    return f"of {name}'s {whole} models may take {room}: {_USABLE_SHARE:.0%} without {kept}"
