"""The far end of an HTTP/2 connection, held by a test: it says any frame and hears what is sent."""

import socket

from hpack import Encoder
from tritonclient.grpc import service_pb2

from tritongen.probe.engines import frames
from tritongen.probe.engines.frames import frame
from tritongen.probe.engines.grpc_engine import judge
from tritongen.probe.engines.http2_connection import Http2Connection
from tritongen.probe.engines.http2_stream import ResponseTemplates, StreamSlot
from tritongen.probe.load_engine import LoadTarget, RequestPlan
from tritongen.triton.messages import ExpectedResponse, TensorMeta


def literal(name: str, value: str) -> bytes:
    """A header as a literal that no table remembers."""
    return bytes(Encoder().encode([(name, value, True)], huffman=False))


HEADERS = b"\x88" + literal("content-type", "application/grpc")
OK = literal("grpc-status", "0")
NO_TABLE = b"\x20"


def response_message(values: bytes = b"0123456789abcdef", model: str = "m") -> bytes:
    response = service_pb2.ModelInferResponse(model_name=model, model_version="1")
    response.outputs.add(name="OUT", datatype="FP32", shape=[1, len(values) // 4])
    response.raw_output_contents.append(values)
    content = response.SerializeToString()
    return b"\0" + len(content).to_bytes(4, "big") + content


class Peer:
    """Owner of a connection, and the far end of its socket."""

    def __init__(self, last_id: int = 1 << 30) -> None:
        ours, self.far = socket.socketpair()
        ours.setblocking(False)
        self.far.setblocking(False)
        self.connection = Http2Connection(ours, b"\x83", self, last_id)
        self.done: list[tuple[StreamSlot, tuple[str, str] | None]] = []
        self.quick: list[StreamSlot] = []
        self.elsewhere: list[StreamSlot] = []
        self.templates = ResponseTemplates()
        plan = RequestPlan(
            "m",
            1.0,
            [[b"x"]],
            ExpectedResponse("m", {"OUT": TensorMeta("OUT", "FP32", (-1, -1))}, 1),
        )
        self.target = LoadTarget(plan)

    def succeed(self, slot: StreamSlot, now: int) -> None:  # noqa: ARG002  (the protocol's signature)
        self.quick.append(slot)

    def complete(self, slot: StreamSlot, failure: tuple[str, str] | None, _: int) -> None:
        if failure is None:
            failure = judge(slot)
        self.done.append((slot, failure))

    def send_elsewhere(self, slots: list[StreamSlot]) -> None:
        self.elsewhere += slots

    def slot(self, request: bytes = b"request") -> StreamSlot:
        slot = StreamSlot()
        slot.serve_target(self.target, 0, 0)
        slot.compare_with(self.templates)
        slot.request = request
        return slot

    def open(self, request: bytes = b"request") -> StreamSlot:
        slot = self.slot(request)
        self.connection.open_stream(slot)
        return slot

    def say(self, *pieces: bytes) -> None:
        self.connection.flush()
        self.connection.receive(b"".join(pieces), 0)

    def exchange_settings(self) -> None:
        """The usual beginning: settings both ways."""
        self.say(frames.settings([]))
        self.heard()

    def heard(self) -> list[tuple[int, int, int, bytes]]:
        """(kind, flags, stream, payload) of what the connection has written since the last time."""
        self.connection.flush()
        data = b""
        while True:
            try:
                data += self.far.recv(1 << 20)
            except BlockingIOError:
                break
            self.connection.flush()
        data = data.removeprefix(frames.PREFACE)
        found = []
        while data:
            length = int.from_bytes(data[:3], "big")
            stream = int.from_bytes(data[5:9], "big")
            found.append((data[3], data[4], stream, data[9 : 9 + length]))
            data = data[9 + length :]
        return found


def answer(stream: int, message: bytes | None = None, trailers: bytes = OK) -> bytes:
    content = response_message() if message is None else message
    return (
        frame(frames.HEADERS, frames.END_HEADERS, stream, HEADERS)
        + frame(frames.DATA, 0, stream, content)
        + frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream, trailers)
    )
