"""Backend parameters, warm-up, versions and cache of one model."""

from tritongen.domain.evidence import Trial
from tritongen.domain.plan import (
    DynamicBatching,
    Planned,
    Reason,
    Source,
    Warmup,
    WarmupInput,
)
from tritongen.domain.planner.context import ModelInput, tuned_reason
from tritongen.domain.releases import at_least

# Side-by-side operators must be at least this much faster to be worth their threads.
PARALLEL_GAIN = 0.05


def plan_parameters(
    model: ModelInput, threads: Planned[int]
) -> tuple[tuple[str, Planned[str]], ...]:
    """The backend's thread keys, as far as the target's release reads them.

    An instance whose operators run side by side has intra + inter - 1 threads; that sum never
    exceeds `threads`.
    """
    rule = model.backend.threads
    if not rule.intra_key:
        return ()
    parallel = _parallel(model, threads.value)
    mode = model.backend.parameter(rule.mode_key) if rule.mode_key else None
    known = mode is not None and (not mode.since or at_least(model.release.tag, mode.since))
    if parallel is None or not rule.inter_key or not known:
        return ((rule.intra_key, Planned(str(threads.value), threads.reason)),)
    intra, inter, reason = parallel
    return (
        (rule.intra_key, Planned(str(intra), reason)),
        (rule.mode_key, Planned("1", reason)),
        (rule.inter_key, Planned(str(inter), reason)),
    )


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
    if trial is None or not trial.ok:
        return (), Reason(Source.RULE, "the model was not tried on the zeros that it sends")
    if not trial.zeros_ok:
        return (), Reason(
            Source.TRIAL,
            "the model fails on all-zero inputs, which would stop its load",
        )
    sizes = _sizes(model, max_batch_size, batching)
    samples = tuple(
        Warmup(f"batch_{size}", size, _warmup_inputs(trial, max_batch_size > 0)) for size in sizes
    )
    listed = ", ".join(str(size) for size in sizes)
    return samples, Reason(
        Source.TRIAL,
        f"the first run of a batch size is slow; zeros of batch {listed} ran in the trial",
    )


def _sizes(
    model: ModelInput, max_batch_size: int, batching: DynamicBatching | None
) -> tuple[int, ...]:
    if max_batch_size <= 1:
        return (1,)
    if batching is None:
        return tuple(sorted({1, model.intent.request_batch}))
    powers = {2**power for power in range(max_batch_size.bit_length())}
    return tuple(sorted({size for size in powers if size <= max_batch_size} | {max_batch_size}))


def _warmup_inputs(trial: Trial, batched: bool) -> tuple[WarmupInput, ...]:
    return tuple(
        # Triton writes a scalar, and a row that is the batch axis alone, as [1].
        WarmupInput(item.name, item.dtype, (item.shape[1:] if batched else item.shape) or (1,))
        for item in trial.inputs
    )


def plan_versions(model: ModelInput) -> Planned[tuple[int, ...]] | None:
    """The versions that the user wishes to serve."""
    if model.intent.versions is None:
        return None
    listed = ", ".join(str(number) for number in model.intent.versions)
    return Planned(
        model.intent.versions, Reason(Source.INTENT, f"versions {listed}: stated in tritongen.yaml")
    )


def plan_response_cache(model: ModelInput) -> Planned[bool] | None:
    """Triton's response cache, on wish only."""
    if not model.intent.response_cache:
        return None
    return Planned(True, Reason(Source.INTENT, "equal requests are answered from the cache"))
