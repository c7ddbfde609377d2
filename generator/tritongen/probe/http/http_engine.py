"""The fast HTTP/1.1 engine: one connection for each outstanding request, driven by epoll.

The first response of a kind is parsed and checked in full. Its bytes up to the tensors are then
known to be right, so the next ones are checked by comparing those bytes, and their length.
"""

import select
from collections import deque
from collections.abc import Sequence

from tritongen.errors import EnvironmentProblem
from tritongen.probe.dialer import WOULD_BLOCK, Dialer
from tritongen.probe.http.http_connection import Connection
from tritongen.probe.http.http_response import MalformedResponseError, ResponseParser
from tritongen.probe.http.http_verify import Known, verify
from tritongen.probe.load_engine import (
    EngineOptions,
    FailureCode,
    Plan,
    Target,
    clock_ns,
    divide_slots,
    note_success,
)
from tritongen.triton.address import Endpoint

_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_QUIET = select.EPOLLIN | select.EPOLLOUT
_ENDING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_BUFFER = 1 << 20
_OPENING = 16
_LONGEST_WAIT_S = 0.1


class HttpEngine:
    """See `tritongen.probe.load_engine.Engine` for attributes and methods."""

    name = "fast HTTP/1.1"

    def __init__(self, endpoint: Endpoint, plans: Sequence[Plan], options: EngineOptions) -> None:
        """Look up the host; connections are opened by `open`.

        Raises:
            EnvironmentProblem: TG901, the host has no address; TG834, a certificate cannot be used.
        """
        self._dialer = Dialer(endpoint, options.connect_timeout_s)
        self.targets: Sequence[Target] = [Target(plan) for plan in plans]
        self.closed = True
        self.outstanding = 0
        self.last_success_ns = clock_ns()
        self.lost = 0
        self._options = options
        self._known = [Known() for _ in plans]
        self._epoll = select.epoll()
        self._by_fd: dict[int, Connection] = {}
        self._slots: list[Connection] = []
        self._idle: list[list[Connection]] = [[] for _ in plans]
        self._pending: deque[tuple[int, int]] = deque()
        self._broken: list[Connection] = []
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._sending = False

    @property
    def waiting(self) -> int:
        """Requests that are due and wait for a free slot."""
        return len(self._pending)

    def open(self, slots: int, *, closed: bool) -> None:
        """Prepare that many connections, waiting for each."""
        self.closed, self._sending = closed, True
        self.last_success_ns, self.lost = clock_ns(), 0
        self._broken.clear()
        for connection in self._slots[slots:]:
            self._drop(connection)
        del self._slots[slots:]
        for idle in self._idle:
            idle.clear()
        shares = divide_slots([target.plan.share for target in self.targets], slots)
        owners = [index for index, count in enumerate(shares) for _ in range(count)]
        for index, owner in enumerate(owners):
            if index == len(self._slots):
                self._slots.append(Connection())
            connection = self._slots[index]
            place = len(self._idle[owner])
            connection.serve_target(self.targets[owner], self._known[owner], place)
            if connection.socket is None:
                self._dial(connection, wait=True)
            self._idle[owner].append(connection)

    def start(self) -> None:
        """Send the first request of every slot."""
        for idle in self._idle:
            for connection in idle:
                self.outstanding += 1
                self._begin(connection, clock_ns())
            idle.clear()

    def serve(self, until_ns: int) -> None:
        """Run the closed loop; see `Engine.serve`."""
        poll, by_fd, buffer, clock = self._epoll.poll, self._by_fd, self._buffer, clock_ns
        quick = self._sending and not self._dialer.tls
        now = clock()
        while now < until_ns and (self._sending or self.outstanding):
            events = poll(min(_LONGEST_WAIT_S, (until_ns - now) / 1e9))
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
                        if size == _BUFFER:
                            self._ready(connection, event)
                        continue
                    connection.log_sent(connection.sent)
                    connection.log_done(now)
                    connection.sent = now
                    connection.request = request = connection.following()
                    taken = connection.send(request)
                    if taken != len(request):
                        connection.unsent = taken
                except OSError:
                    # Nothing to read, a full socket or a broken one: the slow path finds out.
                    if connection.sent == now:
                        connection.unsent = 0
                    self._ready(connection, event)
        note_success(self)

    def submit(self, target: int, intended_ns: int) -> None:
        """Send a request of an open loop; see `Engine.submit`."""
        idle = self._idle[target]
        if idle:
            connection = idle.pop()
        elif self._may_grow():
            connection = Connection()
            place = sum(c.target is self.targets[target] for c in self._slots)
            connection.serve_target(self.targets[target], self._known[target], place)
            self._slots.append(connection)
        else:
            self._pending.append((target, intended_ns))
            return
        self.outstanding += 1
        self._begin(connection, intended_ns)

    def _may_grow(self) -> bool:
        """Whether one more connection may be opened; few at a time, or the server drops them."""
        if len(self._slots) >= self._options.max_outstanding:
            return False
        return sum(connection.connecting for connection in self._slots[-_OPENING:]) < _OPENING

    def poll(self, timeout_s: float) -> None:
        """Handle what the sockets have; see `Engine.poll`."""
        for fd, event in self._epoll.poll(timeout_s):
            connection = self._by_fd.get(fd)
            if connection is not None:
                self._ready(connection, event)
        note_success(self)

    def watch(self, descriptor: int) -> None:
        """Let `poll` return when that descriptor can be read."""
        self._epoll.register(descriptor, select.EPOLLIN)

    def inspect(self) -> None:
        """Look at the next response of every model in full."""
        for known in self._known:
            known.set_aside()

    def settle(self) -> None:
        """Stop sending."""
        self._sending = False
        self._pending.clear()

    def expire(self, now_ns: int) -> None:
        """Fail the requests whose time is up, and open lost connections again."""
        limit = now_ns - round(self._options.timeout_s * 1e9)
        for connection in self._slots:
            if connection.busy and connection.sent < limit:
                message = f"no answer within {self._options.timeout_s:g} s"
                self._fail(connection, FailureCode.TIMEOUT, message, now_ns)
        if self._sending and self.closed:
            broken, self._broken = self._broken, []
            for connection in broken:
                self.outstanding += 1
                self._begin(connection, clock_ns())

    def abandon(self) -> int:
        """Give up what is outstanding."""
        busy = [connection for connection in self._slots if connection.busy]
        now = clock_ns()
        for connection in busy:
            self._fail(connection, FailureCode.UNFINISHED, "no answer before the end", now)
        return len(busy)

    def close(self) -> None:
        """Close every connection."""
        for connection in self._slots:
            self._drop(connection)
        self._slots.clear()
        self._epoll.close()

    def _dial(self, connection: Connection, *, wait: bool) -> None:
        opened, connecting = self._dialer.dial(wait=wait)
        connection.attach(opened, connecting=connecting)
        self._by_fd[connection.fd] = connection
        self._epoll.register(connection.fd, _EVENTS)

    def _drop(self, connection: Connection) -> None:
        """Close the connection's socket; closing takes it out of the epoll set, too."""
        if self._by_fd.get(connection.fd) is connection:
            del self._by_fd[connection.fd]
        connection.detach()

    def _begin(self, connection: Connection, intended_ns: int) -> None:
        """Send the connection's next request."""
        connection.busy = True
        connection.received, connection.parser, connection.remaining = 0, None, 0
        connection.request = connection.following()
        connection.intended = intended_ns
        connection.unsent = 0
        connection.sent = clock_ns()
        if connection.socket is None:
            try:
                self._dial(connection, wait=False)
            except EnvironmentProblem as fault:
                self._fail(connection, FailureCode.CONNECTION, fault.what, clock_ns())
                return
            connection.unsent = 0
        if not connection.connecting:
            self._push(connection)

    def _push(self, connection: Connection) -> None:
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

    def _ready(self, connection: Connection, event: int) -> None:
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
            if 0 < size < _BUFFER and not ending:
                return

    def _received(self, connection: Connection, size: int, now: int) -> None:
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
            whole = connection.known.size_of(self._buffer, size)
            if whole:
                connection.expect(whole - size)
                return
            connection.parser = ResponseParser(keep_all=bool(connection.target.plan.references))
        try:
            connection.parser.feed(self._view[:size])
        except MalformedResponseError as fault:
            self._fail(connection, FailureCode.MALFORMED, str(fault), now)
            return
        if connection.parser.done:
            self._judge(connection, connection.parser, now)

    def _judge(self, connection: Connection, parser: ResponseParser, now: int) -> None:
        """A response that was parsed is complete."""
        target = connection.target
        reference = target.reference(connection.request)
        failure = verify(parser, target, reference, connection.known)
        usable = parser.keep_alive and not parser.excess
        if not usable:
            self._drop(connection)
        if failure is not None:
            self._note_failure(connection, *failure, now)
            self._proceed(connection, now)
        else:
            self._succeed(connection, now)

    def _succeed(self, connection: Connection, now: int) -> None:
        if not self.closed:
            connection.target.log.intended.append(connection.intended)
        connection.log_sent(connection.sent)
        connection.log_done(now)
        self._proceed(connection, now)

    def _proceed(self, connection: Connection, now: int) -> None:
        """The connection is free: send the next request or let it rest."""
        if self.closed and self._sending:
            self._begin(connection, now)
            return
        connection.busy, connection.received, connection.unsent = False, 0, -1
        self.outstanding -= 1
        if self._pending:
            target, intended = self._pending[0]
            if self.targets[target] is connection.target:
                self._pending.popleft()
                self.outstanding += 1
                self._begin(connection, intended)
                return
        if self._sending or connection.socket is not None:
            self._idle[self.targets.index(connection.target)].append(connection)

    def _ended(self, connection: Connection, now: int) -> None:
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

    def _lost_connection(self, connection: Connection, fault: OSError) -> None:
        if connection.busy:
            code = FailureCode.CUT_SHORT if connection.received else FailureCode.CONNECTION
            self._fail(connection, code, fault.strerror or str(fault), clock_ns())
        else:
            self._drop(connection)

    def _note_failure(self, connection: Connection, code: str, message: str, now: int) -> None:
        intended = connection.sent if self.closed else connection.intended
        connection.target.log.fail(intended, connection.sent, now, code, message)

    def _fail(self, connection: Connection, code: str, message: str, now: int) -> None:
        """The request failed, and its connection with it."""
        self._note_failure(connection, code, message, now)
        refused = connection.connecting or connection.socket is None
        self._drop(connection)
        if refused:
            self.lost += 1
        if refused and self.closed and self._sending:
            # Opened again by `expire`, so that a dead server is not hammered.
            connection.busy, connection.received, connection.unsent = False, 0, -1
            self.outstanding -= 1
            self._broken.append(connection)
            return
        self._proceed(connection, now)
