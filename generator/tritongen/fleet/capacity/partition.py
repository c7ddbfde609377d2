"""Which models share a container, and what pipelines ask of their steps.

Models go together, apart, or small ones packed onto a machine; the steps of a pipeline stay
together, and its rates and goals are handed down to them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tritongen.errors import InvalidInputError
from tritongen.fleet.capacity.service_plan import Group, ServicePlanner
from tritongen.fleet.catalogue import Machine
from tritongen.model.business import Business, Grouping
from tritongen.model.intent import Intent, ModelIntent, PipelineIntent

# Models that one container must hold, by the name of the model or pipeline.
Units = Mapping[str, tuple[str, ...]]
# Models whose busiest hour takes at most this share of the least replicas are packed.
_SMALL = 0.85
# Packed replicas are filled up to this share, for the parts that do not add up evenly.
_FILLED = 0.85


def partitions(
    units: Units, business: Business, planner: ServicePlanner, machine: Machine
) -> tuple[tuple[Group, ...], ...]:
    """Ways to divide the models into services, to choose the cheapest from.

    Args:
        units: models that one container must hold, by a name.
        business: requirements.
        planner: of services.
        machine: the type.

    Raises:
        InvalidInputError: TG353, services that cannot be formed.
    """
    if business.services:
        return (named_services(units, business),)
    names = [model for models in units.values() for model in models]
    slugs = unique_slugs(list(units))
    together = (Group("all" if len(units) > 1 else next(iter(slugs.values())), tuple(names)),)
    if len(units) == 1:
        return (together,)
    apart = tuple(Group(slugs[name], models) for name, models in units.items())
    if business.grouping is Grouping.TOGETHER:
        return (together,)
    if business.grouping is Grouping.SEPARATE:
        return (apart,)
    packed = _packed(units, planner, machine, machine.cores)
    tight = _packed(units, planner, machine, len(names))
    return tuple(dict.fromkeys((together, apart, packed, tight)))


def named_services(units: Units, business: Business) -> tuple[Group, ...]:
    """The user's services; models that none names get services of their own.

    Args:
        units: models that one container must hold, by a name.
        business: requirements.

    Raises:
        InvalidInputError: TG353, a service names a model that is not planned, or divides a
            pipeline.
    """
    names = {model for models in units.values() for model in models}
    unknown = [
        f"services.{service}: {model}"
        for service, models in business.services.items()
        for model in models
        if model not in names
    ]
    if unknown:
        raise InvalidInputError(
            "TG353", "a service names a model that is not served", details=unknown
        )
    divided = [
        f"services.{service}: lacks {', '.join(sorted(set(unit) - set(models)))} of {name}"
        for service, models in business.services.items()
        for name, unit in units.items()
        if set(unit) & set(models) and not set(unit) <= set(models)
    ]
    if divided:
        raise InvalidInputError(
            "TG353",
            "the steps of a pipeline must be in one service",
            details=divided,
        )
    taken = {model for models in business.services.values() for model in models}
    rest = [name for name, models in units.items() if not taken & set(models)]
    slugs = unique_slugs(rest, business.services)
    return (
        *(Group(name, tuple(sorted(models))) for name, models in business.services.items()),
        *(Group(slugs[name], units[name]) for name in rest),
    )


def unique_slugs(names: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A service's name for each model, all different."""
    used = set(taken)
    result = {}
    for name in names:
        stem = found = slug(name)
        number = 2
        while found in used:
            found = f"{stem[:36]}-{number}"
            number += 1
        used.add(found)
        result[name] = found
    return result


def slug(name: str) -> str:
    """A model's name as the name of a service: lower-case letters, digits and hyphens."""
    text = "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in name.lower())
    text = text.strip("-")[:40].strip("-") or "model"
    text = text if text[0].isalpha() else f"m-{text}"
    return text if len(text) > 1 else f"{text}-model"


def _packed(
    units: Units, planner: ServicePlanner, machine: Machine, most: int
) -> tuple[Group, ...]:
    """First-fit decreasing: small units fill machines, large ones stay alone.

    Args:
        units: models that one container must hold, by a name.
        planner: of services.
        machine: the type.
        most: models of one container; with more than its cores the rate limiter shares them.
    """
    room = planner.business.min_replicas
    slugs = unique_slugs(list(units))
    needs = {}
    for name, models in units.items():
        screened = planner.screen(Group(slugs[name], models), machine)
        loads = planner.hourly.load(screened.fit).load if not screened.refusal else (1.0,)
        needs[name] = max(loads)
    bins: list[tuple[float, list[str]]] = []
    alone = [name for name in units if needs[name] > _SMALL * room]
    for name in sorted((n for n in units if n not in alone), key=lambda n: (-needs[n], n)):
        for index, (filled, inside) in enumerate(bins):
            count = len(units[name]) + sum(len(units[other]) for other in inside)
            if filled + needs[name] <= _FILLED * room and count <= most:
                bins[index] = (filled + needs[name], [*inside, name])
                break
        else:
            bins.append((needs[name], [name]))
    groups = [Group(slugs[name], units[name]) for name in alone]
    for number, (_, inside) in enumerate(bins, start=1):
        name = slugs[inside[0]] if len(inside) == 1 else f"shared-{number}"
        members = sorted(model for unit in inside for model in units[unit])
        groups.append(Group(name, tuple(members)))
    return tuple(groups)


def handed_down(intent: Intent, costs_ms: Mapping[str, float]) -> Intent:
    """The intent with rates and goals of pipelines spread over models that state none.

    Args:
        intent: as the user wrote it.
        costs_ms: of one row in each model, for the split of a latency goal over the steps.
    """
    names = {step.model for pipeline in intent.pipelines.values() for step in pipeline.steps}
    models = dict(intent.models)
    for name in sorted(names):
        models[name] = _with_share(name, intent.of(name), intent.pipelines.values(), costs_ms)
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


def _with_share(
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
