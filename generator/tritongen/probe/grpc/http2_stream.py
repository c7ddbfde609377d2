"""One slot of concurrency and the stream that it has open."""

from collections.abc import Mapping
from typing import Protocol

from tritongen.probe.grpc.response_template import ResponseTemplates
from tritongen.probe.slot_engine import LoadSlot

# Chosen: of a larger response only so much is kept to be looked at; the rest is counted.
MAX_KEPT_BYTES = 65_536


class StreamCarrier(Protocol):
    """What a slot needs of its `tritongen.probe.grpc.http2_connection.Http2Connection`."""

    draining: bool
    fd: int

    @property
    def streams(self) -> "Mapping[bytes, StreamSlot]":
        """Slots by the stream's number."""

    @property
    def waiting(self) -> "list[StreamSlot]":
        """Slots whose stream waits for the peer's limit."""

    def open_stream(self, slot: "StreamSlot") -> None:
        """Send the slot's request as soon as the peer allows it."""

    def cancel(self, slot: "StreamSlot") -> None:
        """Forget the slot's stream and tell the peer."""

    def flush(self) -> None:
        """Write what is to be written."""

    def admit(self) -> None:
        """Open the streams that waited for the peer's limit."""


class StreamSlot(LoadSlot):
    """A request, and what has come back of its response. See `LoadSlot`, too.

    Attributes:
        templates: of the target's responses.
        connection: that it uses.
        key: the stream's number as four bytes, empty while nothing is outstanding.
        offset: bytes of the request that were framed.
        window: what the peer lets us send on the stream, while not all was framed.
        head: the response's message as far as it is kept.
        size: bytes of the response's message so far.
        first_block, last_block: headers of the response, and its trailers.
        quick: whether the response came in three frames that a template can describe.
        data_frames: DATA frames so far.
        keep: bytes of the message to keep.
        refusals: how often the peer reset the request's stream.
    """

    __slots__ = (
        "connection",
        "data_frames",
        "first_block",
        "head",
        "keep",
        "key",
        "last_block",
        "offset",
        "quick",
        "refusals",
        "size",
        "templates",
        "window",
    )

    templates: ResponseTemplates
    connection: StreamCarrier

    def __init__(self) -> None:
        super().__init__()
        self.key = b""
        self.offset = self.window = 0
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

    def compare_with(self, templates: ResponseTemplates) -> None:
        """Compare responses with these, and with the target's references, from now on."""
        self.templates = templates
        self.keep = (1 << 62) if self.target.plan.references else MAX_KEPT_BYTES


class StreamOwner(Protocol):
    """Who is told what happens to streams."""

    def succeed(self, slot: StreamSlot, now: int) -> None:
        """The slot's response is complete and matches its template."""

    def complete(self, slot: StreamSlot, failure: tuple[str, str] | None, now: int) -> None:
        """The slot's stream has ended; the message is still to be looked at without a failure."""

    def send_elsewhere(self, slots: list[StreamSlot]) -> None:
        """The server did not begin these streams and wants no more of them here."""
