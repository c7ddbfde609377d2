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
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tritongen.errors import EnvironmentProblem
from tritongen.probe.engines.grpc_messages import (
    ID_DIGITS,
    MessageError,
    StreamedResponse,
    decode_streamed,
)
from tritongen.probe.engines.slot_engine import MAX_WAIT_S, Dialer, LoadSlot, SlotEngine
from tritongen.probe.load_engine import (
    EngineOptions,
    FailureCode,
    LoadTarget,
    RequestPlan,
    clock_ns,
)
from tritongen.triton.address import Endpoint
from tritongen.triton.grpc_channel import call_metadata, channel_credentials

_METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
_MAX_STREAMS = 8
# A server that is gone refuses at once: asked again and again it would cost a core and a thread
# for every refusal.
_REOPEN_NS = 50_000_000
_MAX_JOIN_S = 1.0
_CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server that comes back is seen within a second; gRPC's own steps go up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


@dataclass(slots=True)
class _Event:
    """What a reading thread saw: a response, or the end of its stream."""

    stream: "_Stream"
    now: int
    data: bytes = b""
    fault: tuple[str, str] | None = None


@dataclass(slots=True, eq=False)
class _Stream:
    """One bidirectional call, and the thread that reads it; it is alive without a fault."""

    opened: int
    outbox: "queue.SimpleQueue[bytes | None]" = field(default_factory=queue.SimpleQueue)
    call: Any = None
    reader: threading.Thread | None = None
    fault: tuple[str, str] | None = None


@dataclass(slots=True, eq=False)
class _CallSlot(LoadSlot):
    """A request on one of the streams. See `LoadSlot`, too.

    Attributes:
        stream: that it went over.
        key: the request's id.
    """

    stream: _Stream | None = None
    key: bytes = b""


class StreamEngine(SlotEngine[_CallSlot]):
    """See `SlotEngine` for attributes and methods."""

    name = "grpcio streams"
    _slot_kind = _CallSlot

    def __init__(
        self, endpoint: Endpoint, plans: Sequence[RequestPlan], options: EngineOptions
    ) -> None:
        """Make a channel; it connects with the first request.

        Raises:
            EnvironmentProblem: TG006, grpcio is not installed.
        """
        try:
            # Half a second, and only decoupled models need it.
            self._grpc: Any = importlib.import_module("grpc")
        except ImportError:
            raise EnvironmentProblem("TG006", "streaming needs the package grpcio") from None
        super().__init__(plans, options)
        self._endpoint = endpoint
        self._channel = self._make_channel(options)
        self._method = self._channel.stream_stream(_METHOD)
        self._events: deque[_Event] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        # A closed descriptor's number is given to the next file: no thread may write to it.
        self._waking = threading.Lock()
        self._closed = False
        self._streams: list[_Stream] = []
        self._by_id: dict[bytes, _CallSlot] = {}
        self._next_id = 0

    def _make_channel(self, options: EngineOptions) -> Any:  # noqa: ANN401  (grpcio has no types)
        address, tls = self._endpoint.address, self._endpoint.tls
        if tls is None:
            return self._grpc.insecure_channel(address, options=_CHANNEL)
        credentials, more = channel_credentials(address, tls, options.connect_timeout_s)
        return self._grpc.secure_channel(address, credentials, options=[*_CHANNEL, *more])

    def _connect(self, slots: int) -> None:
        """See that the server is there, and open streams."""
        if not self._streams:
            # One connection of our own, so that a wrong address or certificate is told at once.
            dialer = Dialer(self._endpoint, self._options.connect_timeout_s, alpn="h2")
            dialer.dial(wait=True)[0].close()
        self._reconnect(clock_ns())
        while len(self._streams) < min(slots, _MAX_STREAMS):
            self._streams.append(self._open_stream())

    def _open_stream(self) -> _Stream:
        stream = _Stream(clock_ns())
        # grpcio sends what is put into the box, until there is a None.
        metadata = tuple(call_metadata(self._endpoint.headers).items())
        stream.call = self._method(iter(stream.outbox.get, None), metadata=metadata)
        stream.reader = threading.Thread(
            target=self._read, args=(stream,), name="tritongen-stream", daemon=True
        )
        stream.reader.start()
        return stream

    def _reconnect(self, now_ns: int) -> None:
        """Open streams in place of those that ended."""
        for place, stream in enumerate(self._streams):
            if stream.fault is not None and now_ns - stream.opened >= _REOPEN_NS:
                self._streams[place] = self._open_stream()

    def _read(self, stream: _Stream) -> None:
        """Runs in a thread: notes what comes and when, and nothing else."""
        try:
            for data in stream.call:
                self._notice(_Event(stream, clock_ns(), data))
            fault = (str(FailureCode.CONNECTION), "the server ended the stream")
        except self._grpc.RpcError as error:
            fault = (f"GRPC {error.code().name}", " ".join(str(error.details()).split())[:300])
        stream.fault = fault
        # grpcio's own thread waits for the next request of the stream until it is told.
        stream.outbox.put(None)
        self._notice(_Event(stream, clock_ns(), fault=fault))

    def _notice(self, event: _Event) -> None:
        self._events.append(event)
        with self._waking:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def serve(self, until_ns: int) -> None:
        """Run the closed loop; see `SlotEngine.serve`."""
        now = clock_ns()
        while now < until_ns and (self._sending or self.outstanding):
            self.poll(min(MAX_WAIT_S, (until_ns - now) / 1e9))
            now = clock_ns()

    def poll(self, timeout_s: float) -> None:
        """Handle what the threads have read; see `SlotEngine.poll`."""
        if not self._events:
            for descriptor, _ in self._epoll.poll(timeout_s):
                if descriptor == self._wake:
                    os.eventfd_read(self._wake)
        # What comes in the meantime is for the next call: events may come as fast as they go.
        for _ in range(len(self._events)):
            self._handle(self._events.popleft())

    def close(self) -> None:
        """End every stream, and the threads that read them."""
        if self._closed:
            return
        for stream in self._streams:
            stream.outbox.put(None)
            stream.call.cancel()
        for stream in self._streams:
            if stream.reader is not None:
                stream.reader.join(_MAX_JOIN_S)
        self._streams.clear()
        self._channel.close()
        with self._waking:
            self._closed = True
            self._epoll.close()
            os.close(self._wake)

    def _begin(self, slot: _CallSlot, intended_ns: int) -> None:
        """Send the slot's next request over one of the streams."""
        self._next_id += 1
        stream = self._stream_for(self._next_id)
        slot.key = b"%0*d" % (ID_DIGITS, self._next_id)
        slot.stream = stream
        slot.busy, slot.intended = True, intended_ns
        request = slot.next_request()
        self._by_id[slot.key] = slot
        slot.sent = clock_ns()
        if stream.fault is not None:
            # Its end may have been handled before: this request fails of the same fault.
            self._notice(_Event(stream, slot.sent, fault=stream.fault))
            return
        # The message without its prefix; its last field is the request's id.
        stream.outbox.put(request[5:-ID_DIGITS] + slot.key)

    def _stream_for(self, number: int) -> _Stream:
        """The stream whose turn it is, or the next one that is alive, if any."""
        count = len(self._streams)
        turns = (self._streams[(number + place) % count] for place in range(count))
        return next(
            (stream for stream in turns if stream.fault is None), self._streams[number % count]
        )

    def _handle(self, event: _Event) -> None:
        if event.fault is not None:
            for lost in [s for s in self._slots if s.busy and s.stream is event.stream]:
                self._finish(lost, event.fault, event.now, broken=True)
            if event.fault[0] in {"GRPC UNAVAILABLE", "CONNECTION"}:
                self.lost += 1
            return
        try:
            response = decode_streamed(event.data)
        except MessageError as fault:
            response = StreamedResponse(b"", None, final=True, error=f"malformed: {fault}")
        slot = self._by_id.get(response.key)
        if slot is None and response.error:
            # An error without an id is for the oldest request of its stream.
            waiting = [s for s in self._slots if s.busy and s.stream is event.stream]
            slot = min(waiting, key=lambda s: s.sent, default=None)
        if slot is None:
            return
        failure = _failure(response, slot.target)
        if failure is not None or response.final:
            self._finish(slot, failure, event.now)

    def _finish(
        self, slot: _CallSlot, failure: tuple[str, str] | None, now: int, *, broken: bool = False
    ) -> None:
        """The slot's request is done; where its stream broke, the next one waits."""
        self._by_id.pop(slot.key, None)
        if failure is not None:
            self._note_failure(slot, *failure, now)
        else:
            self._note_success(slot, now)
            self.last_success_ns, self.lost = now, 0
        if broken and (self._refilling or self._left):
            self._retry_later(slot)
        else:
            self._proceed(slot, now)

    def _fail(self, slot: _CallSlot, code: str, message: str, now: int) -> None:
        self._finish(slot, (code, message), now)


def _failure(response: StreamedResponse, target: LoadTarget) -> tuple[str, str] | None:
    if response.error:
        return "GRPC ERROR", response.error
    if response.response is None or not response.response.outputs:
        return None
    wrong = target.plan.expectation.fault(response.response.model, response.response.outputs)
    return (FailureCode.WRONG_RESPONSE, wrong) if wrong else None
