"""One slot of concurrency, the stream that it has open, and what its response is compared with.

The bytes of a whole response that was found right are a pattern for the next ones: a small response
comes as three frames, HEADERS, one DATA, HEADERS with the trailers. Between two of them only the
stream's number and the tensor's values differ; everything else is compared.
"""

from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from tritongen.probe.engines.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEADERS,
    header_prefix,
)
from tritongen.probe.engines.infer_results import MAX_READ_BYTES
from tritongen.probe.engines.slot_engine import LoadSlot

# Chosen: sizes of responses that a model may have; others are looked at in full.
_MAX_HEADS = 64


class ResponseTemplate:
    """The pattern of one kind of response.

    Attributes:
        size: bytes of all three frames.
        prefix: of the first frame, up to the stream.
        first: its headers, and the prefix of the DATA frame.
        data_stream: position of the DATA frame's stream.
        body: the message up to the first tensor's values.
        tail: position of the last frame.
        tail_prefix: of it, up to the stream.
        trailers: its headers.
        payload: bytes of the DATA frame, for flow control.
    """

    def __init__(self, headers: bytes, body: bytes, payload: int, trailers: bytes) -> None:
        self.prefix = header_prefix(HEADERS, END_HEADERS, len(headers))
        self.first = headers + header_prefix(DATA, 0, payload)
        self.data_stream = HEAD + len(headers) + 5
        self.body = body
        self.payload = payload
        self.tail = self.data_stream + 4 + payload
        self.tail_prefix = header_prefix(HEADERS, END_HEADERS | END_STREAM, len(trailers))
        self.trailers = trailers
        self.size = self.tail + HEAD + len(trailers)

    def matches(self, data: bytes, begin: int, key: bytes) -> bool:
        """Whether such a response of that stream lies at that position."""
        where = begin + self.data_stream
        tail = begin + self.tail
        return (
            data.startswith(self.prefix, begin)
            and data.startswith(self.first, begin + HEAD)
            and data.startswith(key, where)
            and data.startswith(self.body, where + 4)
            and data.startswith(self.tail_prefix, tail)
            and data.startswith(key, tail + 5)
            and data.startswith(self.trailers, tail + HEAD)
        )


@dataclass(slots=True)
class ResponseTemplates:
    """Templates of one target's responses.

    Attributes:
        newest: of the last one that was looked at in full, None before and when it has another
            form.
        heads: beginnings of messages that were found right, by the length of the message.
    """

    newest: ResponseTemplate | None = None
    heads: dict[int, bytes] = field(default_factory=dict)

    def set_aside(self) -> None:
        """Look at the next response in full."""
        self.newest = None
        self.heads.clear()

    def learn(self, size: int, head: bytes) -> None:
        """A message of that length with this beginning is right."""
        if len(self.heads) < _MAX_HEADS:
            self.heads[size] = head


# Chosen: of a larger response only so much is kept to be compared; the rest is counted. What is
# looked at in full is kept as a whole as long as its values are read.
MAX_KEPT_BYTES = 65_536
_MAX_WHOLE_BYTES = MAX_READ_BYTES + MAX_KEPT_BYTES


@dataclass(slots=True, eq=False)
class StreamSlot(LoadSlot):
    """A request, and what has come back of its response. See `LoadSlot`, too.

    Attributes:
        templates: of the target's responses.
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

    templates: ResponseTemplates = field(init=False)
    key: bytes = b""
    offset: int = 0
    window: int = 0
    head: bytearray = field(default_factory=bytearray)
    size: int = 0
    first_block: bytes = b""
    last_block: bytes = b""
    quick: bool = True
    data_frames: int = 0
    keep: int = 0
    refusals: int = 0

    def forget(self) -> None:
        """Make room for the next response."""
        self.head.clear()
        self.size = self.data_frames = 0
        self.first_block = self.last_block = b""
        self.quick = True
        self.refusals = 0
        self.keep = MAX_KEPT_BYTES
        if self.target.plan.references or not self.templates.heads:
            self.keep_whole()

    def keep_whole(self) -> None:
        """Keep what is coming, unless some of it has come."""
        if not self.size:
            self.keep = (1 << 62) if self.target.plan.references else _MAX_WHOLE_BYTES

    def compare_with(self, templates: ResponseTemplates) -> None:
        """Compare responses with these, and with the target's references, from now on."""
        self.templates = templates
        self.keep_whole()


S = TypeVar("S", bound=StreamSlot)


class StreamOwner(Protocol[S]):
    """Who is told what happens to streams."""

    def succeed(self, slot: S, now: int) -> None:
        """The slot's response is complete and matches its template."""

    def complete(self, slot: S, failure: tuple[str, str] | None, now: int) -> None:
        """The slot's stream has ended; the message is still to be looked at without a failure."""

    def send_elsewhere(self, slots: list[S]) -> None:
        """The server did not begin these streams and wants no more of them here."""
