"""The planner's one entry: facts + intent + evidence → plan."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tritongen.model.backends import artefact_for, backend_for
from tritongen.model.declared_tensors import with_observed
from tritongen.model.evidence import BatchVerdict, Evidence, ModelEvidence, with_refusal
from tritongen.model.facts import ModelFacts
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import Intent
from tritongen.model.releases import Release, find
from tritongen.model.serving_plan import (
    InstanceKind,
    ModelPlan,
    Planned,
    Reason,
    ServingPlan,
    Source,
)
from tritongen.planner.batching import plan_batching
from tritongen.planner.context import ModelInput
from tritongen.planner.core_shares import Demand, Share, share_cores
from tritongen.planner.instances import Split, fits, split_cores
from tritongen.planner.model_settings import (
    plan_decoupled,
    plan_parameters,
    plan_response_cache,
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
from tritongen.planner.server_settings import plan_server
from tritongen.planner.tensor_dims import plan_tensors
from tritongen.planner.trial_findings import callee_findings, load_findings, trial_findings


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
    shares, remarks = _shares(wanted, cores.value)
    limited = shares is None
    plans = tuple(
        _plan_model(
            model, _share_of(model, shares), intent.target.memory_bytes, cores.value, limited
        )
        for model in wanted
    )
    server = plan_server(intent.target, cores, plans, limited)
    reasons = tuple(
        item
        for model in models
        if not model.servable
        for item in model.findings
        if item not in known[model.name]
    )
    broken = [item for item in faults if item.model in intent.pipelines]
    refused = _refused(models, intent) | _codes(broken)
    ensembles, more = plan_pipelines(intent.pipelines, plans, refused)
    refused |= _codes(item for item in more if item.model)
    findings = (*remarks, *more, *reasons, *broken, *callee_findings(wanted, intent.pipelines))
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
        if not intent.of(model.name).skip
        and (codes := {item.code for item in model.findings if item.severity is Severity.ERROR})
    }


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
    shares, _ = _shares(wanted, cores)
    return tuple((model, _share_of(model, shares).cores) for model in wanted)


def _wanted(
    models: Sequence[ModelFacts], intent: Intent, evidence: Evidence, release: Release
) -> list[ModelInput]:
    wanted = [
        gathered
        for model in sorted(models, key=lambda facts: facts.name)
        if model.servable and not intent.of(model.name).skip
        for gathered in _gather(model, intent, evidence, release)
    ]
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


def _gather(
    facts: ModelFacts, intent: Intent, evidence: Evidence, release: Release
) -> tuple[ModelInput, ...]:
    backend = backend_for(facts.format)
    if backend is None:
        return ()
    seen = evidence.models.get(facts.name, ModelEvidence(()))
    return (
        ModelInput(
            facts=facts,
            intent=intent.of(facts.name),
            backend=backend,
            release=release,
            trial=seen.trial,
            tuned=seen.tuned,
            gpus=intent.target.gpus,
        ),
    )


def _on_cpu(model: ModelInput) -> bool:
    return not (model.gpus and "GPU" in model.backend.kinds)


def _shares(
    models: Sequence[ModelInput], cores: int
) -> tuple[dict[str, Share] | None, tuple[Finding, ...]]:
    demands = tuple(_demand(model) for model in models if _on_cpu(model))
    shares = share_cores(demands, cores)
    if shares is not None:
        return dict(shares), ()
    needed = sum(demand.needed for demand in demands)
    message = (
        f"{len(demands)} models need at least {needed} cores, the target has "
        f"{cores}: the rate limiter holds executions to the cores, and models wait for each other"
    )
    return None, (finding("TG310", Severity.WARNING, message, field="target.cpus"),)


def _demand(model: ModelInput) -> Demand:
    intent = model.intent
    fixed = None
    if intent.instances is not None:
        fixed = intent.instances * (intent.threads or 1)
    least = intent.threads or 1
    return Demand(model.facts.name, intent.planning_rate, model.cost_ms(1, 1), fixed, least)


def _share_of(model: ModelInput, shares: dict[str, Share] | None) -> Share:
    if shares is None or model.facts.name not in shares:
        needed = _demand(model).needed
        plural = "core" if needed == 1 else "cores"
        return Share(
            needed,
            Reason(Source.RULE, f"{needed} {plural} at a time, held by the rate limiter")
            if _on_cpu(model)
            else Reason(Source.TARGET, "on the GPU"),
        )
    return shares[model.facts.name]


def _plan_model(
    model: ModelInput, share: Share, memory_bytes: int | None, cores: int, limited: bool
) -> ModelPlan:
    stale = model.tuned is not None and not fits(model.tuned, share.cores)
    if stale:
        model = replace(model, tuned=None)
    split = split_cores(model, share, memory_bytes)
    batch = plan_batching(model, split.instances.value, split.threads.value)
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
                *_remarks(model, split, share, stale),
                *load_findings(model, split, batch, cores),
                *sequence_findings(model, batching),
            )
        ),
        sequence=plan_sequence(model, batch, split.instances.value),
        decoupled=plan_decoupled(model),
    )


def _slots(model: ModelInput, split: Split, share: Share) -> Planned[int] | None:
    """Cores that an execution holds; a model that calls others would hold what they wait for."""
    if split.kind.value is not InstanceKind.CPU:
        return None
    callees = model.facts.python.callees if model.facts.python is not None else ()
    if callees:
        why = f"it calls {', '.join(callees)}, which could wait for ever for a core that it holds"
        return Planned(0, Reason(Source.MODEL, why))
    pool = model.backend.threads.pooled
    return Planned(split.threads.value * (split.instances.value if pool else 1), share.reason)


def _platform(model: ModelInput) -> str:
    artefact = artefact_for(model.facts.format)
    return artefact.platform if artefact is not None else ""


def _remarks(model: ModelInput, split: Split, share: Share, stale: bool) -> tuple[Finding, ...]:
    remarks = [*split.findings]
    name, trial = model.facts.name, model.trial
    if stale:
        message = f"{name} was tuned for more cores than the {share.cores} that it has now"
        remarks.append(finding("TG317", Severity.WARNING, message))
    elif model.tuned is not None and 0 < model.tuned.cores < share.cores:
        message = f"{name} was tuned for {model.tuned.cores} cores and has {share.cores} now"
        remarks.append(finding("TG317", Severity.WARNING, message))
    if trial is None:
        message = f"{name} is planned from syntax alone; it was not run"
        return (*remarks, finding("TG312", Severity.INFO, message))
    remarks += trial_findings(name, trial)
    if model.verdict is BatchVerdict.DISPROVEN and model.intent.batch is True:
        remarks.append(
            finding(
                "TG205",
                Severity.ERROR,
                f"tritongen.yaml demands batching, the trial disproves it: {trial.proof.reason}",
                field="batch",
                fix="Leave `batch` and an overlay's `max_batch_size` out to serve it without "
                "batching, or make its first axis a true batch axis.",
            )
        )
    return tuple(remarks)
