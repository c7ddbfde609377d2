"""The bytes of a whole response that was found right, as a pattern for the next ones.

A small response comes as three frames: HEADERS, one DATA, HEADERS with the trailers. Between two
of them only the stream's number and the tensor's values differ; everything else is compared.
"""

from tritongen.probe.grpc.frames import DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, header_prefix

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

    __slots__ = (
        "body",
        "data_stream",
        "first",
        "payload",
        "prefix",
        "size",
        "tail",
        "tail_prefix",
        "trailers",
    )

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


class ResponseTemplates:
    """Templates of one target's responses.

    Attributes:
        newest: of the last one that was looked at in full, None before and when it has another
            form.
        heads: beginnings of messages that were found right, by the length of the message.
    """

    __slots__ = ("heads", "newest")

    def __init__(self) -> None:
        self.newest: ResponseTemplate | None = None
        self.heads: dict[int, bytes] = {}

    def set_aside(self) -> None:
        """Look at the next response in full."""
        self.newest = None
        self.heads.clear()

    def learn(self, size: int, head: bytes) -> None:
        """A message of that length with this beginning is right."""
        if len(self.heads) < _MAX_HEADS:
            self.heads[size] = head
