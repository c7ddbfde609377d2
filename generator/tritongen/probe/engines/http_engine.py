"""The fast HTTP/1.1 engine: one connection for each outstanding request, driven by epoll.

The first response of a kind is parsed and checked in full. Its bytes up to the tensors are then
known to be right, so the next ones are checked by comparing those bytes, and their length.
"""

import select
from collections.abc import Sequence

from tritongen.errors import EnvironmentProblem
from tritongen.probe.engines.dialer import WOULD_BLOCK, Dialer
from tritongen.probe.engines.http_connection import HttpConnection, ResponsePrefixes, verify
from tritongen.probe.engines.http_messages import MalformedResponseError, ResponseParser
from tritongen.probe.engines.slot_engine import MAX_WAIT_S, SlotEngine
from tritongen.probe.load_engine import EngineOptions, FailureCode, RequestPlan, clock_ns
from tritongen.triton.address import Endpoint

_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_QUIET = select.EPOLLIN | select.EPOLLOUT
_ENDING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_BUFFER_BYTES = 1 << 20
# Chosen: connections that are being opened at a time; a server drops what does not fit its backlog.
_MAX_OPENING = 16


class HttpEngine(SlotEngine[HttpConnection]):
    """See `SlotEngine` for attributes and methods."""

    name = "fast HTTP/1.1"
    _slot_kind = HttpConnection

    def __init__(
        self, endpoint: Endpoint, plans: Sequence[RequestPlan], options: EngineOptions
    ) -> None:
        """Look up the host; connections are opened by `open`.

        Raises:
            EnvironmentProblem: TG901, the host has no address; TG834, a certificate cannot be used.
        """
        self._dialer = Dialer(endpoint, options.connect_timeout_s)
        super().__init__(plans, options)
        self._prefixes = [ResponsePrefixes() for _ in plans]
        self._by_fd: dict[int, HttpConnection] = {}
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)

    def _assign(self, slot: HttpConnection, target: int, place: int) -> None:
        super()._assign(slot, target, place)
        slot.compare_with(self._prefixes[target])

    def _prepare(self, slot: HttpConnection) -> None:
        if slot.socket is None:
            self._dial(slot, wait=True)

    def _release(self, slot: HttpConnection) -> None:
        self._drop(slot)

    def _may_grow(self) -> bool:
        """Few connections at a time are opened, or the server drops them."""
        opening = sum(slot.connecting for slot in self._slots[-_MAX_OPENING:])
        return super()._may_grow() and opening < _MAX_OPENING

    def serve(self, until_ns: int) -> None:
        """Run the closed loop; see `SlotEngine.serve`."""
        poll, by_fd, buffer, clock = self._epoll.poll, self._by_fd, self._buffer, clock_ns
        quick = self._refilling and not self._dialer.tls
        now = clock()
        while now < until_ns and (self._sending or self.outstanding):
            events = poll(min(MAX_WAIT_S, (until_ns - now) / 1e9))
            now = clock()
            for fd, event in events:
                connection = by_fd.get(fd)
                if connection is None:
                    continue
                if event != _QUIET or connection.received or not quick:
                    self._ready(connection, event)
                    continue
                try:
                    size = connection.recv_into(buffer)
                    now = clock()
                    prefix = connection.whole.get(size)
                    if prefix is None or not buffer.startswith(prefix):
                        self._received(connection, size, now)
                        if size == _BUFFER_BYTES:
                            self._ready(connection, event)
                        continue
                    connection.log_sent(connection.sent)
                    connection.log_done(now)
                    connection.sent = now
                    connection.request = request = connection.next_request()
                    taken = connection.send(request)
                    if taken != len(request):
                        connection.unsent = taken
                except OSError:
                    # Nothing to read, a full socket or a broken one: the slow path finds out.
                    if connection.sent == now:
                        connection.unsent = 0
                    self._ready(connection, event)
        self._see_last_success()

    def poll(self, timeout_s: float) -> None:
        """Handle what the sockets have; see `SlotEngine.poll`."""
        for fd, event in self._epoll.poll(timeout_s):
            connection = self._by_fd.get(fd)
            if connection is not None:
                self._ready(connection, event)
        self._see_last_success()

    def inspect(self) -> None:
        """Look at the next response of every model in full."""
        for prefixes in self._prefixes:
            prefixes.set_aside()

    def close(self) -> None:
        """Close every connection."""
        for connection in self._slots:
            self._drop(connection)
        self._slots.clear()
        self._epoll.close()

    def _dial(self, connection: HttpConnection, *, wait: bool) -> None:
        opened, connecting = self._dialer.dial(wait=wait)
        connection.attach(opened, connecting=connecting)
        self._by_fd[connection.fd] = connection
        self._epoll.register(connection.fd, _EVENTS)

    def _drop(self, connection: HttpConnection) -> None:
        """Close the connection's socket; closing takes it out of the epoll set, too."""
        if self._by_fd.get(connection.fd) is connection:
            del self._by_fd[connection.fd]
        connection.detach()

    def _begin(self, connection: HttpConnection, intended_ns: int) -> None:
        """Send the connection's next request."""
        connection.busy = True
        connection.received, connection.parser, connection.remaining = 0, None, 0
        connection.request = connection.next_request()
        connection.intended = intended_ns
        connection.unsent = 0
        connection.sent = clock_ns()
        if connection.socket is None:
            try:
                self._dial(connection, wait=False)
            except EnvironmentProblem as fault:
                self._fail(connection, FailureCode.CONNECTION, fault.what, clock_ns())
                return
        if not connection.connecting:
            self._push(connection)

    def _push(self, connection: HttpConnection) -> None:
        """Give the socket as much of the request as it takes."""
        request = connection.request
        try:
            while connection.unsent < len(request):
                start = connection.unsent
                piece = request if start == 0 else memoryview(request)[start:]
                connection.unsent = start + connection.send(piece)
            connection.unsent = -1
        except WOULD_BLOCK:
            return
        except OSError as fault:
            self._lost_connection(connection, fault)

    def _ready(self, connection: HttpConnection, event: int) -> None:
        """Handle an event, whatever it is."""
        if connection.connecting:
            error = connection.error()
            if error is not None:
                self._lost_connection(connection, error)
                return
            connection.connecting = False
        if connection.busy and connection.unsent >= 0:
            self._push(connection)
        current = connection.socket
        ending = bool(event & _ENDING) or self._dialer.tls
        while connection.socket is current and current is not None:
            try:
                size = connection.recv_into(self._buffer)
            except WOULD_BLOCK:
                return
            except OSError as fault:
                self._lost_connection(connection, fault)
                return
            self._received(connection, size, clock_ns())
            if 0 < size < _BUFFER_BYTES and not ending:
                return

    def _received(self, connection: HttpConnection, size: int, now: int) -> None:
        """Take `size` bytes that lie in the buffer; none at all is the end of the connection."""
        if not connection.busy or size == 0:
            self._ended(connection, now)
            return
        connection.received += size
        if connection.remaining:
            rest = connection.remaining - size
            connection.expect(max(rest, 0))
            if rest < 0:
                self._fail(connection, FailureCode.MALFORMED, "bytes after the response", now)
            elif rest == 0:
                self._succeed(connection, now)
            return
        if connection.parser is None:
            prefix = connection.whole.get(size)
            if prefix is not None and self._buffer.startswith(prefix):
                self._succeed(connection, now)
                return
            whole = connection.prefixes.size_of(self._buffer, size)
            if whole:
                connection.expect(whole - size)
                return
            connection.parser = ResponseParser(keep_all=True)
        try:
            connection.parser.feed(self._view[:size])
        except MalformedResponseError as fault:
            self._fail(connection, FailureCode.MALFORMED, str(fault), now)
            return
        if connection.parser.done:
            self._judge(connection, connection.parser, now)

    def _judge(self, connection: HttpConnection, parser: ResponseParser, now: int) -> None:
        """A response that was parsed is complete."""
        failure = verify(parser, connection.target, connection.request, connection.prefixes)
        usable = parser.keep_alive and not parser.excess
        if not usable:
            self._drop(connection)
        if failure is not None:
            self._note_failure(connection, *failure, now)
            self._proceed(connection, now)
        else:
            self._succeed(connection, now)

    def _succeed(self, connection: HttpConnection, now: int) -> None:
        self._note_success(connection, now)
        self._proceed(connection, now)

    def _ended(self, connection: HttpConnection, now: int) -> None:
        """The peer closed the connection, or spoke out of turn."""
        if not connection.busy:
            self._drop(connection)
            return
        parser = connection.parser
        if parser is not None:
            try:
                parser.end()
            except MalformedResponseError:
                pass
            else:
                self._judge(connection, parser, now)
                return
        if connection.received:
            self._fail(connection, FailureCode.CUT_SHORT, "the response was cut short", now)
        else:
            message = "the connection was closed instead of an answer"
            self._fail(connection, FailureCode.CONNECTION, message, now)

    def _lost_connection(self, connection: HttpConnection, fault: OSError) -> None:
        if connection.busy:
            code = FailureCode.CUT_SHORT if connection.received else FailureCode.CONNECTION
            self._fail(connection, code, fault.strerror or str(fault), clock_ns())
        else:
            self._drop(connection)

    def _fail(self, connection: HttpConnection, code: str, message: str, now: int) -> None:
        """The request failed, and its connection with it."""
        self._note_failure(connection, code, message, now)
        refused = connection.connecting or connection.socket is None
        self._drop(connection)
        if refused:
            self.lost += 1
        if refused and (self._refilling or self._left):
            self._retry_later(connection)
        else:
            self._proceed(connection, now)
