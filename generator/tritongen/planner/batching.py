"""Maximum batch size and dynamic batching."""

import math
import statistics
from dataclasses import dataclass, replace

from tritongen.model.backends import BatchSupport
from tritongen.model.evidence import BatchVerdict, Trial, Tuned
from tritongen.model.intent import Overload
from tritongen.model.serving_plan import DynamicBatching, Planned, QueuePolicy, Reason, Source
from tritongen.planner.context import (
    CLIENT_ROWS,
    GOAL_SHARE,
    ModelInput,
    decided,
    tuned_reason,
)
from tritongen.planner.gpu_memory import trial_row_bytes
from tritongen.planner.gpu_placement import GpuPlace
from tritongen.planner.gpu_rows import roofline, rows_by_rate

# Merging requests must save at least this share of the time an item costs alone.
MATERIAL_GAIN = 0.10
# So much of that share may be the noise of the two times, or a third of the usual spread of a time
# where that is more: two trials of one model were seen to say 0.88 and 0.91.
NOISE = 0.03
# The smallest batch whose items cost at most this much more than the cheapest is large enough.
KNEE_STEP = 0.05
# What the server itself spends on a request, at least: parsing, queueing, answering.
OVERHEAD_MS = 0.05
# Memory of the smallest GPU that is common in clouds; what holds of a container's does for it.
_GPU_BYTES, _GPU_SHARE = 16 * 2**30, 0.8
# Below this load batches do not form, so a delay only adds to the latency.
BUSY = 0.7


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The batch part of a model's plan; `off` says why dynamic batching is off."""

    max_batch_size: Planned[int]
    batching: DynamicBatching | None
    off: Reason | None


def plan_batching(
    model: ModelInput, instances: int, threads: int, place: GpuPlace | None = None
) -> BatchPlan:
    """Decide from the proof of the batch axis, the measured costs and the latency goal.

    Args:
        model: with intent and trial.
        instances: of the model.
        threads: of each.
        place: on a GPU, None on a CPU and where nothing is known of the GPU.
    """
    refused = _refused(model)
    if refused is not None:
        return BatchPlan(Planned(0, refused), None, refused)
    if model.tuned is not None:
        return _tuned(model.tuned)
    if model.verdict is BatchVerdict.COUPLED:
        return _coupled(model)
    if model.verdict is not BatchVerdict.PROVEN:
        return _on_the_users_word(model)
    if model.on_gpu:
        return _on_gpu(model) if place is None else _placed(model, place)
    best = _best_batch(model, threads)
    return _no_gain(model) if best is None else _merging(model, best, instances, threads)


def _refused(model: ModelInput) -> Reason | None:
    """Why max_batch_size is 0, None when it is not."""
    if model.backend.batching is BatchSupport.REQUIRED:
        return None  # rows of a table; the backend refuses 0
    if model.backend.batching is BatchSupport.EXACT:
        return Reason(
            Source.RULE,
            f"above 0, the {model.backend.name} backend fails every execution of fewer rows than "
            "max_batch_size; the full shape is served",
        )
    python = model.facts.python
    if python is not None and python.max_batch_size == 0:
        return Reason(Source.MODEL, "the model sets max_batch_size to 0")
    return _no_batch_axis(model)


def _no_batch_axis(model: ModelInput) -> Reason | None:
    intent = model.intent
    if intent.batch is False or intent.max_batch_size == 0:
        return Reason(Source.INTENT, "batching is forbidden in tritongen.yaml")
    if model.tuned is not None and model.tuned.max_batch_size == 0:
        return tuned_reason(model.tuned)
    proof = model.trial.proof if model.trial else None
    if proof is not None and model.verdict is BatchVerdict.DISPROVEN:
        return Reason(Source.TRIAL, f"no batch axis: {proof.reason}")
    if model.verdict is BatchVerdict.UNTESTED and intent.batch is not True:
        why = proof.reason if proof is not None and model.ran else _why_not_run(model.trial)
        axis = "the first axes are dynamic, but " if model.syntactic_batch else ""
        return Reason(
            Source.RULE, f"{axis}no batch axis is proven ({why}), so the full shape is served"
        )
    if not model.syntactic_batch:
        return Reason(Source.MODEL, "not every input and output has a dynamic first axis")
    return None


def _why_not_run(trial: Trial | None) -> str:
    return "the model was not tried" if trial is None else "the trial failed"


def _tuned(tuned: Tuned) -> BatchPlan:
    reason = tuned_reason(tuned)
    size = Planned(tuned.max_batch_size, reason)
    if tuned.queue_delay_us is None or tuned.max_batch_size <= 1:
        return BatchPlan(size, None, reason)
    return BatchPlan(size, DynamicBatching(Planned(tuned.queue_delay_us, reason)), None)


def _coupled(model: ModelInput) -> BatchPlan:
    size = decided(
        model.limited(model.intent.most_rows),
        Source.TRIAL,
        "rows change with their neighbours, so only a client's own rows share an execution",
        (("max_abs_diff", model.trial.proof.max_abs_diff if model.trial else 0.0),),
    )
    off = "a row's result changes with the rows beside it, so requests are not merged"
    return BatchPlan(size, None, Reason(Source.TRIAL, off))


def _client_rows(model: ModelInput) -> int:
    """Room for the rows of one client's request."""
    return model.limited(max(CLIENT_ROWS, model.intent.most_rows))


def _on_the_users_word(model: ModelInput) -> BatchPlan:
    rows = _client_rows(model)
    if model.backend.batching is BatchSupport.REQUIRED:
        size = decided(max(1, rows), Source.RULE, "the format's inputs are tables of rows")
    else:
        why = "tritongen.yaml states the batch axis; it is not proven"
        size = decided(rows, Source.INTENT, why)
    off = Reason(Source.RULE, "no measurement shows that merging requests gains anything")
    return BatchPlan(size, None, off)


def _on_gpu(model: ModelInput) -> BatchPlan:
    """Merging on, whatever a CPU takes; the size by rate and memory alone."""
    rows, why = rows_by_rate(model)
    each = trial_row_bytes(model)
    fitting = int(_GPU_BYTES * _GPU_SHARE - model.facts.weight_bytes) // max(1, each)
    if fitting < rows:
        rows = 2 ** (max(1, fitting).bit_length() - 1)
        why = f"a row took {each / 2**20:.0f} MiB in the trial, for {_GPU_BYTES >> 30} GiB of a GPU"
    rows = model.limited(max(rows, model.intent.most_rows, min(CLIENT_ROWS, max(1, fitting))))
    why += "; a CPU's times do not count for a GPU"
    return _merging_on_gpu(model, rows, why, _no_delay())


def _placed(model: ModelInput, place: GpuPlace) -> BatchPlan:
    """Merging on, with the size that was chosen for the card."""
    rows, why = place.rows
    known, delay = roofline(model), _no_delay()
    stated = model.intent.planning_rate is not None and model.intent.latency_ms is not None
    if known is not None and stated:
        instances = place.instances.value * (len(place.gpus.value) if place.gpus else 1)
        delay = _delay(model, rows, known.ms(rows), instances, known.ms(1))
        sentence = f"{delay.reason.sentence}; times by roofline, not measured"
        delay = replace(delay, reason=replace(delay.reason, sentence=sentence))
    return _merging_on_gpu(model, rows, why, delay)


def _no_delay() -> Planned[int]:
    why = "batches form from what waits while the GPU is busy; nothing was measured on one"
    return decided(0, Source.RULE, why)


def _merging_on_gpu(model: ModelInput, rows: int, why: str, delay: Planned[int]) -> BatchPlan:
    policy, goal = None, model.intent.latency_ms
    if goal is not None and model.intent.overload is Overload.REJECT:
        limit = f"half of {goal:g} ms, since no execution was measured on a GPU"
        policy = QueuePolicy(int(goal * GOAL_SHARE * 1000), 0, Reason(Source.INTENT, limit))
    size = decided(rows, Source.TRIAL, f"batch axis proven; {why}{_bound(model)}")
    if rows <= 1:
        return BatchPlan(size, None, Reason(Source.RULE, "an execution takes no more than one row"))
    return BatchPlan(size, DynamicBatching(delay, queue_policy=policy), None)


def _item_cost(model: ModelInput, batch: int, threads: int) -> float | None:
    """Milliseconds per item; at one thread where this thread count was not measured."""
    cost = model.cost_ms(batch, threads)
    single = model.cost_ms(1, threads)
    if cost is None or single is None:
        cost = model.cost_ms(batch, 1)
    return None if cost is None else cost / batch


def _best_batch(model: ModelInput, threads: int) -> int | None:
    """The knee of the item cost within the latency goal, None when merging gains too little."""
    alone = _item_cost(model, 1, threads)
    goal = model.intent.latency_ms
    if alone is None:
        return None
    items: dict[int, float] = {}
    for batch in sorted({cost.batch for cost in model.costs}):
        item = _item_cost(model, batch, threads)
        if item is None or batch == 1 or batch > model.limited(batch):
            continue
        if goal is not None and item * batch > goal * GOAL_SHARE:
            break
        items[batch] = item
    least = min(items.values(), default=alone)
    if least > alone * _gaining_share(model):
        return None
    return next(batch for batch, item in items.items() if item <= least * (1 + KNEE_STEP))


def _gaining_share(model: ModelInput) -> float:
    """Share of its cost alone below which an item gains beyond the noise of the times."""
    spread = statistics.median([cost.spread for cost in model.costs if cost.threads == 1] or [0.0])
    return (1 - MATERIAL_GAIN) * (1 - max(NOISE, min(spread / 3, 0.5)))


def _no_gain(model: ModelInput) -> BatchPlan:
    alone = model.cost_ms(1, 1)
    items = {
        cost.batch: cost.ms / cost.batch
        for cost in model.costs
        if cost.batch > 1 and cost.threads == 1
    }
    numbers: tuple[tuple[str, float], ...] = ()
    if alone is None or not items:
        why = "costs were not measured"
    else:
        batch = min(items, key=lambda size: items[size])
        share = items[batch] / alone
        numbers = (("item_ms_alone", alone), (f"item_ms_at_{batch}", items[batch]))
        why = f"an item costs {share:.2f} of its cost alone at batch {batch}, the best measured"
        if _gaining_share(model) < share <= 1 - MATERIAL_GAIN:
            why += ", and the gain may be noise"
        elif model.intent.latency_ms is not None and share <= 1 - MATERIAL_GAIN:
            why += ", and batches that gain do not fit the latency goal"
    what = f"{_proven(model)}; room for rows of one client request{_bound(model)}"
    off = Reason(Source.TRIAL, f"merging gains too little ({why})", numbers)
    return BatchPlan(decided(_client_rows(model), Source.TRIAL, what), None, off)


def _proven(model: ModelInput) -> str:
    """That the batch axis is, and on what."""
    on_samples = model.trial is not None and model.trial.on_samples
    return f"batch axis proven on {'samples' if on_samples else 'made-up values'}"


def _bound(model: ModelInput) -> str:
    """That the runtime refuses more rows, where it does."""
    rows = model.row_bound
    return f"; the runtime refuses more than {rows} rows" if rows else ""


def _merging(model: ModelInput, best: int, instances: int, threads: int) -> BatchPlan:
    alone = _item_cost(model, 1, threads) or 0.0
    item = _item_cost(model, best, threads) or alone
    rows = model.limited(max(best, CLIENT_ROWS, model.intent.most_rows))
    room = "" if rows <= best else ", room for rows of one client request"
    size = decided(
        rows,
        Source.TRIAL,
        f"{_proven(model)}{room}; an item costs {item / alone:.2f} of its cost alone at batch "
        f"{best}, within {KNEE_STEP:.0%} of the best measured{_bound(model)}",
        (("item_ms_alone", alone), (f"item_ms_at_{best}", item)),
    )
    delay = _delay(model, best, item * best, instances, alone)
    policy = _policy(model, best, item * best, instances)
    return BatchPlan(size, DynamicBatching(delay, queue_policy=policy), None)


def _delay(
    model: ModelInput, batch: int, execution_ms: float, instances: int, alone_ms: float
) -> Planned[int]:
    rate, goal = model.intent.planning_rate, model.intent.latency_ms
    if rate is None or goal is None:
        stated = {"rate": rate, "latency goal": goal}
        what = " and ".join(name for name, value in stated.items() if value is None)
        why = f"no {what} stated; batches form from what waits while the instances are busy"
        return decided(0, Source.RULE, why)
    load = rate * alone_ms / 1000 / instances
    if load < BUSY:
        return decided(
            0,
            Source.INTENT,
            f"at {rate:g}/s instances are busy {load:.0%} of the time, so waiting for company "
            "would only add latency",
            (("load", round(load, 3)),),
        )
    slack_ms = max(0.0, goal - 2 * execution_ms)
    fill_ms = (batch - 1) / rate * 1000
    delay_us = int(min(slack_ms / 2, fill_ms) * 1000)
    reason = Reason(
        Source.INTENT,
        f"{delay_us} µs: the lesser of the time in which {batch} requests arrive at {rate:g}/s "
        f"and half of what {goal:g} ms leaves after two executions",
        (("load", round(load, 3)), ("fill_ms", fill_ms), ("slack_ms", slack_ms)),
    )
    return Planned(delay_us, reason)


def _policy(
    model: ModelInput, batch: int, execution_ms: float, instances: int
) -> QueuePolicy | None:
    # Not by default: with a limited queue Triton's batcher misses wake-ups while an instance is
    # being released, and then a lone request waits 500 ms (seen on Triton 2.51).
    goal = model.intent.latency_ms
    if goal is None or model.intent.overload is not Overload.REJECT:
        return None
    timeout_ms = goal - execution_ms
    capacity = instances * batch / (execution_ms + batch * OVERHEAD_MS)
    size = max(batch, math.ceil(capacity * timeout_ms))
    return QueuePolicy(
        timeout_us=int(timeout_ms * 1000),
        max_queue_size=size,
        reason=Reason(
            Source.INTENT,
            f"a request that waited {timeout_ms:.3g} ms cannot be answered within {goal:g} ms any "
            f"more, and {size} requests are what the instances work off in that time",
            (("goal_ms", goal), ("execution_ms", execution_ms)),
        ),
    )
