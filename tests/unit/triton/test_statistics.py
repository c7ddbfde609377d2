"""What a server says of a model's configuration and counters, in either spelling of numbers."""

import pytest

from tritongen.triton.statistics import (
    ModelStatistics,
    ServedConfig,
    model_statistics,
    served_config,
)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, ServedConfig("m")),
        ({"max_batch_size": "8", "dynamic_batching": {}, "instance_group": [{"count": "2"}]},
         ServedConfig("m", 8, dynamic_batching=True, instances=2)),
        ({"instance_group": [{}, {"count": 3, "gpus": [0, 1]}, {"count": 0}]},
         ServedConfig("m", instances=8)),
        ({"sequence_batching": {}, "model_transaction_policy": {"decoupled": True}},
         ServedConfig("m", decoupled=True, sequence=True)),
        ({"instance_group": [{"count": 1}], "ensemble_scheduling": {"step": [
            {"model_name": "a"}, {"model_name": "b"}, {"model_name": "a"}, {}]}},
         ServedConfig("m", steps=("a", "b", ""))),
    ],
)  # fmt: skip
def test_what_matters_of_a_configuration(config, found):
    assert served_config("m", config) == found


VERSION = {
    "inference_count": "12", "execution_count": 3,
    "inference_stats": {
        "success": {"count": "6", "ns": 600}, "fail": {"count": 1}, "queue": {"ns": 10},
        "compute_input": {"ns": 20}, "compute_infer": {"ns": 30}, "compute_output": {"ns": 40},
        "cache_hit": {"count": 2}, "cache_miss": {"count": 4},
    },
    "batch_stats": [
        {"batch_size": 4, "compute_infer": {"count": 3, "ns": 7}, "compute_input": {"ns": 1}},
        {"batch_size": 8, "compute_output": {"ns": "2"}},
    ],
}  # fmt: skip


def test_counters_of_versions_are_added():
    one = model_statistics([VERSION])
    assert one == ModelStatistics(6, 1, 12, 3, 600, 10, 20, 30, 40, 2, 4, 10, ((4, 3),))
    both = model_statistics([VERSION, VERSION])
    assert (both.requests, both.executed_ns, both.batches) == (12, 20, ((4, 6),))
    assert model_statistics([]) == ModelStatistics()
    assert model_statistics([{}]) == ModelStatistics()


def test_what_happened_between_two_readings():
    first = ModelStatistics(requests=5, executions=4, queue_ns=10, batches=((1, 2), (2, 2)))
    second = ModelStatistics(requests=5, executions=6, queue_ns=15, batches=((1, 4), (2, 2)))
    assert second.since(first) == ModelStatistics(executions=2, queue_ns=5, batches=((1, 2),))
    assert first.since(first) == ModelStatistics()


@pytest.mark.parametrize(("requests", "executions"), [(4, 4), (5, 3), (4, 9)])
def test_a_server_that_started_again_counts_from_its_start(requests, executions):
    before = ModelStatistics(requests=5, executions=4)
    after = ModelStatistics(requests=requests, executions=executions)
    assert after.since(before) is after
