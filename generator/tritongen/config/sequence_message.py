"""The `sequence_batching` part of a configuration."""

from types import MappingProxyType
from typing import Any

from tritongen.config.protobuf import model_config_module
from tritongen.model.intent import SequenceControl
from tritongen.model.serving_plan import Reason, SequencePlan, Source
from tritongen.model.tensors import DType

_PATH = "sequence_batching"
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


def set_sequence(
    message: Any,  # noqa: ANN401  (generated at run time)
    plan: SequencePlan,
    reasons: dict[str, Reason],
) -> None:
    """Write the sequence batcher into a `ModelConfig`, and the reasons of its fields.

    Args:
        message: `inference.ModelConfig`.
        plan: of the sequences.
        reasons: by field path; extended.
    """
    target = message.sequence_batching
    target.max_sequence_idle_microseconds = plan.idle_us.value
    reasons[_PATH] = plan.reason
    reasons[f"{_PATH}.max_sequence_idle_microseconds"] = plan.idle_us.reason
    if plan.candidates is None:
        target.direct.SetInParent()
    else:
        target.oldest.max_candidate_sequences = plan.candidates.value
        reasons[f"{_PATH}.oldest.max_candidate_sequences"] = plan.candidates.reason
    types = model_config_module().DataType
    for index, (control, name, dtype) in enumerate(plan.controls):
        _add_control(target.control_input.add(), control, name, dtype)
        # A reason prints the kind, whose first value would go without saying.
        why = Reason(Source.INTENT, _MEANINGS[control])
        reasons[f"{_PATH}.control_input[{index}].control[0].kind"] = why
    for index, state in enumerate(plan.states):
        entry = target.state.add()
        entry.input_name = state.input
        entry.output_name = state.output
        entry.data_type = types.Value(state.dtype.config_name)
        entry.dims.extend(state.dims)
        initial = entry.initial_state.add()
        initial.name = "file" if state.file else "zeros"
        initial.data_type = entry.data_type
        initial.dims.extend(state.initial)
        if state.file:
            initial.data_file = state.file
        else:
            initial.zero_data = True
        reasons[f"{_PATH}.state[{index}]"] = state.reason


def _add_control(
    entry: Any,  # noqa: ANN401  (generated at run time)
    control: SequenceControl,
    name: str,
    dtype: DType,
) -> None:
    kinds = model_config_module().ModelSequenceBatching.Control.Kind
    entry.name = name
    item = entry.control.add()
    item.kind = kinds.Value(_KINDS[control])
    if control is SequenceControl.ID:
        item.data_type = model_config_module().DataType.Value(dtype.config_name)
    else:
        getattr(item, _VALUES.get(dtype, "fp32_false_true")).extend([0, 1])
