"""Calibration at rates: what wakes, what stands still, and how well that predicts."""

import pytest

from support.rates import ELSEWHERE, MERGED, fitted, hidden
from tritongen.queueing import OpenLoop, Pauses, simulate


def test_what_waking_costs_is_found():
    # A part of it may be taken for a server that is slower: what they predict is what counts.
    assert fitted(wake_s=0.00008).wake_s == pytest.approx(0.00008, rel=0.5)
    assert fitted().wake_s < 0.00002


def test_a_server_that_is_slower_at_rates_is_predicted_so():
    found = fitted(slower=1.2)
    assert found.at_rates == pytest.approx(1.2, abs=0.06)
    predicted = simulate(found.server(MERGED, OpenLoop(5_000.0)), seed=3).of("model")
    for percentile in (50.0, 90.0, 99.0):
        real = hidden(5_000.0, slower=1.2).latency_s(percentile)
        assert predicted.latency_s(percentile) == pytest.approx(real, rel=0.15)
    assert fitted().at_rates == pytest.approx(1.0, abs=0.06)


# Few pauses in some seconds tell less of how often they come.
@pytest.mark.parametrize(
    ("pauses", "within"),
    [
        (Pauses(10.0, 0.002), 0.5),
        (Pauses(5.0, 0.004), 0.5),
        (Pauses(2.0, 0.004), 1.0),
        (Pauses(1.0, 0.016), 1.0),
        (Pauses(5.0, 0.002), 1.0),
    ],
)
def test_stalls_are_found(pauses, within):
    found = fitted(pauses=pauses).pauses
    assert found is not None
    assert found.share == pytest.approx(pauses.share, rel=within)


def test_without_stalls_none_are_found():
    assert fitted().pauses is None
    assert fitted(wake_s=0.00008).pauses is None


def test_rates_that_were_not_measured_are_predicted():
    errors = []
    for what in (
        {},
        {"wake_s": 0.00008},
        {"pauses": Pauses(10.0, 0.002)},
        {"wake_s": 0.00008, "slower": 1.1},
    ):
        found = fitted(**what)
        for rate in ELSEWHERE:
            server = found.server(MERGED, OpenLoop(rate))
            predicted = simulate(server, seed=3, requests=40_000).of("model")
            real = hidden(rate, **what)
            assert predicted.latency_s(50) == pytest.approx(real.latency_s(50), rel=0.15)
            errors.append(abs(predicted.latency_s(99) / real.latency_s(99) - 1.0))
    # A p99 where pauses begin to show jumps with their share.
    assert max(errors) < 0.4
    assert sum(error < 0.15 for error in errors) >= 0.8 * len(errors)
