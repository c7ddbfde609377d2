"""How the models of one container share its cores: each one's instances and threads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tritongen.model.counting import counted
from tritongen.model.evidence import instance_bytes
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.serving_plan import InstanceKind, Planned, Reason, Source
from tritongen.planner.context import GOAL_SHARE, ModelInput, decided, tuned_reason
from tritongen.planner.gpu_placement import GpuPlace
from tritongen.planner.gpu_rows import NO_SECOND_INSTANCE, speed_findings

# Weights are held once an instance; the server itself and the requests need the rest.
_MEMORY_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Share:
    """Cores of one model and why."""

    cores: int
    reason: Reason


def share_cores(
    models: Sequence[ModelInput], cores: int
) -> tuple[dict[str, Share], tuple[Finding, ...]]:
    """Give every model what it needs, each further core to the model with the most load a core.

    Returns:
        Shares by name. Those of models on the CPU are at most `cores` together; where they need
        more than that, each has what one execution needs, and a finding says so.
    """
    shares = {
        model.facts.name: Share(model.needed_cores, Reason(Source.TARGET, "on the GPU"))
        for model in models
        if model.on_gpu
    }
    models = [model for model in models if not model.on_gpu]
    given = {model.facts.name: model.needed_cores for model in models}
    needed = sum(given.values())
    if needed > cores:
        message = (
            f"{len(models)} models need at least {needed} cores, the target has "
            f"{cores}: the rate limiter holds executions to the cores, and models wait for each "
            "other"
        )
        held = {name: Share(count, _held(count)) for name, count in given.items()}
        return shares | held, (finding("TG310", Severity.WARNING, message, field="target.cpus"),)
    loads = _loads(models)
    free = [model.facts.name for model in models if model.intent.instances is None]
    for _ in range(cores - needed if free else 0):
        neediest = max(free, key=lambda name: (loads[name] / given[name], name))
        given[neediest] += 1
    total = sum(loads.values())
    for model in models:
        name = model.facts.name
        part = loads[name] / total
        shares[name] = Share(given[name], _reason(model, given[name], cores, part, len(models)))
    return shares, ()


def _held(cores: int) -> Reason:
    return Reason(Source.RULE, f"{counted(cores, 'core')} at a time, held by the rate limiter")


def _loads(models: Sequence[ModelInput]) -> dict[str, float]:
    """Busy cores that the models need on average, in arbitrary but common units."""
    rates = {model.facts.name: model.intent.planning_rate for model in models}
    services = {model.facts.name: model.cost_ms(1, 1) for model in models}
    # What is not stated is taken as the mean of what is, so that silence neither wins nor loses.
    rate, service = _mean(rates.values()), _mean(services.values())
    return {
        name: max(_known(rates[name], rate) * _known(services[name], service) / 1000, 1e-9)
        for name in rates
    }


def _known(value: float | None, default: float) -> float:
    return value if value is not None else default


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else 1.0


def _reason(model: ModelInput, given: int, cores: int, part: float, models: int) -> Reason:
    """Why a model has its cores; in words that do not change with every change of another model."""
    if model.intent.instances is not None:
        return Reason(Source.INTENT, f"{given} of {cores} cores: fixed in tritongen.yaml")
    if models == 1:
        return Reason(Source.TARGET, f"all {cores} cores: the only model")
    rate, service_ms = model.intent.planning_rate, model.cost_ms(1, 1)
    requests = f"{rate:g}/s" if rate is not None else "the mean rate of the others"
    service = f"{service_ms:.3g} ms" if service_ms is not None else "the mean service time"
    return Reason(
        Source.INTENT if rate is not None else Source.TRIAL,
        f"{given} of {cores} cores: its share of the load of all models ({requests} × {service})",
        (("share_of_load", round(part, 3)),),
    )


@dataclass(frozen=True, slots=True)
class Split:
    """Instances × threads, with what there is to say about it."""

    instances: Planned[int]
    threads: Planned[int]
    kind: Planned[InstanceKind]
    findings: tuple[Finding, ...] = ()
    gpus: Planned[tuple[int, ...]] | None = None


def split_cores(
    model: ModelInput, share: Share, memory_bytes: int | None, place: GpuPlace | None = None
) -> Split:
    """The split of a model's share; `instances × threads` never exceeds it.

    Args:
        model: with intent and trial.
        share: its cores.
        memory_bytes: of the container, None where not stated.
        place: on a GPU, None on a CPU and where nothing is known of the GPU.
    """
    if model.on_gpu:
        return _gpu(model, place)
    kind = Planned(InstanceKind.CPU, Reason(Source.TARGET, "the target has no GPU"))
    if model.tuned is not None:
        reason, tuned = tuned_reason(model.tuned), model.tuned
        threads = Planned(tuned.total_threads // tuned.instances, reason)
        return Split(Planned(tuned.instances, reason), threads, kind)
    threads, remarks = _threads(model, share.cores)
    instances = _instances(model, share, threads.value)
    instances, threads = _within_memory(model, instances, threads, share.cores, memory_bytes)
    return Split(instances, threads, kind, remarks)


def _gpu(model: ModelInput, place: GpuPlace | None) -> Split:
    findings: tuple[Finding, ...] = ()
    if model.tuned is not None:
        count = Planned(model.tuned.instances, tuned_reason(model.tuned))
    elif place is not None:
        count = place.instances
        cards = len(place.gpus.value) if place.gpus is not None else 1
        findings = tuple(speed_findings(model, place.rows[0], cards))
    else:
        rule = Planned(1, Reason(Source.RULE, NO_SECOND_INSTANCE))
        count = _fixed(model.intent.instances) or rule
    threads = decided(1, Source.RULE, "the GPU computes; a CPU thread only feeds it")
    card = f" ({model.gpu.card.name})" if model.gpu is not None and model.gpu.card else ""
    why = f"the target has {counted(model.gpus, 'GPU')}{card}"
    kind = Planned(InstanceKind.GPU, Reason(Source.TARGET, why))
    gpus = place.gpus if place is not None else None
    return Split(count, threads, kind, findings, gpus)


def _fixed(value: int | None) -> Planned[int] | None:
    """What the user has fixed, None where nothing is."""
    reason = Reason(Source.INTENT, "fixed in tritongen.yaml")
    return Planned(value, reason) if value is not None else None


def _threads(model: ModelInput, cores: int) -> tuple[Planned[int], tuple[Finding, ...]]:
    intent, goal = model.intent, model.intent.latency_ms
    fixed = _fixed(intent.threads)
    if fixed is not None:
        return fixed, ()
    if intent.instances is not None:
        why = f"{cores} cores ÷ {intent.instances} instances"
        return decided(max(1, cores // intent.instances), Source.INTENT, why), ()
    alone = model.cost_ms(1, 1)
    if goal is None or alone is None or alone <= goal * GOAL_SHARE:
        return _one_thread(model, alone, goal), ()
    times = {
        cost.threads: cost.ms
        for cost in sorted(model.costs, key=lambda cost: cost.threads)
        if cost.batch == 1 and cost.threads <= cores
    }
    fitting = [threads for threads, ms in times.items() if ms <= goal * GOAL_SHARE]
    numbers = tuple((f"ms_at_{threads}_threads", ms) for threads, ms in times.items())
    if fitting:
        why = f"the fewest with which one execution fits half of {goal:g} ms"
        return decided(fitting[0], Source.TRIAL, why, numbers), ()
    chosen = min(times, key=lambda threads: times[threads])
    why = f"the fastest measured, {times[chosen]:.3g} ms against {goal:g} ms"
    remarks: tuple[Finding, ...] = ()
    if times[chosen] > goal:
        message = (
            f"one execution of {model.facts.name} takes {times[chosen]:.3g} ms with {chosen} "
            f"threads; the goal is {goal:g} ms"
        )
        remarks = (
            finding("TG314", Severity.WARNING, message, model=model.facts.name, field="latency"),
        )
    return decided(chosen, Source.TRIAL, why, numbers), remarks


def _one_thread(model: ModelInput, alone: float | None, goal: float | None) -> Planned[int]:
    scaling = model.cost_ms(1, 2)
    if alone is None or scaling is None:
        why = "more instances of one thread serve more than fewer with more threads"
        return decided(1, Source.RULE, why)
    fits = f" and {alone:.3g} ms fits half of the {goal:g} ms goal" if goal is not None else ""
    ratio = round(alone / scaling, 1)
    faster = f"are {ratio:g} times as fast" if ratio > 1.0 else "are no faster than one"
    return decided(
        1,
        Source.TRIAL,
        f"two threads {faster}, two instances do twice the work{fits}",
        (("ms_at_1_thread", alone), ("ms_at_2_threads", scaling)),
    )


def _instances(model: ModelInput, share: Share, threads: int) -> Planned[int]:
    fixed = _fixed(model.intent.instances)
    if fixed is not None:
        return fixed
    count = max(1, share.cores // threads)
    sentence = f"{count} × {counted(threads, 'thread')}, {share.reason.sentence}"
    return Planned(count, replace(share.reason, sentence=sentence))


def fitting_instances(model: ModelInput, memory_bytes: int | None) -> int | None:
    """How many fit the target's memory, at least one; None where either is not known."""
    each = instance_bytes(model.facts.weight_bytes, model.trial)
    if memory_bytes is None or not each:
        return None
    return max(1, int(memory_bytes * _MEMORY_SHARE) // each)


def _within_memory(
    model: ModelInput,
    instances: Planned[int],
    threads: Planned[int],
    cores: int,
    memory_bytes: int | None,
) -> tuple[Planned[int], Planned[int]]:
    """Fewer instances where their weights would not fit, with more threads each."""
    fitting = fitting_instances(model, memory_bytes)
    if memory_bytes is None or fitting is None or model.intent.instances is not None:
        return instances, threads
    if fitting >= instances.value:
        return instances, threads
    each = instance_bytes(model.facts.weight_bytes, model.trial)
    numbers = (("bytes_an_instance", each), ("memory_bytes", memory_bytes))
    why = f"{each / 2**20:.0f} MiB each within {memory_bytes / 2**20:.0f} MiB"
    fewer = decided(fitting, Source.TARGET, why, numbers)
    if model.intent.threads is not None:
        return fewer, threads
    why = f"{cores} cores ÷ the {fitting} instances that fit the memory"
    return fewer, decided(max(threads.value, cores // fitting), Source.TARGET, why, numbers)
