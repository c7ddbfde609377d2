"""What is simulated, one server with its models, and what a simulation says of each of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from tritongen.errors import InvalidInputError
from tritongen.queueing.load import Loop
from tritongen.queueing.service_times import ServiceTimes

# Share of the requests that meet a pause of the machine: a timer, a core that wakes, a neighbour.
PAUSED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Work that each request costs outside its execution: HTTP or gRPC, copies, a client nearby.

    Attributes:
        cpu_s: seconds of one core for each request, on the cores that the instances use.
        workers: requests that are handled side by side.
        wake_s: more of them for a request that comes at a rate and meets no other here: threads
            sleep between such requests. A client that waits for its answers finds them awake.
    """

    cpu_s: float
    workers: int = 8
    wake_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pauses:
    """Times in which nothing runs: the cores are taken away from the whole server at once.

    Requests go on arriving, and what has gathered is worked off afterwards: the busier the server,
    the longer that takes, and the more requests a pause delays.

    Attributes:
        per_s: how many begin, at random, in a second that is none of theirs.
        length_s: of each, such as a turn of the scheduler.
    """

    per_s: float
    length_s: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.per_s < inf and 0.0 <= self.length_s < inf):
            raise InvalidInputError("TG304", f"not pauses: {self}")

    @property
    def share(self) -> float:
        """Of the time, lost to them."""
        lost = self.per_s * self.length_s
        return lost / (1.0 + lost)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model on the server.

    Attributes:
        name: for the result.
        service: its service times.
        load: how its requests arrive.
        instances: instance count.
        threads: threads of each instance.
        max_batch_size: greatest batch, 0 for no batching.
        queue_delay_s: how long the dynamic batcher lets the oldest request wait for others; None
            without a batcher: every request is an execution of its own.
        rows: batch sizes of requests, drawn with equal chance.
        transport_s: time on the network and in the client, added to every latency.
        slots: units of the rate limiter's resource that one execution holds.
        network_pause_s: mean of the pauses that one in twenty requests meets in the network,
            exponential.
    """

    name: str
    service: ServiceTimes
    load: Loop
    instances: int = 1
    threads: int = 1
    max_batch_size: int = 0
    queue_delay_s: float | None = None
    rows: tuple[int, ...] = (1,)
    transport_s: float = 0.0
    slots: int = 0
    network_pause_s: float = 0.0

    def __post_init__(self) -> None:
        if self.instances < 1 or self.threads < 1 or not self.rows or min(self.rows) < 1:
            raise InvalidInputError("TG304", f"{self.name}: not a served model")
        if self.queue_delay_s is not None and self.queue_delay_s < 0.0:
            raise InvalidInputError("TG304", f"{self.name}: a queue delay is not negative")
        if self.max_batch_size > 0 and max(self.rows) > self.max_batch_size:
            raise InvalidInputError(
                "TG304",
                f"{self.name}: requests of {max(self.rows)} rows exceed max_batch_size "
                f"{self.max_batch_size}; Triton refuses them",
            )


@dataclass(frozen=True, slots=True)
class Server:
    """One Triton server.

    Attributes:
        models: what it serves; their service times share `cores`.
        cores: CPU budget; may be a fraction.
        front_end: None when requests cost nothing outside their execution.
        slots: units of the rate limiter's resource; 0 when the rate limiter is off.
        pauses: None when nothing ever takes the cores away.
    """

    models: tuple[ServedModel, ...]
    cores: float
    front_end: FrontEnd | None = None
    slots: int = 0
    pauses: Pauses | None = None

    def __post_init__(self) -> None:
        if not self.models or not self.cores > 0.0:
            raise InvalidInputError("TG304", "a server needs a model and cores > 0")
        if self.slots and any(model.slots > self.slots for model in self.models):
            raise InvalidInputError("TG304", "a model asks for more slots than the server has")


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
    """The figures of every model."""

    models: tuple[SimulatedModel, ...]

    def of(self, name: str) -> SimulatedModel:
        """One model's figures.

        Raises:
            KeyError: no model of that name was simulated.
        """
        return {model.name: model for model in self.models}[name]
