"""What is wanted of each model once the pipelines' wishes are handed down to their steps."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tritongen.domain.intent import Intent, ModelIntent, PipelineIntent


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


def tied(intent: Intent, names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """The models in groups that one container must hold: the steps of a pipeline stay together."""
    groups = [{name} for name in names]
    for pipeline in intent.pipelines.values():
        steps = {step.model for step in pipeline.steps}
        touched = [group for group in groups if group & steps]
        groups = [group for group in groups if not group & steps]
        if touched:
            groups.append(set().union(*touched))
    order = {name: number for number, name in enumerate(names)}
    return tuple(
        tuple(sorted(group))
        for group in sorted(groups, key=lambda group: min(order[name] for name in group))
    )


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
