"""One slot of concurrency and the stream that it has open."""

from collections.abc import Callable, Mapping
from typing import Protocol

from tritongen.probe.grpc.response_template import Knowledge
from tritongen.probe.load_engine import Target


class Carrier(Protocol):
    """What a slot needs of its `tritongen.probe.grpc.http2_connection.Connection`."""

    draining: bool
    fd: int

    @property
    def streams(self) -> "Mapping[bytes, Slot]":
        """Slots by the stream's number."""

    @property
    def waiting(self) -> "list[Slot]":
        """Slots whose stream waits for the peer's limit."""

    def open_stream(self, slot: "Slot") -> None:
        """Send the slot's request as soon as the peer allows it."""

    def cancel(self, slot: "Slot") -> None:
        """Forget the slot's stream and tell the peer."""

    def flush(self) -> None:
        """Write what is to be written."""

    def admit(self) -> None:
        """Open the streams that waited for the peer's limit."""


class Slot:
    """A request, and what has come back of its response.

    Attributes:
        target: what it is for.
        following: gives the next request.
        knowledge: of the target's responses.
        log_sent, log_done: append to the target's log.
        connection: that it uses.
        key: the stream's number as four bytes, empty while nothing is outstanding.
        request: the message.
        offset: bytes of it that were framed.
        window: what the peer lets us send on the stream, while not all was framed.
        intended: when it was due.
        sent: when it was sent.
        busy: whether a request is outstanding.
        head: the response's message as far as it is kept.
        size: bytes of the response's message so far.
        first_block, last_block: headers of the response, and its trailers.
        quick: whether the response came in three frames that a pattern can describe.
        data_frames: DATA frames so far.
        keep: bytes of the message to keep.
        refusals: how often the peer reset the request's stream.
    """

    __slots__ = (
        "busy",
        "connection",
        "data_frames",
        "first_block",
        "following",
        "head",
        "intended",
        "keep",
        "key",
        "knowledge",
        "last_block",
        "log_done",
        "log_sent",
        "offset",
        "quick",
        "refusals",
        "request",
        "sent",
        "size",
        "target",
        "window",
    )

    target: Target
    following: Callable[[], bytes]
    knowledge: Knowledge
    log_sent: Callable[[int], None]
    log_done: Callable[[int], None]
    connection: Carrier

    def __init__(self) -> None:
        self.key = b""
        self.request = b""
        self.offset = self.window = 0
        self.intended = self.sent = 0
        self.busy = False
        self.keep = 0
        self.head = bytearray()
        self.forget()

    def forget(self) -> None:
        """Make room for the next response."""
        self.head.clear()
        self.size = self.data_frames = 0
        self.first_block = self.last_block = b""
        self.quick = True
        self.refusals = 0

    def serve_target(self, target: Target, knowledge: Knowledge, place: int, keep: int) -> None:
        """Send requests of this target from now on, as its slot of that number."""
        self.target = target
        self.following = target.source(place)
        self.knowledge = knowledge
        self.log_sent = target.log.sent.append
        self.log_done = target.log.done.append
        self.keep = (1 << 62) if target.plan.references else keep


class Owner(Protocol):
    """Who is told what happens to streams."""

    def succeed(self, slot: Slot, now: int) -> None:
        """The slot's response is complete and matches its pattern."""

    def complete(self, slot: Slot, failure: tuple[str, str] | None, now: int) -> None:
        """The slot's stream has ended; the message is still to be looked at without a failure."""

    def send_elsewhere(self, slots: list[Slot]) -> None:
        """The server did not begin these streams and wants no more of them here."""
