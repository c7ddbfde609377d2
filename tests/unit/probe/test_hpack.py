"""The examples of RFC 7541, appendix C, and what the RFC forbids."""

import pytest

from tritongen.probe.grpc.hpack import Decoder, HpackError, huffman_decode, literal
from tritongen.probe.grpc.hpack_tables import HUFFMAN, STATIC_TABLE

AUTHORITY = (b":authority", b"www.example.com")
PLAIN = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), AUTHORITY]
INDEX = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/index.html"), AUTHORITY]
PRIVATE = (b"cache-control", b"private")
DATE = (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT")
LOCATION = (b"location", b"https://www.example.com")


def blocks(*texts: str) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def test_literals():
    decoder = Decoder()
    (block,) = blocks("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572")
    assert decoder.decode(block) == [(b"custom-key", b"custom-header")]
    assert decoder.decode(bytes.fromhex("040c 2f73 616d 706c 652f 7061 7468")) == [
        (b":path", b"/sample/path")
    ]
    assert decoder.decode(bytes.fromhex("1008 7061 7373 776f 7264 0673 6563 7265 74")) == [
        (b"password", b"secret")
    ]


@pytest.mark.parametrize(
    "requests",
    [
        blocks(
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ),
        blocks(
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ),
    ],
    ids=["plain", "huffman"],
)
def test_requests_on_one_connection(requests):
    decoder = Decoder()
    assert decoder.decode(requests[0]) == PLAIN
    assert decoder.decode(requests[1]) == [*PLAIN, (b"cache-control", b"no-cache")]
    assert decoder.decode(requests[2]) == [*INDEX, (b"custom-key", b"custom-value")]
    assert not decoder.stateless


def test_responses_that_evict_each_other():
    decoder = Decoder(256)
    first, second, third = blocks(
        "3fe1 0148 8264 0258 85ae c377 1a4b 6196 d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d "
        "1bff 6e91 9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 "
        "821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed "
        "4ee5 b106 3d50 07",
    )
    assert decoder.decode(first) == [(b":status", b"302"), PRIVATE, DATE, LOCATION]
    assert decoder.decode(second) == [(b":status", b"307"), PRIVATE, DATE, LOCATION]
    assert decoder.decode(third) == [
        (b":status", b"200"),
        PRIVATE,
        (b"date", b"Mon, 21 Oct 2013 20:13:22 GMT"),
        LOCATION,
        (b"content-encoding", b"gzip"),
        (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ]


def test_without_a_table_equal_blocks_mean_the_same():
    decoder = Decoder()
    decoder.decode(b"\x20" + literal(b"grpc-status", b"0"))
    assert not decoder.stateless
    assert decoder.decode(literal(b"grpc-status", b"0")) == [(b"grpc-status", b"0")]
    assert decoder.stateless
    assert decoder.decode(b"\x40\x0bgrpc-status\x010") == [(b"grpc-status", b"0")]
    assert decoder.stateless


def test_sent_literals_are_read_back():
    value = b"v" * 300
    assert Decoder().decode(literal(b"name", value)) == [(b"name", value)]


def test_the_tables_are_complete():
    assert len(STATIC_TABLE) == 61
    assert STATIC_TABLE[60] == (b"www-authenticate", b"")
    assert len(HUFFMAN) == 257
    assert sum(2.0**-length for length, _ in HUFFMAN) == 1.0


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
    ],
)
def test_what_the_rfc_forbids_is_refused(block):
    with pytest.raises(HpackError):
        Decoder().decode(block)


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\x00\xff\xff", b"\x00"])
def test_broken_huffman_codes_are_refused(raw):
    with pytest.raises(HpackError):
        huffman_decode(raw)
