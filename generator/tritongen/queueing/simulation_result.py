"""What a simulation, or a stretch of one, says of each model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


def nearest_rank(ascending: Sequence[float], percentile: float) -> float:
    """The percentile by nearest rank of ascending values; NaN when there are none."""
    if not ascending:
        return math.nan
    rank = math.ceil(percentile / 100.0 * len(ascending) - 1e-9)
    return ascending[min(len(ascending), max(1, rank)) - 1]


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """One model's figures over the measured window.

    Attributes:
        name: of the model.
        seconds: length of the window.
        requests: finished in it.
        latencies_s: of those, from arrival to answer, ascending.
        mean_wait_s: time in the model's queue.
        mean_execution_s: time of one execution.
        mean_batch: rows in one execution.
        mean_in_system: requests between arrival and answer, averaged over time.
        utilisation: share of the instances' time spent in executions.
        unfinished: requests still in the system at the end.
    """

    name: str
    seconds: float
    requests: int
    latencies_s: tuple[float, ...]
    mean_wait_s: float
    mean_execution_s: float
    mean_batch: float
    mean_in_system: float
    utilisation: float
    unfinished: int

    @property
    def throughput_per_s(self) -> float:
        """Requests finished per second."""
        return self.requests / self.seconds if self.seconds > 0.0 else 0.0

    def latency_s(self, percentile: float) -> float:
        """Latency that `percentile` per cent of the requests do not exceed, by nearest rank."""
        return nearest_rank(self.latencies_s, percentile)


@dataclass(frozen=True, slots=True)
class Simulation:
    """The figures of every model, and the seed that gives them again."""

    models: tuple[SimulatedModel, ...]
    seed: int

    def of(self, name: str) -> SimulatedModel:
        """One model's figures.

        Raises:
            KeyError: no model of that name was simulated.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)
