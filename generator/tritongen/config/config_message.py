"""From a model's plan to the `ModelConfig` message, with the reason of every field by its path."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from tritongen.config.protobuf import Message, model_config_module, new_model_config
from tritongen.model.sequence_intent import SequenceControl
from tritongen.model.serving_plan import (
    EnsemblePlan,
    InstanceKind,
    ModelPlan,
    Planned,
    Reason,
    SequencePlan,
    Source,
)
from tritongen.model.tensors import DType

T = TypeVar("T")

# Name of the rate limiter's resource that stands for one core.
CORE_RESOURCE = "cpu"
_SEQUENCES = "sequence_batching"
_KINDS = MappingProxyType(
    {
        SequenceControl.START: "CONTROL_SEQUENCE_START",
        SequenceControl.END: "CONTROL_SEQUENCE_END",
        SequenceControl.READY: "CONTROL_SEQUENCE_READY",
        SequenceControl.ID: "CONTROL_SEQUENCE_CORRID",
    }
)
_MEANINGS = MappingProxyType(
    {
        SequenceControl.START: "1 at a sequence's first request, else 0",
        SequenceControl.END: "1 at a sequence's last request, else 0",
        SequenceControl.READY: "1 for rows that hold a request, 0 for those that wait",
        SequenceControl.ID: "the sequence's number",
    }
)
# Where the values for false and true are written, by the type that the model takes.
_VALUES = MappingProxyType(
    {
        DType.FP32: "fp32_false_true",
        DType.INT32: "int32_false_true",
        DType.BOOL: "bool_false_true",
    }
)


@dataclass(frozen=True, slots=True)
class ConfigMessage:
    """A configuration as message and the reasons to print beside its fields.

    Attributes:
        message: `inference.ModelConfig`.
        reasons: by field path, such as ``instance_group[0].count``.
        remarks: reasons of fields that are deliberately absent, by the field's name.
    """

    message: Message
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    remarks: Mapping[str, Reason] = field(default_factory=dict)


def build_message(plan: ModelPlan) -> ConfigMessage:
    """The message of a plan, before the user's overlay."""
    builder = _MessageBuilder()
    builder.model(plan)
    return ConfigMessage(builder.message, builder.reasons, builder.remarks)


def build_ensemble(plan: EnsemblePlan) -> ConfigMessage:
    """The message of a pipeline; its steps take the newest version that is served."""
    builder = _MessageBuilder()
    builder.message.platform = "ensemble"
    builder.common(plan)
    for step in plan.steps:
        entry = builder.message.ensemble_scheduling.step.add()
        entry.model_name = step.model
        entry.model_version = -1
        entry.input_map.update(dict(step.inputs))
        entry.output_map.update(dict(step.outputs))
    return ConfigMessage(builder.message, builder.reasons)


class _MessageBuilder:
    """Fills one message, and notes the reason of what it writes or leaves out."""

    def __init__(self) -> None:
        self.message = new_model_config()
        self.reasons: dict[str, Reason] = {}
        self.remarks: dict[str, Reason] = {}

    def model(self, plan: ModelPlan) -> None:
        message = self.message
        message.backend = plan.backend
        message.platform = plan.platform
        self.common(plan)
        self._set_instances(plan)
        self._set_batching(plan)
        if plan.sequence is not None:
            set_sequence(message, plan.sequence, self.reasons)
        for key, value in plan.parameters:
            message.parameters[key].string_value = self._noted(f'parameters["{key}"]', value)
        self._set_warmup(plan)
        if plan.versions is not None:
            versions = self._noted("version_policy", plan.versions)
            message.version_policy.specific.versions.extend(versions)
        if plan.response_cache is not None:
            message.response_cache.enable = self._noted("response_cache", plan.response_cache)
        if plan.decoupled is not None:
            path = "model_transaction_policy.decoupled"
            message.model_transaction_policy.decoupled = self._noted(path, plan.decoupled)

    def _noted(self, path: str, planned: Planned[T]) -> T:
        """The value, with its reason noted at the path."""
        self.reasons[path] = planned.reason
        return planned.value

    def common(self, plan: ModelPlan | EnsemblePlan) -> None:
        """What models and pipelines have alike: name, batch size, inputs and outputs."""
        self.message.name = plan.name
        self.message.max_batch_size = self._noted("max_batch_size", plan.max_batch_size)
        for label, tensors in (("input", plan.inputs), ("output", plan.outputs)):
            for index, tensor in enumerate(tensors):
                entry = getattr(self.message, label).add(
                    name=tensor.name, data_type=tensor.dtype.config_name, dims=tensor.dims
                )
                if tensor.reshape is not None:
                    entry.reshape.SetInParent()
                    entry.reshape.shape.extend(tensor.reshape)
                if tensor.optional:
                    entry.optional = True
                self.reasons[f"{label}[{index}].dims"] = tensor.reason

    def _set_instances(self, plan: ModelPlan) -> None:
        count = self._noted("instance_group[0].count", plan.instances)
        group = self.message.instance_group.add(count=count, kind=plan.kind.value.value)
        if plan.kind.value is not InstanceKind.CPU:
            self.reasons["instance_group[0].kind"] = plan.kind.reason
        if plan.gpus is not None:
            group.gpus.extend(self._noted("instance_group[0].gpus", plan.gpus))
        slots = plan.execution_slots
        if slots is not None and slots.value:
            count = self._noted("instance_group[0].rate_limiter", slots)
            # A keyword in Python, a field's name in the message.
            scope = {"global": True}
            group.rate_limiter.resources.add(name=CORE_RESOURCE, count=count, **scope)
        elif slots is not None:
            self.remarks["rate_limiter"] = slots.reason

    def _set_batching(self, plan: ModelPlan) -> None:
        batching = plan.batching
        if batching is None:
            if plan.batching_off is not None and plan.max_batch_size.value > 0:
                self.remarks["dynamic_batching"] = plan.batching_off
            return
        target = self.message.dynamic_batching
        target.SetInParent()
        path = "dynamic_batching.max_queue_delay_microseconds"
        target.max_queue_delay_microseconds = self._noted(path, batching.queue_delay_us)
        policy = batching.queue_policy
        if policy is not None:
            target.default_queue_policy.default_timeout_microseconds = policy.timeout_us
            target.default_queue_policy.max_queue_size = policy.max_queue_size
            self.reasons["dynamic_batching.default_queue_policy"] = policy.reason

    def _set_warmup(self, plan: ModelPlan) -> None:
        filled = model_config_module().ModelWarmup.Input
        for sample in plan.warmup:
            entry = self.message.model_warmup.add(name=sample.name, batch_size=sample.batch_size)
            for tensor in sample.inputs:
                entry.inputs[tensor.name].CopyFrom(
                    filled(data_type=tensor.dtype.config_name, dims=tensor.dims, zero_data=True)
                )
        if plan.warmup_reason is None:
            return
        if plan.warmup:
            self.reasons["model_warmup[0]"] = plan.warmup_reason
        else:
            self.remarks["model_warmup"] = plan.warmup_reason


def set_sequence(message: Message, plan: SequencePlan, reasons: dict[str, Reason]) -> None:
    """Write the sequence batcher into a `ModelConfig`, and the reasons of its fields.

    Args:
        message: `inference.ModelConfig`.
        plan: of the sequences.
        reasons: by field path; extended.
    """
    target = message.sequence_batching
    target.max_sequence_idle_microseconds = plan.idle_us.value
    reasons[_SEQUENCES] = plan.reason
    reasons[f"{_SEQUENCES}.max_sequence_idle_microseconds"] = plan.idle_us.reason
    if plan.candidates is None:
        target.direct.SetInParent()
    else:
        target.oldest.max_candidate_sequences = plan.candidates.value
        reasons[f"{_SEQUENCES}.oldest.max_candidate_sequences"] = plan.candidates.reason
    for index, (control, name, dtype) in enumerate(plan.controls):
        fields: dict[str, object] = {_VALUES.get(dtype, "fp32_false_true"): (0, 1)}
        if control is SequenceControl.ID:
            fields = {"data_type": dtype.config_name}
        target.control_input.add(name=name).control.add(kind=_KINDS[control], **fields)
        # A reason prints the kind, whose first value would go without saying.
        why = Reason(Source.INTENT, _MEANINGS[control])
        reasons[f"{_SEQUENCES}.control_input[{index}].control[0].kind"] = why
    for index, state in enumerate(plan.states):
        kind = state.dtype.config_name
        entry = target.state.add(
            input_name=state.input, output_name=state.output, data_type=kind, dims=state.dims
        )
        initial = entry.initial_state.add(
            name="file" if state.file else "zeros", data_type=kind, dims=state.initial
        )
        if state.file:
            initial.data_file = state.file
        else:
            initial.zero_data = True
        reasons[f"{_SEQUENCES}.state[{index}]"] = state.reason
