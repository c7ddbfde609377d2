"""Instance groups: kind, GPUs, count, names, rate limiter."""

from collections.abc import Iterator
from dataclasses import dataclass

from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import Message
from tritongen.model.findings import Finding

KIND_AUTO, KIND_GPU, KIND_CPU, KIND_MODEL = range(4)
KIND_NAMES = dict(enumerate(("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL")))


@dataclass(frozen=True, slots=True)
class Instances:
    """One instance group as Triton completes it.

    Attributes:
        field: path of the group; ``instance_group`` for the one that Triton adds itself.
        kind: after resolving KIND_AUTO; stays KIND_AUTO while the GPUs are unknown.
        count: after filling in the default.
        counted: whether the configuration states the count.
        group: the message, None for the group that Triton adds.
    """

    field: str
    kind: int
    count: int
    counted: bool
    group: Message | None


def resolved_groups(model: LintedModel, context: LintContext) -> tuple[Instances, ...]:
    """Every group with kind and count as Triton fills them in."""
    if model.is_ensemble:
        return ()
    groups = list(model.each("instance_group"))
    if not groups:
        kind = _resolve(_preferred_kind(model.config.backend, context), (), context)
        return (Instances("instance_group", kind, _default_count(model, kind), False, None),)
    found: list[Instances] = []
    for field, group in groups:
        kind = _resolve(group.kind, tuple(group.gpus), context)
        counted = group.count >= 1
        count = group.count if counted else _default_count(model, kind)
        found.append(Instances(field, kind, count, counted, group))
    return tuple(found)


def _preferred_kind(backend: str, context: LintContext) -> int:
    if backend == "openvino":
        return KIND_CPU
    return KIND_GPU if backend == "python" and context.gpus else KIND_AUTO


def _resolve(kind: int, gpus: tuple[int, ...], context: LintContext) -> int:
    if kind != KIND_AUTO or context.gpus is None:
        return kind
    if context.gpus == 0 or any(gpu not in range(context.gpus) for gpu in gpus):
        return KIND_CPU
    return KIND_GPU


def _default_count(model: LintedModel, kind: int) -> int:
    if kind not in {KIND_CPU, KIND_AUTO}:
        return 1
    return model.rules.default_cpu_instances if model.rules else 1


def kinds_and_gpus(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """A CPU group names no GPU; a GPU group names GPUs that exist."""
    for instances in resolved_groups(model, context):
        for part, message, *fix in _kind_faults(instances, context):
            yield model.error("TG434", f"{instances.field}.{part}", message, *fix)


def _kind_faults(instances: Instances, context: LintContext) -> Iterator[tuple[str, ...]]:
    """(Field, message), and perhaps a fix."""
    group, kind = instances.group, instances.kind
    if group is None:
        return
    if kind not in KIND_NAMES:
        yield "kind", f"the group has the unknown kind {kind}"
    elif kind in {KIND_CPU, KIND_MODEL} and group.gpus:
        resolved = "" if group.kind == kind else " (KIND_AUTO where a GPU is missing)"
        yield "gpus", f"the group has kind {KIND_NAMES[kind]}{resolved} but specifies GPUs"
    elif kind == KIND_GPU and context.gpus == 0:
        message = "the group has kind KIND_GPU but no GPUs are available"
        yield "kind", message, "Use KIND_CPU, or serve on a machine with a GPU."
    elif kind == KIND_GPU and context.gpus is not None:
        for gpu in group.gpus:
            if gpu not in range(context.gpus):
                known = f"the server has {context.gpus}, counted from 0"
                yield "gpus", f"invalid GPU id {gpu}: {known}"


def promised_gpus(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Who names cores but no GPU most likely checks for a machine without one."""
    if context.cores is None or context.gpus is not None:
        return
    for field, group in model.each("instance_group"):
        if group.kind == KIND_GPU:
            yield model.warning(
                "TG653",
                f"{field}.kind",
                "KIND_GPU loads only where there is a GPU, and --cpus is given without --gpus",
            )


def backend_kinds(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Some backends serve on certain kinds only."""
    rules = model.rules
    for instances in resolved_groups(model, context):
        name = KIND_NAMES.get(instances.kind, "KIND_AUTO").removeprefix("KIND_")
        if rules and name != "AUTO" and name not in rules.kinds:
            yield model.error(
                "TG517",
                f"{instances.field}.kind",
                f"backend {rules.name} does not serve on KIND_{name}; it accepts "
                f"{', '.join(f'KIND_{kind}' for kind in rules.kinds)}",
            )


def profiles(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Optimisation profiles belong to TensorRT plans and are numbers from 0."""
    if model.is_ensemble:
        return
    for path, group in model.each("instance_group"):
        field = f"{path}.profile"
        if group.profile and model.config.platform != "tensorrt_plan":
            yield model.error("TG435", field, "profile is only supported for TensorRT models")
            continue
        for profile in group.profile:
            if not profile.isascii() or not profile.isdigit():
                yield model.error(
                    "TG435",
                    field,
                    f'profile "{profile}" is not a non-negative integer',
                    'Write the profile\'s index, such as "0".',
                )


def counts(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """A count below 1 is never an error: Triton takes its default instead."""
    for instances in resolved_groups(model, context):
        group = instances.group
        if (
            group is not None
            and f"{instances.field}.count" in model.parsed.lines
            and group.count < 1
        ):
            yield model.warning(
                "TG603",
                f"{instances.field}.count",
                f"count {group.count} is silently replaced by {instances.count}",
            )
        elif not instances.counted:
            where = "instance_group is missing" if group is None else "count is missing"
            yield model.info(
                "TG642",
                instances.field,
                f'{where}: Triton starts {instances.count} for backend "{model.config.backend}"',
            )


def kinds_written(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """KIND_AUTO serves on another device when the machine changes."""
    for field, group in model.each("instance_group"):
        if group.kind == KIND_AUTO and not model.is_ensemble:
            report = model.warning if context.gpus else model.info
            yield report(
                "TG643",
                f"{field}.kind",
                "KIND_AUTO: on the GPU where there is one, else on the CPU",
            )


def group_names(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Names that repeat, and host policies that nobody defines."""
    seen: set[str] = set()
    for field, group in model.each("instance_group"):
        if group.name in seen:
            yield model.warning(
                "TG608", f"{field}.name", f'several groups are called "{group.name}"'
            )
        seen |= {group.name} - {""}
        known = {"cpu", "model", *(f"gpu_{gpu}" for gpu in range(64)), *context.host_policies}
        if group.host_policy and group.host_policy not in known:
            yield model.warning(
                "TG609",
                f"{field}.host_policy",
                f'host policy "{group.host_policy}" is not defined; an unknown name means none',
            )


def passive_only(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A model whose instances are all passive loads and never answers."""
    groups = model.config.instance_group
    if groups and all(group.passive for group in groups) and not model.is_ensemble:
        yield model.warning(
            "TG616",
            "instance_group",
            "every group is passive: the model loads and nothing serves its requests",
        )


def limiter_settings(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Resources count only while the server's rate limiter is on."""
    given = dict(context.resources)
    for path, group in model.each("instance_group"):
        if not group.HasField("rate_limiter"):
            continue
        field = f"{path}.rate_limiter"
        if not context.rate_limiter:
            yield model.warning(
                "TG627",
                field,
                "the rate limiter is off by default; without --rate-limit=execution_count these "
                "settings do nothing",
            )
            continue
        for number, resource in enumerate(group.rate_limiter.resources):
            if resource.name in given and resource.count > given[resource.name]:
                yield model.error(
                    "TG438",
                    f"{field}.resources[{number}].count",
                    f'an instance needs {resource.count} of resource "{resource.name}"; the '
                    f"server has {given[resource.name]}",
                    "Raise --rate-limit-resource, or lower the count.",
                )
