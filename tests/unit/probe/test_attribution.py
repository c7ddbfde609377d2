from dataclasses import replace

import pytest

from tritongen.probe.statistics.attribution import advise, attribute, execution_of
from tritongen.triton.statistics import ModelStatistics, ServedConfig

CONFIG = ServedConfig("ocr", max_batch_size=8, instances=2)


def statistics(requests: int, **times: int) -> ModelStatistics:
    return ModelStatistics(requests=requests, inferences=requests, executions=requests, **times)


def execution(queue=0.0, infer=0.0, config=CONFIG, batch=1, **more):
    count = 1_000
    return execution_of(
        ModelStatistics(
            requests=count,
            inferences=count,
            executions=count // batch,
            request_ns=round((queue + infer) * 1e3 * count),
            queue_ns=round(queue * 1e3 * count),
            compute_infer_ns=round(infer * 1e3 * count),
            executed_ns=round(infer * 1e3 * count / batch),
            **more,
        ),
        config,
        10.0,
    )


def test_readings_are_subtracted():
    before = statistics(100, queue_ns=1_000)
    after = statistics(300, queue_ns=5_000)
    delta = after.since(before)
    assert (delta.requests, delta.queue_ns) == (200, 4_000)


def test_a_restarted_server_counts_from_zero():
    assert statistics(5).since(statistics(100)) == statistics(5)


def test_batches_are_subtracted_by_size():
    before = replace(statistics(10), batches=((1, 4), (8, 2)))
    after = replace(statistics(50), batches=((1, 4), (2, 3), (8, 7)))
    assert after.since(before).batches == ((2, 3), (8, 5))


def test_means_batch_and_busy_share():
    found = execution(queue=100.0, infer=400.0, batch=4)
    assert found.average_batch == 4.0
    assert found.queue_us == 100.0
    assert found.busy_share == pytest.approx(400e-6 * 250 / (10 * 2))


@pytest.mark.parametrize(("mean", "late", "client"), [(1_000, 0, 15), (900, 300, 20), (500, 0, 90)])
def test_the_parts_add_up_to_the_latency(mean, late, client):
    own = execution(queue=100.0, infer=350.0)
    found = attribute(own, (), mean, late, client)
    assert sum(value for _, value in found.parts) == pytest.approx(mean)
    assert all(value >= 0 for _, value in found.parts)


def test_the_parts_add_up_even_if_the_server_tells_more_than_was_measured():
    found = attribute(execution(queue=900.0, infer=600.0), (), 1_000.0, 100.0, 20.0)
    assert sum(value for _, value in found.parts) == pytest.approx(1_000.0)
    assert found.network_us == 0.0


def test_an_ensemble_takes_its_parts_from_its_steps():
    ensemble = execution_of(statistics(100, request_ns=100 * 900_000), ServedConfig("e"), 10.0)
    twice = execution_of(
        statistics(200, queue_ns=200 * 50_000, compute_infer_ns=200 * 100_000), CONFIG, 10.0
    )
    found = attribute(ensemble, (twice,), 1_000.0, 0.0, 10.0)
    assert found.queue_us == pytest.approx(100.0)
    assert found.compute_infer_us == pytest.approx(200.0)
    assert sum(value for _, value in found.parts) == pytest.approx(1_000.0)


def told(own, mean, config=CONFIG, *, busy=0.1, closed=True, payload=0, composing=()):
    found = attribute(own, composing, mean, 0.0, 10.0)
    return advise(found, config, client_busy=busy, closed=closed, payload_bytes=payload)


def test_a_queue_without_batching_says_so():
    (advice,) = told(execution(queue=780.0, infer=100.0), 1_000.0)
    assert advice.sentence == "78% queue, batch 1.0: dynamic batching is off"
    assert advice.command == "tritongen tune -m ocr"


def test_a_queue_of_a_model_without_batch_axis():
    config = replace(CONFIG, max_batch_size=0)
    (advice,) = told(execution(queue=800.0, infer=100.0), 1_000.0, config)
    assert "without a batch axis" in advice.sentence


def test_a_queue_before_busy_instances_is_their_capacity():
    config = replace(CONFIG, dynamic_batching=True, instances=1)
    own = replace(execution(queue=800.0, infer=100.0, batch=4), busy_share=0.97)
    (advice,) = told(own, 1_000.0, config)
    assert "this is their capacity" in advice.sentence


def test_the_slowest_step_of_an_ensemble_is_named():
    ensemble = execution_of(statistics(1_000), ServedConfig("e"), 10.0)
    step = replace(execution(queue=800.0, infer=10.0), model="step")
    (advice,) = told(ensemble, 1_000.0, ServedConfig("e", steps=("step",)), composing=(step,))
    assert "in front of step" in advice.sentence


def test_computation_that_dominates():
    own = replace(execution(infer=900.0), busy_share=0.9)
    assert "own computation" in told(own, 1_000.0)[0].sentence


def test_transport_of_large_tensors():
    own = execution(queue=10.0, infer=100.0)
    assert "--shm" in told(own, 1_000.0, payload=600_000)[0].command
    assert not told(own, 1_000.0, payload=100)


def test_a_busy_generator():
    assert "--processes 2" in told(execution(infer=10.0), 100.0, busy=0.95)[-1].command


def test_idle_instances():
    own = replace(execution(queue=1.0, infer=600.0), busy_share=0.3)
    assert "more concurrency" in told(own, 1_000.0)[-1].sentence
    assert "more concurrency" not in told(own, 1_000.0, closed=False)[-1].sentence


def test_answers_from_the_cache():
    own = execution(infer=1.0, cache_hits=900, cache_misses=100)
    assert own.cache_hit_share == 0.9
    assert any("90% of the requests came from" in a.sentence for a in told(own, 100.0))
