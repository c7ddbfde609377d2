"""One HTTP connection, the request that is on it, and whether the response is right."""

import contextlib
import errno
import os
import socket as sockets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from tritongen.probe.engines.http_messages import (
    MalformedResponseError,
    ResponseParser,
    decode_outputs,
    error_text,
)
from tritongen.probe.engines.infer_results import judge
from tritongen.probe.engines.slot_engine import LoadSlot
from tritongen.probe.load_engine import FailureCode, LoadTarget

# Chosen: sizes of responses that a model may have; others are looked at in full.
_MAX_PREFIXES = 64


@dataclass(slots=True)
class ResponsePrefixes:
    """Beginnings of responses that were found right; what follows them is tensor data.

    Attributes:
        whole: beginning by the size of the whole response.
    """

    whole: dict[int, bytes] = field(default_factory=dict)
    _set_aside: dict[int, bytes] = field(default_factory=dict)

    def learn(self, prefix: bytes, size: int) -> None:
        """A response of that size with this beginning is right."""
        if self._set_aside:
            self.whole.update(self._set_aside)
            self._set_aside.clear()
        if len(self.whole) < _MAX_PREFIXES:
            self.whole[size] = prefix

    def set_aside(self) -> None:
        """Know nothing until the next response was looked at in full."""
        self._set_aside.update(self.whole)
        self.whole.clear()

    def size_of(self, buffer: bytearray, size: int) -> int:
        """Size of the whole response whose first `size` bytes lie in the buffer, 0 if unknown."""
        for whole, prefix in self.whole.items():
            if len(prefix) <= size < whole and buffer.startswith(prefix):
                return whole
        return 0


def verify(
    parser: ResponseParser, target: LoadTarget, request: object, prefixes: ResponsePrefixes
) -> tuple[str, str] | None:
    """The failure code and message of a complete response, None when it is right.

    Args:
        parser: has the response.
        target: says what was expected, and learns the sizes of the outputs.
        request: that was answered.
        prefixes: learns the beginning of a right response.
    """
    if parser.status != 200:
        return f"HTTP {parser.status}", error_text(parser)
    try:
        answer = decode_outputs(parser)
    except MalformedResponseError as fault:
        return FailureCode.MALFORMED, str(fault)
    failure = judge(answer, target, request, values=len(parser.body) == parser.body_size)
    if failure is not None:
        return failure
    if parser.keep_alive and not parser.chunked and "content-length" in parser.headers:
        size = parser.json_size
        prefix = parser.raw_head + (parser.body if size is None else parser.body[:size])
        prefixes.learn(prefix, len(parser.raw_head) + parser.body_size)
    return None


# What is at most in one piece on a loopback interface.
_PIECE_BYTES = 65_536


def _no_send(_: bytes | memoryview) -> int:
    raise OSError(errno.ENOTCONN, "not connected")


def _no_receive(_: bytearray) -> int:
    raise OSError(errno.ENOTCONN, "not connected")


@dataclass(slots=True, eq=False)
class HttpConnection(LoadSlot):
    """A socket and its request; at most one is outstanding. See `LoadSlot`, too.

    Attributes:
        socket: non-blocking, None while there is none.
        fd: its descriptor, -1 while there is none.
        unsent: position of its first byte that the socket has not taken, -1 when it took all.
        connecting: whether the connection is being opened.
        remaining: bytes of a known response that are still to come.
        parser: of a response that is not known yet.
        received: bytes of the response so far.
        prefixes: of right responses.
        whole: for speed, the same by size of the response.
        waits_for_rest: the socket keeps silent until the rest of a large response is there.
        send, recv_into: the socket's, bound once.
    """

    prefixes: ResponsePrefixes = field(init=False)
    whole: dict[int, bytes] = field(init=False)
    socket: sockets.socket | None = None
    fd: int = -1
    unsent: int = -1
    connecting: bool = False
    remaining: int = 0
    parser: ResponseParser | None = None
    received: int = 0
    waits_for_rest: bool = False
    send: Callable[[bytes | memoryview], int] = _no_send
    recv_into: Callable[[bytearray], int] = _no_receive

    def compare_with(self, prefixes: ResponsePrefixes) -> None:
        """Compare responses with these from now on."""
        self.prefixes = prefixes
        self.whole = prefixes.whole

    def attach(self, opened: sockets.socket, *, connecting: bool) -> None:
        """Use this socket from now on."""
        self.socket = opened
        self.fd = opened.fileno()
        self.connecting = connecting
        self.send = opened.send
        self.recv_into = opened.recv_into
        self.waits_for_rest = False

    def expect(self, rest: int) -> None:
        """The response goes on for so many bytes that nobody looks at; 0 when it is complete.

        A large response arrives in dozens of pieces. Waking up for each of them costs several
        times more than the copying, and takes the core that the server may be computing on.
        """
        self.remaining = rest
        # TLS keeps bytes of its own, so that the socket may never have as many.
        wait = rest > _PIECE_BYTES and not isinstance(self.socket, ssl.SSLSocket)
        if (wait or self.waits_for_rest) and self.socket is not None:
            # After a part was read the mark must fall: what is above it would never come.
            self.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVLOWAT, rest if wait else 1)
            self.waits_for_rest = wait

    def error(self) -> OSError | None:
        """What came of connecting."""
        if self.socket is None:
            return OSError(errno.ENOTCONN, "not connected")
        code = self.socket.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR)
        return OSError(code, os.strerror(code)) if code else None

    def detach(self) -> None:
        """Close the socket."""
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.close()
        self.socket = None
        self.fd = -1
        self.connecting = False
        self.send, self.recv_into = _no_send, _no_receive
