"""Header blocks of gRPC: what is sent, what is understood, and what the RFC forbids."""

import pytest
from hpack import Decoder

from support.http2_peer import NO_TABLE, literal
from tritongen.probe.grpc.frames import FrameError
from tritongen.probe.grpc.grpc_headers import HeaderFacts, HeaderReader, request_block

OK = literal("grpc-status", "0")


@pytest.mark.parametrize(("secure", "scheme"), [(False, b"http"), (True, b"https")])
def test_the_headers_of_requests_leave_no_table_behind(secure, scheme):
    decoder = Decoder()
    block = request_block("host:8001" + "x" * 300, secure=secure)
    for _ in range(2):
        found = dict(decoder.decode(block, raw=True))
        assert found[b":scheme"] == scheme
        assert found[b":authority"] == b"host:8001" + b"x" * 300
        assert found[b":path"] == b"/inference.GRPCInferenceService/ModelInfer"
        assert found[b"content-type"] == b"application/grpc"
        assert not decoder.header_table.dynamic_entries


def test_what_a_block_says():
    block = b"\x88" + literal("grpc-status", "3") + literal("grpc-message", "a%20b%0A c")
    facts = HeaderReader().read(block)
    assert facts == HeaderFacts(200, 3, "a b c")
    assert facts.failure == ("GRPC INVALID_ARGUMENT", "a b c")
    assert HeaderReader().read(OK).failure is None
    assert HeaderReader().read(b"\x88").failure == (
        "MALFORMED",
        "the response has no grpc-status",
    )


def test_without_a_table_equal_blocks_mean_the_same():
    reader = HeaderReader()
    reader.read(OK)
    assert not reader.is_known(OK)
    resized = NO_TABLE + OK
    reader.read(resized)
    assert not reader.is_known(resized)
    reader.read(OK)
    assert reader.is_known(OK)
    inserting = b"\x40\x0bgrpc-status\x010"
    assert reader.read(inserting).grpc_status == 0
    assert reader.is_known(inserting)


def test_with_a_table_no_block_is_known():
    reader = HeaderReader()
    assert reader.read(b"\x40\x0bgrpc-status\x010").grpc_status == 0
    assert reader.read(b"\xbe").grpc_status == 0
    assert not reader.is_known(b"\xbe")


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xbe",
        b"\xff\xff\xff\xff\xff\xff\x01",
        b"\xff",
        b"\x40",
        b"\x40\x05ab",
        b"\x40\x7f\xff\xff\xff\x7f",
        b"\x82\x20",
        b"\x3f\xe1\xff\x03",
        b"\x00\x81\x00\x00",
        b"\x00\x85\xff\xff\xff\xff\xff\x00",
        literal("grpc-status", "2x"),
        literal(":status", "1234567"),
        literal("x", "y" * 70_000),
        b"\xff" * 60_000,
    ],
    ids=range(15),
)
def test_what_is_no_block_is_refused(block):
    with pytest.raises(FrameError) as caught:
        HeaderReader().read(block)
    assert len(str(caught.value)) < 300
