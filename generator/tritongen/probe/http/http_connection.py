"""One HTTP connection and the request that is on it."""

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable

from tritongen.probe.http.http_response import ResponseParser
from tritongen.probe.http.http_verify import ResponsePrefixes
from tritongen.probe.slot_engine import LoadSlot

# What is at most in one piece on a loopback interface.
_PIECE_BYTES = 65_536


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
    """

    __slots__ = (
        "connecting",
        "fd",
        "parser",
        "prefixes",
        "received",
        "recv_into",
        "remaining",
        "send",
        "socket",
        "unsent",
        "waits_for_rest",
        "whole",
    )

    prefixes: ResponsePrefixes
    whole: dict[int, bytes]

    def __init__(self) -> None:
        super().__init__()
        self.socket: socket.socket | None = None
        self.fd = -1
        self.unsent = -1
        self.connecting = False
        self.remaining = 0
        self.parser: ResponseParser | None = None
        self.received = 0
        self.waits_for_rest = False
        self.send: Callable[[bytes | memoryview], int] = _no_send
        self.recv_into: Callable[[bytearray], int] = _no_receive

    def compare_with(self, prefixes: ResponsePrefixes) -> None:
        """Compare responses with these from now on."""
        self.prefixes = prefixes
        self.whole = prefixes.whole

    def attach(self, opened: socket.socket, *, connecting: bool) -> None:
        """Use this socket from now on."""
        self.socket = opened
        self.fd = opened.fileno()
        self.connecting = connecting
        self.send = opened.send
        self.recv_into = opened.recv_into
        self.remaining = 0
        self.parser = None
        self.received = 0
        self.unsent = -1
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
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, rest if wait else 1)
            self.waits_for_rest = wait

    def error(self) -> OSError | None:
        """What came of connecting."""
        if self.socket is None:
            return OSError(errno.ENOTCONN, "not connected")
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
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


def _no_send(_: bytes | memoryview) -> int:
    raise OSError(errno.ENOTCONN, "not connected")


def _no_receive(_: bytearray) -> int:
    raise OSError(errno.ENOTCONN, "not connected")
