"""How requests arrive: open loops do not wait for the server, closed loops do."""

from collections.abc import Iterator
from dataclasses import dataclass

from tritongen.errors import InvalidInputError
from tritongen.queueing.random_stream import Stream


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Arrivals at a rate, whatever the server does.

    Attributes:
        rate_per_s: mean requests per second.
        cv: coefficient of variation of the gaps: 0 paces evenly, 1 is Poisson, more is bursty.
    """

    rate_per_s: float
    cv: float = 1.0

    def __post_init__(self) -> None:
        if not self.rate_per_s > 0.0 or self.cv < 0.0:
            raise InvalidInputError(
                "TG304", f"an open loop needs a positive rate and cv ≥ 0, not {self}"
            )

    def times(self, stream: Stream) -> Iterator[float]:
        """Arrival times in seconds from 0, without end."""
        now = 0.0
        gaps = _gaps(1.0 / self.rate_per_s, self.cv, stream)
        for gap in gaps:
            now += gap
            yield now


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals at given times.

    Attributes:
        times_s: ascending seconds.
    """

    times_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if any(
            later < earlier for earlier, later in zip(self.times_s, self.times_s[1:], strict=False)
        ):
            raise InvalidInputError("TG304", "the times of a trace must ascend")

    def times(self, stream: Stream) -> Iterator[float]:  # noqa: ARG002  (one signature for all loads)
        """The trace's own times."""
        return iter(self.times_s)


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Clients that send the next request when the answer to the last one is there.

    Attributes:
        concurrency: requests in flight at most.
        think_s: seconds that a client spends between an answer and its next request.
    """

    concurrency: int
    think_s: float = 0.0

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.think_s < 0.0:
            raise InvalidInputError(
                "TG304", f"a closed loop needs a concurrency of at least 1, not {self}"
            )


Load = OpenLoop | Trace | ClosedLoop


def _gaps(mean: float, cv: float, stream: Stream) -> Iterator[float]:
    """Gaps of that mean and variation: a shifted exponential up to cv 1, beyond it a mixture.

    Above 1 it is the two-phase hyperexponential with balanced means, the usual stand-in for
    bursty traffic of known variation.
    """
    if cv <= 1.0:
        floor = mean * (1.0 - cv)
        spread = mean * cv
        while True:
            yield floor + (stream.exponential(spread) if spread > 0.0 else 0.0)
    square = cv * cv
    share = 0.5 * (1.0 + ((square - 1.0) / (square + 1.0)) ** 0.5)
    short, long = mean / (2.0 * share), mean / (2.0 * (1.0 - share))
    while True:
        yield stream.exponential(short if stream.uniform() < share else long)
