"""The planner's one entry: facts + intent + evidence → plan."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tritongen.model.backends import BACKENDS, artefact_for, backend_for
from tritongen.model.declared_tensors import with_observed
from tritongen.model.evidence import Evidence, ModelEvidence, with_refusal
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import Intent, Target
from tritongen.model.lock import (
    CACHE,
    CACHE_BYTES,
    LIMITER,
    LIMITER_RESOURCE,
    TELEMETRY,
    THREADS,
    bytes_by_card,
    environment_threads,
)
from tritongen.model.releases import Release, find
from tritongen.model.serving_plan import (
    InstanceKind,
    ModelPlan,
    Planned,
    Reason,
    ServerPlan,
    ServingPlan,
    Source,
)
from tritongen.planner.batching import plan_batching
from tritongen.planner.context import ModelInput, decided
from tritongen.planner.engine_models import plan_engine
from tritongen.planner.gpu_memory import gpu_memory
from tritongen.planner.gpu_placement import (
    GpuPlace,
    Placement,
    bytes_on_cards,
    place_models,
)
from tritongen.planner.instances import Share, Split, share_cores, split_cores
from tritongen.planner.model_settings import (
    plan_decoupled,
    plan_parameters,
    plan_response_cache,
    plan_tensors,
    plan_versions,
    plan_warmup,
)
from tritongen.planner.pipelines import plan_pipelines, with_pipeline_goals
from tritongen.planner.sequences import (
    client_tensors,
    plan_sequence,
    sequence_batch,
    sequence_findings,
)
from tritongen.planner.trial_findings import callee_findings, plan_findings
from tritongen.planner.tuned_choice import still_tuned


def plan_serving(
    models: Sequence[ModelFacts],
    intent: Intent,
    evidence: Evidence,
    cores: Planned[int],
    faults: Sequence[Finding] = (),
) -> ServingPlan:
    """Plan one server with all its models.

    Args:
        models: facts of every model found.
        intent: what the user wants.
        evidence: what was observed of each model.
        cores: the target's CPU budget.
        faults: errors of an earlier plan; the models and pipelines that they name are left out.

    Returns:
        A plan in which instances × threads over all CPU models is at most `cores`, or whose
        rate limiter holds executions to it, with a finding that says why.
    """
    release = find(intent.target.triton)
    known = {model.name: model.findings for model in models}
    models = [_faulty(_completed(model, intent, evidence), faults) for model in models]
    wanted = _wanted(models, intent, evidence, release)
    places = place_models(wanted)
    models = [_faulty(model, places.faults) for model in models]
    wanted = [model for model in wanted if model.facts.name not in _codes(places.faults)]
    shares, remarks = share_cores(wanted, cores.value)
    limited = bool(remarks)
    bounds = (intent.target.memory_bytes, cores.value, limited)
    plans = tuple(_plan_model(one, shares[one.facts.name], places, *bounds) for one in wanted)
    server = _server(intent.target, cores, plans, limited)
    reasons = tuple(
        item
        for model in models
        if not model.servable and intent.of(model.name).serve
        for item in model.findings
        if item not in known[model.name]
    )
    broken = [item for item in faults if item.model in intent.pipelines]
    refused = _refused(models, intent) | _codes(broken)
    ensembles, more = plan_pipelines(intent.pipelines, plans, refused)
    refused |= _codes(item for item in more if item.model)
    more = (*more, *reasons, *broken, *callee_findings(wanted, intent.pipelines))
    findings = (*remarks, *places.remarks, *more)
    return ServingPlan(server, plans, tuple(refused.items()), findings, ensembles)


def _faulty(facts: ModelFacts, faults: Sequence[Finding]) -> ModelFacts:
    """Facts with the errors that the model's configuration turned out to have."""
    own = tuple(item for item in faults if item.model == facts.name)
    return replace(facts, findings=(*facts.findings, *own)) if own else facts


def _refused(models: Sequence[ModelFacts], intent: Intent) -> dict[str, tuple[str, ...]]:
    """Models that cannot be served, with the codes that say why; those left out by wish are not."""
    return {
        model.name: tuple(sorted(codes))
        for model in models
        if intent.of(model.name).serve
        and (codes := {item.code for item in model.findings if item.severity is Severity.ERROR})
    }


def left_out(
    models: Sequence[ModelFacts], intent: Intent, evidence: Evidence
) -> tuple[Finding, ...]:
    """The first error of every model that cannot be served, without those left out on purpose."""
    served = [
        _completed(model, intent, evidence) for model in models if intent.of(model.name).serve
    ]
    places = place_models(_wanted(served, intent, evidence, find(intent.target.triton)))
    told = (_faulty(facts, places.faults) for facts in served)
    return tuple(
        replace(
            next(item for item in facts.findings if item.severity is Severity.ERROR),
            model=facts.name,
        )
        for facts in told
        if not facts.servable
    )


def _codes(findings: Iterable[Finding]) -> dict[str, tuple[str, ...]]:
    """The codes of findings by the model or pipeline that they name."""
    found: dict[str, tuple[str, ...]] = {}
    for item in findings:
        found[item.model] = (*found.get(item.model, ()), item.code)
    return found


def model_inputs(
    models: Sequence[ModelFacts], intent: Intent, evidence: Evidence, cores: int
) -> tuple[tuple[ModelInput, int], ...]:
    """What the planning of every servable model rests on, each with its share of the cores.

    Where there are more models than cores, each has what one execution needs.
    """
    completed = [_completed(model, intent, evidence) for model in models]
    wanted = _wanted(completed, intent, evidence, find(intent.target.triton))
    shares, _ = share_cores(wanted, cores)
    return tuple((model, shares[model.facts.name].cores) for model in wanted)


def _wanted(
    models: Sequence[ModelFacts], intent: Intent, evidence: Evidence, release: Release
) -> list[ModelInput]:
    wanted: list[ModelInput] = []
    for facts in sorted(models, key=lambda facts: facts.name):
        backend = backend_for(facts.format)
        if backend is None or not facts.servable or not intent.of(facts.name).serve:
            continue
        seen, gpus = evidence.models.get(facts.name, ModelEvidence(())), intent.target.gpus
        own = intent.of(facts.name)
        rests_on = (seen.trial, seen.tuned, gpus, seen.served, intent.business.clients)
        wanted.append(ModelInput(facts, own, backend, release, *rests_on, gpu=intent.target.gpu))
    return with_pipeline_goals(wanted, intent.pipelines)


def _completed(facts: ModelFacts, intent: Intent, evidence: Evidence) -> ModelFacts:
    """Facts with what the trial saw, and with what the target cannot run."""
    seen = evidence.models.get(facts.name, ModelEvidence(()))
    facts = with_observed(facts, seen.trial)
    facts = with_refusal(facts, seen.trial, find(intent.target.triton), intent.target.gpus)
    backend = backend_for(facts.format)
    if backend is None or "CPU" in backend.kinds or intent.target.gpus:
        return facts
    message = f"backend {backend.name} serves on GPUs only, and the target has none"
    fault = finding("TG134", Severity.ERROR, message, model=facts.name, path=facts.path)
    return replace(facts, findings=(*facts.findings, fault))


def _plan_model(
    model: ModelInput,
    share: Share,
    places: Placement,
    memory_bytes: int | None,
    cores: int,
    limited: bool,
) -> ModelPlan:
    place, engine = places.models.get(model.facts.name), places.engines.get(model.facts.name)
    if (planned := plan_engine(model, place, engine)) is not None:
        return planned
    model, remarks = still_tuned(model, share.cores)
    split = split_cores(model, share, memory_bytes, place)
    batch = plan_batching(model, split.instances.value, split.threads.value, place)
    batch = sequence_batch(model, batch, split.instances.value)
    batching = batch.max_batch_size.value > 0
    inputs, outputs = client_tensors(model, *plan_tensors(model, batching))
    warmup, warmup_reason = plan_warmup(model, batch.max_batch_size.value, batch.batching)
    return ModelPlan(
        name=model.facts.name,
        backend=model.backend.name,
        platform=_platform(model),
        max_batch_size=batch.max_batch_size,
        inputs=inputs,
        outputs=outputs,
        instances=split.instances,
        kind=split.kind,
        threads=split.threads,
        parameters=plan_parameters(model, split.instances, split.threads, split.kind.value),
        batching=batch.batching,
        batching_off=batch.off,
        warmup=warmup,
        warmup_reason=warmup_reason,
        versions=plan_versions(model),
        response_cache=plan_response_cache(model),
        execution_slots=_slots(model, split, share) if limited else None,
        overlay=model.intent.overlay,
        findings=tuple(
            replace(item, model=model.facts.name)
            for item in (
                *remarks,
                *plan_findings(model, split, share, batch, cores),
                *sequence_findings(model, batching),
            )
        ),
        sequence=plan_sequence(model, batch, split.instances.value),
        decoupled=plan_decoupled(model),
        gpus=split.gpus,
        gpu_bytes=_gpu_bytes(model, place),
    )


def _gpu_bytes(model: ModelInput, place: GpuPlace | None) -> int:
    """What it takes on each of its cards, 0 where that is not known."""
    if place is None or model.tuned is None:
        return place.memory.total if place is not None else 0
    rows = max(model.tuned.max_batch_size, model.intent.most_rows)
    return gpu_memory(model, rows, model.tuned.instances).total


def _slots(model: ModelInput, split: Split, share: Share) -> Planned[int] | None:
    """Cores that an execution holds; a model that calls others would hold what they wait for."""
    if split.kind.value is not InstanceKind.CPU:
        return None
    callees = model.facts.python.callees if model.facts.python is not None else ()
    if callees:
        why = f"it calls {', '.join(callees)}, which could wait forever for a core that it holds"
        return Planned(0, Reason(Source.MODEL, why))
    pool = model.backend.threads.pooled
    return Planned(split.threads.value * (split.instances.value if pool else 1), share.reason)


def _platform(model: ModelInput) -> str:
    artefact = artefact_for(model.facts.format)
    return artefact.platform if artefact is not None else ""


def _server(
    target: Target, cores: Planned[int], models: Sequence[ModelPlan], limited: bool
) -> ServerPlan:
    """Environment and flags that agree with the models' plans.

    Args:
        target: of the plan.
        cores: the CPU budget.
        models: every model planned.
        limited: whether the rate limiter enforces the thread rule.
    """
    return ServerPlan(
        triton=target.triton,
        cores=cores,
        memory_bytes=target.memory_bytes,
        gpus=target.gpus,
        environment=_environment(models),
        flags=_flags(cores.value, models, limited),
        gpu_bytes=bytes_by_card(bytes_on_cards(model, target.gpus) for model in models),
    )


def _environment(models: Sequence[ModelPlan]) -> tuple[tuple[str, Planned[str]], ...]:
    # Where variables alone limit a model, they must hold it to what was planned.
    held = [model.threads.value for model in models if held_by_environment(model)]
    threads = environment_threads(held, (model.threads.value for model in models))
    if held:
        why = "the threads of models that no parameter limits, one process per instance"
    else:
        why = "the most threads of one instance"
    why += "; OpenMP and BLAS otherwise take every core of the host in each process"
    held_to = decided(str(threads), Source.RULE, why)
    silent = decided("1", Source.RULE, "newer ONNX Runtimes report usage by default")
    return (*((name, held_to) for name in THREADS), (TELEMETRY, silent))


def held_by_environment(model: ModelPlan) -> bool:
    """Whether only environment variables limit the model's CPU threads."""
    backend = BACKENDS.get(model.backend)
    if backend is None or model.kind.value is not InstanceKind.CPU:
        return False
    rule = backend.served_as(platform=model.platform).threads
    keys = {key for key, _ in model.parameters}
    return bool(rule.environment) and rule.intra_key not in keys


def _flags(
    cores: int, models: Sequence[ModelPlan], limited: bool
) -> tuple[tuple[str, Planned[str]], ...]:
    flags: list[tuple[str, Planned[str]]] = []
    if limited:
        reason = Reason(
            Source.RULE,
            f"more instances than the {cores} cores: the rate limiter lets only as many executions "
            "run at a time as the cores hold",
        )
        flags.append((LIMITER, Planned("execution_count", reason)))
        flags.append((LIMITER_RESOURCE, Planned(f"cpu:{cores}", reason)))
    if any(model.response_cache for model in models):
        reason = Reason(Source.INTENT, "a model asks for the response cache; 64 MiB")
        flags.append((CACHE, Planned(f"local,size={CACHE_BYTES}", reason)))
    return tuple(flags)
