"""Closed forms: what queueing theory says without a simulation.

Times are seconds, rates are per second, loads are erlangs (rate × mean service time). The
simulation is checked against these, and planning takes its first bounds from them.
"""

import math

from tritongen.errors import InvalidInputError


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0.0 and math.isfinite(value)):
            raise InvalidInputError(
                "TG304", f"{name.replace('_', ' ')} must be a positive number, not {value}"
            )


def little_in_system(rate: float, mean_time: float) -> float:
    """Mean number in the system, L = λW (Little 1961)."""
    return rate * mean_time


def erlang_b(servers: int, load: float) -> float:
    """Share of requests lost by `servers` servers without a queue at `load` erlangs.

    By the recursion B ← aB / (n + aB), which neither overflows nor needs factorials.

    Raises:
        InvalidInputError: no server, or a load that is not positive.
    """
    _positive(servers=servers, load=load)
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """Probability of waiting in M/M/c: B / (1 − ρ(1 − B)); 1.0 when the load is not served.

    Raises:
        InvalidInputError: no server, or a load that is not positive.
    """
    blocked = erlang_b(servers, load)
    rho = load / servers
    return 1.0 if rho >= 1.0 else blocked / (1.0 - rho * (1.0 - blocked))


def mmc_mean_wait(servers: int, rate: float, service_s: float) -> float:
    """Mean wait in M/M/c, in seconds; infinite when the load is not served."""
    _positive(rate=rate, service_s=service_s)
    spare = servers / service_s - rate
    if spare <= 0.0:
        return math.inf
    return erlang_c(servers, rate * service_s) / spare


def mmc_wait_tail(servers: int, rate: float, service_s: float, wait_s: float) -> float:
    """P(wait > t) in M/M/c: C·e^−(cμ−λ)t."""
    _positive(rate=rate, service_s=service_s)
    spare = servers / service_s - rate
    if spare <= 0.0:
        return 1.0
    return erlang_c(servers, rate * service_s) * math.exp(-spare * wait_s)


def mmc_wait_quantile(servers: int, rate: float, service_s: float, percentile: float) -> float:
    """The wait that `percentile` per cent of the requests do not exceed in M/M/c, in seconds."""
    _positive(rate=rate, service_s=service_s)
    spare = servers / service_s - rate
    if spare <= 0.0:
        return math.inf
    share = 1.0 - percentile / 100.0
    waiting = erlang_c(servers, rate * service_s)
    return max(0.0, math.log(waiting / share) / spare)


def mg1_mean_wait(rate: float, service_s: float, cv: float = 0.0) -> float:
    """Mean wait in M/G/1, in seconds (Pollaczek and Khinchine); `cv` 0 is M/D/1."""
    _positive(rate=rate, service_s=service_s)
    rho = rate * service_s
    if rho >= 1.0:
        return math.inf
    return rho * service_s * (1.0 + cv * cv) / (2.0 * (1.0 - rho))


def gigc_mean_wait(
    servers: int, rate: float, service_s: float, service_cv: float, arrival_cv: float = 1.0
) -> float:
    """Mean wait in GI/G/c, in seconds: M/M/c scaled by the mean square variation.

    Allen and Cunneen's approximation; exact for M/M/c and M/G/1, a few per cent off elsewhere.
    """
    scale = (service_cv * service_cv + arrival_cv * arrival_cv) / 2.0
    return mmc_mean_wait(servers, rate, service_s) * scale


def gigc_wait_quantile(
    servers: int,
    rate: float,
    service_s: float,
    service_cv: float,
    percentile: float,
    arrival_cv: float = 1.0,
) -> float:
    """Quantile of the wait in GI/G/c, in seconds: the exponential tail stretched alike.

    The tail of a GI/G/c wait decays by (c − a) / (τ·v), v the mean of the two squared
    variations (Kingman's heavy-traffic limit). Good near saturation, pessimistic far from it.
    """
    scale = (service_cv * service_cv + arrival_cv * arrival_cv) / 2.0
    return mmc_wait_quantile(servers, rate, service_s, percentile) * scale


def staffing(load: float, quality: float = 1.0) -> int:
    """Servers for `load` erlangs by the square-root rule a + β√a (Halfin and Whitt 1981).

    Args:
        load: rate × mean service time.
        quality: β; 0.5 lets about half of the requests wait, 2 about one in fifty.
    """
    _positive(load=load)
    return max(1, math.ceil(load + quality * math.sqrt(load) - 1e-9))


def batch_service_limit(slope_s: float, fixed_s: float, max_batch: int = 0) -> float:
    """Requests per second that one instance can serve at most with batches.

    Args:
        slope_s: α of τ(b) = αb + τ₀, seconds a row.
        fixed_s: τ₀, seconds an execution.
        max_batch: greatest batch; 0 stands for no limit, whose ceiling is 1/α.
    """
    if max_batch <= 0:
        return 1.0 / slope_s if slope_s > 0.0 else math.inf
    return max_batch / (slope_s * max_batch + fixed_s)


def batching_phi0(rate: float, slope_s: float, fixed_s: float) -> float:
    """φ₀, a bound of the mean latency of one instance with unlimited batches, in seconds.

    (α+τ₀) / (2(1−λα)) · (1 + 2λτ₀ + (1−λτ₀)/(1+λα)) for Poisson arrivals, deterministic
    τ(b) = αb + τ₀ and batches of all that waits (Inoue, Performance Evaluation 2021). It is
    reached by an instance that is seldom idle; infinite when λα ≥ 1.
    """
    _positive(rate=rate)
    if rate * slope_s >= 1.0:
        return math.inf
    first = (slope_s + fixed_s) / (2.0 * (1.0 - rate * slope_s))
    return first * (1.0 + 2.0 * rate * fixed_s + (1.0 - rate * fixed_s) / (1.0 + rate * slope_s))


def batching_phi1(rate: float, slope_s: float, fixed_s: float) -> float:
    """φ₁, the other bound: 1.5τ₀/(1−λα) + (α/2)(λα+2)/(1−λ²α²), in seconds; see `batching_phi0`."""
    _positive(rate=rate)
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
