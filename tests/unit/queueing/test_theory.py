"""Closed forms against values worked out by hand or published."""

import math

import pytest

from tritongen.domain.queueing import theory
from tritongen.errors import InvalidInputError


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


def test_wait_tail_starts_at_erlang_c_and_decays():
    start = theory.mmc_wait_tail(4, 300.0, 0.01, 0.0)
    assert start == pytest.approx(theory.erlang_c(4, 3.0))
    assert theory.mmc_wait_tail(4, 300.0, 0.01, 0.01) == pytest.approx(start * math.exp(-1.0))


def test_wait_quantile_inverts_the_tail():
    wait = theory.mmc_wait_quantile(4, 300.0, 0.01, 99.0)
    assert theory.mmc_wait_tail(4, 300.0, 0.01, wait) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("servers", "greatest"),
    [(1, 0.03), (2, 0.18), (4, 0.42), (8, 0.64), (16, 0.79), (32, 0.89), (64, 0.94)],
)
def test_headroom_for_a_p99_of_one_service_time_depends_on_the_servers(servers, greatest):
    def wait(rho):
        return theory.mmc_wait_quantile(servers, rho * servers, 1.0, 99.0)

    assert wait(greatest - 0.01) <= 1.0
    assert wait(greatest + 0.01) > 1.0


def test_deterministic_service_halves_the_wait():
    poisson = theory.mg1_mean_wait(80.0, 0.01, cv=1.0)
    assert poisson == pytest.approx(theory.mmc_mean_wait(1, 80.0, 0.01))
    assert theory.mg1_mean_wait(80.0, 0.01) == pytest.approx(poisson / 2)


def test_general_approximation_is_exact_where_theory_is():
    exact = theory.mmc_mean_wait(3, 250.0, 0.01)
    assert theory.gigc_mean_wait(3, 250.0, 0.01, 1.0) == pytest.approx(exact)
    single = theory.mg1_mean_wait(80.0, 0.01, cv=0.5)
    assert theory.gigc_mean_wait(1, 80.0, 0.01, 0.5) == pytest.approx(single)
    assert theory.gigc_wait_quantile(3, 250.0, 0.01, 1.0, 99.0) == pytest.approx(
        theory.mmc_wait_quantile(3, 250.0, 0.01, 99.0)
    )


def test_square_root_staffing():
    assert theory.staffing(100.0, 1.0) == 110
    assert theory.staffing(0.2, 0.5) == 1


def test_batching_limits():
    assert theory.batch_service_limit(0.001, 0.004) == pytest.approx(1000.0)
    assert theory.batch_service_limit(0.001, 0.004, 8) == pytest.approx(8 / 0.012)
    assert theory.batch_service_limit(0.0, 0.004) == math.inf


def test_batching_bounds_start_at_the_execution_of_one_row():
    assert theory.batching_phi0(1e-6, 0.001, 0.004) == pytest.approx(0.005, rel=1e-3)
    assert theory.batching_latency_bound(1000.0, 0.001, 0.004) == math.inf
    assert theory.batching_phi1(500.0, 0.001, 0.004) == pytest.approx(
        1.5 * 0.004 / 0.5 + 0.0005 * 2.5 / 0.75
    )


def test_littles_law():
    assert theory.little_in_system(200.0, 0.03) == pytest.approx(6.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_nonsense_is_refused(bad):
    with pytest.raises(InvalidInputError, match="positive"):
        theory.mmc_mean_wait(1, bad, 0.01)
