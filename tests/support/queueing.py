"""Servers to simulate: short to write, with the settings that a test is about."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tritongen.errors import InvalidInputError
from tritongen.queueing import (
    Loop,
    OpenLoop,
    OperatingCurve,
    ServedModel,
    Server,
    ServicePoint,
    ServiceTimes,
    SimulatedModel,
    Stream,
    simulate,
)
from tritongen.queueing.rate_profiles import CELLS, OperatingPoint
from tritongen.queueing.service_times import Spread
from tritongen.queueing.simulated_server import nearest_rank

# Loads that are simulated, as shares of the capacity.
LOADS: tuple[float, ...] = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.86, 0.91, 0.95, 0.98)


@dataclass(frozen=True)
class Trace:
    """Arrivals at given seconds, ascending."""

    times_s: tuple[float, ...]

    def times(self, stream: Stream) -> Iterator[float]:  # noqa: ARG002  (as of other loads)
        return iter(self.times_s)


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
    load: Loop | Trace,
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


def operating_curve(
    server: Server, model: str, *, seed: int, requests: int = 4_000
) -> OperatingCurve:
    """Simulates a server at several loads.

    Args:
        server: its loads must be open; their rates give the mix, which is scaled as a whole.
        model: whose curve is wanted.
        seed: of the simulations.
        requests: simulated at each load.

    Raises:
        InvalidInputError: a load that is not open.
    """
    mix = {}
    for served in server.models:
        if not isinstance(served.load, OpenLoop):
            raise InvalidInputError("TG304", f"{served.name}: a curve over rates needs open loads")
        mix[served.name] = served.load.rate_per_s

    def at(factor: float) -> Server:
        return replace(
            server,
            models=tuple(
                replace(
                    served,
                    load=OpenLoop(mix[served.name] * factor, served.load.cv)
                    if isinstance(served.load, OpenLoop)
                    else served.load,
                )
                for served in server.models
            ),
        )

    capacity = _capacity(at, mix, seed, requests)
    points = tuple(
        _point(at(load * capacity), model, mix[model] * load * capacity, seed, requests)
        for load in LOADS
    )
    return OperatingCurve(mix[model] * capacity, points)


def _capacity(
    at: Callable[[float], Server], mix: dict[str, float], seed: int, requests: int
) -> float:
    """The greatest factor of the mix that every model sustains, from a heavy overload.

    With several models it errs on the safe side: in the overload every instance of every model
    is busy, and the cores are shared more than they would be at the limit.
    """
    # The share of the instances that the mix would use at best, in full batches without others.
    least_used = min(
        served.service.alone(max(1, served.max_batch_size), served.threads)
        * mix[served.name]
        / (served.instances * max(1, served.max_batch_size))
        for served in at(1.0).models
    )
    result = simulate(at(4.0 / least_used), seed=seed, requests=requests, warmup=0.2)
    return min(model.throughput_per_s / mix[model.name] for model in result.models)


def _point(server: Server, model: str, rate: float, seed: int, requests: int) -> OperatingPoint:
    figures = simulate(server, seed=seed, requests=requests, warmup=0.2).of(model)
    return OperatingPoint(
        rate,
        tuple(nearest_rank(figures.latencies_s, percentile) for percentile, _ in CELLS),
    )
