"""Streams of one HTTP/2 connection: how they end, and what they may send and when."""

import pytest

from support.http2_peer import Peer, answer
from tritongen.probe.engines import frames
from tritongen.probe.engines.frames import frame


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.connection.close()
    made.far.close()


def test_a_reset_stream_fails_its_request_alone(peer):
    peer.exchange_settings()
    first, second = peer.open(), peer.open()
    peer.say(frame(frames.RST_STREAM, 0, 1, (2).to_bytes(4, "big")), answer(3))
    assert peer.done == [
        (first, ("RST INTERNAL_ERROR", "the server reset the stream")),
        (second, None),
    ]


def test_a_refused_stream_is_sent_again_but_not_for_ever(peer):
    peer.exchange_settings()
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


def test_a_stream_refused_beside_others_waits_for_the_end_of_one(peer):
    peer.exchange_settings()
    first, second = peer.open(), peer.open()
    peer.heard()
    peer.say(frame(frames.RST_STREAM, 0, 3, (7).to_bytes(4, "big")))
    assert peer.elsewhere == []
    assert peer.connection.waiting == [second]
    assert peer.heard() == []
    peer.say(answer(1))
    peer.connection.admit()
    assert [stream for kind, _, stream, _ in peer.heard() if kind == frames.HEADERS] == [5]
    peer.say(answer(5))
    assert [slot for slot, failure in peer.done if failure is None] == [first, second]


def test_goaway_sends_the_unseen_elsewhere_and_finishes_the_others(peer):
    peer.exchange_settings()
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
    peer.exchange_settings()
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
    peer.exchange_settings()
    peer.open()
    peer.connection._received = (1 << 29) - 5
    peer.say(answer(1))
    assert frames.WINDOW_UPDATE in [kind for kind, *_ in peer.heard()]


def test_a_connection_drains_before_its_stream_ids_run_out():
    peer = Peer(last_id=3)
    peer.exchange_settings()
    peer.open()
    assert not peer.connection.draining
    peer.open()
    assert peer.connection.draining
    peer.connection.close()
    peer.far.close()


def test_a_cancelled_stream_is_reset_and_what_comes_for_it_is_ignored(peer):
    peer.exchange_settings()
    slot = peer.open()
    peer.heard()
    peer.connection.cancel(slot)
    code = int(frames.ErrorCode.CANCEL).to_bytes(4, "big")
    assert peer.heard() == [(frames.RST_STREAM, 0, 1, code)]
    peer.say(answer(1))
    assert peer.done == []
