"""Batch sizes, the dynamic batcher, the sequence batcher, queues, the response cache."""

from collections.abc import Iterator

from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.pbtxt import Message, map_path
from tritongen.config.protobuf import dtype_name
from tritongen.model.findings import Finding

_BATCHER = "dynamic_batching"
_DELAY = 1
# Chosen: no online client waits that long for company.
_LONG_DELAY_US = 1_000_000
_CORRID = 3
_KINDS = {
    0: "CONTROL_SEQUENCE_START",
    1: "CONTROL_SEQUENCE_READY",
    2: "CONTROL_SEQUENCE_END",
    _CORRID: "CONTROL_SEQUENCE_CORRID",
}
_PAIRS = ("int32_false_true", "fp32_false_true", "bool_false_true")
_CORRID_TYPES = frozenset({"TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING"})


def batch_size(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """No negative batch size."""
    if model.config.max_batch_size < 0:
        yield model.error(
            "TG406",
            "max_batch_size",
            f"'max_batch_size' must be non-negative; it is {model.config.max_batch_size}",
        )


def preferred_sizes(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Preferred sizes lie from 1 to the batch size."""
    most, path = model.config.max_batch_size, f"{_BATCHER}.preferred_batch_size"
    sizes = model.config.dynamic_batching.preferred_batch_size
    for field, size in model.each(path):
        if size <= 0:
            message = f"preferred batch size must be positive; it is {size}"
            yield model.error("TG407", field, message)
        elif size > most:
            message = f"preferred batch size {size} must be <= max_batch_size {most}"
            yield model.error("TG407", field, message)
    own = model.rules is not None and model.rules.own_scheduler
    if sizes and not own and all(0 < size <= most for size in sizes):
        message = "preferred batch sizes make requests wait; plain dynamic_batching { } takes what"
        yield model.info("TG641", path, f"{message} is there")


def _level_policies(model: LintedModel) -> list[tuple[str, int, Message]]:
    """(Field, level, policy) of every priority level with a policy of its own."""
    policies = model.config.dynamic_batching.priority_queue_policy
    path = f"{_BATCHER}.priority_queue_policy"
    return [(map_path(path, level), level, policies[level]) for level in sorted(policies)]


def priorities(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Default level and policies lie within the levels."""
    batcher = model.config.dynamic_batching
    levels, default = batcher.priority_levels, batcher.default_priority_level
    if levels and not 1 <= default <= levels:
        message = f"default_priority_level must be in range [1, {levels}]; it is {default}"
        yield model.error("TG409", f"{_BATCHER}.default_priority_level", message)
    for field, level, _ in _level_policies(model):
        if not levels:
            message = f"the queue policy of level {level} never applies: priority_levels is not set"
            yield model.warning("TG621", field, message)
        elif not 1 <= level <= levels:
            message = f"priority queue policy must have a level in range [1, {levels}]"
            yield model.error("TG410", field, f"{message}; it is {level}")


def ordering(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Order is kept with one priority level and rejected time-outs only."""
    batcher = model.config.dynamic_batching
    if not batcher.preserve_ordering:
        return
    if batcher.priority_levels > 1:
        message = "only one priority level is allowed with preserve_ordering; there are "
        field = f"{_BATCHER}.preserve_ordering"
        yield model.error("TG411", field, f"{message}{batcher.priority_levels}")
    policies = {f"{_BATCHER}.default_queue_policy": batcher.default_queue_policy}
    policies |= {field: policy for field, _, policy in _level_policies(model)}
    for field, policy in policies.items():
        if policy.default_timeout_microseconds and policy.timeout_action == _DELAY:
            message = "a queue policy cannot have DELAY as timeout action with preserve_ordering"
            yield model.error("TG412", field, message)


def pointless_batcher(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A dynamic batcher with nothing to merge."""
    size, batcher = model.config.max_batch_size, model.config.dynamic_batching
    refused = size == 0 and batcher.preferred_batch_size
    if model.rules is not None and model.rules.own_scheduler:
        return  # told with what stands before such an engine
    if model.config.HasField(_BATCHER) and size in {0, 1} and not refused:
        message = f"dynamic_batching merges nothing with max_batch_size {size}"
        yield model.warning("TG607", _BATCHER, message)


def long_delay(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A delay that is most likely a slip of units: it is in microseconds."""
    delay_us = model.config.dynamic_batching.max_queue_delay_microseconds
    if delay_us >= _LONG_DELAY_US:
        message = f"a request may wait {delay_us / 1e6:g} s for company before it is served"
        field = f"{_BATCHER}.max_queue_delay_microseconds"
        yield model.warning("TG654", field, f"{message} ({delay_us} µs)")


def limited_queue(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A queue with limits makes the batcher miss wake-ups on a quiet server."""
    policy = model.config.dynamic_batching.default_queue_policy
    limits = [
        name
        for name in ("default_timeout_microseconds", "max_queue_size")
        if getattr(policy, name) > 0
    ]
    if limits:
        yield model.info(
            "TG652",
            f"{_BATCHER}.default_queue_policy",
            f"with {' and '.join(limits)} a request that arrives while an instance is being "
            "released wakes nobody: on a quiet server it can wait 500 ms (seen on Triton 2.51)",
        )


def response_cache(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """The cache serves plain request-response models, and needs a cache in the server."""
    config = model.config
    if not config.response_cache.enable:
        return
    field = "response_cache.enable"
    if config.HasField("sequence_batching"):
        yield model.error(
            "TG414", field, "the response cache does not support the sequence batching scheduler"
        )
    elif config.model_transaction_policy.decoupled:
        yield model.error(
            "TG415", field, "the response cache does not support the 'decoupled' transaction policy"
        )
    elif context.cache is not True:
        certain = context.cache is False
        yield model.warning(
            "TG613",
            field,
            "the server has no response cache; nothing is cached"
            if certain
            else "nothing is cached unless the server runs with --cache-config",
        )


def controls(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Control tensors have names of their own, and each control its form."""
    names: set[str] = set()
    kinds: dict[int, str] = {}
    for field, tensor in model.each("sequence_batching.control_input"):
        if not tensor.name:
            yield model.error("TG416", field, "a control tensor must have a name")
        elif tensor.name in names:
            yield model.error(
                "TG416",
                f"{field}.name",
                f"control tensor '{tensor.name}' is given more than once",
            )
        names.add(tensor.name)
        for number, control in enumerate(tensor.control):
            path = f"{field}.control[{number}]"
            kind = _KINDS.get(control.kind, str(control.kind))
            if control.kind in kinds:
                yield model.error("TG418", path, f"several tensors carry {kind}")
            kinds[control.kind] = tensor.name
            if control.kind == _CORRID:
                yield from _correlation(model, path, control)
            elif control.kind in _KINDS:
                yield from _pair(model, path, kind, control)


def _pair(model: LintedModel, path: str, kind: str, control: Message) -> Iterator[Finding]:
    given = [name for name in _PAIRS if len(getattr(control, name))]
    if not given:
        yield model.error("TG417", path, f"{kind} must specify one of {', '.join(_PAIRS)}")
    elif len(given) > 1:
        yield model.error("TG417", path, f"{kind} specifies more than one: {', '.join(given)}")
    elif len(getattr(control, given[0])) != 2:
        yield model.error(
            "TG417", f"{path}.{given[0]}", f"{kind}: {given[0]} must have exactly 2 entries"
        )


def _correlation(model: LintedModel, path: str, control: Message) -> Iterator[Finding]:
    given = [name for name in _PAIRS if len(getattr(control, name))]
    if given:
        yield model.error(
            "TG419", f"{path}.{given[0]}", f"CONTROL_SEQUENCE_CORRID must not specify {given[0]}"
        )
    name = dtype_name(control.data_type)
    if name not in _CORRID_TYPES:
        yield model.error(
            "TG419", f"{path}.data_type", f"CONTROL_SEQUENCE_CORRID cannot have data type {name}"
        )


def strategies(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Bounds of the two strategies."""
    batcher = model.config.sequence_batching
    most = model.config.max_batch_size
    for field, size in model.each("sequence_batching.oldest.preferred_batch_size"):
        if size <= 0 or size > most:
            yield model.error(
                "TG420",
                field,
                f"preferred batch size {size} must be positive and <= max_batch_size {most}",
            )
    if batcher.HasField("oldest") and batcher.oldest.max_candidate_sequences < 1:
        yield model.warning(
            "TG611",
            "sequence_batching.oldest",
            "max_candidate_sequences is not set; Triton then takes max_batch_size",
        )
    utilization = batcher.direct.minimum_slot_utilization
    if utilization < 0.0 or utilization > 1.0:
        yield model.error(
            "TG421",
            "sequence_batching.direct.minimum_slot_utilization",
            f"minimum_slot_utilization must be from 0 to 1; it is {utilization:g}",
        )
