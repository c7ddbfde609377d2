"""Models whose backend brings a scheduler or a pipeline of its own: language models and DALI.

What they take and give, their backends complete when they load. Nothing of them runs here, so that
a plan rests on their own files, on the target and on the backends' rules.
"""

from collections.abc import Callable, Mapping

from tritongen.model.engine_facts import DaliFacts, VllmFacts
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.releases import at_least
from tritongen.model.serving_plan import (
    DynamicBatching,
    InstanceKind,
    ModelPlan,
    Planned,
    Reason,
    Source,
)
from tritongen.planner.context import ModelInput, decided
from tritongen.planner.engine_placement import EnginePlace, split_words
from tritongen.planner.gpu_placement import GpuPlace

_METRICS = "REPORT_CUSTOM_METRICS"


def has_engine(facts: ModelFacts) -> bool:
    """Whether its backend serves it in its own way."""
    return facts.format in _PLANS


def plan_engine(
    model: ModelInput, place: GpuPlace | None, engine: EnginePlace | None
) -> ModelPlan | None:
    """The plan of a model whose backend serves it in its own way, None of all others.

    Args:
        model: any one.
        place: on a GPU of the target, where its memory is known.
        engine: likewise of a language model.
    """
    planned = _PLANS.get(model.facts.format)
    return planned(model, place, engine or EnginePlace()) if planned is not None else None


def _plan_vllm(model: ModelInput, _place: GpuPlace | None, engine: EnginePlace) -> ModelPlan:
    facts = model.facts.vllm or VllmFacts("")
    takes = f"{facts.memory_share:g} of a GPU's memory"
    if engine.memory is not None:
        takes = engine.memory.share_sentence
    return ModelPlan(
        name=model.facts.name,
        backend=model.backend.name,
        platform="",
        max_batch_size=decided(
            0, Source.RULE, "vLLM's engine batches by itself and takes no batches from Triton"
        ),
        inputs=(),
        outputs=(),
        instances=_instances(model, f"an engine takes {takes} when it starts"),
        kind=_vllm_kind(facts, engine),
        threads=decided(1, Source.RULE, "the GPU computes; a CPU thread only feeds it"),
        parameters=_metrics(model, facts),
        overlay=model.intent.overlay,
        decoupled=Planned(True, Reason(Source.RULE, "each token may be an answer of its own")),
        gpus=engine.pinned,
        engine_bytes=engine.bytes_on_cards,
    )


def _vllm_kind(facts: VllmFacts, engine: EnginePlace) -> Planned[InstanceKind]:
    """KIND_GPU pins an engine to a single GPU."""
    if engine.pinned is not None:
        why = "each engine takes a single GPU, and the target has several"
        return Planned(InstanceKind.GPU, Reason(Source.TARGET, why))
    split = split_words(facts) if facts.gpus > 1 else "a single one"
    why = f"the engine finds its GPUs itself ({split}); KIND_GPU would show it one"
    return Planned(InstanceKind.MODEL, Reason(Source.RULE, why))


def _plan_given(model: ModelInput, _place: GpuPlace | None, engine: EnginePlace) -> ModelPlan:
    """What stands in for the plan of a configuration that is handed over: it decides itself."""
    backend = model.facts.template.backend if model.facts.template is not None else ""
    why = "as its own config.pbtxt has it"
    return ModelPlan(
        name=model.facts.name,
        backend=backend,
        platform="" if backend else "ensemble",
        max_batch_size=decided(0, Source.MODEL, why),
        inputs=(),
        outputs=(),
        instances=decided(1, Source.MODEL, why),
        kind=Planned(InstanceKind.MODEL, Reason(Source.MODEL, why)),
        threads=decided(1, Source.MODEL, why),
        overlay=model.intent.overlay,
        engine_bytes=engine.bytes_on_cards,
    )


def _metrics(model: ModelInput, facts: VllmFacts) -> tuple[tuple[str, Planned[str]], ...]:
    """The engine's own metrics, where it keeps them and the release passes them on."""
    rule = model.backend.parameter(_METRICS)
    if rule is None or not facts.statistics or not at_least(model.release.tag, rule.since):
        return ()
    why = "the engine's tokens and queue stand beside Triton's metrics"
    return ((_METRICS, Planned("true", Reason(Source.RULE, why))),)


def _plan_dali(model: ModelInput, place: GpuPlace | None, _engine: EnginePlace) -> ModelPlan:
    facts = model.facts.dali or DaliFacts()
    size = _dali_batch(model, facts)
    if model.gpus:
        kind = Planned(InstanceKind.GPU, Reason(Source.TARGET, "the target has a GPU"))
    else:
        kind = Planned(InstanceKind.CPU, Reason(Source.TARGET, "the target has no GPU"))
    delay = decided(0, Source.RULE, "batches form from what waits while the pipeline runs")
    return ModelPlan(
        name=model.facts.name,
        backend=model.backend.name,
        platform="",
        max_batch_size=size,
        inputs=(),
        outputs=(),
        instances=_instances(model, "each further pipeline holds its buffers once more"),
        kind=kind,
        threads=decided(1, Source.RULE, "the pipeline was made with its own number of threads"),
        batching=DynamicBatching(delay) if size.value > 1 else None,
        overlay=model.intent.overlay,
        findings=tuple(_unsized(model, facts)),
        gpus=place.gpus if place is not None else None,
        gpu_bytes=place.memory.total if place is not None else 0,
    )


def _dali_batch(model: ModelInput, facts: DaliFacts) -> Planned[int]:
    stated = model.intent.max_batch_size
    if stated is not None:
        return decided(stated, Source.INTENT, "stated in tritongen.yaml")
    if facts.batch_size:
        return decided(facts.batch_size, Source.MODEL, "the batch that the pipeline was made for")
    return decided(0, Source.RULE, "the pipeline's batch is not known, so requests run alone")


def _unsized(model: ModelInput, facts: DaliFacts) -> list[Finding]:
    if facts.batch_size or model.intent.max_batch_size is not None:
        return []
    message = "the pipeline's batch is not known here, and requests are served one at a time"
    fix = f"State models.{model.facts.name}.max_batch_size: the batch that it was made for."
    return [finding("TG208", Severity.WARNING, message, fix=fix, model=model.facts.name)]


def _instances(model: ModelInput, why: str) -> Planned[int]:
    if model.intent.instances is not None:
        return Planned(model.intent.instances, Reason(Source.INTENT, "fixed in tritongen.yaml"))
    return decided(1, Source.RULE, why)


_Plan = Callable[[ModelInput, GpuPlace | None, EnginePlace], ModelPlan]
_PLANS: Mapping[ModelFormat, _Plan] = {
    ModelFormat.VLLM: _plan_vllm,
    ModelFormat.DALI: _plan_dali,
    ModelFormat.DALI_PYTHON: _plan_dali,
    ModelFormat.TEMPLATE: _plan_given,
}
