"""Closed forms: what queueing theory says without a simulation.

Times are seconds, rates are per second, loads are erlangs (rate × mean service time). The
simulation is held against these.
"""

import math


def erlang_b(servers: int, load: float) -> float:
    """Share of requests lost by `servers` servers without a queue at `load` erlangs.

    By the recursion B ← aB / (n + aB), which neither overflows nor needs factorials.
    """
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """Probability of waiting in M/M/c: B / (1 − ρ(1 − B)); 1.0 when the load is not served."""
    blocked = erlang_b(servers, load)
    rho = load / servers
    return 1.0 if rho >= 1.0 else blocked / (1.0 - rho * (1.0 - blocked))


def mmc_mean_wait(servers: int, rate: float, service_s: float) -> float:
    """Mean wait in M/M/c, in seconds; infinite when the load is not served."""
    spare = servers / service_s - rate
    if spare <= 0.0:
        return math.inf
    return erlang_c(servers, rate * service_s) / spare


def mg1_mean_wait(rate: float, service_s: float, cv: float = 0.0) -> float:
    """Mean wait in M/G/1, in seconds (Pollaczek and Khinchine); `cv` 0 is M/D/1."""
    rho = rate * service_s
    if rho >= 1.0:
        return math.inf
    return rho * service_s * (1.0 + cv * cv) / (2.0 * (1.0 - rho))


def batching_phi0(rate: float, slope_s: float, fixed_s: float) -> float:
    """φ₀, a bound of the mean latency of one instance with unlimited batches, in seconds.

    (α+τ₀) / (2(1−λα)) · (1 + 2λτ₀ + (1−λτ₀)/(1+λα)) for Poisson arrivals, deterministic
    τ(b) = αb + τ₀ and batches of all that waits (Inoue, Performance Evaluation 2021). It is
    reached by an instance that is seldom idle; infinite when λα ≥ 1.
    """
    if rate * slope_s >= 1.0:
        return math.inf
    first = (slope_s + fixed_s) / (2.0 * (1.0 - rate * slope_s))
    return first * (1.0 + 2.0 * rate * fixed_s + (1.0 - rate * fixed_s) / (1.0 + rate * slope_s))


def batching_phi1(rate: float, slope_s: float, fixed_s: float) -> float:
    """φ₁, the other bound: 1.5τ₀/(1−λα) + (α/2)(λα+2)/(1−λ²α²), in seconds; see `batching_phi0`."""
    used = rate * slope_s
    if used >= 1.0:
        return math.inf
    return 1.5 * fixed_s / (1.0 - used) + 0.5 * slope_s * (used + 2.0) / (1.0 - used * used)


def batching_latency_bound(rate: float, slope_s: float, fixed_s: float) -> float:
    """min(φ₀, φ₁): the mean latency (wait and execution) does not exceed it, in seconds."""
    return min(
        batching_phi0(rate, slope_s, fixed_s),
        batching_phi1(rate, slope_s, fixed_s),
    )
