"""What an observation leads to: each finding where it belongs, none where all agrees."""

from dataclasses import replace

import pytest

from tritongen.fleet.observe.advice import Advised, ModelExpectation, advise
from tritongen.fleet.observe.model_counters import CounterReading, ModelCounters, Observed, observed

WANTED = ModelExpectation(
    average=100.0,
    peak=150.0,
    window_rate=100.0,
    latency_ms=20.0,
    instances=2,
    execution_ms=4.0,
    replicas=2,
    replica_rate=90.0,
)


def seen(
    rates: tuple[float, ...] = (90.0, 110.0, 130.0),
    *,
    batch: float = 1.0,
    queue_ms: float = 0.2,
    compute_ms: float = 4.0,
    failures: float = 0.0,
) -> Observed:
    """Steps of ten seconds at these rates."""
    total, found = ModelCounters(), [CounterReading(0.0, ModelCounters())]
    for index, rate in enumerate(rates, start=1):
        requests = rate * 10.0
        total = total.plus(
            ModelCounters(
                requests=requests,
                failures=failures * requests,
                inferences=requests,
                executions=requests / batch,
                request_us=requests * (queue_ms + compute_ms) * 1e3,
                queue_us=requests * queue_ms * 1e3,
                compute_us=requests * compute_ms * 1e3,
            )
        )
        found.append(CounterReading(index * 10.0, total))
    return observed("ocr", found)


def codes(advised: Advised) -> list[str]:
    return [item.code for item in advised.findings]


def test_what_agrees_is_not_mentioned() -> None:
    assert advise(seen(), WANTED) == Advised((), None)


def test_a_peak_above_the_intent_names_replicas_and_a_new_rate() -> None:
    advised = advise(seen((100.0, 200.0, 345.0)), WANTED)
    assert codes(advised) == ["TG982"]
    assert "peak is 2.3 × the intent" in advised.findings[0].message
    assert "replicas 2 → 4" in advised.findings[0].message
    assert advised.change is not None
    assert (advised.change.average, advised.change.peak) == (215.0, 345.0)


def test_a_short_time_raises_the_mean_by_the_pattern_and_lowers_nothing() -> None:
    busy = advise(seen((190.0, 200.0, 210.0)), replace(WANTED, window_rate=140.0)).change
    assert busy is not None
    assert busy.average == pytest.approx(100.0 * 200.0 / 140.0, rel=0.01)
    assert busy.peak == 210.0
    night = advise(seen((190.0, 200.0, 210.0)), replace(WANTED, window_rate=20.0)).change
    assert night is not None
    assert night.average == 200.0  # no more than was seen
    assert advise(seen((20.0, 22.0, 25.0)), WANTED).change is None


def test_a_day_is_believed() -> None:
    day = seen((20.0, 22.0, 24.0))
    long = replace(
        day, steps=tuple(replace(one, end_s=one.begin_s + 8 * 3600.0) for one in day.steps)
    )
    wanted = replace(WANTED, window_rate=100.0)
    change = advise(long, wanted).change
    assert change is not None
    assert change.average < 1.0


def test_traffic_below_what_the_pattern_expects_now() -> None:
    advised = advise(seen((20.0, 22.0, 25.0)), WANTED)
    assert codes(advised) == ["TG983", "TG986"]
    assert "replicas 2 → 1" in advised.findings[0].message


def test_no_requests_where_many_were_due_is_told() -> None:
    assert codes(advise(seen((0.0, 0.0, 0.0)), WANTED)) == ["TG983"]


def test_a_model_without_a_rate_gets_one() -> None:
    advised = advise(seen(), replace(WANTED, average=None, peak=None, window_rate=None))
    assert codes(advised) == ["TG982"]
    assert advised.change is not None
    assert advised.change.average == 110.0


def test_a_queue_delay_that_gathers_nobody() -> None:
    advised = advise(seen((180.0, 180.0)), replace(WANTED, peak=200.0, queue_delay_us=100.0))
    assert codes(advised) == ["TG984"]
    message = advised.findings[0].message
    assert "average batch 1.0 under 180/s" in message
    assert "too short to matter, drop it" in message


def test_batches_that_form_need_no_advice() -> None:
    assert codes(advise(seen(batch=3.0), replace(WANTED, queue_delay_us=100.0, instances=1))) == []


def test_requests_that_wait() -> None:
    advised = advise(seen(queue_ms=6.0), WANTED)
    assert codes(advised) == ["TG985"]
    assert "30 % of the goal" in advised.findings[0].message
    assert codes(advise(seen(queue_ms=3.0), WANTED)) == []  # it has time
    assert codes(advise(seen(queue_ms=3.0), replace(WANTED, latency_ms=None))) == ["TG985"]


def test_instances_that_are_idle() -> None:
    advised = advise(seen((9.0, 9.0, 9.0), compute_ms=4.0), replace(WANTED, window_rate=9.0))
    assert codes(advised) == ["TG986"]
    assert "1 would do" in advised.findings[0].message


def test_failures_are_an_error() -> None:
    advised = advise(seen(failures=0.02), WANTED)
    assert codes(advised) == ["TG987"]
    assert "1.96%" in advised.findings[0].message


def test_an_execution_that_is_slower_than_measured() -> None:
    assert codes(advise(seen(compute_ms=7.0), WANTED)) == ["TG988"]


@pytest.mark.parametrize("rates", [(1.0,), (1.0, 1.0)])
def test_too_little_to_judge_by(rates: tuple[float, ...]) -> None:
    advised = advise(seen(rates), replace(WANTED, window_rate=1.0))
    assert codes(advised) == ["TG981"]
    assert advised.change is None


def test_a_restart_is_told_beside_the_rest() -> None:
    steps = seen()
    assert codes(advise(replace(steps, restarts=1), WANTED)) == ["TG989"]


def test_one_of_several_servers_stands_for_all() -> None:
    """Four that share 320/s evenly: what one has counted is held against the whole."""
    one = seen(rates=(70.0, 80.0, 80.0), compute_ms=4.0)
    four = one.times(4)
    assert four.peak == pytest.approx(320.0)
    assert four.busy(8) == pytest.approx(one.busy(2))
    assert (four.batch, four.queue_us) == (one.batch, one.queue_us)
    advised = advise(four, WANTED)
    assert codes(advised) == ["TG982"]
    assert "(320/s, stated 150/s): replicas 2 → 4" in advised.findings[0].message
    assert "TG982" not in codes(advise(one, WANTED))


def test_few_requests_of_one_server_stay_few() -> None:
    advised = advise(seen(rates=(1.0, 2.0)).times(10), replace(WANTED, window_rate=1.0))
    assert codes(advised) == ["TG981"]
    assert advised.findings[0].message.startswith("30 requests")


@pytest.mark.parametrize(
    ("queue_ms", "delay_us", "latency_ms", "told"),
    [
        (5.0, None, 20.0, False),
        (5.1, None, 20.0, True),
        (6.0, 1_500.0, 20.0, False),
        (6.0, 500.0, 20.0, True),
        (2.0, None, None, False),
        (2.1, None, None, True),
        (3.0, 1_500.0, None, False),
    ],
)
def test_the_configured_delay_is_no_waiting_for_an_instance(queue_ms, delay_us, latency_ms, told):
    wanted = replace(WANTED, queue_delay_us=delay_us, latency_ms=latency_ms)
    found = codes(advise(seen(queue_ms=queue_ms, batch=3.0), wanted))
    assert ("TG985" in found) is told
