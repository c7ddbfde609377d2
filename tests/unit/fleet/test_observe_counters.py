"""Counters over time: steps, restarts, several servers, holes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritongen.fleet.observe.model_counters import (
    CounterReading,
    ModelCounters,
    Observed,
    merged,
    observed,
)


def readings(*counts: float, step_s: float = 10.0) -> list[CounterReading]:
    return [
        CounterReading(
            index * step_s, ModelCounters(requests=count, executions=count, inferences=count)
        )
        for index, count in enumerate(counts)
    ]


def test_rates_between_readings() -> None:
    seen = observed("m", readings(100.0, 200.0, 500.0))
    assert [step.rate for step in seen.steps] == [10.0, 30.0]
    assert (seen.rate, seen.peak, seen.seconds) == (20.0, 30.0, 20.0)


def test_a_restart_is_counted_and_what_came_after_it() -> None:
    seen = observed("m", readings(1000.0, 1100.0, 40.0, 140.0))
    assert seen.restarts == 1
    assert [step.counters.requests for step in seen.steps] == [100.0, 40.0, 100.0]


def test_servers_add_up_and_a_late_one_did_nothing_before() -> None:
    late = [
        CounterReading(20.0, ModelCounters(requests=0.0)),
        CounterReading(30.0, ModelCounters(requests=50.0)),
    ]
    both = merged("m", [observed("m", readings(0.0, 100.0, 200.0, 300.0)), observed("m", late)])
    assert [step.rate for step in both.steps] == [10.0, 10.0, 15.0]
    assert both.sources == 2


def test_a_hole_of_one_server_is_spread_over_the_steps_of_the_other() -> None:
    holed = [
        CounterReading(0.0, ModelCounters(requests=0.0)),
        CounterReading(30.0, ModelCounters(requests=300.0)),
    ]
    both = merged("m", [observed("m", readings(0.0, 0.0, 0.0, 0.0)), observed("m", holed)])
    assert [step.rate for step in both.steps] == pytest.approx([10.0, 10.0, 10.0])


def test_use_of_instances_counts_a_batch_once() -> None:
    counters = ModelCounters(
        requests=80.0, executions=20.0, inferences=80.0, compute_us=80 * 5_000.0
    )
    seen = observed("m", [CounterReading(0.0, ModelCounters()), CounterReading(1.0, counters)])
    assert seen.batch == 4.0
    assert seen.busy(1) == pytest.approx(0.1)
    assert seen.busy(None) is None


def test_coarser_steps_keep_the_sums() -> None:
    seen = observed("m", readings(0.0, 10.0, 20.0, 40.0, 80.0)).coarser(20.0)
    assert [step.counters.requests for step in seen.steps] == [20.0, 60.0]
    assert Observed("m", ()).coarser(5.0).steps == ()


@given(st.lists(st.floats(0.0, 1e6), min_size=2, max_size=40))
def test_no_order_of_readings_gives_a_negative_rate(counts: list[float]) -> None:
    seen = observed("m", readings(*counts))
    assert all(step.rate >= 0.0 for step in seen.steps)
    assert merged("m", [seen, seen]).rate == pytest.approx(2.0 * seen.rate)
