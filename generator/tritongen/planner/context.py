"""What the planning of one model rests on, gathered once."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tritongen.model.backends import BackendRules
from tritongen.model.business import Clients
from tritongen.model.declared_tensors import reported_shapes
from tritongen.model.evidence import BatchVerdict, Cost, Served, Trial, Tuned
from tritongen.model.facts import ModelFacts
from tritongen.model.intent import ModelIntent
from tritongen.model.releases import Release
from tritongen.model.serving_plan import Planned, Reason, Source
from tritongen.model.target_gpu import TargetGpu
from tritongen.model.tensors import Shape, TensorSpec

T = TypeVar("T")

# One execution may use this share of the latency goal; the rest is for waiting and the network.
GOAL_SHARE = 0.5
# Rows that a client may always send in one request, whatever size serves fastest. Chosen: a request
# of more is rare where none is stated, and room for eight costs nothing but the warm-up.
CLIENT_ROWS = 8


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One model with everything that is known and wanted of it.

    Attributes:
        facts: from the file.
        intent: from `tritongen.yaml`.
        backend: the backend's rules.
        release: the target Triton.
        trial: None when it was not run.
        tuned: None when it was not tuned.
        gpus: number of GPUs of the target.
        served: times on a server, None when there are none.
        clients: who sends requests.
        gpu: what each of the target's GPUs is, None where nothing is said of it.
    """

    facts: ModelFacts
    intent: ModelIntent
    backend: BackendRules
    release: Release
    trial: Trial | None
    tuned: Tuned | None
    gpus: int = 0
    served: Served | None = None
    clients: Clients = field(default_factory=Clients)
    gpu: TargetGpu | None = None

    @property
    def ran(self) -> bool:
        """Whether the trial ran the model."""
        return self.trial is not None and self.trial.ok

    @property
    def on_gpu(self) -> bool:
        """Whether its instances run on the target's GPUs."""
        return self.gpus > 0 and "GPU" in self.backend.kinds

    @property
    def device(self) -> str:
        """The card that its instances run on, "GPU" where nothing is said of it; empty for CPUs."""
        if not self.on_gpu:
            return ""
        card = self.gpu.card if self.gpu is not None else None
        return card.name if card is not None else "GPU"

    @property
    def needed_cores(self) -> int:
        """Cores without which it cannot be planned: one instance's, else what the user fixes."""
        return (self.intent.instances or 1) * (self.intent.threads or 1)

    @property
    def verdict(self) -> BatchVerdict:
        """What the trial says of axis 0."""
        if self.trial is None or not self.trial.ok:
            return BatchVerdict.UNTESTED
        return self.trial.proof.verdict

    def limited(self, rows: int) -> int:
        """Rows within the user's limit, the model's own, its plan's, and what the runtime takes."""
        own = self.facts.python.max_batch_size if self.facts.python is not None else None
        plan = self.facts.plan.max_rows if self.facts.plan is not None else 0
        limits = (self.intent.max_batch_size, own, self.row_bound or None, plan or None)
        return min((rows, *(limit for limit in limits if limit is not None)))

    @property
    def syntactic_batch(self) -> bool:
        """Whether every input and output has a dynamic first axis; syntax, not proof."""
        tensors = (*self.shapes_in(), *self.shapes_out())
        return bool(tensors) and all(
            shape is not None and shape and not isinstance(shape[0], int) for _, shape in tensors
        )

    def shapes_in(self) -> tuple[tuple[TensorSpec, Shape | None], ...]:
        """Inputs with the shape that the backend will check against, and at sizes that they take.

        A fixed size in the configuration is one that the server itself refuses another for.
        """
        if self.trial is None:
            return reported_shapes(self.facts.inputs, ())
        fixed = self.trial.fixed_sizes
        return tuple(
            (
                spec,
                shape
                and tuple(fixed.get((spec.name, axis), dim) for axis, dim in enumerate(shape)),
            )
            for spec, shape in reported_shapes(self.facts.inputs, self.trial.reported_inputs)
        )

    def shapes_out(self) -> tuple[tuple[TensorSpec, Shape | None], ...]:
        """Outputs with the shape that the backend will check against."""
        return reported_shapes(
            self.facts.outputs, self.trial.reported_outputs if self.trial else ()
        )

    @property
    def costs(self) -> tuple[Cost, ...]:
        """What was measured with operators in sequence; empty where the model was not run."""
        costs = self.trial.costs if self.trial is not None else ()
        return tuple(cost for cost in costs if cost.inter_op == 1)

    @property
    def row_bound(self) -> int:
        """Rows of which the runtime refuses more; 0 where it was not seen to refuse any."""
        return self.trial.proof.bound if self.trial is not None else 0

    def cost_ms(self, batch: int, threads: int = 1) -> float | None:
        """Measured median of one execution, None when it was not measured."""
        return self.trial.cost_ms(batch, threads) if self.trial else None


def decided(
    value: T, source: Source, why: str, numbers: tuple[tuple[str, float | int | str], ...] = ()
) -> Planned[T]:
    """A value whose reason names it first: ``8: what follows``."""
    return Planned(value, Reason(source, f"{value}: {why}", numbers))


def tuned_reason(tuned: Tuned) -> Reason:
    """The reason of everything that the tuner chose, with what it measured."""
    cores = f" on {tuned.cores} {'core' if tuned.cores == 1 else 'cores'}" if tuned.cores else ""
    where = f" on {tuned.gpu}" if tuned.gpu else cores
    figures = ", ".join(_figures(tuned.numbers))
    sentence = f"tuned for {tuned.goal}{where}" + (f": {figures}" if figures else "")
    sentence += f"; measured on {tuned.measured_on}" if tuned.measured_on else ""
    return Reason(Source.MEASURED, sentence, tuple(tuned.numbers.items()))


def _figures(numbers: Mapping[str, float]) -> Iterator[str]:
    """What the tuner measured, for people; what it did not measure is left out."""
    rate, latency = numbers.get("throughput_per_s"), numbers.get("p99_us")
    low, high = numbers.get("throughput_low"), numbers.get("throughput_high")
    if rate is not None:
        span = f" ({show_figure(low)} to {show_figure(high)})" if low and high else ""
        yield f"{show_figure(rate)} requests/s{span}"
    if latency is not None:
        yield f"p99 {show_figure(latency / 1e3)} ms"
    default, slow = numbers.get("default_throughput_per_s"), numbers.get("default_p99_us")
    if default is not None:
        tail = f" at p99 {show_figure(slow / 1e3)} ms" if slow is not None else ""
        yield f"by the auto-completed configuration {show_figure(default)}/s{tail}"
    measured, rounds = numbers.get("candidates"), numbers.get("rounds")
    if measured is not None and rounds is not None:
        many = "candidate" if measured == 1 else "candidates"
        often = "once" if rounds == 1 else f"{rounds:.0f} times"
        yield f"measured {often}, {measured:.0f} {many} in all"


def show_number(name: str, value: float | str) -> str:
    """One of a reason's numbers under its name, in a unit that people read: ``p99 27.4 ms``."""
    words = name.replace("_", " ")
    if isinstance(value, str):
        return f"{words} {value}"
    if name.endswith("_us"):
        return f"{words[:-3]} {show_figure(value / 1e3)} ms"
    if name.endswith("_per_s"):
        return f"{words[:-6]} {show_figure(value)}/s"
    if isinstance(value, int) or value.is_integer():
        return f"{words} {value:,.0f}"
    return f"{words} {show_figure(value)}"


def show_rate(value: float) -> str:
    """A rate with up to four digits and never an exponent: ``0.25``, ``50``, ``11,000``."""
    return f"{value:,.0f}" if value >= 999.95 else f"{value:.4g}"


def show_figure(value: float) -> str:
    """Three significant digits, never with an exponent: ``0.123``, ``12.3``, ``1,230``."""
    if value == 0.0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, digits)}f}"


def mebibytes(value: int) -> str:
    """Bytes for people: ``180 MiB``, ``13 GiB``."""
    if value < 2**30:
        return f"{value / 2**20:.0f} MiB"
    return f"{value / 2**30:.3g} GiB"
