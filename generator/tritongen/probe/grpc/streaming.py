"""The fallback engine: bidirectional gRPC streams over grpcio, for decoupled models.

A decoupled model answers a request with any number of responses; the request is done with the
final one. grpcio reads in threads of its own; what they read is handled here, in one thread.
"""

import importlib
import os
import queue
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tritongen.errors import EnvironmentProblem
from tritongen.probe.dialer import Dialer
from tritongen.probe.engine import (
    EngineOptions,
    FailureCode,
    Plan,
    Target,
    clock_ns,
    divide_slots,
)
from tritongen.probe.grpc.protobuf import ProtobufError
from tritongen.probe.grpc.request import ID_DIGITS
from tritongen.probe.grpc.response import StreamedResponse, decode_streamed

_METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
_STREAMS = 8
_LONGEST_WAIT_S = 0.1
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(slots=True)
class _Event:
    """What a reading thread saw: a response, or the end of its stream."""

    stream: int
    now: int
    data: bytes = b""
    fault: tuple[str, str] | None = None


@dataclass(slots=True)
class _Stream:
    """One bidirectional call."""

    outbox: "queue.SimpleQueue[bytes | None]" = field(default_factory=queue.SimpleQueue)
    call: Any = None
    alive: bool = True

    def requests(self) -> Iterator[bytes]:
        """What grpcio sends, until there is a None."""
        return iter(self.outbox.get, None)


@dataclass(slots=True, eq=False)
class _Slot:
    """One slot of concurrency; see `tritongen.probe.grpc.stream.Slot` for the names."""

    target: Target
    following: Callable[[], bytes]
    stream: int = 0
    key: bytes = b""
    intended: int = 0
    sent: int = 0
    busy: bool = False


class StreamEngine:
    """See `tritongen.probe.engine.Engine` for attributes and methods."""

    name = "grpcio streams"

    def __init__(self, host: str, port: int, plans: Sequence[Plan], options: EngineOptions) -> None:
        """Make a channel; it connects with the first request.

        Raises:
            EnvironmentProblem: TG006, grpcio is not installed.
        """
        try:
            # Half a second, and only decoupled models need it.
            self._grpc: Any = importlib.import_module("grpc")
        except ImportError:
            raise EnvironmentProblem("TG006", "streaming needs the package grpcio") from None
        self._where, self._place = f"{host}:{port}", (host, port)
        self._channel = self._make_channel(options)
        self._method = self._channel.stream_stream(_METHOD)
        self.targets: Sequence[Target] = [Target(plan) for plan in plans]
        self.closed = True
        self.outstanding = 0
        self.last_success_ns = clock_ns()
        self.lost = 0
        self._options = options
        self._events: deque[_Event] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        self._streams: list[_Stream] = []
        self._slots: list[_Slot] = []
        self._idle: list[list[_Slot]] = [[] for _ in plans]
        self._by_id: dict[bytes, _Slot] = {}
        self._next_id = 0
        self._pending: deque[tuple[int, int]] = deque()
        self._sending = False

    def _make_channel(self, options: EngineOptions) -> Any:  # noqa: ANN401  (grpcio has no types)
        if not options.tls:
            return self._grpc.insecure_channel(self._where, options=_UNLIMITED)
        roots = None
        if options.ca_file:
            with open(options.ca_file, "rb") as file:  # noqa: PTH123  (a path as the user gave it)
                roots = file.read()
        credentials = self._grpc.ssl_channel_credentials(roots)
        return self._grpc.secure_channel(self._where, credentials, options=_UNLIMITED)

    @property
    def waiting(self) -> int:
        """Requests that are due and wait for a free slot."""
        return len(self._pending)

    def open(self, slots: int, *, closed: bool) -> None:
        """See that the server is there, and prepare slots."""
        self.closed, self._sending = closed, True
        self.last_success_ns, self.lost = clock_ns(), 0
        if not self._streams:
            self._see_that_it_listens()
        while len(self._streams) < min(slots, _STREAMS):
            self._streams.append(self._open_stream(len(self._streams)))
        for idle in self._idle:
            idle.clear()
        shares = divide_slots([target.plan.share for target in self.targets], slots)
        owners = [index for index, count in enumerate(shares) for _ in range(count)]
        self._slots.clear()
        for owner in owners:
            self._add_slot(owner)

    def _see_that_it_listens(self) -> None:
        """One connection of our own, so that a wrong address or certificate is told at once."""
        try:
            Dialer(*self._place, self._options, alpn="h2").dial(wait=True)[0].close()
        except OSError as fault:
            what = f"no connection: {fault.strerror or fault}"
            raise EnvironmentProblem("TG901", what, where=self._where) from None

    def _add_slot(self, owner: int) -> None:
        target = self.targets[owner]
        place = sum(slot.target is target for slot in self._slots)
        self._slots.append(_Slot(target, target.source(place)))
        self._idle[owner].append(self._slots[-1])

    def _open_stream(self, index: int) -> _Stream:
        stream = _Stream()
        stream.call = self._method(stream.requests())
        name = f"tritongen-stream-{index}"
        threading.Thread(target=self._read, args=(index, stream), name=name, daemon=True).start()
        return stream

    def _read(self, index: int, stream: _Stream) -> None:
        """Runs in a thread: notes what comes and when, and nothing else."""
        try:
            for data in stream.call:
                self._notice(_Event(index, clock_ns(), data))
            fault = ("CONNECTION", "the server ended the stream")
        except self._grpc.RpcError as error:
            fault = (f"GRPC {error.code().name}", " ".join(str(error.details()).split())[:300])
        stream.alive = False
        self._notice(_Event(index, clock_ns(), fault=fault))

    def _notice(self, event: _Event) -> None:
        self._events.append(event)
        try:
            os.eventfd_write(self._wake, 1)
        except OSError:
            # The engine was closed in the meantime; nobody waits any more.
            return

    def start(self) -> None:
        """Send the first request of every slot."""
        for idle in self._idle:
            for slot in idle:
                self.outstanding += 1
                self._begin(slot, clock_ns())
            idle.clear()

    def serve(self, until_ns: int) -> None:
        """Run the closed loop; see `Engine.serve`."""
        now = clock_ns()
        while now < until_ns and (self._sending or self.outstanding):
            self.poll(min(_LONGEST_WAIT_S, (until_ns - now) / 1e9))
            now = clock_ns()

    def submit(self, target: int, intended_ns: int) -> None:
        """Send a request of an open loop; see `Engine.submit`."""
        idle = self._idle[target]
        if not idle and len(self._slots) >= self._options.max_outstanding:
            self._pending.append((target, intended_ns))
            return
        if not idle:
            self._add_slot(target)
        self.outstanding += 1
        self._begin(idle.pop(), intended_ns)

    def poll(self, timeout_s: float) -> None:
        """Handle what the threads have read; see `Engine.poll`."""
        if not self._events:
            for descriptor, _ in self._epoll.poll(timeout_s):
                if descriptor == self._wake:
                    os.eventfd_read(self._wake)
        while self._events:
            self._handle(self._events.popleft())

    def watch(self, descriptor: int) -> None:
        """Let `poll` return when that descriptor can be read."""
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)

    def inspect(self) -> None:
        """Every response is looked at in full anyway."""

    def settle(self) -> None:
        """Stop sending."""
        self._sending = False
        self._pending.clear()

    def expire(self, now_ns: int) -> None:
        """Fail the requests whose time is up."""
        limit = now_ns - round(self._options.timeout_s * 1e9)
        message = f"no answer within {self._options.timeout_s:g} s"
        for slot in self._slots:
            if slot.busy and slot.sent < limit:
                self._finish(slot, (FailureCode.TIMEOUT, message), now_ns)

    def abandon(self) -> int:
        """Give up what is outstanding."""
        busy = [slot for slot in self._slots if slot.busy]
        for slot in busy:
            self._finish(slot, (FailureCode.UNFINISHED, "no answer before the end"), clock_ns())
        return len(busy)

    def close(self) -> None:
        """End every stream."""
        for stream in self._streams:
            stream.outbox.put(None)
            stream.call.cancel()
        self._streams.clear()
        self._channel.close()
        self._epoll.close()
        os.close(self._wake)

    def _begin(self, slot: _Slot, intended_ns: int) -> None:
        """Send the slot's next request over one of the streams."""
        self._next_id += 1
        place = self._next_id % len(self._streams)
        if not self._streams[place].alive:
            self._streams[place] = self._open_stream(place)
        slot.key = b"%0*d" % (ID_DIGITS, self._next_id)
        slot.stream = place
        slot.busy, slot.intended = True, intended_ns
        request = slot.following()
        self._by_id[slot.key] = slot
        slot.sent = clock_ns()
        # The message without its prefix; its last field is the request's id.
        self._streams[place].outbox.put(request[5:-ID_DIGITS] + slot.key)

    def _handle(self, event: _Event) -> None:
        if event.fault is not None:
            for lost in [s for s in self._slots if s.busy and s.stream == event.stream]:
                self._finish(lost, event.fault, event.now)
            if event.fault[0] in {"GRPC UNAVAILABLE", "CONNECTION"}:
                self.lost += 1
            return
        try:
            response = decode_streamed(event.data)
        except ProtobufError as fault:
            response = StreamedResponse(b"", None, final=True, error=f"malformed: {fault}")
        slot = self._by_id.get(response.key)
        if slot is None and response.error:
            # An error without an id is for the oldest request of its stream.
            waiting = [s for s in self._slots if s.busy and s.stream == event.stream]
            slot = min(waiting, key=lambda s: s.sent, default=None)
        if slot is None:
            return
        failure = _failure(response, slot.target)
        if failure is not None or response.final:
            self._finish(slot, failure, event.now)

    def _finish(self, slot: _Slot, failure: tuple[str, str] | None, now: int) -> None:
        """The slot's request is done."""
        self._by_id.pop(slot.key, None)
        log = slot.target.log
        if failure is not None:
            log.fail(slot.sent if self.closed else slot.intended, slot.sent, now, *failure)
        else:
            if not self.closed:
                log.intended.append(slot.intended)
            log.sent.append(slot.sent)
            log.done.append(now)
            self.last_success_ns, self.lost = now, 0
        if self.closed and self._sending:
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


def _failure(response: StreamedResponse, target: Target) -> tuple[str, str] | None:
    if response.error:
        return "GRPC ERROR", response.error
    if response.decoded is None or not response.decoded.outputs:
        return None
    wrong = target.plan.expectation.fault(response.decoded.model, response.decoded.outputs)
    return (FailureCode.WRONG_RESPONSE, wrong) if wrong else None
