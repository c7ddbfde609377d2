"""Requirements of each model, once those of pipelines are handed down to their steps."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tritongen.model.intent import Intent, ModelIntent, PipelineIntent


def handed_down(intent: Intent, costs_ms: Mapping[str, float]) -> Intent:
    """The intent with rates and goals of pipelines spread over models that state none.

    Args:
        intent: as the user wrote it.
        costs_ms: of one row in each model, for the split of a latency goal over the steps.
    """
    names = {step.model for pipeline in intent.pipelines.values() for step in pipeline.steps}
    models = dict(intent.models)
    for name in sorted(names):
        models[name] = _model(name, intent.of(name), intent.pipelines.values(), costs_ms)
    return replace(intent, models=models)


def co_located(intent: Intent, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Models that one container must hold, by a name: the steps of a pipeline stay together.

    Args:
        intent: whose pipelines count.
        names: of the models that are served.
    """
    units: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    for pipeline, wanted in intent.pipelines.items():
        steps = {step.model for step in wanted.steps}
        touched = [unit for unit, models in units.items() if steps & set(models)]
        if touched:
            # A pipeline that shares a model with another one joins it.
            name = next((unit for unit in touched if unit not in names), pipeline)
            members = sorted({model for unit in touched for model in units.pop(unit)})
            units[name if len(members) > 1 else members[0]] = tuple(members)
    return units


def _model(
    name: str,
    own: ModelIntent,
    pipelines: Iterable[PipelineIntent],
    costs_ms: Mapping[str, float],
) -> ModelIntent:
    mean = peak = 0.0
    limit, percentile = math.inf, 99.0
    for pipeline in pipelines:
        steps = [step.model for step in pipeline.steps]
        times = steps.count(name)
        mean += times * (pipeline.rate or 0.0)
        peak += times * (pipeline.peak_rate or pipeline.rate or 0.0)
        if times and pipeline.latency_ms is not None:
            usual = math.fsum(costs_ms.values()) / len(costs_ms) if costs_ms else 1.0
            whole = math.fsum(costs_ms.get(step, usual) for step in steps)
            part = pipeline.latency_ms * costs_ms.get(name, usual) / whole
            if part < limit:
                limit, percentile = part, pipeline.percentile
    if own.planning_rate is None and peak > 0.0:
        own = replace(own, rate=mean or None, peak_rate=peak)
    if own.latency_ms is None and math.isfinite(limit):
        own = replace(own, latency_ms=limit, percentile=percentile)
    return own
