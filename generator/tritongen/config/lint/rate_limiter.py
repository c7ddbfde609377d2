"""The rate limiter: resources that executions take, and models that wait for others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tritongen.config.lint.instances import resolved_groups
from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.model.findings import Finding

Models = Mapping[str, LintedModel]


@dataclass(frozen=True, slots=True)
class _Use:
    """What one instance group takes of a resource.

    Attributes:
        model: whose.
        field: of the resource in its configuration.
        resource: (name, global).
        count: of one execution.
        instances: executions that can run at once, all served versions together.
    """

    model: str
    field: str
    resource: tuple[str, bool]
    count: int
    instances: int


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
        available = _available(use.resource, uses, context)
        starved = [
            item
            for item in uses
            if item.resource == use.resource
            and item.model != use.model
            and item.count > available - _held(callers, use.resource, item.model)
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


def _available(resource: tuple[str, bool], uses: Sequence[_Use], context: LintContext) -> int:
    """Without --rate-limit-resource Triton provides what the hungriest instance needs."""
    most = max(item.count for item in uses if item.resource == resource)
    return dict(context.resources).get(resource[0], most)


def _held(callers: Sequence[_Use], resource: tuple[str, bool], model: str) -> int:
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
                f"{item.field}.rate_limiter.resources[{number}]",
                (resource.name, bool(getattr(resource, "global"))),
                int(resource.count),
                item.count * max(1, len(model.served)),
            )
