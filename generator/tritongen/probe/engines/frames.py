"""HTTP/2 frames: RFC 9113, as far as a client needs them, and how many a peer may send in vain."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5

MAX_WINDOW = (1 << 31) - 1
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME = 16_384
MAX_FRAME = (1 << 24) - 1
OUR_FRAME = 1 << 20


class ErrorCode(IntEnum):
    """Why a stream or connection ended."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class FrameError(Exception):
    """The peer broke the protocol; the connection is lost."""


def error_name(code: int) -> str:
    """The name of an error code, or its number."""
    return ErrorCode(code).name if code in ErrorCode.__members__.values() else f"error {code}"


def header_prefix(kind: int, flags: int, length: int) -> bytes:
    """The first five bytes of a frame: all of its header but the stream."""
    return length.to_bytes(3, "big") + bytes((kind, flags))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return header_prefix(kind, flags, len(payload)) + stream.to_bytes(4, "big") + payload


def settings(pairs: list[tuple[int, int]]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The pairs of a SETTINGS frame, checked.

    Raises:
        FrameError: a length or a value that the RFC forbids.
    """
    if len(payload) % 6:
        raise FrameError("SETTINGS of a wrong length")
    pairs = list(struct.iter_unpack(">HI", payload))
    for key, value in pairs:
        if key == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise FrameError("an initial window that is too large")
        if key == MAX_FRAME_SIZE and not DEFAULT_FRAME <= value <= MAX_FRAME:
            raise FrameError("a frame size out of range")
    return [(int(key), int(value)) for key, value in pairs]


def unpadded(payload: bytes, flags: int, *, headers: bool) -> bytes:
    """A payload without its padding and, for HEADERS, its priority.

    Raises:
        FrameError: the padding is longer than the payload.
    """
    begin, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise FrameError("padding without a length")
        begin, end = 1, len(payload) - payload[0]
    if headers and flags & HAS_PRIORITY:
        begin += 5
    if begin > end:
        raise FrameError("padding longer than the frame")
    return payload[begin:end]


def see_size(payload: bytes, size: int, name: str) -> None:
    """See that a frame is as long as its kind must be.

    Raises:
        FrameError: of a wrong length.
    """
    if len(payload) != size:
        raise FrameError(f"{name} of a wrong length")


def increment_of(payload: bytes) -> int:
    """The increment of a WINDOW_UPDATE frame.

    Raises:
        FrameError: of a wrong length, or zero.
    """
    see_size(payload, 4, "WINDOW_UPDATE")
    value = int.from_bytes(payload, "big") & MAX_WINDOW
    if not value:
        raise FrameError("WINDOW_UPDATE by nothing")
    return value


_SETTINGS = (
    (HEADER_TABLE_SIZE, 0),
    (ENABLE_PUSH, 0),
    (INITIAL_WINDOW_SIZE, MAX_WINDOW),
    (MAX_FRAME_SIZE, OUR_FRAME),
)
# What a client says first.
GREETING = PREFACE + settings(list(_SETTINGS)) + window_update(0, MAX_WINDOW - DEFAULT_WINDOW)


# Between two answers. Chosen: a tenth of a second of reading frames, and far more than the headers
# of ten thousand responses that all begin before the first one ends.
MAX_COST = 50_000
# A DATA frame with so many bytes brings its answer nearer; smaller ones are counted.
FULL_DATA = 1_024
# Header blocks cost time for every byte, at worst 1.3 µs in hpack: so many cost as much as one more
# frame, and four seconds of reading are the most that a flood of headers takes.
_BYTES_A_FRAME = 48
# Decoding a block takes as long as reading so many frames more; most blocks are known.
DECODING_COST = 2
# Acknowledgements that wait because the peer does not read. Chosen: 170 kB of PING.
_MAX_UNREAD_REPLIES = 10_000
# Unsent bytes beyond the requests that are open. Chosen: what was cancelled may wait, too.
_MAX_UNSENT_BYTES = 64 << 20


@dataclass(slots=True)
class FloodGuard:
    """Counts frames that bring no answer, and ends a connection that brings nothing else.

    Attributes:
        spent: cost of these frames since the last answer that was noticed; looked at once a read.
    """

    spent: int = 0
    _answered: int = 0
    _unread: int = 0

    def spend(self, payload: bytes) -> None:
        """Count a frame whose bytes have to be looked at one by one."""
        self.spent += 1 + len(payload) // _BYTES_A_FRAME

    def charge(self, payload: bytes, answered: int) -> None:
        """Count such a frame, and see at once whether it is one too many.

        Args:
            payload: of the frame.
            answered: streams that the peer has answered so far.

        Raises:
            FrameError: it is.
        """
        self.spend(payload)
        if self.spent > MAX_COST:
            self.judge(answered)

    def judge(self, answered: int) -> None:
        """Begin anew after an answer.

        Args:
            answered: streams that the peer has answered so far.

        Raises:
            FrameError: there was none since this was asked last.
        """
        if answered == self._answered:
            raise FrameError(f"a flood of frames: over {MAX_COST:,} and no answer among them")
        self._answered = answered
        self.spent = 0

    def count_reply(self, *, unread: bool) -> None:
        """Count an acknowledgement.

        Args:
            unread: the peer has not read what was sent before.

        Raises:
            FrameError: too many of them wait.
        """
        self._unread = self._unread + 1 if unread else 0
        if self._unread > _MAX_UNREAD_REPLIES:
            raise FrameError(f"{_MAX_UNREAD_REPLIES:,} acknowledgements were asked for, none read")

    def hold_unsent(self, unsent: int, requests: Iterable[int]) -> None:
        """See that not much more waits to be sent than the requests that are open.

        Args:
            unsent: bytes that the socket did not take.
            requests: sizes of the open requests; looked at only where that is much.

        Raises:
            ConnectionAbortedError: it is more.
        """
        if unsent > _MAX_UNSENT_BYTES and unsent > _MAX_UNSENT_BYTES + sum(requests):
            raise ConnectionAbortedError("the server ends requests that it does not read")
