"""Servers to simulate: short to write, with the settings that a test is about."""

from tritongen.queueing import (
    Load,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    SimulatedModel,
    Spread,
    Trace,
    simulate,
)


def deterministic(*seconds_by_batch: tuple[int, float], cores: float = 1000.0) -> ServiceTimes:
    """Service times without scatter and without contention, (batch, seconds) each."""
    points = tuple(ServicePoint(batch, 1, seconds) for batch, seconds in seconds_by_batch)
    return ServiceTimes(points, cores, contention=0.0)


def exponential(mean_s: float) -> ServiceTimes:
    """Exponential service times, as the M of Kendall's notation."""
    return ServiceTimes(
        (ServicePoint(1, 1, mean_s),), 1000.0, contention=0.0, spread=Spread.EXPONENTIAL
    )


def run(
    service: ServiceTimes,
    load: Load,
    *,
    seed: int = 1,
    requests: int = 10_000,
    cores: float = 1000.0,
    **settings: object,
) -> SimulatedModel:
    """Simulates one model and gives its figures; of a trace every request counts."""
    model = ServedModel("m", service, load, **settings)  # type: ignore[arg-type]  # a test's options
    warmup = 0.0 if isinstance(load, Trace) else 0.1
    server = Server((model,), cores)
    return simulate(server, seed=seed, requests=requests, warmup=warmup).of("m")
