"""How requests come: closed loops wait for the answers, open loops do not.

In a closed loop a fixed number of requests is outstanding: it finds capacity. In an open loop
requests are sent when they are due, whatever the server does: it finds latency. The two differ by
orders of magnitude near saturation, so every load names its loop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import ClassVar

from tritongen.errors import InvalidInputError
from tritongen.queueing.random_stream import Stream


class LoadKind(StrEnum):
    """How requests come about."""

    CONCURRENCY = "concurrency"
    RATE = "rate"
    SCHEDULE = "schedule"


class Pacing(StrEnum):
    """How a load generator draws the gaps of an open loop."""

    POISSON = "poisson"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Arrivals at a rate, whatever the server does.

    Attributes:
        rate_per_s: mean requests per second.
        cv: coefficient of variation of the gaps: 0 paces evenly, 1 is Poisson, more is bursty.
        max_outstanding: beyond it requests wait in the load generator, None for its own limit.
            What limits it there is its engine's option; here it tells which load was made.
    """

    kind: ClassVar[LoadKind] = LoadKind.RATE

    rate_per_s: float
    cv: float = 1.0
    max_outstanding: int | None = None

    def __post_init__(self) -> None:
        if not self.rate_per_s > 0.0 or self.cv < 0.0:
            raise InvalidInputError(
                "TG304", f"an open loop needs a positive rate and cv ≥ 0, not {self}"
            )

    @classmethod
    def paced(cls, rate_per_s: float, pacing: Pacing, max_outstanding: int | None) -> "OpenLoop":
        """The loop that a load generator makes."""
        return cls(rate_per_s, float(pacing is Pacing.POISSON), max_outstanding)

    @property
    def pacing(self) -> Pacing:
        """How a load generator draws the gaps: evenly, or for every other variation as Poisson."""
        return Pacing.POISSON if self.cv > 0.0 else Pacing.CONSTANT

    @property
    def value(self) -> float:
        """Requests per second."""
        return self.rate_per_s

    def times(self, stream: Stream) -> Iterator[float]:
        """Arrival times in seconds from 0, without end."""
        return accumulate(_gaps(1.0 / self.rate_per_s, self.cv, stream))


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Clients that send the next request when the answer to the last one is there.

    Attributes:
        concurrency: requests outstanding at any time.
    """

    kind: ClassVar[LoadKind] = LoadKind.CONCURRENCY

    concurrency: int

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise InvalidInputError(
                "TG304", f"a closed loop needs a concurrency of at least 1, not {self}"
            )

    @property
    def value(self) -> float:
        """Requests outstanding."""
        return self.concurrency


Loop = OpenLoop | ClosedLoop


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
