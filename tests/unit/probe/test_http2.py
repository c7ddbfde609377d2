"""One HTTP/2 connection, fed with the frames of a peer that does anything the RFC allows."""

import socket

import pytest
from tritonclient.grpc import service_pb2

from tritongen.probe.engine import Plan, Target
from tritongen.probe.grpc import frames
from tritongen.probe.grpc.connection import GREETING, Connection
from tritongen.probe.grpc.frames import FrameError, frame
from tritongen.probe.grpc.hpack import HpackError, literal
from tritongen.probe.grpc.layout import Knowledge
from tritongen.probe.grpc.stream import Slot
from tritongen.probe.grpc.verify import KEEP, judge
from tritongen.probe.messages import Expectation, TensorMeta

HEADERS = b"\x88" + literal(b"content-type", b"application/grpc")
OK = literal(b"grpc-status", b"0")
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
        self.connection = Connection(ours, b"\x83", self, last_id)
        self.done: list[tuple[Slot, tuple[str, str] | None]] = []
        self.quick: list[Slot] = []
        self.elsewhere: list[Slot] = []
        self.knowledge = Knowledge()
        plan = Plan(
            "m", 1.0, [[b"x"]], Expectation("m", {"OUT": TensorMeta("OUT", "FP32", (-1, -1))}, 1)
        )
        self.target = Target(plan)

    def succeed(self, slot: Slot, now: int) -> None:  # noqa: ARG002  (the protocol's signature)
        self.quick.append(slot)

    def complete(self, slot: Slot, failure: tuple[str, str] | None, _: int) -> None:
        if failure is None:
            failure = judge(slot, slot.target, slot.knowledge)
        self.done.append((slot, failure))

    def send_elsewhere(self, slots: list[Slot]) -> None:
        self.elsewhere += slots

    def slot(self, request: bytes = b"request") -> Slot:
        slot = Slot()
        slot.serve_target(self.target, self.knowledge, 0, KEEP)
        slot.connection = self.connection
        slot.request = request
        return slot

    def open(self, request: bytes = b"request") -> Slot:
        slot = self.slot(request)
        self.connection.open_stream(slot)
        return slot

    def say(self, *pieces: bytes) -> None:
        self.connection.receive(b"".join(pieces), 0)

    def settle(self) -> None:
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


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.connection.close()
    made.far.close()


def answer(stream: int, message: bytes | None = None, trailers: bytes = OK) -> bytes:
    content = response_message() if message is None else message
    return (
        frame(frames.HEADERS, frames.END_HEADERS, stream, HEADERS)
        + frame(frames.DATA, 0, stream, content)
        + frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream, trailers)
    )


def test_the_greeting_switches_off_tables_and_push(peer):
    assert GREETING.startswith(frames.PREFACE)
    kinds = [(kind, payload) for kind, _, _, payload in peer.heard()]
    settings = dict(frames.read_settings(kinds[0][1]))
    assert settings[frames.HEADER_TABLE_SIZE] == 0
    assert settings[frames.ENABLE_PUSH] == 0
    assert kinds[1][0] == frames.WINDOW_UPDATE


def test_settings_and_pings_are_answered(peer):
    peer.heard()
    peer.say(frames.settings([(99, 1)]), frame(frames.PING, 0, 0, b"12345678"))
    assert peer.heard() == [
        (frames.SETTINGS, frames.ACK, 0, b""),
        (frames.PING, frames.ACK, 0, b"12345678"),
    ]
    peer.say(frame(frames.SETTINGS, frames.ACK, 0), frame(frames.PING, frames.ACK, 0, b"x" * 8))
    assert peer.heard() == []


def test_a_request_is_headers_and_data(peer):
    peer.settle()
    peer.open(b"hello")
    peer.open(b"world!")
    assert peer.heard() == [
        (frames.HEADERS, frames.END_HEADERS, 1, b"\x83"),
        (frames.DATA, frames.END_STREAM, 1, b"hello"),
        (frames.HEADERS, frames.END_HEADERS, 3, b"\x83"),
        (frames.DATA, frames.END_STREAM, 3, b"world!"),
    ]


def test_a_response_is_judged_in_full_once_and_by_its_bytes_afterwards(peer):
    peer.settle()
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 99, NO_TABLE))
    first, second, third = peer.open(), peer.open(), peer.open()
    peer.say(answer(1))
    assert peer.done == [(first, None)]
    peer.say(answer(3, response_message(b"other values 16b")), answer(5))
    assert peer.done == [(first, None)]
    assert peer.quick == [second, third]
    assert peer.target.seen == {"OUT": 16}


def test_a_response_that_differs_from_the_pattern_is_judged_again(peer):
    peer.settle()
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 99, NO_TABLE))
    peer.open(), peer.open(), peer.open(), peer.open()
    peer.say(answer(1))
    peer.say(answer(3, response_message(model="x")))
    assert peer.done[1][1][0] == "WRONG RESPONSE"
    peer.say(answer(5, trailers=literal(b"grpc-status", b"3") + literal(b"grpc-message", b"a%20b")))
    assert peer.done[2][1] == ("GRPC INVALID_ARGUMENT", "a b")
    peer.say(answer(7, response_message(b"longer" * 4)))
    assert peer.done[3][1] is None


@pytest.mark.parametrize("piece", [1, 3, 9, 10, 17, 64])
def test_frames_may_come_in_pieces(peer, piece):
    peer.settle()
    slots = [peer.open() for _ in range(3)]
    data = answer(1) + frames.window_update(0, 5) + answer(3) + answer(5)
    for begin in range(0, len(data), piece):
        peer.say(data[begin : begin + piece])
    assert [slot for slot, failure in peer.done if failure is None] + peer.quick == slots


def test_a_large_message_comes_in_many_frames_of_which_only_the_begin_is_kept(peer):
    peer.settle()
    slot = peer.open()
    message = response_message(bytes(400_000))
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 1, HEADERS))
    for begin in range(0, len(message), 16_000):
        peer.say(frame(frames.DATA, 0, 1, message[begin : begin + 16_000]))
    peer.say(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, OK))
    assert peer.done == [(slot, None)]
    assert len(slot.head) == KEEP
    assert slot.size == len(message)


def test_padding_and_priority_are_taken_off(peer):
    peer.settle()
    slot = peer.open()
    content = response_message()
    flags = frames.END_HEADERS | frames.PADDED | frames.HAS_PRIORITY
    peer.say(
        frame(frames.HEADERS, flags, 1, b"\x02" + bytes(5) + HEADERS + b"\0\0"),
        frame(frames.DATA, frames.PADDED, 1, b"\x03" + content + b"\0\0\0"),
        frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, OK),
    )
    assert peer.done == [(slot, None)]


def test_a_header_block_may_be_continued(peer):
    peer.settle()
    slot = peer.open()
    peer.say(
        frame(frames.HEADERS, 0, 1, HEADERS[:4]),
        frame(frames.CONTINUATION, 0, 1, HEADERS[4:9]),
        frame(frames.CONTINUATION, frames.END_HEADERS, 1, HEADERS[9:]),
        frame(frames.DATA, 0, 1, response_message()),
        frame(frames.HEADERS, frames.END_STREAM, 1, OK[:3]),
        frame(frames.CONTINUATION, frames.END_HEADERS, 1, OK[3:]),
    )
    assert peer.done == [(slot, None)]


def test_what_interrupts_a_header_block_breaks_the_connection(peer):
    peer.settle()
    with pytest.raises(FrameError):
        peer.say(frame(frames.HEADERS, 0, 1, b""), frame(frames.PING, 0, 0, b"12345678"))


def test_headers_alone_may_carry_the_status(peer):
    peer.settle()
    slot = peer.open()
    block = b"\x88" + literal(b"grpc-status", b"14") + literal(b"grpc-message", b"away")
    peer.say(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, block))
    assert peer.done == [(slot, ("GRPC UNAVAILABLE", "away"))]


def test_an_http_status_other_than_200_is_a_failure(peer):
    peer.settle()
    slot = peer.open()
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 1, literal(b":status", b"502")))
    assert peer.done[0][0] is slot
    assert peer.done[0][1][0] == "HTTP 502"


def test_informational_headers_are_passed_over(peer):
    peer.settle()
    slot = peer.open()
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 1, literal(b":status", b"103")), answer(1))
    assert peer.done == [(slot, None)]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", "CUT SHORT"),
        (b"\0\0\0", "CUT SHORT"),
        (response_message()[:-2], "CUT SHORT"),
        (b"\1" + response_message()[1:], "MALFORMED"),
        (b"\0\0\0\0\2\x0a\x7f", "MALFORMED"),
    ],
)
def test_broken_messages_are_told_apart(peer, message, code):
    peer.settle()
    peer.open()
    peer.say(answer(1, message))
    assert peer.done[0][1][0] == code


def test_a_response_without_trailers_is_malformed(peer):
    peer.settle()
    peer.open()
    peer.say(
        frame(frames.HEADERS, frames.END_HEADERS, 1, HEADERS),
        frame(frames.DATA, frames.END_STREAM, 1, response_message()),
    )
    assert peer.done[0][1][0] == "MALFORMED"


def test_a_reset_stream_fails_its_request_alone(peer):
    peer.settle()
    first, second = peer.open(), peer.open()
    peer.say(frame(frames.RST_STREAM, 0, 1, (2).to_bytes(4, "big")), answer(3))
    assert peer.done == [
        (first, ("RST INTERNAL_ERROR", "the server reset the stream")),
        (second, None),
    ]


def test_a_refused_stream_is_sent_again_but_not_for_ever(peer):
    peer.settle()
    slot = peer.open()
    refusal = (7).to_bytes(4, "big")
    peer.say(frame(frames.RST_STREAM, 0, 1, refusal))
    assert peer.elsewhere == [slot]
    assert peer.done == []
    for stream in range(3, 60, 2):
        peer.connection.open_stream(slot)
        peer.say(frame(frames.RST_STREAM, 0, stream, refusal))
        if peer.done:
            break
    assert peer.done == [(slot, ("RST REFUSED_STREAM", "the server reset the stream"))]
    assert len(peer.elsewhere) == 20


def test_goaway_sends_the_unseen_elsewhere_and_finishes_the_others(peer):
    peer.settle()
    first, second = peer.open(), peer.open()
    peer.say(frame(frames.GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4)))
    assert peer.connection.draining
    assert peer.elsewhere == [second]
    peer.say(answer(1))
    assert peer.done == [(first, None)]


def test_the_windows_of_connection_and_stream_are_kept(peer):
    peer.say(frames.settings([(frames.INITIAL_WINDOW_SIZE, 50_000)]))
    peer.heard()
    slot = peer.open(b"a" * 120_000)

    def sent():
        parts = [
            (flags, payload) for kind, flags, _, payload in peer.heard() if kind == frames.DATA
        ]
        return sum(len(p) for _, p in parts), any(f & frames.END_STREAM for f, _ in parts)

    assert sent() == (50_000, False)
    peer.say(frames.window_update(1, 100_000))
    assert sent() == (15_535, False)
    peer.say(frames.window_update(0, 20_000))
    assert sent() == (20_000, False)
    peer.say(frames.window_update(0, 1_000_000))
    assert sent() == (34_465, True)
    peer.say(answer(1))
    assert peer.done == [(slot, None)]


def test_small_requests_wait_behind_a_blocked_one_and_then_go(peer):
    peer.settle()
    peer.open(b"a" * 65_535)
    peer.open(b"b" * 10)
    kinds = [payload[:1] for kind, _, _, payload in peer.heard() if kind == frames.DATA]
    assert b"b" not in kinds
    peer.say(frames.window_update(0, 100))
    kinds = [payload[:1] for kind, _, _, payload in peer.heard() if kind == frames.DATA]
    assert kinds == [b"b"]


def test_a_change_of_the_initial_window_moves_open_streams(peer):
    peer.say(frames.settings([(frames.INITIAL_WINDOW_SIZE, 10)]))
    peer.heard()
    peer.open(b"a" * 30)
    peer.say(frames.settings([(frames.INITIAL_WINDOW_SIZE, 25)]))
    data = [payload for kind, _, _, payload in peer.heard() if kind == frames.DATA]
    assert sum(map(len, data)) == 25


def test_frames_are_no_longer_than_the_peer_allows(peer):
    peer.say(frames.settings([(frames.INITIAL_WINDOW_SIZE, 1 << 20)]))
    peer.heard()
    peer.open(b"a" * 60_000)
    data = [payload for kind, _, _, payload in peer.heard() if kind == frames.DATA]
    assert max(map(len, data)) == frames.DEFAULT_FRAME
    assert sum(map(len, data)) == 60_000


def test_no_more_streams_than_the_peer_allows(peer):
    peer.say(frames.settings([(frames.MAX_CONCURRENT_STREAMS, 1)]))
    peer.heard()
    first, second = peer.open(), peer.open()
    assert [stream for kind, _, stream, _ in peer.heard() if kind == frames.HEADERS] == [1]
    assert peer.connection.waiting == [second]
    peer.say(answer(1))
    peer.connection.admit()
    assert [stream for kind, _, stream, _ in peer.heard() if kind == frames.HEADERS] == [3]
    peer.say(answer(3))
    assert [slot for slot, _ in peer.done] == [first, second]


def test_what_was_received_is_given_back_to_the_peers_window(peer):
    peer.settle()
    peer.open()
    peer.connection._received = (1 << 29) - 5
    peer.say(answer(1))
    assert frames.WINDOW_UPDATE in [kind for kind, *_ in peer.heard()]


def test_a_connection_drains_before_its_stream_ids_run_out():
    peer = Peer(last_id=3)
    peer.settle()
    peer.open()
    assert not peer.connection.draining
    peer.open()
    assert peer.connection.draining
    peer.connection.close()
    peer.far.close()


def test_a_cancelled_stream_is_reset_and_what_comes_for_it_is_ignored(peer):
    peer.settle()
    slot = peer.open()
    peer.heard()
    peer.connection.cancel(slot)
    code = int(frames.ErrorCode.CANCEL).to_bytes(4, "big")
    assert peer.heard() == [(frames.RST_STREAM, 0, 1, code)]
    peer.say(answer(1))
    assert peer.done == []


def test_an_http_1_server_is_recognised(peer):
    with pytest.raises(FrameError, match=r"HTTP/1\.1 server"):
        peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        (2_000_000).to_bytes(3, "big") + bytes(6),
        frame(frames.PING, 0, 0, b"123"),
        frame(frames.SETTINGS, 0, 0, b"12345"),
        frames.settings([(frames.INITIAL_WINDOW_SIZE, 1 << 31)]),
        frames.settings([(frames.MAX_FRAME_SIZE, 100)]),
        frame(frames.WINDOW_UPDATE, 0, 0, bytes(4)),
        frame(frames.WINDOW_UPDATE, 0, 0, b"1"),
        frames.window_update(0, frames.LARGEST_WINDOW),
        frame(frames.RST_STREAM, 0, 1, b"1"),
        frame(frames.GOAWAY, 0, 0, b"1"),
        frame(frames.PUSH_PROMISE, 0, 1, b"12345678"),
        frame(frames.CONTINUATION, 0, 1, b""),
        frame(frames.DATA, frames.PADDED, 1, b""),
        frame(frames.DATA, frames.PADDED, 1, b"\x09ab"),
        frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
        frame(frames.HEADERS, frames.END_HEADERS, 1, literal(b":status", b"2x0")),
    ],
)
def test_what_the_rfc_forbids_breaks_the_connection(peer, data):
    peer.settle()
    with pytest.raises((FrameError, HpackError)):
        peer.say(data)


def test_names_of_errors():
    assert frames.error_name(8) == "CANCEL"
    assert frames.error_name(77) == "error 77"
