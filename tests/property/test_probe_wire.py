"""Whatever a peer sends, the parsers raise their own error or nothing, and pieces do not matter."""

import contextlib
import json
import socket
from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.http2_peer import literal
from support.probe import durations_of, histogram_of
from tritongen.errors import InvalidInputError
from tritongen.probe.engines import frames
from tritongen.probe.engines.frames import FrameError, frame
from tritongen.probe.engines.grpc_engine import judge
from tritongen.probe.engines.grpc_messages import (
    HeaderReader,
    MessageError,
    decode_response,
)
from tritongen.probe.engines.http2_connection import Http2Connection
from tritongen.probe.engines.http2_stream import ResponseTemplates, StreamSlot
from tritongen.probe.engines.http_messages import (
    MalformedResponseError,
    ResponseParser,
    decode_outputs,
    error_text,
)
from tritongen.probe.load_engine import LoadTarget, RequestPlan
from tritongen.probe.schedule import parse_schedule
from tritongen.probe.statistics.histogram import BUCKETS, Histogram, bucket_bounds, buckets_of
from tritongen.probe.workload import parse_concurrency, parse_goals, parse_rates
from tritongen.triton.messages import ExpectedResponse, TensorMeta


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


PLACES = st.lists(st.integers(0, 10_000), max_size=8)


@st.composite
def responses(draw):
    """Responses that are nearly right, and what they hold."""
    data = draw(st.binary(max_size=60))
    outputs = [
        {
            "name": draw(st.sampled_from(["OUT", "X", ""])),
            "datatype": draw(st.sampled_from(["FP32", "BYTES", "Q"])),
            "shape": draw(st.lists(st.integers(-2, 5), max_size=3)),
            "parameters": {"binary_data_size": len(data)},
        }
    ]
    body = json.dumps({"model_name": "m", "outputs": outputs}).encode()
    status = draw(st.sampled_from([200, 204, 400, 503]))
    head = f"HTTP/1.1 {status} X\r\nInference-Header-Content-Length: {len(body)}\r\n"
    body += data
    if draw(st.booleans()):
        pieces = cut(body, draw(PLACES))
        coded = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p) + b"0\r\n\r\n"
        return (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + coded
    return (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def outcome(pieces: list[bytes]) -> object:
    parser = ResponseParser()
    try:
        for piece in pieces:
            parser.feed(piece)
        if not parser.done:
            return "unfinished"
        if parser.status != 200:
            return parser.status, error_text(parser)
        return parser.excess, parser.body_size, decode_outputs(parser)
    except MalformedResponseError as fault:
        return str(fault)


@given(responses(), PLACES)
def test_pieces_of_a_response_do_not_matter(data, places):
    assert outcome([data]) == outcome(cut(data, places))


@given(responses(), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=5))
def test_damaged_responses_raise_nothing_else(data, changes):
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    outcome([bytes(damaged)])


@given(st.binary(max_size=300), PLACES)
def test_any_bytes_raise_nothing_else(data, places):
    outcome(cut(b"HTTP/1.1 200 OK\r\n" + data, places))
    parser = ResponseParser()
    with contextlib.suppress(MalformedResponseError):
        for piece in cut(data, places):
            parser.feed(piece)
        parser.end()


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=6))
def test_any_header_blocks_raise_nothing_else(blocks):
    reader = HeaderReader()
    with contextlib.suppress(FrameError):
        for block in blocks:
            reader.read(block)


@given(st.binary(max_size=300))
def test_any_message_raises_nothing_else(data):
    with contextlib.suppress(MessageError):
        decode_response(data)


class _Owner:
    """Takes note of what happens to streams, as an engine would."""

    def __init__(self) -> None:
        self.log: list[tuple[int, object]] = []

    def succeed(self, slot: StreamSlot, now: int) -> None:
        self.complete(slot, None, now)

    def complete(self, slot: StreamSlot, failure: tuple[str, str] | None, _: int) -> None:
        judged = failure or judge(slot)
        self.log.append((int.from_bytes(slot.key, "big"), judged[0] if judged else None))

    def send_elsewhere(self, slots: list[StreamSlot]) -> None:
        self.log += [(int.from_bytes(slot.key, "big"), "elsewhere") for slot in slots]


def conversation(pieces: list[bytes]) -> object:
    """What a connection with four open streams makes of some bytes."""
    ours, far = socket.socketpair()
    ours.setblocking(False)
    owner = _Owner()
    connection = Http2Connection(ours, b"\x83", owner, 1 << 30)
    plan = RequestPlan(
        "m", 1.0, [[b"x"]], ExpectedResponse("m", {"O": TensorMeta("O", "FP32", (-1,))}, None)
    )
    target, templates = LoadTarget(plan), ResponseTemplates()
    try:
        for _ in range(4):
            slot = StreamSlot()
            slot.serve_target(target, 0, 0)
            slot.compare_with(templates)
            slot.request = b"r" * 20_000
            connection.open_stream(slot)
        for piece in pieces:
            connection.receive(piece, 0)
    except FrameError:
        return owner.log, "broken"
    finally:
        ours.close()
        far.close()
    return owner.log, connection.draining


@st.composite
def frame_bytes(draw):
    kind = draw(st.integers(0, 11))
    payload = draw(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    b"\x88" + literal("content-type", "application/grpc"),
                    literal("grpc-status", "0"),
                    b"\x20" + literal("grpc-status", "5"),
                    b"\0\0\0\0\x03\x0a\x01m",
                    (1 << 16).to_bytes(4, "big"),
                    b"12345678",
                ]
            ),
        )
    )
    return frame(
        kind, draw(st.integers(0, 255)), draw(st.sampled_from([0, 1, 3, 5, 7, 9])), payload
    )


# DATA in the middle of a header block, cut in two.
@example([frame(frames.HEADERS, 0, 0), frame(frames.DATA, 1, 1, b"\0\0"), frame(0, 0, 0)], [19])
@settings(max_examples=300)
@given(st.lists(frame_bytes(), max_size=12), PLACES)
def test_any_frames_in_any_pieces_mean_the_same(parts, places):
    data = b"".join(parts)
    assert conversation([data]) == conversation(cut(data, places))


@given(st.binary(max_size=200), PLACES)
def test_any_bytes_on_a_connection_raise_nothing_else(data, places):
    conversation([frames.settings([]), *cut(data, places)])


@given(st.integers(-(2**50), 2**50))
def test_every_duration_has_one_bucket(value):
    bucket = int(buckets_of(np.array([value]))[0])
    assert 0 <= bucket < BUCKETS
    low, high = bucket_bounds(bucket)
    assert low <= min(max(value, 0), high - 1) or value >= high


@given(st.lists(st.integers(0, 2**42), min_size=1, max_size=50), st.floats(0.0, 1.0))
def test_quantiles_lie_between_the_ends(values, fraction):
    histogram = histogram_of(values)
    assert min(values) <= histogram.quantile(fraction) <= max(values)
    assert Histogram.from_json(json.loads(json.dumps(histogram.to_json()))) == histogram


@given(st.lists(st.lists(st.integers(0, 2**42), max_size=20), min_size=2, max_size=4))
def test_the_order_of_merging_does_not_matter(parts):
    forwards, backwards = durations_of([]), durations_of([])
    for one, other in zip(parts, reversed(parts), strict=True):
        forwards.merge(durations_of(one))
        backwards.merge(durations_of(other))
    whole = histogram_of([v for part in parts for v in part])
    assert forwards.histogram() == backwards.histogram() == whole


@given(st.text(max_size=60))
def test_any_text_on_the_command_line_is_understood_or_refused(text):
    for parse in (parse_concurrency, parse_rates, parse_goals, lambda t: parse_schedule(t, "s")):
        with contextlib.suppress(InvalidInputError):
            parse(text)
