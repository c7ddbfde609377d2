"""What a load engine shares with the part that drives it: requests, options, and a log of times."""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count, cycle
from time import monotonic_ns
from typing import Any, Protocol

from tritongen.triton.messages import FIRST_SEQUENCE_ID, ExpectedResponse


class LoadClient(StrEnum):
    """What sends the requests."""

    AUTO = "auto"
    FAST = "fast"
    TRITONCLIENT = "tritonclient"


class FailureCode(StrEnum):
    """Failures that no server names; others are ``HTTP 400``, ``GRPC UNAVAILABLE`` and so on."""

    CONNECTION = "CONNECTION"
    CUT_SHORT = "CUT SHORT"
    TIMEOUT = "TIMEOUT"
    MALFORMED = "MALFORMED"
    WRONG_RESPONSE = "WRONG RESPONSE"
    WRONG_VALUES = "WRONG VALUES"
    UNFINISHED = "UNFINISHED"


@dataclass(slots=True)
class Log:
    """Times of finished requests since it was last emptied; monotonic nanoseconds.

    Attributes:
        intended: when each successful request was due; left empty by closed loops, where that
            is when it was sent.
        sent: when it was sent.
        done: when its response was complete.
        failures: (due, sent, done, code) of failed ones.
        codes: how many failed, by code, since the log was made.
        examples: the first message of each code.
    """

    intended: "array[int]" = field(default_factory=lambda: array("q"))
    sent: "array[int]" = field(default_factory=lambda: array("q"))
    done: "array[int]" = field(default_factory=lambda: array("q"))
    failures: list[tuple[int, int, int, str]] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def fail(self, intended: int, sent: int, done: int, code: str, message: str) -> None:
        """One failed request."""
        self.failures.append((intended, sent, done, code))
        self.codes[code] = self.codes.get(code, 0) + 1
        self.examples.setdefault(code, message)

    def clear(self) -> None:
        """Forget the times; the counts by code stay."""
        del self.intended[:], self.sent[:], self.done[:]
        self.failures.clear()


class SequenceTemplate(Protocol):
    """A request with gaps for a step of a sequence."""

    def fill(self, sequence: int, *, start: bool, end: bool) -> Any:  # noqa: ANN401  (see `RequestPlan`)
        """The request for one step."""


@dataclass(slots=True)
class RequestPlan:
    """The requests for one model, ready to be sent.

    Attributes:
        name: the model's name.
        share: of the load, where several models are probed at once.
        requests: different requests as the client takes them, bytes on the wire or arguments of
            tritonclient's `infer`; each slot of concurrency has its own list where responses go to
            shared memory, else there is one list for all.
        expectation: what the responses must say.
        references: expected output values by output name, by the request's index; may be empty.
        templates: instead of `requests` for sequences.
        sequence_length: steps of a sequence, 0 for independent requests.
        client: what sends them, never `AUTO`.
        placed: whether outputs go to shared memory.
    """

    name: str
    share: float
    requests: Sequence[Sequence[Any]]
    expectation: ExpectedResponse
    references: Mapping[int, Mapping[str, bytes]] = field(default_factory=dict)
    templates: Sequence[SequenceTemplate] = ()
    sequence_length: int = 0
    client: LoadClient = LoadClient.FAST
    placed: bool = False


@dataclass(slots=True, eq=False)
class LoadTarget:
    """A plan at work: what comes next, and what came back.

    Attributes:
        plan: the requests.
        log: times of finished requests.
        seen: bytes of each output in the last response that was looked at in full.
    """

    plan: RequestPlan
    log: Log = field(default_factory=Log)
    seen: dict[str, int] = field(default_factory=dict)
    # Taken from by several threads at a time.
    _sequences: Iterator[int] = field(default_factory=lambda: count(FIRST_SEQUENCE_ID))

    def source(self, slot: int) -> Callable[[], Any]:
        """A function that gives that slot of concurrency its next request."""
        if self.plan.sequence_length:
            return self._sequence(slot).__next__
        requests = self.plan.requests[slot % len(self.plan.requests)]
        # Slots begin at different places, so that they do not send the same request in step.
        turn = (slot // len(self.plan.requests)) % len(requests)
        return cycle([*requests[turn:], *requests[:turn]]).__next__

    def reference(self, request: object) -> Mapping[str, bytes]:
        """The expected output values of a request, empty without a reference."""
        if not self.plan.references:
            return {}
        index = next((i for i, r in enumerate(self.plan.requests[0]) if r is request), -1)
        return self.plan.references.get(index, {})

    def _sequence(self, slot: int) -> Iterator[Any]:
        templates = self.plan.templates
        step = slot
        last = self.plan.sequence_length - 1
        while True:
            sequence = next(self._sequences)
            for position in range(last + 1):
                yield templates[step % len(templates)].fill(
                    sequence, start=position == 0, end=position == last
                )
                step += 1


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine behaves.

    Attributes:
        client: what sends the requests.
        timeout_s: a request without an answer for so long has failed.
        connect_timeout_s: for opening a connection.
        max_outstanding: requests of an open loop beyond this wait in the client.
        connections: of gRPC, None for one for each outstanding request up to eight.
        renew_streams_at: a gRPC connection is replaced before its stream ids reach this.
        compression: of requests and responses, which tritonclient has: gzip or deflate; empty for
            none.
    """

    client: LoadClient = LoadClient.AUTO
    timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    max_outstanding: int = 512
    connections: int | None = None
    renew_streams_at: int = (1 << 31) - 1_000_000
    compression: str = ""


# The one clock of every measurement. It is monotonic: a step of the wall clock does not touch it.
clock_ns = monotonic_ns
