"""Pipelines: models behind one name, their tensors checked from end to end."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.intent import PipelineIntent, PipelineStep
from tritongen.model.serving_plan import (
    EnsemblePlan,
    EnsembleStep,
    ModelPlan,
    Planned,
    PlannedTensor,
    Reason,
    Source,
)
from tritongen.planner.context import ModelInput, decided


@dataclass(frozen=True, slots=True)
class _End:
    """A model's tensor at one end of a connection; `shape` is the full one, -1 dynamic."""

    step: int
    model: str
    tensor: PlannedTensor
    shape: tuple[int, ...]

    @property
    def label(self) -> str:
        return f"{self.model}.{self.tensor.name}"


@dataclass(slots=True)
class _Wiring:
    """Who gives and who takes each of a pipeline's tensors."""

    makers: dict[str, _End] = field(default_factory=dict)
    takers: dict[str, list[_End]] = field(default_factory=dict)
    steps: list[EnsembleStep] = field(default_factory=list)
    faults: list[tuple[str, str, str]] = field(default_factory=list)

    def fault(self, code: str, place: str, message: str) -> None:
        self.faults.append((code, place, message))


def with_pipeline_goals(
    models: Sequence[ModelInput], pipelines: Mapping[str, PipelineIntent]
) -> list[ModelInput]:
    """Models with the rate and latency goal that their pipelines give them, where they state none.

    The rates of all pipelines add up. A goal is split over the steps by what a row costs each of
    them; steps whose cost is not known count like the mean of the others.
    """
    costs = {item.facts.name: item.cost_ms(1, 1) for item in models}
    found = []
    for model in models:
        rate, goal, percentile = _goals(model, costs, pipelines)
        intent = model.intent
        if intent.planning_rate is None and rate:
            intent = replace(intent, rate=rate)
        if intent.latency_ms is None and goal is not None:
            intent = replace(intent, latency_ms=goal, percentile=percentile)
        found.append(replace(model, intent=intent))
    return found


def _goals(
    model: ModelInput,
    costs: Mapping[str, float | None],
    pipelines: Mapping[str, PipelineIntent],
) -> tuple[float, float | None, float]:
    rate, goal, percentile = 0.0, None, 99.0
    for pipeline in pipelines.values():
        names = [step.model for step in pipeline.steps]
        own = names.count(model.facts.name)
        if not own:
            continue
        rate += own * (pipeline.peak_rate or pipeline.rate or 0.0)
        if pipeline.latency_ms is None:
            continue
        known = [cost for name in names if (cost := costs.get(name)) is not None]
        mean = sum(known) / len(known) if known else 1.0
        total = sum(costs.get(name) or mean for name in names)
        part = pipeline.latency_ms * (costs.get(model.facts.name) or mean) / total
        if goal is None or part < goal:
            goal, percentile = part, pipeline.percentile
    return rate, goal, percentile


def plan_pipelines(
    pipelines: Mapping[str, PipelineIntent],
    plans: Sequence[ModelPlan],
    refused: Collection[str] = (),
) -> tuple[tuple[EnsemblePlan, ...], tuple[Finding, ...]]:
    """The ensembles of all pipelines, and every fault that keeps one from being planned.

    Args:
        pipelines: by name.
        plans: of the models that are served.
        refused: models that cannot be served, and pipelines whose own faults are told already. A
            pipeline of such a model is left out; its finding bears its name.
    """
    models = {plan.name: plan for plan in plans}
    ensembles: list[EnsemblePlan] = []
    findings: list[Finding] = []
    for name, pipeline in sorted(pipelines.items()):
        lost = [step.model for step in pipeline.steps if step.model in refused]
        if lost:
            findings.append(_left_out(name, lost[0]))
        if lost or name in refused:
            continue
        wiring = _wire(pipeline, models)
        order = _order(wiring)
        if name in models:
            wiring.fault("TG308", "", "a model has the same name")
        _check(pipeline, wiring)
        if wiring.faults:
            findings += [
                finding(
                    code,
                    Severity.ERROR,
                    f"pipeline {name}: {message}",
                    # Without the name that a model has, too, for which the others would pay.
                    model="" if name in models else name,
                    field=f"pipelines.{name}{place}",
                )
                for code, place, message in wiring.faults
            ]
        else:
            ensembles.append(_ensemble(name, pipeline, wiring, order, models))
    return tuple(ensembles), tuple(findings)


def _left_out(name: str, model: str) -> Finding:
    return finding(
        "TG308",
        Severity.ERROR,
        f"pipeline {name} is left out with {model}, which cannot be served",
        fix=f"Mend {model}: its own findings say how.",
        model=name,
        field=f"pipelines.{name}",
    )


def _wire(pipeline: PipelineIntent, models: Mapping[str, ModelPlan]) -> _Wiring:
    wiring = _Wiring()
    for index, step in enumerate(pipeline.steps):
        plan = models.get(step.model)
        place = f".steps[{index}]"
        if plan is None:
            served = ", ".join(sorted(models)) or "none"
            message = f"step {index} names {step.model!r}, which is not served; served: {served}"
            wiring.fault("TG308", f"{place}.model", message)
            wiring.steps.append(EnsembleStep(step.model, (), ()))
            continue
        _wire_step(wiring, index, step, plan)
    return wiring


def _wire_step(wiring: _Wiring, index: int, step: PipelineStep, plan: ModelPlan) -> None:
    place = f".steps[{index}]"
    inputs = {tensor.name: tensor for tensor in plan.inputs}
    outputs = {tensor.name: tensor for tensor in plan.outputs}
    for kind, given, own in (
        ("input", step.inputs, inputs),
        ("output", step.outputs or {}, outputs),
    ):
        for name in given:
            if name not in own:
                message = f"model {plan.name} has no {kind} {name!r}; it has {', '.join(own)}"
                wiring.fault("TG309", f"{place}.{kind}s.{name}", message)
    taken = {
        name: step.inputs.get(name, name)
        for name, tensor in inputs.items()
        if name in step.inputs or not tensor.optional
    }
    made = {name: name for name in outputs} if step.outputs is None else dict(step.outputs)
    for name, tensor in taken.items():
        end = _End(index, plan.name, inputs[name], _full(plan, inputs[name]))
        wiring.takers.setdefault(tensor, []).append(end)
    for name, tensor in made.items():
        if name not in outputs:
            continue
        end = _End(index, plan.name, outputs[name], _full(plan, outputs[name]))
        if tensor in wiring.makers:
            message = f"{wiring.makers[tensor].label} and {end.label} both give {tensor!r}"
            wiring.fault("TG309", f"{place}.outputs.{name}", message)
        wiring.makers[tensor] = end
    wiring.steps.append(EnsembleStep(plan.name, tuple(taken.items()), tuple(made.items())))


def _full(plan: ModelPlan, tensor: PlannedTensor) -> tuple[int, ...]:
    return (-1, *tensor.dims) if plan.max_batch_size.value > 0 else tensor.dims


def _check(pipeline: PipelineIntent, wiring: _Wiring) -> None:
    """Every output is given, every end of a tensor is of one type and of shapes that agree."""
    for name in pipeline.outputs:
        if name not in wiring.makers:
            given = ", ".join(wiring.makers) or "none"
            wiring.fault("TG309", ".outputs", f"no step gives {name!r}; given: {given}")
    for name, takers in wiring.takers.items():
        first = wiring.makers.get(name, takers[0])
        for end in takers:
            if end.tensor.dtype is not first.tensor.dtype:
                message = (
                    f"{name!r} is {first.tensor.dtype} at {first.label} and {end.tensor.dtype} at "
                    f"{end.label}"
                )
                wiring.fault("TG319", f".steps[{end.step}]", message)
            elif not _agree(first.shape, end.shape):
                message = (
                    f"{name!r} has the shape {list(first.shape)} at {first.label} and "
                    f"{list(end.shape)} at {end.label}"
                )
                wiring.fault("TG319", f".steps[{end.step}]", message)


def _agree(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    if len(one) != len(other):
        return False
    return all(a == b or -1 in {a, b} for a, b in zip(one, other, strict=True))


def _order(wiring: _Wiring) -> list[int]:
    """Steps such that each follows those that it waits for."""
    waits = {
        index: {wiring.makers[name].step for _, name in step.inputs if name in wiring.makers}
        for index, step in enumerate(wiring.steps)
    }
    order: list[int] = []
    while len(order) < len(waits):
        ready = [index for index, on in waits.items() if index not in order and on <= set(order)]
        if not ready:
            left = ", ".join(wiring.steps[i].model for i in waits if i not in order)
            wiring.fault("TG309", ".steps", f"the steps {left} wait for each other")
            return order
        order += ready
    return order


def _ensemble(
    name: str,
    pipeline: PipelineIntent,
    wiring: _Wiring,
    order: list[int],
    models: Mapping[str, ModelPlan],
) -> EnsemblePlan:
    wanted = {tensor: ends for tensor, ends in wiring.takers.items() if tensor not in wiring.makers}
    shapes = {tensor: _narrowest(ends) for tensor, ends in wanted.items()}
    ends = [wiring.makers[tensor] for tensor in pipeline.outputs]
    outer = [*shapes.values(), *(end.shape for end in ends)]
    size = _batch(pipeline, models, outer)
    cut = 1 if size.value else 0
    used = {tensor for step in wiring.steps for _, tensor in step.inputs} | set(pipeline.outputs)
    steps = [
        # Triton refuses an output that nothing takes.
        replace(step, outputs=tuple(pair for pair in step.outputs if pair[1] in used))
        for step in wiring.steps
    ]
    return EnsemblePlan(
        name=name,
        max_batch_size=size,
        inputs=tuple(
            PlannedTensor(
                tensor, takers[0].tensor.dtype, shapes[tensor][cut:], _as("takes", takers)
            )
            for tensor, takers in wanted.items()
        ),
        outputs=tuple(
            PlannedTensor(tensor, end.tensor.dtype, end.shape[cut:], _as("gives", [end]))
            for tensor, end in zip(pipeline.outputs, ends, strict=True)
        ),
        steps=tuple(steps[index] for index in order),
    )


def _narrowest(ends: Sequence[_End]) -> tuple[int, ...]:
    """The shape that every taker accepts: fixed where one of them is."""
    return tuple(max(sizes) for sizes in zip(*(end.shape for end in ends), strict=True))


def _as(does: str, ends: Sequence[_End]) -> Reason:
    return Reason(Source.RULE, f"as {', '.join(end.label for end in ends)} {does} it")


def _batch(
    pipeline: PipelineIntent, models: Mapping[str, ModelPlan], shapes: Sequence[tuple[int, ...]]
) -> Planned[int]:
    """The least of the steps' batch sizes; 0 where no step batches or a first axis is fixed."""
    sizes = {step.model: models[step.model].max_batch_size.value for step in pipeline.steps}
    batching = {name: size for name, size in sizes.items() if size > 0}
    if not batching:
        return Planned(0, Reason(Source.RULE, "no step batches; full shapes are served"))
    if any(not shape or shape[0] != -1 for shape in shapes):
        return Planned(0, Reason(Source.RULE, "a step fixes the first axis of an outer tensor"))
    name = min(batching, key=lambda model: (batching[model], model))
    return decided(batching[name], Source.RULE, f"the least of the steps' sizes, of {name}")
