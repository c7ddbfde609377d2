"""One HTTP/2 connection, fed with the frames of a peer that does anything the RFC allows."""

import pytest

from support.http2_peer import HEADERS, NO_TABLE, OK, Peer, answer, literal, response_message
from tritongen.probe.engines import frames
from tritongen.probe.engines.frames import GREETING, MAX_COST, FrameError, frame
from tritongen.probe.engines.http2_stream import MAX_KEPT_BYTES


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.connection.close()
    made.far.close()


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
    peer.exchange_settings()
    peer.open(b"hello")
    peer.open(b"world!")
    assert peer.heard() == [
        (frames.HEADERS, frames.END_HEADERS, 1, b"\x83"),
        (frames.DATA, frames.END_STREAM, 1, b"hello"),
        (frames.HEADERS, frames.END_HEADERS, 3, b"\x83"),
        (frames.DATA, frames.END_STREAM, 3, b"world!"),
    ]


def test_a_response_is_judged_in_full_once_and_by_its_bytes_afterwards(peer):
    peer.exchange_settings()
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 99, NO_TABLE))
    first, second, third = peer.open(), peer.open(), peer.open()
    peer.say(answer(1))
    assert peer.done == [(first, None)]
    peer.say(answer(3, response_message(b"other values 16b")), answer(5))
    assert peer.done == [(first, None)]
    assert peer.quick == [second, third]
    assert peer.target.seen == {"OUT": 16}


def test_a_response_that_differs_from_the_pattern_is_judged_again(peer):
    peer.exchange_settings()
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 99, NO_TABLE))
    peer.open(), peer.open(), peer.open(), peer.open()
    peer.say(answer(1))
    peer.say(answer(3, response_message(model="x")))
    assert peer.done[1][1][0] == "WRONG RESPONSE"
    peer.say(answer(5, trailers=literal("grpc-status", "3") + literal("grpc-message", "a%20b")))
    assert peer.done[2][1] == ("GRPC INVALID_ARGUMENT", "a b")
    peer.say(answer(7, response_message(b"longer" * 4)))
    assert peer.done[3][1] is None


@pytest.mark.parametrize("piece", [1, 3, 9, 10, 17, 64])
def test_frames_may_come_in_pieces(peer, piece):
    peer.exchange_settings()
    slots = [peer.open() for _ in range(3)]
    data = answer(1) + frames.window_update(0, 5) + answer(3) + answer(5)
    for begin in range(0, len(data), piece):
        peer.say(data[begin : begin + piece])
    assert [slot for slot, failure in peer.done if failure is None] + peer.quick == slots


def say_large(peer, stream: int, message: bytes) -> None:
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, stream, HEADERS))
    for begin in range(0, len(message), 16_000):
        peer.say(frame(frames.DATA, 0, stream, message[begin : begin + 16_000]))
    peer.say(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream, OK))


def test_a_large_message_is_kept_where_it_is_looked_at_and_else_only_its_begin(peer):
    peer.exchange_settings()
    message = response_message(bytes(400_000))
    slot = peer.open()
    say_large(peer, 1, message)
    assert peer.done == [(slot, None)]
    assert len(slot.head) == slot.size == len(message)
    slot.forget()
    peer.connection.open_stream(slot)
    say_large(peer, 3, message)
    assert peer.done == [(slot, None), (slot, None)]
    assert len(slot.head) == MAX_KEPT_BYTES
    assert slot.size == len(message)


def test_padding_and_priority_are_taken_off(peer):
    peer.exchange_settings()
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
    peer.exchange_settings()
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
    peer.exchange_settings()
    with pytest.raises(FrameError):
        peer.say(frame(frames.HEADERS, 0, 1, b""), frame(frames.PING, 0, 0, b"12345678"))


def test_headers_alone_may_carry_the_status(peer):
    peer.exchange_settings()
    slot = peer.open()
    block = b"\x88" + literal("grpc-status", "14") + literal("grpc-message", "away")
    peer.say(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, block))
    assert peer.done == [(slot, ("GRPC UNAVAILABLE", "away"))]


def test_an_http_status_other_than_200_is_a_failure(peer):
    peer.exchange_settings()
    slot = peer.open()
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 1, literal(":status", "502")))
    assert peer.done[0][0] is slot
    assert peer.done[0][1][0] == "HTTP 502"


def test_informational_headers_are_passed_over(peer):
    peer.exchange_settings()
    slot = peer.open()
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 1, literal(":status", "103")), answer(1))
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
    peer.exchange_settings()
    peer.open()
    peer.say(answer(1, message))
    assert peer.done[0][1][0] == code


def test_a_response_without_trailers_is_malformed(peer):
    peer.exchange_settings()
    peer.open()
    peer.say(
        frame(frames.HEADERS, frames.END_HEADERS, 1, HEADERS),
        frame(frames.DATA, frames.END_STREAM, 1, response_message()),
    )
    assert peer.done[0][1][0] == "MALFORMED"


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
        frames.window_update(0, frames.MAX_WINDOW),
        frame(frames.RST_STREAM, 0, 1, b"1"),
        frame(frames.GOAWAY, 0, 0, b"1"),
        frame(frames.PUSH_PROMISE, 0, 1, b"12345678"),
        frame(frames.CONTINUATION, 0, 1, b""),
        frame(frames.DATA, frames.PADDED, 1, b""),
        frame(frames.DATA, frames.PADDED, 1, b"\x09ab"),
        frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
        frame(frames.HEADERS, frames.END_HEADERS, 1, literal(":status", "2x0")),
    ],
)
def test_what_the_rfc_forbids_breaks_the_connection(peer, data):
    peer.exchange_settings()
    with pytest.raises(FrameError):
        peer.say(data)


def test_names_of_errors():
    assert frames.error_name(8) == "CANCEL"
    assert frames.error_name(77) == "error 77"


NOISE = {
    "PRIORITY": frame(frames.PRIORITY, 0, 1, bytes(5)),
    "PING acknowledged": frame(frames.PING, frames.ACK, 0, bytes(8)),
    "empty DATA": frame(frames.DATA, 0, 1),
    "HEADERS": frame(frames.HEADERS, frames.END_HEADERS, 1, HEADERS),
    "RST_STREAM": frame(frames.RST_STREAM, 0, 99, bytes(4)),
}


def say_often(peer, times, *pieces):
    for _ in range(times):
        peer.say(*pieces)


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_frames_without_an_answer_are_limited(peer, noise):
    peer.exchange_settings()
    peer.open()
    say_often(peer, MAX_COST // 1_000 // 4, noise * 1_000)
    with pytest.raises(FrameError, match="no answer among them"):
        say_often(peer, 2 * MAX_COST // 1_000, noise * 1_000)


@pytest.mark.parametrize("quick", [False, True])
def test_any_number_of_frames_may_come_between_answers(peer, quick):
    peer.exchange_settings()
    peer.say(frame(frames.HEADERS, frames.END_HEADERS, 99, NO_TABLE))
    number = 1
    for _ in range(2 * MAX_COST // 1_000):
        peer.open()
        noise = frames.window_update(0, 1) * 1_000
        peer.say(noise, answer(number, None if quick else response_message(bytes(4 * number))))
        number += 2
    assert all(failure is None for _, failure in peer.done)
    assert len(peer.done) + len(peer.quick) == number // 2
    assert bool(peer.quick) == quick


def test_acknowledgements_are_not_collected_for_a_peer_that_does_not_read(peer):
    peer.exchange_settings()
    open_windows(peer)
    peer.open(bytes(1 << 22))
    with pytest.raises(FrameError, match="none read"):
        say_often(peer, 40, frame(frames.PING, 0, 0, bytes(8)) * 500)


def test_an_answer_to_a_request_that_was_not_sent_breaks_the_protocol(peer):
    peer.exchange_settings()
    peer.open()
    with pytest.raises(FrameError, match="not sent"):
        peer.connection.receive(answer(1), 0)


def test_requests_are_not_collected_for_a_peer_that_ends_them_unread(peer):
    peer.exchange_settings()
    open_windows(peer)
    with pytest.raises(ConnectionAbortedError):
        end_requests(peer, 20)


def open_windows(peer):
    initial = frames.settings([(frames.INITIAL_WINDOW_SIZE, 1 << 30)])
    peer.say(initial, frames.window_update(0, 1 << 30))


def end_requests(peer, count):
    for number in range(1, 2 * count, 2):
        peer.open(bytes(4 << 20))
        peer.say(frame(frames.RST_STREAM, 0, number, bytes(4)))
