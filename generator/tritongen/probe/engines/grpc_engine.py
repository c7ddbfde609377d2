"""The fast gRPC engine: streams over a few HTTP/2 connections, driven by epoll."""

import select
from collections.abc import Sequence
from dataclasses import dataclass, field
from ssl import SSLSocket

from tritongen.errors import EnvironmentProblem
from tritongen.probe.engines import infer_results
from tritongen.probe.engines.dialer import WOULD_BLOCK, Dialer
from tritongen.probe.engines.frames import FrameError
from tritongen.probe.engines.grpc_messages import MessageError, decode_response, request_block
from tritongen.probe.engines.http2_connection import Http2Connection
from tritongen.probe.engines.http2_stream import (
    ResponseTemplate,
    ResponseTemplates,
    StreamSlot,
)
from tritongen.probe.engines.slot_engine import MAX_WAIT_S, SlotEngine
from tritongen.probe.load_engine import EngineOptions, FailureCode, RequestPlan, clock_ns
from tritongen.triton.address import Endpoint
from tritongen.triton.grpc_channel import call_metadata

_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_ENDING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
# A small read costs less; a full one is followed by larger ones.
_READ_BYTES, _MAX_READ_BYTES = 16_384, 262_144
# Chosen: as many as most clients of a server; more cost it more than they help.
_MAX_CONNECTIONS = 8


@dataclass(slots=True, eq=False)
class _Slot(StreamSlot):
    """A slot and the connection that it uses."""

    connection: "Http2Connection[_Slot]" = field(init=False)


_Connection = Http2Connection[_Slot]


class GrpcEngine(SlotEngine[_Slot]):
    """See `SlotEngine` for attributes and methods."""

    name = "fast gRPC"
    _slot_kind = _Slot

    def __init__(
        self, endpoint: Endpoint, plans: Sequence[RequestPlan], options: EngineOptions
    ) -> None:
        """Look up the host; connections are opened by `open`.

        Raises:
            EnvironmentProblem: TG901, the host has no address; TG834, a certificate cannot be used.
        """
        self._dialer = Dialer(endpoint, options.connect_timeout_s, alpn="h2")
        super().__init__(plans, options)
        self._where = endpoint.address
        secure, headers = endpoint.tls is not None, call_metadata(endpoint.headers)
        self._block = request_block(self._where, secure=secure, headers=headers)
        self._templates = [ResponseTemplates() for _ in plans]
        self._by_fd: dict[int, _Connection] = {}
        self._connections: list[_Connection] = []
        self._turn = 0
        self._read_size = _READ_BYTES
        self._until = 0

    def _connect(self, slots: int) -> None:
        """Open the connections, waiting for the server's settings."""
        wanted = self._options.connections or min(slots, _MAX_CONNECTIONS)
        for connection in self._connections[wanted:]:
            self._drop(connection)
        self._connections = [c for c in self._connections[:wanted] if not c.draining]
        while len(self._connections) < wanted:
            self._connections.append(self._dial(wait=True))
        self._await_settings()
        self._turn = 0

    def _assign(self, slot: _Slot, target: int, place: int) -> None:
        super()._assign(slot, target, place)
        slot.compare_with(self._templates[target])
        slot.connection = self._connections[self._turn % len(self._connections)]
        self._turn += 1

    def _dial(self, *, wait: bool) -> _Connection:
        opened, _ = self._dialer.dial(wait=wait)
        connection = Http2Connection(opened, self._block, self, self._options.renew_streams_at)
        self._by_fd[connection.fd] = connection
        self._epoll.register(connection.fd, _EVENTS)
        self._write(connection)
        return connection

    def _await_settings(self) -> None:
        self._until = 0
        limit = clock_ns() + round(self._options.connect_timeout_s * 1e9)
        while not all(connection.ready for connection in self._connections):
            for fd, event in self._epoll.poll(MAX_WAIT_S):
                connection = self._by_fd.get(fd)
                fault = self._take(connection, event) if connection is not None else ""
                if fault:
                    raise EnvironmentProblem("TG902", fault, where=self._where)
            if clock_ns() > limit:
                raise EnvironmentProblem(
                    "TG902", "no HTTP/2 settings came: this is not a gRPC port", where=self._where
                )

    def serve(self, until_ns: int) -> None:
        """Run the closed loop; see `SlotEngine.serve`."""
        poll, by_fd, clock = self._epoll.poll, self._by_fd, clock_ns
        now = clock()
        self._until = until_ns
        while now < until_ns and (self._sending or self.outstanding):
            events = poll(min(MAX_WAIT_S, (until_ns - now) / 1e9))
            for fd, event in events:
                connection = by_fd.get(fd)
                if connection is not None:
                    self._work(connection, event)
            now = clock()
        self._see_last_success()

    def poll(self, timeout_s: float) -> None:
        """Handle what the sockets have; see `SlotEngine.poll`."""
        self._until = 0  # one large read a connection: due times do not wait
        for fd, event in self._epoll.poll(timeout_s):
            connection = self._by_fd.get(fd)
            if connection is not None:
                self._work(connection, event)
        self._see_last_success()

    def inspect(self) -> None:
        """Look at the next response of every model in full."""
        for templates in self._templates:
            templates.set_aside()
        for slot in self._slots:
            slot.keep_whole()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._by_fd.values()):
            self._drop(connection)
        self._connections.clear()
        self._slots.clear()
        self._epoll.close()

    def _drop(self, connection: _Connection) -> None:
        if self._by_fd.get(connection.fd) is connection:
            del self._by_fd[connection.fd]
        connection.close()

    def _work(self, connection: _Connection, event: int) -> None:
        """Read what came, and write what follows from it."""
        fault = self._take(connection, event)
        if fault:
            self._lose(connection, fault)
        else:
            self._write(connection)
            if connection.draining and not connection.streams:
                self._drop(connection)

    def _take(self, connection: _Connection, event: int) -> str:
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
                self._read_size = _MAX_READ_BYTES
            elif not exhaustive:
                self._read_size = max(_READ_BYTES, min(self._read_size, 2 * len(data)))
                return ""
            # TLS may have read more of the socket than it gave: no event tells of that.
            held = isinstance(connection.socket, SSLSocket) and connection.socket.pending() > 0
            if clock_ns() >= self._until and not held:
                # The rest is announced again: nobody keeps the loop from looking at the time.
                if self._by_fd.get(connection.fd) is connection:  # not lost by what it brought
                    self._epoll.modify(connection.fd, _EVENTS)
                return ""

    def _flush_one(self, slot: _Slot) -> None:
        self._write(slot.connection)

    def _flush(self) -> None:
        for connection in list(self._by_fd.values()):
            self._write(connection)

    def _write(self, connection: _Connection) -> None:
        try:
            connection.flush()
        except OSError as fault:
            lost = self._by_fd.get(connection.fd)
            if lost is not None:
                self._lose(lost, fault.strerror or str(fault))

    def _lose(self, connection: _Connection, fault: str) -> None:
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
            self._note_failure(slot, code, fault, now)
            if refused:
                self._retry_later(slot)
            else:
                self._proceed(slot, now)
        self._flush()

    def _replace(self, old: _Connection) -> _Connection:
        """A connection in place of one that takes no more streams.

        Raises:
            EnvironmentProblem: TG901, none can be opened.
        """
        for index, connection in enumerate(self._connections):
            if connection is old:
                self._connections[index] = self._dial(wait=False)
        usable = [connection for connection in self._connections if not connection.draining]
        return min(usable, key=lambda connection: len(connection.streams), default=old)

    def _begin(self, slot: _Slot, intended_ns: int) -> None:
        """Send the slot's next request."""
        slot.forget()
        slot.busy = True
        slot.intended = intended_ns
        slot.request = slot.next_request()
        slot.sent = clock_ns()
        self._open_stream(slot)

    def _open_stream(self, slot: _Slot) -> None:
        if slot.connection.draining:
            try:
                slot.connection = self._replace(slot.connection)
            except EnvironmentProblem as fault:
                self.lost += 1
                self._note_failure(slot, FailureCode.CONNECTION, fault.what, clock_ns())
                self._retry_later(slot)
                return
        slot.connection.open_stream(slot)

    def send_elsewhere(self, slots: list[_Slot]) -> None:
        """The server did not begin these: send them over another connection, times unchanged."""
        for slot in slots:
            self._open_stream(slot)
            self._write(slot.connection)

    def succeed(self, slot: _Slot, now: int) -> None:
        """A response that matches its pattern."""
        slot.log_sent(slot.sent)
        slot.log_done(now)
        connection = slot.connection
        if self._refilling and not connection.draining:
            slot.sent, slot.refusals = now, 0
            slot.request = slot.next_request()
            connection.open_stream(slot)
            return
        if not self.closed:
            slot.target.log.intended.append(slot.intended)
        self._proceed(slot, now)

    def complete(self, slot: _Slot, failure: tuple[str, str] | None, now: int) -> None:
        """A stream that ended, in any way."""
        if failure is None:
            failure = judge(slot)
        if failure is not None:
            self._note_failure(slot, *failure, now)
        else:
            self._note_success(slot, now)
        self._proceed(slot, now)

    def _fail(self, slot: _Slot, code: str, message: str, now: int) -> None:
        slot.connection.cancel(slot)
        self.complete(slot, (code, message), now)

    def _proceed(self, slot: _Slot, now: int) -> None:
        if slot.connection.waiting:
            slot.connection.admit()
        super()._proceed(slot, now)


def judge(slot: StreamSlot) -> tuple[str, str] | None:
    """The failure code and message of a complete response, None when it is right."""
    head, target, templates = slot.head, slot.target, slot.templates
    if slot.size < 5 or len(head) < 5:
        return FailureCode.CUT_SHORT, "the message is shorter than its prefix"
    if head[0]:
        return FailureCode.MALFORMED, "the message is compressed though it must not be"
    if int.from_bytes(head[1:5], "big") + 5 != slot.size:
        return FailureCode.CUT_SHORT, "the message is not as long as its prefix says"
    known = templates.heads.get(slot.size)
    if known is not None and head.startswith(known):
        return None
    try:
        answer, fixed = decode_response(bytes(head[5:]) + bytes(slot.size - len(head)))
    except MessageError as fault:
        return FailureCode.MALFORMED, str(fault)
    whole = slot.size <= len(head)
    failure = infer_results.judge(answer, target, slot.request, values=whole)
    if failure is not None:
        return failure
    beginning = bytes(head[: 5 + fixed])
    templates.learn(slot.size, beginning)
    if slot.quick and whole:
        templates.newest = ResponseTemplate(slot.first_block, beginning, slot.size, slot.last_block)
    return None
