"""What executions share: cores, by the thread rule, and resources of the rate limiter."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tritongen.config.lint.instances import KIND_AUTO, KIND_CPU, Instances, resolved_groups
from tritongen.config.lint.linted_model import LintedModel, Models
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import map_path
from tritongen.model.backends import ThreadRule, ThreadScope, threads_each
from tritongen.model.counting import counted
from tritongen.model.findings import Finding, Severity, finding

_ENGINE_NAME = "tensorrt_llm_model_name"
# Name of a resource of the rate limiter, and whether it is global.
Resource = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class _Use:
    """What one instance group takes of a resource.

    Attributes:
        model: whose.
        group: path of the group in its configuration.
        field: path of the resource.
        resource: what is taken.
        count: of one execution.
        instances: executions that can run at once, all served versions together.
    """

    model: str
    group: str
    field: str
    resource: Resource
    count: int
    instances: int


@dataclass(frozen=True, slots=True)
class _Demand:
    """What one instance group may keep busy.

    Attributes:
        instances: executions that can run at once, all served versions together.
        threads: of one execution.
        held: what the rate limiter takes for an execution first, None where it takes nothing.
    """

    instances: int
    threads: int
    held: _Use | None


def _rule(model: LintedModel) -> ThreadRule | None:
    return model.rules.threads if model.rules is not None and not model.is_ensemble else None


def _each(model: LintedModel, context: LintContext) -> int | None:
    """Threads of one execution, or of the pool that all share; None without a limit."""
    rule = _rule(model)
    return threads_each(rule, model.parameters, dict(context.environment)) if rule else 1


def _number(model: LintedModel, key: str) -> int:
    """A thread parameter's value; 0 when it is missing or no number, which means no limit."""
    text = model.parameters.get(key, "").strip()
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    return int(digits[:9]) if digits else 0


def _cpu_groups(model: LintedModel, context: LintContext) -> tuple[Instances, ...]:
    kinds = {KIND_CPU, KIND_AUTO} if context.gpus is None else {KIND_CPU}
    return tuple(item for item in resolved_groups(model, context) if item.kind in kinds)


def limits(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Every CPU model must state its threads; without them a backend takes whole machines."""
    rule, groups = _rule(model), _cpu_groups(model, context)
    if rule is None or not groups:
        return
    report = model.error if context.cores is not None else model.warning
    parallel = bool(rule.mode_key) and _number(model, rule.mode_key) == 1
    if _each(model, context) is None and rule.intra_key:
        total = sum(item.count for item in groups)
        each = "for all instances together" if rule.pooled else f"for each of {total} instance(s)"
        yield report(
            "TG532",
            map_path("parameters", rule.intra_key),
            f"{rule.intra_key} is not set: {rule.unset}, {each}",
            f'Add parameters {{ key: "{rule.intra_key}" value {{ string_value: "1" }} }} and an '
            "instance_group with its count.",
        )
    elif _each(model, context) is None and context.cores is not None:
        yield model.info(
            "TG533",
            "instance_group",
            f"{rule.unset}: an instance counts as one thread here",
            f"Limit them with {', '.join(rule.environment) or 'the environment'}.",
        )
    if parallel and rule.inter_key and _number(model, rule.inter_key) < 1:
        yield report(
            "TG532",
            map_path("parameters", rule.inter_key),
            f"{rule.mode_key} 1 runs operators side by side, and {rule.inter_key} is not set",
            f"Set {rule.inter_key}, or {rule.mode_key} to 0.",
        )
    if rule.inter_key in model.parameters and rule.mode_key and not parallel:
        yield model.warning(
            "TG534",
            map_path("parameters", rule.inter_key),
            f"{rule.inter_key} is used with {rule.mode_key} 1 only",
        )


def _demands(model: LintedModel, context: LintContext) -> Iterator[_Demand]:
    # The model of a TensorRT-LLM set that calls the engine keeps no core busy while it waits.
    if model.is_ensemble or not model.parsed.ok or _ENGINE_NAME in model.parameters:
        return
    rule, threads = _rule(model), _each(model, context) or 1
    uses = [use for use in _uses(model, context) if use.count] if context.rate_limiter else []
    held = {use.group: use for use in reversed(uses)}
    groups = [
        item for item in _cpu_groups(model, context) if item.group is None or not item.group.passive
    ]
    if context.rate_limiter and model.callees:
        # While it waits for the models that it calls, it keeps no core busy.
        groups = [item for item in groups if item.field in held]
    if rule is not None and rule.pooled:
        # Every execution may keep the whole pool busy.
        groups = [replace(item, count=1) for item in groups[:1]]
    for item in groups:
        yield _Demand(item.count * max(1, len(model.served)), threads, held.get(item.field))


def core_budget(models: Models, context: LintContext) -> Iterator[Finding]:
    """The sum over the repository, with what the rate limiter holds back."""
    cores = context.cores
    if cores is None:
        return
    by_model = {name: list(_demands(models[name], context)) for name in sorted(models)}
    everything = [demand for own in by_model.values() for demand in own]
    total = _concurrent(everything, context)
    alone, told = False, f"the {counted(cores, 'core')}"
    for name, own in by_model.items():
        threads = _concurrent(own, context)
        if threads > cores:
            alone = True
            model = models[name]
            yield model.error(
                "TG531",
                "instance_group",
                f"{_show(own)} = {_sum(own, threads)}, more than {told}",
            )
    several = sum(bool(own) for own in by_model.values()) > 1
    if total > cores and (several or not alone):
        parts = " + ".join(f"{name} {_show(own)}" for name, own in by_model.items() if own)
        yield finding(
            "TG531",
            Severity.ERROR,
            f"all models together: {parts} = {_sum(everything, total)}, more than {told}",
        )


def _show(demands: list[_Demand]) -> str:
    return " + ".join(f"{item.instances} × {item.threads}" for item in demands)


def _sum(demands: list[_Demand], at_once: float) -> str:
    """The threads of all executions, and how many of them the rate limiter lets run."""
    whole = sum(item.instances * item.threads for item in demands)
    held = f", of which the rate limiter lets {at_once:g} run at a time" if at_once < whole else ""
    return f"{counted(whole, 'thread')}{held}"


def _concurrent(demands: list[_Demand], context: LintContext) -> float:
    """The most threads that can be busy at once."""
    bound: float = sum(item.instances * item.threads for item in demands if item.held is None)
    users: dict[Resource, list[tuple[_Demand, int]]] = {}
    for item in demands:
        if item.held is not None:
            users.setdefault(item.held.resource, []).append((item, item.held.count))
    for resource, own in sorted(users.items(), key=lambda pair: pair[0]):
        left = float(_available(resource, (cost for _, cost in own), context))
        # Those with the most threads first, as many as fit.
        for user, cost in sorted(own, key=lambda pair: pair[1] / pair[0].threads):
            running = min(float(user.instances), left / cost)
            bound += running * user.threads
            left -= running * cost
    return bound


def process_wide(models: Models, _context: LintContext) -> Iterator[Finding]:
    """Where the first model's value holds for the process, different values are a trap."""
    values: dict[str, dict[str, int]] = {}
    for name in sorted(models):
        model = models[name]
        rule = _rule(model) if model.parsed.ok else None
        if rule is not None and rule.scope is ThreadScope.PROCESS and rule.intra_key:
            values.setdefault(model.config.backend, {})[name] = _number(model, rule.intra_key)
    for backend, by_model in values.items():
        counts = sorted(set(by_model.values()))
        for name, value in by_model.items():
            if value != counts[0]:
                yield models[name].warning(
                    "TG630",
                    "parameters",
                    f"models of backend {backend} set different thread counts "
                    f"({', '.join(map(str, counts))}); the first one loaded decides",
                )


def limiter_resources(models: Models, context: LintContext) -> Iterator[Finding]:
    """A resource is global or per device, the same in all models."""
    if not context.rate_limiter:
        return
    scopes: dict[str, bool] = {}
    for name in sorted(models):
        for use in _uses(models[name], context):
            resource, scope = use.resource
            if scopes.setdefault(resource, scope) != scope:
                yield models[name].error(
                    "TG438",
                    use.field,
                    f'resource "{resource}" is present as both global and device-specific',
                )


def waiting_callers(models: Models, context: LintContext) -> Iterator[Finding]:
    """A model that calls others holds its resources while it waits for them.

    Once its instances hold so much that another model cannot have enough, nobody goes on: the
    limiter gives to one waiting instance after the other, and the callees stand in that row, too.
    """
    uses = [use for name in sorted(models) for use in _uses(models[name], context) if use.count]
    callers = [use for use in uses if models[use.model].callees]
    for use in callers:
        model = models[use.model]
        costs = (item.count for item in uses if item.resource == use.resource)
        available = _available(use.resource, costs, context)
        starved = [
            item
            for item in uses
            if item.resource == use.resource
            and item.model != use.model
            and item.count > available - _held_by(callers, use.resource, item.model)
        ]
        if not starved:
            continue
        # One that it calls says more than another that happens to wait before it.
        other = min(starved, key=lambda item: item.model not in model.callees)
        report = model.error if context.rate_limiter else model.warning
        yield report(
            "TG535",
            use.field,
            f'it holds {use.count} of resource "{use.resource[0]}" while it waits for '
            f"{', '.join(model.callees)}; {other.model} needs {other.count} of {available}, and "
            "both can wait for ever",
        )


def _available(resource: Resource, costs: Iterable[int], context: LintContext) -> int:
    """Without --rate-limit-resource Triton provides what the hungriest instance needs."""
    return dict(context.resources).get(resource[0], max(costs))


def _held_by(callers: Sequence[_Use], resource: Resource, model: str) -> int:
    """What all callers but one model can hold at once."""
    return sum(
        item.count * item.instances
        for item in callers
        if item.resource == resource and item.model != model
    )


def _uses(model: LintedModel, context: LintContext) -> Iterator[_Use]:
    if not model.parsed.ok:
        return
    for item in resolved_groups(model, context):
        resources = item.group.rate_limiter.resources if item.group is not None else ()
        for number, resource in enumerate(resources):
            yield _Use(
                model.name,
                item.field,
                f"{item.field}.rate_limiter.resources[{number}]",
                (resource.name, bool(getattr(resource, "global"))),
                int(resource.count),
                item.count * max(1, len(model.served)),
            )
