"""How many rows an execution on a GPU takes, and how many instances a card has of a model."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tritongen.model.facts import precision_of
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.graph_work import GraphWork
from tritongen.planner.context import CLIENT_ROWS, GOAL_SHARE, ModelInput, show_figure
from tritongen.planner.gpu_memory import gpu_memory
from tritongen.planner.roofline import (
    UNCERTAINTY,
    MachineRates,
    busy_s,
    card_rates,
    execution_s,
)
from tritongen.queueing import OpenLoop, ServedModel, Server, ServicePoint, ServiceTimes, simulate

MAX_GPU_ROWS = 128
# Rows without a stated rate where no time is known. Chosen: GPUs gain from more rows than CPUs, and
# every size is warmed up.
GPU_ROWS = 32
# Requests that come within this time share an execution where no latency goal is stated. Chosen.
_WINDOW_MS = 50.0
# The smallest batch with at least this share of the greatest throughput is large enough. Chosen.
_KNEE_SHARE = 0.9
NO_SECOND_INSTANCE = "one instance a GPU; a CPU's times do not say whether more pay"
# A second instance where the card would rest for at least this part of an execution. Chosen.
_IDLE_SHARE = 0.5
# Between host and card, bytes a second: PCIe 3 with 16 lanes.
_HOST_BANDWIDTH = 12e9
# Any seed will do; the same one makes a plan the same everywhere.
_SEED, _REQUESTS = 20_260_101, 2_000
# A rate is too much where more than this share of the requests is without an answer at the end.
_BACKLOG_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Roofline:
    """A model on a card.

    Attributes:
        work: by rows.
        rates: of the card.
        card: its name.
    """

    work: GraphWork
    rates: MachineRates
    card: str

    def ms(self, rows: int) -> float:
        """Milliseconds of an execution."""
        return execution_s(self.work.of(rows), self.rates) * 1e3

    def words(self, rows: int) -> str:
        """The estimate for people."""
        return (
            f"by roofline {_many(rows)} {show_figure(self.ms(rows))} ms on {self.card}, which was "
            f"not measured and may be {UNCERTAINTY:g} times as long or as short"
        )


def _many(rows: int) -> str:
    return f"{rows} rows take" if rows > 1 else "one row takes"


def roofline(model: ModelInput) -> Roofline | None:
    """The model on the target's card, None where either is not known."""
    work = model.trial.work if model.trial is not None else None
    card = model.gpu.card if model.gpu is not None else None
    if work is None or card is None:
        return None
    return Roofline(work, card_rates(card, precision_of(model.facts)), card.name)


def rows_by_rate(model: ModelInput) -> tuple[int, str]:
    """The size where no time of an execution is known: what comes within a window."""
    rate, goal = model.intent.planning_rate, model.intent.latency_ms
    if rate is None:
        return GPU_ROWS, "no rate is stated"
    window_ms = _WINDOW_MS if goal is None else goal * GOAL_SHARE
    coming = rate * model.intent.request_batch * window_ms / 1000
    rows = min(MAX_GPU_ROWS, 2 ** math.ceil(math.log2(max(coming, 1.0))))
    return rows, f"{coming:.3g} rows come within {window_ms:g} ms"


def choose_rows(model: ModelInput, sizes: Sequence[int], copies: int) -> tuple[int, str]:
    """The rows of the greatest execution, and why.

    Args:
        model: with a proven batch axis.
        sizes: ascending ones that fit memory and limits; at least one.
        copies: cards that share its requests.
    """
    known = roofline(model)
    if known is None:
        rows, why = rows_by_rate(model)
        if model.gpu is not None and model.gpu.card is not None:
            why += "; its operations were not counted, so that no time is estimated"
        roomy = [size for size in sizes if size <= max(rows, CLIENT_ROWS)]
        return max(roomy, default=sizes[0]), why
    rate, goal = model.intent.planning_rate, model.intent.latency_ms
    roomy = [size for size in sizes if size >= CLIENT_ROWS] or list(sizes[-1:])
    if goal is None or _within(known, roomy[0], goal):
        sizes = roomy
    if rate is not None:
        at = f"{show_figure(rate)} requests/s" + (f" on {copies} GPUs" if copies > 1 else "")
        for size in sizes:
            latency_ms = _simulated_ms(model, known, size, rate / copies)
            if latency_ms is None or (goal is not None and latency_ms > goal):
                continue
            within = "" if goal is None else f" within {goal:g} ms"
            why = (
                f"the fewest that serve {at}{within} by simulation, p{model.intent.percentile:g} "
                f"{show_figure(latency_ms)} ms at {UNCERTAINTY:g} times the estimate"
            )
            return size, f"{why}; {known.words(size)}"
    rows, why = _knee(known, sizes, goal)
    if rate is not None:
        why = f"no size serves {at} at {UNCERTAINTY:g} times the estimate; {why}"
    return rows, why


def _knee(known: Roofline, sizes: Sequence[int], goal: float | None) -> tuple[int, str]:
    """The fewest rows with about the greatest throughput, within half of the goal."""
    if goal is not None and not _within(known, sizes[0], goal):
        rows = sizes[0]
        return rows, f"the fewest, which at worst miss half of {goal:g} ms; {known.words(rows)}"
    sizes = [size for size in sizes if goal is None or _within(known, size, goal)]
    most = max(size / known.ms(size) for size in sizes)
    rows = next(size for size in sizes if size / known.ms(size) >= _KNEE_SHARE * most)
    within = f" that at worst holds half of {goal:g} ms" if goal is not None else ""
    why = f"the fewest with {_KNEE_SHARE:.0%} of the greatest throughput{within}"
    return rows, f"{why}; {known.words(rows)}"


def _within(known: Roofline, rows: int, goal: float) -> bool:
    """Whether an execution holds its share of the goal, were it as slow as the estimate allows."""
    return known.ms(rows) * UNCERTAINTY <= goal * GOAL_SHARE


def _simulated_ms(model: ModelInput, known: Roofline, rows: int, rate: float) -> float | None:
    """The goal's percentile at a rate, None where requests come faster than they are served."""
    own = model.intent.request_batch
    if rows < own or rate * own * UNCERTAINTY * known.ms(rows) / 1e3 >= rows:
        return None
    points = tuple(
        ServicePoint(2**power, 1, UNCERTAINTY * known.ms(2**power) / 1e3)
        for power in range(rows.bit_length())
    )
    served = ServedModel(
        "model",
        ServiceTimes(points, 1.0, contention=0.0),
        OpenLoop(rate),
        max_batch_size=rows,
        queue_delay_s=0.0,
        rows=(own,),
    )
    found = simulate(Server((served,), 1.0), seed=_SEED, requests=_REQUESTS).of("model")
    if found.unfinished > _BACKLOG_SHARE * _REQUESTS:
        return None
    return found.latency_s(model.intent.percentile) * 1e3


def choose_instances(model: ModelInput, rows: int, room: int) -> tuple[int, str]:
    """One instance, or two where the card would rest for half of an execution, and why.

    Args:
        model: on a GPU.
        rows: of its greatest execution.
        room: bytes that it may take.
    """
    known = roofline(model)
    if known is None:
        return 1, NO_SECOND_INSTANCE
    work = known.work.of(rows)
    copied_s = _copied_bytes(model, rows) / _HOST_BANDWIDTH
    whole_s = execution_s(work, known.rates) + copied_s
    idle = 1 - busy_s(work, known.rates) / whole_s
    of = f"{rows} rows" if rows > 1 else "one row"
    resting = f"by roofline {known.card} rests for {idle:.0%} of the time of {of}"
    if idle < _IDLE_SHARE:
        return 1, f"{resting}, so a second instance would wait for the first"
    if gpu_memory(model, rows, 2).total > room:
        return 1, f"{resting}, and the memory holds no second instance"
    return 2, f"{resting}, while kernels start and data is copied: a second instance uses it"


def _copied_bytes(model: ModelInput, rows: int) -> int:
    """Inputs and outputs of an execution."""
    trial = model.trial
    tensors = (*trial.inputs, *trial.outputs) if trial is not None else ()
    return rows * sum(item.dtype.itemsize * math.prod(item.shape) for item in tensors)


def speed_findings(model: ModelInput, rows: int, cards: int) -> Iterator[Finding]:
    """Goals that the model misses even where executions are as fast as the estimate allows.

    Args:
        model: on a GPU.
        rows: of its greatest execution.
        cards: that share its requests.
    """
    known, goal, rate = roofline(model), model.intent.latency_ms, model.intent.planning_rate
    if known is None:
        return
    name, own = model.facts.name, model.intent.request_batch
    if goal is not None and known.ms(own) / UNCERTAINTY > goal:
        message = f"one execution of {name} misses the goal of {goal:g} ms: {known.words(own)}"
        yield finding("TG314", Severity.WARNING, message, field="latency")
    if rate is not None:
        busy = rate * own * known.ms(rows) / rows / 1e3 / UNCERTAINTY
        if busy > cards:
            message = (
                f"{show_figure(rate)} requests/s keep {show_figure(busy)} GPUs busy even if "
                f"executions are {UNCERTAINTY:g} times as fast as estimated; of {cards} the queue "
                "would grow without end"
            )
            yield finding("TG315", Severity.WARNING, message, field="rate")
