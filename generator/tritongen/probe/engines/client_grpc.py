"""tritonclient over gRPC: calls with a callback over one channel, or a stream for each slot.

A decoupled model answers a streamed request any number of times; the request is done with the
final response. tritonclient does not tell which request of a stream an error is for: each slot has
a stream of its own.
"""

import os
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

from tritongen.errors import EnvironmentProblem
from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.engines.client_engine import C, CallSlot, ClientEngine, Failure, message_of
from tritongen.probe.engines.infer_calls import client_module
from tritongen.probe.load_engine import FailureCode, clock_ns
from tritongen.system.process_usage import resident_bytes
from tritongen.triton.grpc_channel import call_metadata, channel_credentials
from tritongen.triton.grpc_client import UNREACHABLE

# Chosen: of all messages that are received at a time; and the limit that gRPC has by itself.
MAX_MESSAGES_BYTES = 32 << 20
_MIN_MESSAGE_BYTES = 4 << 20
# Chosen: beside four copies of each message, on the way from the socket to its tensors; and what a
# recording takes.
_FLOOD_BYTES = 32 << 20
_BYTES_PER_S = 1 << 20
_LOOK_NS = 20_000_000
_CHANNEL = [
    ("grpc.max_send_message_length", -1),
    # A server that comes back is seen within a second; gRPC's own steps go up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
# Milliseconds; despite its name, how long one attempt to connect may take.
_CONNECT_TIMEOUT = "grpc.min_reconnect_backoff_ms"
# A server that is gone refuses at once: asked again and again it would cost a core and a thread
# for every refusal.
_REOPEN_NS = 50_000_000


class _GrpcEngine(ClientEngine[C]):
    """What both ways share: how a channel is opened, and what failures are called."""

    _alpn = "h2"
    _channel: tuple[Any, list[Any]] | None = None
    _message_bytes = MAX_MESSAGES_BYTES
    _resident_bytes = _begun_ns = _looked_ns = 0

    def _connect(self, slots: int) -> None:
        """See `ClientEngine`; a message has its share of what all of them may take."""
        super()._connect(slots)
        most = max(MAX_MESSAGES_BYTES // slots, _MIN_MESSAGE_BYTES)
        if most < self._message_bytes:
            self._message_bytes = most
            self._shut()
        client_module(ClientProtocol.GRPC)  # what is loaded for it counts against no answer
        self._resident_bytes = resident_bytes(os.getpid()) + _FLOOD_BYTES + 4 * slots * most
        self._begun_ns = clock_ns()

    def poll(self, timeout_s: float) -> None:
        """Handle what was done; see `SlotEngine.poll`.

        gRPC's library bounds messages, and not what a flood of frames that are none takes.

        Raises:
            EnvironmentProblem: TG839, the server's answers take more memory than they may.
        """
        super().poll(timeout_s)
        now = clock_ns()
        if now - self._looked_ns < _LOOK_NS:
            return
        self._looked_ns = now
        most = self._resident_bytes + round((now - self._begun_ns) / 1e9 * _BYTES_PER_S)
        if resident_bytes(os.getpid()) > most:
            self._give_up()
            what = "its answers take more memory than they may"
            raise EnvironmentProblem("TG839", what, where=self._endpoint.address)

    def _give_up(self) -> None:
        """Close every connection at once."""
        self._sending = self._refilling = False
        self._calls.clear()
        for slot in self._slots:
            self._release(slot)
        self._shut()

    def _make_client(self) -> Any:  # noqa: ANN401  (tritonclient has no types)
        """A client with a channel of its own, which connects with the first request."""
        address, tls = self._endpoint.address, self._endpoint.tls
        if self._channel is None:
            seconds = self._options.connect_timeout_s
            credentials: Any = None
            more: list[Any] = [(_CONNECT_TIMEOUT, round(seconds * 1000))]
            if tls is not None:
                credentials, verified = channel_credentials(address, tls, seconds)
                more += verified
            self._channel = credentials, [*_CHANNEL, *more]
        credentials, options = self._channel
        client = client_module(ClientProtocol.GRPC).InferenceServerClient
        most = ("grpc.max_receive_message_length", self._message_bytes)
        return client(address, creds=credentials, channel_args=[*options, most])

    def _describe(self, slot: C, fault: Exception) -> Failure:
        text, said = message_of(fault), getattr(fault, "status", None)
        status = str(said() or "") if callable(said) else ""
        slot.broken = "UNAVAILABLE" in status and any(word in text for word in UNREACHABLE)
        return f"GRPC {status.rpartition('.')[2] or 'ERROR'}", text


@dataclass(slots=True, eq=False)
class _UnarySlot(CallSlot):
    """See `CallSlot`; `context` cancels its last call."""

    context: Any = None


class GrpcClientEngine(_GrpcEngine[_UnarySlot]):
    """See `SlotEngine` for attributes and methods."""

    name = "tritonclient gRPC"
    _slot_kind = _UnarySlot
    _client: Any = None

    def _connect(self, slots: int) -> None:
        super()._connect(slots)
        if self._client is None:
            self._client = self._make_client()

    def _issue(self, slot: _UnarySlot) -> None:
        heard = partial(self._answered, slot.number)
        headers = call_metadata(self._endpoint.headers)
        kind = self._options.compression or None
        slot.context = self._client.async_infer(
            callback=heard, headers=headers, compression_algorithm=kind, **slot.request
        )

    def _abandon(self, slot: _UnarySlot) -> None:
        if slot.context is not None:
            slot.context.cancel()

    def _shut(self) -> None:
        if self._client is not None:
            # gRPC's library may be at work on what a server floods it with, and let nobody close.
            self._start_thread(self._client.close)
        self._client = None


@dataclass(slots=True, eq=False)
class _StreamSlot(CallSlot):
    """See `CallSlot`, too.

    Attributes:
        client: its own, since a client has one stream.
        stream: number of its stream, 0 while there is none.
    """

    client: Any = None
    stream: int = 0


class StreamClientEngine(_GrpcEngine[_StreamSlot]):
    """See `SlotEngine` for attributes and methods."""

    name = "tritonclient streams"
    _slot_kind = _StreamSlot
    _lost_ns = 0
    _opened = 0

    def _prepare(self, slot: _StreamSlot) -> None:
        if not slot.stream:
            self._open_stream(slot)

    def _open_stream(self, slot: _StreamSlot) -> None:
        self._release(slot)
        self._opened += 1
        slot.client, slot.stream = self._make_client(), self._opened
        # The thread that reads the stream is as the one that starts it: it must not keep the
        # process from ending, since gRPC makes it wait for ever after a message it cannot read.
        heard = partial(self._heard, slot, slot.stream)
        start = partial(
            slot.client.start_stream,
            headers=call_metadata(self._endpoint.headers),
            compression_algorithm=self._options.compression or None,
        )
        starting = threading.Thread(target=start, args=(heard,), daemon=True)
        starting.start()
        starting.join()

    def _issue(self, slot: _StreamSlot) -> None:
        if not slot.stream:
            if clock_ns() - self._lost_ns < _REOPEN_NS:
                raise ConnectionError("a stream was lost a moment ago")
            self._open_stream(slot)
        slot.client.async_stream_infer(
            request_id=str(slot.number), enable_empty_final_response=True, **slot.request
        )

    def _heard(
        self,
        slot: _StreamSlot,
        stream: int,
        result: Any,  # noqa: ANN401  (an `InferResult`)
        error: Exception | None,
    ) -> None:
        """A response, or the end of a stream; runs in the stream's thread."""
        if stream != slot.stream:
            return  # nothing that an old stream still says is for the new one
        now, number, final = clock_ns(), slot.number, error is not None
        failure = None
        if error is None:
            response = result.get_response()
            if response.id != str(number):
                return
            final = response.parameters["triton_final_response"].bool_param
            if response.outputs:
                failure = self._failure(slot, result, None)
        else:
            failure = self._describe(slot, error)
        if (final or failure) and self._calls.pop(number, None) is not None:
            self._finish(slot, now, failure)

    def _describe(self, slot: _StreamSlot, fault: Exception) -> Failure:
        failure = super()._describe(slot, fault)
        if isinstance(fault, ConnectionError):
            slot.broken = True
            return FailureCode.CONNECTION, str(fault)
        if failure[0] != "GRPC ERROR":
            # Not of one request: the stream is over.
            slot.broken, slot.stream, self._lost_ns = True, 0, clock_ns()
        return failure

    def _abandon(self, slot: _StreamSlot) -> None:
        """The next request opens another stream."""
        slot.stream = 0

    def _release(self, slot: _StreamSlot) -> None:
        if slot.client is not None:
            self._start_thread(_close, slot.client)
        slot.client, slot.stream = None, 0

    def _shut(self) -> None:
        """Each slot has its own client, and opens another."""
        for slot in self._slots:
            slot.stream = 0


def _close(client: Any) -> None:  # noqa: ANN401  (tritonclient has no types)
    """End the client's stream and its channel, whatever its server does.

    Without cancelling, tritonclient waits for the server to end the stream; having cancelled, it
    leaves the thread that waits for requests behind, unless that is told through its queue.
    """
    requests = getattr(getattr(client, "_stream", None), "_request_queue", None)
    client.stop_stream(cancel_requests=True)
    if requests is not None:
        requests.put(None)
    client.close()
