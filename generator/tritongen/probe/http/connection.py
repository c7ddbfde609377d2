"""One HTTP connection and the request that is on it."""

import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable

from tritongen.probe.engine import EngineOptions, Target
from tritongen.probe.http.response import ResponseParser
from tritongen.probe.http.verify import Known


class Connection:
    """A socket and its request; at most one is outstanding.

    Attributes:
        socket: non-blocking, None while there is none.
        fd: its descriptor, -1 while there is none.
        target: what the request is for.
        following: gives the next request.
        request: what is being sent.
        unsent: position of its first byte that the socket has not taken, -1 when it took all.
        intended: when the request was due.
        sent: when it was sent.
        busy: whether a request is outstanding.
        connecting: whether the connection is being opened.
        remaining: bytes of a known response that are still to come.
        parser: of a response that is not known yet.
        received: bytes of the response so far.
        known: beginnings of right responses, and, for speed, the same by size of the response.
    """

    __slots__ = (
        "busy",
        "connecting",
        "fd",
        "following",
        "intended",
        "known",
        "log_done",
        "log_sent",
        "parser",
        "received",
        "recv_into",
        "remaining",
        "request",
        "send",
        "sent",
        "socket",
        "target",
        "unsent",
        "whole",
    )

    target: Target
    following: Callable[[], bytes]
    known: Known
    whole: dict[int, bytes]
    log_sent: Callable[[int], None]
    log_done: Callable[[int], None]

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.fd = -1
        self.request = b""
        self.unsent = -1
        self.intended = 0
        self.sent = 0
        self.busy = False
        self.connecting = False
        self.remaining = 0
        self.parser: ResponseParser | None = None
        self.received = 0
        self.send: Callable[[bytes | memoryview], int] = _no_send
        self.recv_into: Callable[[bytearray], int] = _no_receive

    def serve_target(self, target: Target, known: Known, slot: int) -> None:
        """Send requests of this target from now on, as its slot of that number."""
        self.target = target
        self.following = target.source(slot)
        self.known = known
        self.whole = known.whole
        # Bound once: these run for every request.
        self.log_sent = target.log.sent.append
        self.log_done = target.log.done.append

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


class Dialer:
    """Opens sockets to one server.

    Plain sockets are opened without waiting; TLS sockets with their handshake, which waits.
    """

    def __init__(self, host: str, port: int, options: EngineOptions, alpn: str = "") -> None:
        """Look the host up once.

        Raises:
            OSError: the host has no address.
        """
        self.host = host
        self.port = port
        self.options = options
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._family, self._address = found[0][0], found[0][4]
        self._context = tls_context(options, alpn) if options.tls else None

    @property
    def tls(self) -> bool:
        """Whether sockets speak TLS."""
        return self._context is not None

    def dial(self, *, wait: bool) -> tuple[socket.socket, bool]:
        """A non-blocking socket, and whether it is still connecting.

        Raises:
            OSError: the connection was refused or timed out.
        """
        opened = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if wait or self._context is not None:
                opened.settimeout(self.options.connect_timeout_s)
                opened.connect(self._address)
                if self._context is not None:
                    opened = self._context.wrap_socket(opened, server_hostname=self.host)
                opened.setblocking(False)
                return opened, False
            opened.setblocking(False)
            error = opened.connect_ex(self._address)
            if error not in {0, errno.EINPROGRESS}:
                raise OSError(error, errno.errorcode.get(error, "connect failed"))
        except OSError:
            opened.close()
            raise
        return opened, error == errno.EINPROGRESS


def tls_context(options: EngineOptions, alpn: str = "") -> ssl.SSLContext:
    """The client's side of TLS as the options want it."""
    context = ssl.create_default_context(cafile=options.ca_file or None)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    return context
