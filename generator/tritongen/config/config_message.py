"""From a model's plan to the `ModelConfig` message, with the reason of every field by its path."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tritongen.config.protobuf import model_config_module, new_model_config
from tritongen.config.sequence_message import set_sequence
from tritongen.model.serving_plan import (
    EnsemblePlan,
    InstanceKind,
    ModelPlan,
    PlannedTensor,
    Reason,
)

# Name of the rate limiter's resource that stands for one core.
CORE_RESOURCE = "cpu"


@dataclass(frozen=True, slots=True)
class ConfigMessage:
    """A configuration as message and the reasons to print beside its fields.

    Attributes:
        message: `inference.ModelConfig`.
        reasons: by field path, such as ``instance_group[0].count``.
        remarks: reasons of fields that are deliberately absent, by the field's name.
    """

    message: Any
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    remarks: Mapping[str, Reason] = field(default_factory=dict)


def build_message(plan: ModelPlan) -> ConfigMessage:
    """The message of a plan, before the user's overlay."""
    message = new_model_config()
    reasons: dict[str, Reason] = {}
    remarks: dict[str, Reason] = {}
    message.name = plan.name
    message.backend = plan.backend
    message.platform = plan.platform
    message.max_batch_size = plan.max_batch_size.value
    reasons["max_batch_size"] = plan.max_batch_size.reason
    for label, tensors, target in (
        ("input", plan.inputs, message.input),
        ("output", plan.outputs, message.output),
    ):
        for index, tensor in enumerate(tensors):
            _add_tensor(target.add(), tensor, f"{label}[{index}]", reasons)
    _set_instances(message, plan, reasons, remarks)
    _set_batching(message, plan, reasons, remarks)
    if plan.sequence is not None:
        set_sequence(message, plan.sequence, reasons)
    for key, value in plan.parameters:
        message.parameters[key].string_value = value.value
        reasons[f'parameters["{key}"]'] = value.reason
    _set_warmup(message, plan, reasons, remarks)
    if plan.versions is not None:
        message.version_policy.specific.versions.extend(plan.versions.value)
        reasons["version_policy"] = plan.versions.reason
    if plan.response_cache is not None:
        message.response_cache.enable = plan.response_cache.value
        reasons["response_cache"] = plan.response_cache.reason
    if plan.decoupled is not None:
        message.model_transaction_policy.decoupled = plan.decoupled.value
        reasons["model_transaction_policy.decoupled"] = plan.decoupled.reason
    return ConfigMessage(message, reasons, remarks)


def build_ensemble(plan: EnsemblePlan) -> ConfigMessage:
    """The message of a pipeline; its steps take the newest version that is served."""
    message = new_model_config()
    reasons: dict[str, Reason] = {"max_batch_size": plan.max_batch_size.reason}
    message.name = plan.name
    message.platform = "ensemble"
    message.max_batch_size = plan.max_batch_size.value
    for label, tensors, target in (
        ("input", plan.inputs, message.input),
        ("output", plan.outputs, message.output),
    ):
        for index, tensor in enumerate(tensors):
            _add_tensor(target.add(), tensor, f"{label}[{index}]", reasons)
    for step in plan.steps:
        entry = message.ensemble_scheduling.step.add()
        entry.model_name = step.model
        entry.model_version = -1
        entry.input_map.update(dict(step.inputs))
        entry.output_map.update(dict(step.outputs))
    return ConfigMessage(message, reasons)


def _add_tensor(
    entry: Any,  # noqa: ANN401  (ModelInput or ModelOutput, generated at run time)
    tensor: PlannedTensor,
    path: str,
    reasons: dict[str, Reason],
) -> None:
    entry.name = tensor.name
    entry.data_type = model_config_module().DataType.Value(tensor.dtype.config_name)
    entry.dims.extend(tensor.dims)
    reasons[f"{path}.dims"] = tensor.reason
    if tensor.reshape is not None:
        entry.reshape.SetInParent()
        entry.reshape.shape.extend(tensor.reshape)
    if tensor.optional:
        entry.optional = True


def _set_instances(
    message: Any,  # noqa: ANN401  (generated at run time)
    plan: ModelPlan,
    reasons: dict[str, Reason],
    remarks: dict[str, Reason],
) -> None:
    group = message.instance_group.add()
    kinds = model_config_module().ModelInstanceGroup
    group.count = plan.instances.value
    group.kind = kinds.Kind.Value(plan.kind.value.value)
    reasons["instance_group[0].count"] = plan.instances.reason
    if plan.kind.value is not InstanceKind.CPU:
        reasons["instance_group[0].kind"] = plan.kind.reason
    if plan.execution_slots is None:
        return
    if not plan.execution_slots.value:
        remarks["rate_limiter"] = plan.execution_slots.reason
        return
    resource = group.rate_limiter.resources.add()
    resource.name = CORE_RESOURCE
    setattr(resource, "global", True)  # a keyword in Python, a field name in the message
    resource.count = plan.execution_slots.value
    reasons["instance_group[0].rate_limiter"] = plan.execution_slots.reason


def _set_batching(
    message: Any,  # noqa: ANN401  (generated at run time)
    plan: ModelPlan,
    reasons: dict[str, Reason],
    remarks: dict[str, Reason],
) -> None:
    batching = plan.batching
    if batching is None:
        if plan.batching_off is not None and plan.max_batch_size.value > 0:
            remarks["dynamic_batching"] = plan.batching_off
        return
    target = message.dynamic_batching
    target.SetInParent()
    target.preferred_batch_size.extend(batching.preferred_batch_sizes)
    target.max_queue_delay_microseconds = batching.queue_delay_us.value
    path = "dynamic_batching.max_queue_delay_microseconds"
    reasons[path] = batching.queue_delay_us.reason
    policy = batching.queue_policy
    if policy is not None:
        target.default_queue_policy.default_timeout_microseconds = policy.timeout_us
        target.default_queue_policy.max_queue_size = policy.max_queue_size
        reasons["dynamic_batching.default_queue_policy"] = policy.reason


def _set_warmup(
    message: Any,  # noqa: ANN401  (generated at run time)
    plan: ModelPlan,
    reasons: dict[str, Reason],
    remarks: dict[str, Reason],
) -> None:
    types = model_config_module().DataType
    for sample in plan.warmup:
        entry = message.model_warmup.add()
        entry.name = sample.name
        entry.batch_size = sample.batch_size
        for tensor in sample.inputs:
            value = entry.inputs[tensor.name]
            value.data_type = types.Value(tensor.dtype.config_name)
            value.dims.extend(tensor.dims)
            value.zero_data = True
    if plan.warmup_reason is not None:
        place, key = (reasons, "model_warmup[0]") if plan.warmup else (remarks, "model_warmup")
        place[key] = plan.warmup_reason
