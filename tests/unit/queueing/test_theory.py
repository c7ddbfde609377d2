"""Closed forms against values worked out by hand or published."""

import math

import pytest

from support import queueing_theory as theory


def test_erlang_b_of_two_servers_by_hand():
    # B = (a²/2) / (1 + a + a²/2) at a = 1.
    assert theory.erlang_b(2, 1.0) == pytest.approx(0.2)


def test_erlang_b_does_not_overflow_for_large_systems():
    assert 0.0 < theory.erlang_b(2000, 1950.0) < 0.02


def test_erlang_c_of_one_server_is_the_utilisation():
    assert theory.erlang_c(1, 0.7) == pytest.approx(0.7)


def test_erlang_c_is_certain_when_the_load_is_not_served():
    assert theory.erlang_c(3, 3.0) == 1.0


def test_mm1_wait_by_hand():
    # W = ρτ / (1 − ρ).
    assert theory.mmc_mean_wait(1, 80.0, 0.01) == pytest.approx(0.04)
    assert theory.mmc_mean_wait(1, 100.0, 0.01) == math.inf


def test_deterministic_service_halves_the_wait():
    poisson = theory.mg1_mean_wait(80.0, 0.01, cv=1.0)
    assert poisson == pytest.approx(theory.mmc_mean_wait(1, 80.0, 0.01))
    assert theory.mg1_mean_wait(80.0, 0.01) == pytest.approx(poisson / 2)


def test_batching_bounds_start_at_the_execution_of_one_row():
    assert theory.batching_phi0(1e-6, 0.001, 0.004) == pytest.approx(0.005, rel=1e-3)
    assert theory.batching_latency_bound(1000.0, 0.001, 0.004) == math.inf
    assert theory.batching_phi1(500.0, 0.001, 0.004) == pytest.approx(
        1.5 * 0.004 / 0.5 + 0.0005 * 2.5 / 0.75
    )
