"""Inputs and outputs, backend parameters, warm-up, versions and cache of one model."""

from collections.abc import Sequence
from dataclasses import replace

from tritongen.model.backends import ThreadRule, ThreadScope
from tritongen.model.evidence import AxisProof, Trial
from tritongen.model.releases import at_least
from tritongen.model.serving_plan import (
    DynamicBatching,
    InstanceKind,
    Planned,
    PlannedTensor,
    Reason,
    Source,
    Warmup,
    WarmupInput,
)
from tritongen.model.tensors import DType, Shape, TensorSpec, show_shape, wire_dims
from tritongen.planner.context import ModelInput, decided, tuned_reason

# The backend's keys with their values.
Keys = tuple[tuple[str, Planned[str]], ...]

# Side-by-side operators must be at least this much faster to be worth their threads.
PARALLEL_GAIN = 0.05
# Of a configuration's text, for all warm-up samples with their comment. Chosen: one screenful.
MAX_WARMUP_LINES = 60


def plan_parameters(
    model: ModelInput, instances: Planned[int], threads: Planned[int], kind: InstanceKind
) -> Keys:
    """The backend's keys: what the file asks for, and threads, as the release reads them.

    An instance whose operators run side by side has intra + inter - 1 threads; that sum never
    exceeds `threads`.
    """
    settings = tuple(
        (item.key, Planned(item.value, Reason(Source.MODEL, item.why)))
        for item in model.backend.settings(model.facts, model.release.tag)
    )
    # Beside a GPU, too, each instance would otherwise start a thread for every core.
    if kind is not InstanceKind.CPU and model.backend.threads.scope is not ThreadScope.INSTANCE:
        return settings
    return (*settings, *_thread_keys(model, instances, threads), *_arena_key(model, kind))


def _thread_keys(model: ModelInput, instances: Planned[int], threads: Planned[int]) -> Keys:
    rule = model.backend.threads
    if not _read(model, rule.intra_key):
        return ()
    if rule.scope is ThreadScope.MODEL:
        return _model_keys(rule, instances, threads)
    own = (rule.intra_key, Planned(str(threads.value), threads.reason))
    if not rule.mode_key:
        if not _read(model, rule.inter_key):
            return (own,)
        why = "no second pool beside an instance's own threads"
        return (own, (rule.inter_key, decided("1", Source.RULE, why)))
    parallel = _parallel(model, threads.value)
    if parallel is None or not rule.inter_key or not _read(model, rule.mode_key):
        return (own,)
    intra, inter, reason = parallel
    return (
        (rule.intra_key, Planned(str(intra), reason)),
        (rule.mode_key, Planned("1", reason)),
        (rule.inter_key, Planned(str(inter), reason)),
    )


def _arena_key(model: ModelInput, kind: InstanceKind) -> Keys:
    """The memory arena, where it was measured that an instance is better off without."""
    tuned = model.tuned
    if tuned is None or tuned.arena or kind is not InstanceKind.CPU or not reads_arena(model):
        return ()
    why = tuned_reason(tuned)
    sentence = f"0: measured to be faster without the memory arena; {why.sentence}"
    return ((model.backend.arena_key, Planned("0", replace(why, sentence=sentence))),)


def reads_arena(model: ModelInput) -> bool:
    """Whether the backend has a memory arena that the target's release lets one turn off."""
    return _read(model, model.backend.arena_key)


def _read(model: ModelInput, key: str) -> bool:
    """Whether the target's release reads a key."""
    rule = model.backend.parameter(key) if key else None
    return rule is not None and (not rule.since or at_least(model.release.tag, rule.since))


def _model_keys(rule: ThreadRule, instances: Planned[int], threads: Planned[int]) -> Keys:
    """Threads of the whole model, and one stream for each instance."""
    total = str(instances.value * threads.value)
    sentence = f"{total} for the whole model: {instances.value} instances × {threads.value}"
    keys = [(rule.intra_key, Planned(total, Reason(threads.reason.source, sentence)))]
    if rule.streams_key:
        why = "a stream for each instance, so that none waits for another"
        streams = decided(str(instances.value), instances.reason.source, why)
        keys.append((rule.streams_key, streams))
    return tuple(keys)


def _parallel(model: ModelInput, threads: int) -> tuple[int, int, Reason] | None:
    """Intra-op and inter-op threads where running side by side was measured to help."""
    tuned = model.tuned
    if tuned is not None:
        wide = tuned.inter_op > 1
        return (tuned.threads, tuned.inter_op, tuned_reason(tuned)) if wide else None
    trial, graph = model.trial, model.facts.graph
    sequential = model.cost_ms(1, threads)
    if trial is None or graph is None or sequential is None:
        return None
    for cost in trial.costs:
        fits = cost.inter_op > 1 and cost.batch == 1 and cost.threads + cost.inter_op - 1 <= threads
        if fits and cost.ms <= sequential * (1 - PARALLEL_GAIN):
            reason = Reason(
                Source.TRIAL,
                f"the graph is {graph.width} operators wide: side by side {cost.ms:.3g} ms, in "
                f"sequence {sequential:.3g} ms",
                (("parallel_ms", cost.ms), ("sequential_ms", sequential)),
            )
            return cost.threads, cost.inter_op, reason
    return None


def plan_warmup(
    model: ModelInput, max_batch_size: int, batching: DynamicBatching | None
) -> tuple[tuple[Warmup, ...], Reason]:
    """Zero-filled requests for every batch size that will occur, where the trial ran on zeros."""
    trial = model.trial
    if model.intent.sequence is not None:
        return (), Reason(Source.RULE, "a warm-up request cannot bring the state of a sequence")
    if trial is None or not trial.ok:
        return (), Reason(Source.RULE, "the model was not tried on the zeros that it sends")
    if not trial.zeros_ok:
        why = "the model fails on all-zero inputs, which would stop its load"
        return (), Reason(Source.TRIAL, why)
    stated = model.intent.overlay.get("max_batch_size")
    if isinstance(stated, int) and stated > 0:
        # The overlay has the last word; Triton refuses a sample that is larger.
        max_batch_size = min(max_batch_size, stated)
    wanted = _sizes(model, max_batch_size, batching)
    sizes = _thinned(wanted, len(trial.inputs))
    samples = tuple(
        Warmup(f"batch_{size}", size, _warmup_inputs(trial, max_batch_size > 0)) for size in sizes
    )
    listed = ", ".join(str(size) for size in sizes)
    fewer = ", and other sizes would make this file long" if sizes != wanted else ""
    why = (
        f"the first run of a batch size ({listed}) is slow{fewer}; all-zero inputs ran in the trial"
    )
    return samples, Reason(Source.TRIAL, why)


def _sizes(
    model: ModelInput, max_batch_size: int, batching: DynamicBatching | None
) -> tuple[int, ...]:
    if max_batch_size <= 1:
        return (1,)
    if batching is None:
        return tuple(sorted({1, min(model.intent.request_batch, max_batch_size)}))
    powers = {2**power for power in range(max_batch_size.bit_length())}
    return tuple(sorted({size for size in powers if size <= max_batch_size} | {max_batch_size}))


def _thinned(sizes: tuple[int, ...], inputs: int) -> tuple[int, ...]:
    """As many of the sizes as the lines hold, the largest above all: it needs the most memory."""
    # A line an input, five around them, two of comment.
    room = (MAX_WARMUP_LINES - 2) // (inputs + 5)
    while len(sizes) > max(1, room):
        sizes = (*sizes[:-1:2], sizes[-1]) if len(sizes) > 2 else sizes[-1:]
    return sizes


def _warmup_inputs(trial: Trial, batched: bool) -> tuple[WarmupInput, ...]:
    return tuple(
        # Triton writes a scalar, and a row that is the batch axis alone, as [1].
        WarmupInput(item.name, item.dtype, (item.shape[1:] if batched else item.shape) or (1,))
        for item in trial.inputs
    )


def plan_versions(model: ModelInput) -> Planned[tuple[int, ...]] | None:
    """The versions that the user wants to be served."""
    if model.intent.versions is None:
        return None
    listed = ", ".join(str(number) for number in model.intent.versions)
    reason = Reason(Source.INTENT, f"versions {listed}: stated in tritongen.yaml")
    return Planned(model.intent.versions, reason)


def plan_decoupled(model: ModelInput) -> Planned[bool] | None:
    """Any number of responses to a request, where a Python model says or shows that it gives them.

    Nobody else tells Triton: `up` starts it without auto-completion.
    """
    python, trial = model.facts.python, model.trial
    if python is None or python.decoupled is False:
        return None
    if python.decoupled:
        why = Reason(Source.MODEL, "its auto_complete_config sets the decoupled policy")
    elif trial is not None and trial.decoupled:
        why = Reason(Source.TRIAL, "in the trial a request did not get exactly one response")
    elif python.sends:
        why = Reason(Source.MODEL, "its code sends the responses itself, through a response sender")
    else:
        return None
    return Planned(True, why)


def plan_response_cache(model: ModelInput) -> Planned[bool] | None:
    """Triton's response cache, only where the user asks for it."""
    if not model.intent.response_cache:
        return None
    return Planned(True, Reason(Source.INTENT, "equal requests are answered from the cache"))


def plan_tensors(
    model: ModelInput, batching: bool
) -> tuple[tuple[PlannedTensor, ...], tuple[PlannedTensor, ...]]:
    """Inputs and outputs; `batching` tells whether Triton adds the batch axis itself."""
    axes = model.trial.axes if model.trial is not None else ()
    inputs = tuple(
        _with_axes(
            _tensor(spec, shape, batching, model.backend.optional_inputs and spec.optional), axes
        )
        for spec, shape in model.shapes_in()
    )
    return inputs, tuple(_tensor(spec, shape, batching) for spec, shape in model.shapes_out())


def _with_axes(tensor: PlannedTensor, axes: Sequence[AxisProof]) -> PlannedTensor:
    """The tensor whose reason says which sizes its axes were seen to take."""
    said = [item.sentence for item in axes if item.input == tensor.name and item.reason]
    sentence = "; ".join((tensor.reason.sentence, *said))
    source = Source.TRIAL if said else tensor.reason.source
    return replace(tensor, reason=replace(tensor.reason, source=source, sentence=sentence))


def _tensor(
    spec: TensorSpec, shape: Shape | None, batching: bool, optional: bool = False
) -> PlannedTensor:
    """An input or output whose dims the backend accepts."""
    # A tensor without an element type is an error finding; such a model is never planned.
    dtype = spec.dtype or DType.FP32
    source = Source.RULE
    dims: tuple[int, ...] = (1,)
    reshape: tuple[int, ...] | None = None
    if not shape:
        # A scalar, or an output whose rank the runtime cannot tell: both are checked as [1].
        what = "a scalar in the model" if spec.shape is not None else "its rank is not declared"
        why = f"{what}; Triton has no rank 0 and writes it as [1]"
    elif batching and len(shape) == 1:
        how = " is the batch axis alone; Triton needs one dim and takes it away again by reshape"
        reshape, why = (), f"the model's {show_shape(shape)}{how}"
    else:
        source, dims = Source.MODEL, wire_dims(shape[1:] if batching else shape)
        how = " without the batch axis" if batching else ", full shape"
        why = f"the model's {show_shape(shape)}{how}"
    return PlannedTensor(spec.name, dtype, dims, Reason(source, why), reshape, optional)
