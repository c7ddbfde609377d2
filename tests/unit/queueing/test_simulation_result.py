"""What a simulation says in numbers."""

from dataclasses import replace

from tritongen.queueing.simulation_result import SimulatedModel

RESULT = SimulatedModel(
    name="a",
    seconds=4.0,
    requests=5,
    latencies_s=(0.1, 0.2, 0.3, 0.4, 0.5),
    mean_wait_s=0.0,
    mean_execution_s=0.0,
    mean_batch=1.0,
    mean_in_system=0.0,
    utilisation=0.0,
    unfinished=0,
)


def test_throughput_is_of_what_was_finished():
    assert RESULT.throughput_per_s == 1.25
    assert replace(RESULT, seconds=0.0).throughput_per_s == 0.0


def test_a_percentile_is_a_latency_that_was_seen():
    assert [RESULT.latency_s(p) for p in (0.0, 20.0, 21.0, 50.0, 99.0, 100.0)] == [
        0.1, 0.1, 0.2, 0.3, 0.5, 0.5,
    ]  # fmt: skip
