"""The overlay reaches every field of ModelConfig, and its faults name their path."""

import pytest
from google.protobuf import text_format

from tritongen.config.config_message import ConfigMessage
from tritongen.config.overlay import apply_overlay, overlay_faults
from tritongen.config.protobuf import new_model_config
from tritongen.model.serving_plan import Reason, Source

REASON = Reason(Source.MODEL, "because")
BASE = """
name: "m" backend: "onnxruntime" max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }
instance_group { count: 2 kind: KIND_CPU }
dynamic_batching { max_queue_delay_microseconds: 100 }
parameters { key: "intra_op_thread_count" value { string_value: "1" } }
"""


def base() -> ConfigMessage:
    message = text_format.Parse(BASE, new_model_config())
    reasons = {
        "instance_group[0].count": REASON,
        "dynamic_batching.max_queue_delay_microseconds": REASON,
        'parameters["intra_op_thread_count"]': REASON,
    }
    return ConfigMessage(message, reasons)


def merged(overlay: dict[str, object]) -> ConfigMessage:
    assert overlay_faults(overlay) == ()
    return apply_overlay(base(), overlay)


def test_messages_merge_field_by_field() -> None:
    config = merged({"dynamic_batching": {"preserve_ordering": True}})
    assert config.message.dynamic_batching.max_queue_delay_microseconds == 100
    assert config.message.dynamic_batching.preserve_ordering
    assert config.reasons["dynamic_batching.max_queue_delay_microseconds"] is REASON
    assert config.reasons["dynamic_batching.preserve_ordering"].source is Source.INTENT


def test_lists_are_replaced_as_a_whole() -> None:
    config = merged({"instance_group": [{"count": 1, "kind": "KIND_CPU"}, {"count": 3}]})
    assert [group.count for group in config.message.instance_group] == [1, 3]
    assert "instance_group[0].count" not in config.reasons


def test_parameters_take_plain_values_and_keep_the_others() -> None:
    config = merged({"parameters": {"enable_mem_arena": False, "gpu_mem_limit": 5, "k": "v"}})
    values = {key: item.string_value for key, item in config.message.parameters.items()}
    assert values == {
        "intra_op_thread_count": "1", "enable_mem_arena": "false", "gpu_mem_limit": "5", "k": "v",
    }  # fmt: skip
    assert config.reasons['parameters["intra_op_thread_count"]'] is REASON


def test_maps_with_numbers_for_keys_merge_key_by_key() -> None:
    def limits(overlay: dict[str, object]) -> dict[int, int]:
        batching = merged({"dynamic_batching": overlay}).message.dynamic_batching
        return {key: item.max_queue_size for key, item in batching.priority_queue_policy.items()}

    policies = {"1": {"max_queue_size": 3}, "2": {"max_queue_size": 4}}
    config = merged({"dynamic_batching": {"priority_levels": 2, "priority_queue_policy": policies}})
    assert set(config.reasons) >= {
        f"dynamic_batching.priority_queue_policy[{level}]" for level in (1, 2)
    }
    assert limits({"priority_queue_policy": policies}) == {1: 3, 2: 4}
    assert limits({"priority_queue_policy": {**policies, "1": None}}) == {2: 4}
    wrong = overlay_faults({"dynamic_batching": {"priority_queue_policy": {"high": {}}}})
    assert [fault.path for fault in wrong] == ["dynamic_batching"]


def test_null_removes() -> None:
    config = merged({"dynamic_batching": None, "parameters": {"intra_op_thread_count": None}})
    assert not config.message.HasField("dynamic_batching")
    assert not config.message.parameters
    assert "overlay" in config.remarks["dynamic_batching"].sentence


def test_another_member_of_a_oneof_replaces_the_generated_one() -> None:
    config = merged({"sequence_batching": {"direct": {}}})
    assert config.message.WhichOneof("scheduling_choice") == "sequence_batching"
    assert not any(path.startswith("dynamic_batching") for path in config.reasons)


def test_the_base_is_left_alone() -> None:
    first = base()
    apply_overlay(first, {"max_batch_size": 1})
    assert first.message.max_batch_size == 8


def test_every_field_can_be_reached() -> None:
    for described in new_model_config().DESCRIPTOR.fields:
        assert not [
            fault
            for fault in overlay_faults({described.name: None})
            if "no such field" in fault.message
        ]


@pytest.mark.parametrize(
    ("overlay", "path", "words"),
    [
        ({"max_batchsize": 1}, "max_batchsize", "did you mean `max_batch_size`"),
        (
            {"dynamic_batching": {"preferred_batch_sizes": [1]}},
            "dynamic_batching.preferred_batch_sizes", "did you mean `preferred_batch_size`",
        ),
        ({"instance_group": [{"kinds": "KIND_CPU"}]}, "instance_group.kinds", "mean `kind`"),
        ({"max_batch_size": "many"}, "max_batch_size", "many"),
        ({"instance_group": [{"kind": "CPU"}]}, "instance_group", "CPU"),
        ({"backend": None}, "backend", "cannot be removed"),
        ({"name": "other"}, "name", "folder"),
        (
            {"model_warmup": [{"inputs": {"x": {"dimz": [1]}}}]},
            "model_warmup.inputs.x.dimz", "dims",
        ),
    ],
)  # fmt: skip
def test_faults(overlay: dict[str, object], path: str, words: str) -> None:
    (fault,) = overlay_faults(overlay)
    assert fault.path == path
    assert words in fault.message
