"""The fast gRPC engine: streams over a few HTTP/2 connections, driven by epoll."""

import select
from collections import deque
from collections.abc import Sequence
from ssl import SSLSocket

from tritongen.errors import EnvironmentProblem
from tritongen.probe.dialer import WOULD_BLOCK, Dialer
from tritongen.probe.grpc.frames import FrameError
from tritongen.probe.grpc.grpc_headers import request_block
from tritongen.probe.grpc.grpc_verify import KEEP, judge
from tritongen.probe.grpc.http2_connection import Connection
from tritongen.probe.grpc.http2_stream import Carrier, Slot
from tritongen.probe.grpc.response_template import Knowledge
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
_ENDING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_LONGEST_WAIT_S = 0.1
# A small read costs less; a full one is followed by larger ones.
_READ, _LARGEST_READ = 16_384, 262_144
_CONNECTIONS = 8


class GrpcEngine:
    """See `tritongen.probe.load_engine.Engine` for attributes and methods."""

    name = "fast gRPC"

    def __init__(self, endpoint: Endpoint, plans: Sequence[Plan], options: EngineOptions) -> None:
        """Look up the host; connections are opened by `open`.

        Raises:
            EnvironmentProblem: TG901, the host has no address; TG834, a certificate cannot be used.
        """
        self._dialer = Dialer(endpoint, options.connect_timeout_s, alpn="h2")
        self.targets: Sequence[Target] = [Target(plan) for plan in plans]
        self.closed = True
        self.outstanding = 0
        self.last_success_ns = clock_ns()
        self.lost = 0
        self._options = options
        self._where = endpoint.address
        self._block = request_block(self._where, secure=endpoint.tls is not None)
        self._knowledge = [Knowledge() for _ in plans]
        self._epoll = select.epoll()
        self._by_fd: dict[int, Connection] = {}
        self._connections: list[Connection] = []
        self._slots: list[Slot] = []
        self._idle: list[list[Slot]] = [[] for _ in plans]
        self._pending: deque[tuple[int, int]] = deque()
        self._broken: list[Slot] = []
        self._sending = False
        self._refilling = False
        self._read_size = _READ
        self._until = 0

    @property
    def waiting(self) -> int:
        """Requests that are due and wait for a free slot."""
        return len(self._pending)

    def open(self, slots: int, *, closed: bool) -> None:
        """Prepare slots and connections, waiting for the server's settings."""
        self.closed, self._sending = closed, True
        self._refilling = closed
        self.last_success_ns, self.lost = clock_ns(), 0
        self._broken.clear()
        del self._slots[slots:]
        for idle in self._idle:
            idle.clear()
        wanted = self._options.connections or min(slots, _CONNECTIONS)
        for connection in self._connections[wanted:]:
            self._drop(connection)
        self._connections = [c for c in self._connections[:wanted] if not c.draining]
        while len(self._connections) < wanted:
            self._connections.append(self._dial(wait=True))
        self._await_settings()
        shares = divide_slots([target.plan.share for target in self.targets], slots)
        owners = [index for index, count in enumerate(shares) for _ in range(count)]
        for index, owner in enumerate(owners):
            if index == len(self._slots):
                self._slots.append(Slot())
            self._assign(self._slots[index], owner, index)

    def _assign(self, slot: Slot, owner: int, number: int) -> None:
        place = len(self._idle[owner])
        slot.serve_target(self.targets[owner], self._knowledge[owner], place, KEEP)
        slot.connection = self._connections[number % len(self._connections)]
        self._idle[owner].append(slot)

    def _dial(self, *, wait: bool) -> Connection:
        opened, _ = self._dialer.dial(wait=wait)
        connection = Connection(opened, self._block, self, self._options.renew_streams_at)
        self._by_fd[connection.fd] = connection
        self._epoll.register(connection.fd, _EVENTS)
        self._flush(connection)
        return connection

    def _await_settings(self) -> None:
        self._until = 0
        limit = clock_ns() + round(self._options.connect_timeout_s * 1e9)
        while not all(connection.ready for connection in self._connections):
            for fd, event in self._epoll.poll(_LONGEST_WAIT_S):
                connection = self._by_fd.get(fd)
                fault = self._take(connection, event) if connection is not None else ""
                if fault:
                    raise EnvironmentProblem("TG902", fault, where=self._where)
            if clock_ns() > limit:
                raise EnvironmentProblem(
                    "TG902", "no HTTP/2 settings came: this is not a gRPC port", where=self._where
                )

    def start(self) -> None:
        """Send the first request of every slot."""
        for idle in self._idle:
            for slot in idle:
                self.outstanding += 1
                self._begin(slot, clock_ns())
            idle.clear()
        self._flush_all()

    def serve(self, until_ns: int) -> None:
        """Run the closed loop; see `Engine.serve`."""
        poll, by_fd, clock = self._epoll.poll, self._by_fd, clock_ns
        now = clock()
        self._until = until_ns
        while now < until_ns and (self._sending or self.outstanding):
            events = poll(min(_LONGEST_WAIT_S, (until_ns - now) / 1e9))
            for fd, event in events:
                connection = by_fd.get(fd)
                if connection is not None:
                    self._work(connection, event)
            now = clock()
        note_success(self)

    def submit(self, target: int, intended_ns: int) -> None:
        """Send a request of an open loop; see `Engine.submit`."""
        idle = self._idle[target]
        if not idle and len(self._slots) >= self._options.max_outstanding:
            self._pending.append((target, intended_ns))
            return
        if not idle:
            self._slots.append(Slot())
            self._assign(self._slots[-1], target, len(self._slots) - 1)
        slot = idle.pop()
        self.outstanding += 1
        self._begin(slot, intended_ns)
        self._flush(slot.connection)

    def poll(self, timeout_s: float) -> None:
        """Handle what the sockets have; see `Engine.poll`."""
        self._until = 0  # one large read a connection: due times do not wait
        for fd, event in self._epoll.poll(timeout_s):
            connection = self._by_fd.get(fd)
            if connection is not None:
                self._work(connection, event)
        note_success(self)

    def watch(self, descriptor: int) -> None:
        """Let `poll` return when that descriptor can be read."""
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)

    def inspect(self) -> None:
        """Look at the next response of every model in full."""
        for knowledge in self._knowledge:
            knowledge.set_aside()

    def settle(self) -> None:
        """Stop sending."""
        self._sending = self._refilling = False
        self._pending.clear()

    def expire(self, now_ns: int) -> None:
        """Fail the requests whose time is up, and send again over lost connections."""
        limit = now_ns - round(self._options.timeout_s * 1e9)
        message = f"no answer within {self._options.timeout_s:g} s"
        for slot in self._slots:
            if slot.busy and slot.sent < limit:
                slot.connection.cancel(slot)
                self.complete(slot, (FailureCode.TIMEOUT, message), now_ns)
        if self._sending and self.closed:
            broken, self._broken = self._broken, []
            for slot in broken:
                self.outstanding += 1
                self._begin(slot, clock_ns())
        self._flush_all()

    def abandon(self) -> int:
        """Give up what is outstanding."""
        busy = [slot for slot in self._slots if slot.busy]
        now = clock_ns()
        for slot in busy:
            slot.connection.cancel(slot)
            self.complete(slot, (FailureCode.UNFINISHED, "no answer before the end"), now)
        self._flush_all()
        return len(busy)

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._by_fd.values()):
            self._drop(connection)
        self._connections.clear()
        self._slots.clear()
        self._epoll.close()

    def _drop(self, connection: Connection) -> None:
        if self._by_fd.get(connection.fd) is connection:
            del self._by_fd[connection.fd]
        connection.close()

    def _work(self, connection: Connection, event: int) -> None:
        """Read what came, and write what follows from it."""
        fault = self._take(connection, event)
        if fault:
            self._lose(connection, fault)
        else:
            self._flush(connection)
            if connection.draining and not connection.streams:
                self._drop(connection)

    def _take(self, connection: Connection, event: int) -> str:
        """Read what came; returns why the connection is lost, empty when it is not."""
        exhaustive = self._dialer.tls or event & _ENDING
        while True:
            size = self._read_size
            try:
                data = connection.socket.recv(size)
            except WOULD_BLOCK:
                return ""
            except OSError as fault:
                return fault.strerror or str(fault)
            if not data:
                return "the server closed the connection"
            try:
                connection.receive(data, clock_ns())
            except FrameError as fault:
                return f"broken HTTP/2: {fault}"
            if len(data) == size:
                self._read_size = _LARGEST_READ
            elif not exhaustive:
                self._read_size = max(_READ, min(self._read_size, 2 * len(data)))
                return ""
            if clock_ns() >= self._until and not self._holds_back(connection):
                # The rest is announced again: nobody keeps the loop from looking at the time.
                if self._by_fd.get(connection.fd) is connection:  # not lost by what it brought
                    self._epoll.modify(connection.fd, _EVENTS)
                return ""

    def _holds_back(self, connection: Connection) -> bool:
        """Whether TLS has read more of the socket than it gave: no event tells of that."""
        return isinstance(connection.socket, SSLSocket) and connection.socket.pending() > 0

    def _flush(self, connection: Carrier) -> None:
        try:
            connection.flush()
        except OSError as fault:
            lost = self._by_fd.get(connection.fd)
            if lost is not None:
                self._lose(lost, fault.strerror or str(fault))

    def _flush_all(self) -> None:
        for connection in list(self._by_fd.values()):
            self._flush(connection)

    def _lose(self, connection: Connection, fault: str) -> None:
        """The connection is lost: its requests have failed."""
        refused = not connection.ready
        self._drop(connection)
        connection.draining = True
        slots = [*connection.streams.values(), *connection.waiting]
        connection.streams.clear()
        connection.waiting.clear()
        if refused:
            self.lost += 1
        now = clock_ns()
        for slot in slots:
            started = slot.size or slot.first_block
            code = FailureCode.CUT_SHORT if started else FailureCode.CONNECTION
            self._fail(slot, code, fault, now)
            if refused:
                self._refuse(slot)
            else:
                self._proceed(slot, now)
        self._flush_all()

    def _refuse(self, slot: Slot) -> None:
        """No connection for the slot: `expire` tries again, so that a dead server has its peace."""
        slot.busy = False
        self.outstanding -= 1
        if self._refilling:
            self._broken.append(slot)
        else:
            self._idle[self.targets.index(slot.target)].append(slot)

    def _replace(self, old: Carrier) -> Carrier:
        """A connection in place of one that takes no more streams.

        Raises:
            EnvironmentProblem: TG901, none can be opened.
        """
        for index, connection in enumerate(self._connections):
            if connection is old:
                self._connections[index] = self._dial(wait=False)
        usable = [connection for connection in self._connections if not connection.draining]
        return min(usable, key=lambda connection: len(connection.streams), default=old)

    def _begin(self, slot: Slot, intended_ns: int) -> None:
        """Send the slot's next request."""
        slot.forget()
        slot.busy = True
        slot.intended = intended_ns
        slot.request = slot.following()
        slot.sent = clock_ns()
        self._open_stream(slot)

    def _open_stream(self, slot: Slot) -> None:
        if slot.connection.draining:
            try:
                slot.connection = self._replace(slot.connection)
            except EnvironmentProblem as fault:
                self.lost += 1
                self._fail(slot, FailureCode.CONNECTION, fault.what, clock_ns())
                self._refuse(slot)
                return
        slot.connection.open_stream(slot)

    def send_elsewhere(self, slots: list[Slot]) -> None:
        """The server did not begin these: send them over another connection, times unchanged."""
        for slot in slots:
            self._open_stream(slot)
            self._flush(slot.connection)

    def succeed(self, slot: Slot, now: int) -> None:
        """A response that matches its pattern."""
        slot.log_sent(slot.sent)
        slot.log_done(now)
        connection = slot.connection
        if self._refilling and not connection.draining:
            slot.sent, slot.refusals = now, 0
            slot.request = slot.following()
            connection.open_stream(slot)
            return
        if not self.closed:
            slot.target.log.intended.append(slot.intended)
        self._proceed(slot, now)

    def complete(self, slot: Slot, failure: tuple[str, str] | None, now: int) -> None:
        """A stream that ended, in any way."""
        if failure is None:
            failure = judge(slot, slot.target, slot.knowledge)
        if failure is not None:
            self._fail(slot, *failure, now)
            self._proceed(slot, now)
            return
        slot.log_sent(slot.sent)
        slot.log_done(now)
        if not self.closed:
            slot.target.log.intended.append(slot.intended)
        self._proceed(slot, now)

    def _fail(self, slot: Slot, code: str, message: str, now: int) -> None:
        intended = slot.sent if self.closed else slot.intended
        slot.target.log.fail(intended, slot.sent, now, code, message)

    def _proceed(self, slot: Slot, now: int) -> None:
        """The slot is free: send the next request or let it rest."""
        if slot.connection.waiting:
            slot.connection.admit()
        if self._refilling:
            self._begin(slot, now)
            return
        slot.busy = False
        self.outstanding -= 1
        index = self.targets.index(slot.target)
        if self._pending and self._pending[0][0] == index:
            _, intended = self._pending.popleft()
            self.outstanding += 1
            self._begin(slot, intended)
            return
        self._idle[index].append(slot)
