import json

import pytest

from tritongen.probe.engines.http_connection import ResponsePrefixes, verify
from tritongen.probe.engines.http_messages import (
    MalformedResponseError,
    ResponseParser,
    decode_outputs,
    error_text,
    request_bytes,
    request_template,
)
from tritongen.probe.load_engine import LoadTarget, RequestPlan
from tritongen.triton.messages import (
    ExpectedResponse,
    Message,
    SharedRegion,
    TensorMeta,
    WireTensor,
)

MESSAGE = Message(
    "ocr",
    "",
    (
        WireTensor("A", "FP32", (1, 2), b"12345678"),
        WireTensor("B", "BYTES", (1, 1), b"\x03\0\0\0abc"),
    ),
    (("OUT", None),),
    {},
)
OUTPUT = {
    "name": "OUT",
    "datatype": "FP32",
    "shape": [1, 2],
    "parameters": {"binary_data_size": 8},
}
EXPECTATION = ExpectedResponse("ocr", {"OUT": TensorMeta("OUT", "FP32", (-1, 2))}, 1)


def response(
    outputs=(OUTPUT,), data=b"abcdefgh", status=200, model="ocr", headers="", chunked=False
) -> bytes:
    text = json.dumps({"model_name": model, "model_version": "1", "outputs": list(outputs)})
    body = text.encode() + data
    head = f"HTTP/1.1 {status} OK\r\nInference-Header-Content-Length: {len(text)}\r\n{headers}"
    if chunked:
        pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
        coded = b"".join(b"%X;x=1\r\n%s\r\n" % (len(p), p) for p in pieces)
        whole = head + "Transfer-Encoding: chunked\r\n\r\n"
        return whole.encode() + coded + b"0\r\nTrailer: 1\r\n\r\n"
    return (head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def parsed(data: bytes, piece: int = 10**9, **options) -> ResponseParser:
    parser = ResponseParser(**options)
    for begin in range(0, len(data), piece):
        parser.feed(data[begin : begin + piece])
    return parser


def test_a_request_is_complete():
    whole = request_bytes(MESSAGE, "host:8000")
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v2/models/ocr/infer HTTP/1.1"
    headers = dict(line.split(": ") for line in lines[1:])
    assert headers["Host"] == "host:8000"
    assert headers["Accept-Encoding"] == "identity"
    assert int(headers["Content-Length"]) == len(body)
    size = int(headers["Inference-Header-Content-Length"])
    asked = json.loads(body[:size])
    assert body[size:] == b"12345678\x03\0\0\0abc"
    assert asked["inputs"][0] == {
        "name": "A",
        "shape": [1, 2],
        "datatype": "FP32",
        "parameters": {"binary_data_size": 8},
    }
    assert asked["outputs"] == [{"name": "OUT", "parameters": {"binary_data": True}}]


def test_a_path_and_headers_come_along():
    given = {"Authorization": "Bearer x", "host": "other"}
    whole = request_bytes(MESSAGE, "host:8000", "/api/x", given)
    lines = whole.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert lines[0] == "POST /api/x/v2/models/ocr/infer HTTP/1.1"
    assert lines[1:3] == ["host: other", "Authorization: Bearer x"]
    assert not any(line.startswith("Host:") for line in lines)
    first = request_template(MESSAGE, "host:8000", "/api/x", given).fill(7, start=True, end=True)
    assert first.startswith("\r\n".join(lines[:3]).encode())


def test_a_version_is_part_of_the_path():
    message = Message("ocr", "3", MESSAGE.inputs, MESSAGE.outputs, {})
    assert request_bytes(message, "h").startswith(b"POST /v2/models/ocr/versions/3/infer HTTP")


def test_shared_memory_stands_in_for_data():
    region = SharedRegion("r", 64, 8)
    message = Message("ocr", "", (WireTensor("A", "FP32", (1, 2), region),), (("OUT", region),), {})
    body = json.loads(request_bytes(message, "h").partition(b"\r\n\r\n")[2])
    wanted = {
        "shared_memory_region": "r",
        "shared_memory_offset": 64,
        "shared_memory_byte_size": 8,
    }
    assert body["inputs"][0]["parameters"] == wanted
    assert body["outputs"][0]["parameters"] == {"binary_data": False, **wanted}


def test_a_step_of_a_sequence_is_filled_in():
    template = request_template(MESSAGE, "h")
    first = template.fill(1_000_000_007, start=True, end=False)
    last = template.fill(1_999_999_999, start=False, end=True)
    head, _, body = first.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    asked, _ = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    assert asked["parameters"] == {
        "sequence_id": 1_000_000_007,
        "sequence_start": True,
        "sequence_end": False,
    }
    asked, _ = json.JSONDecoder().raw_decode(last.partition(b"\r\n\r\n")[2].decode("latin-1"))
    assert asked["parameters"]["sequence_end"] is True


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 50, 10**9])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_response_may_come_in_pieces(piece, chunked):
    data = response(chunked=chunked)
    parser = parsed(data, piece)
    assert parser.done
    assert not parser.excess
    answer = decode_outputs(parser)
    assert (answer.model, answer.outputs) == ("ocr", (TensorMeta("OUT", "FP32", (1, 2)),))
    assert answer.sizes == (8,)


def test_the_tensors_are_counted_and_not_kept():
    data = response([{**OUTPUT, "parameters": {"binary_data_size": 10**6}}], bytes(10**6))
    parser = parsed(data, 65_536)
    assert parser.done
    assert len(parser.body) == parser.json_size
    assert parser.body_size == len(parser.body) + 10**6
    assert len(parsed(data, 65_536, keep_all=True).body) == parser.body_size


def test_an_interim_response_is_passed_over():
    parser = parsed(b"HTTP/1.1 100 Continue\r\n\r\n" + response(), 5)
    assert (parser.status, parser.done) == (200, True)


def test_interim_responses_without_end_are_refused():
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert parsed(interim * 16 + response(), 5).done
    with pytest.raises(MalformedResponseError, match="more than 16 interim responses"):
        parsed(interim * 17, 5)


def test_what_comes_behind_a_response_is_noticed():
    assert parsed(response() + b"HTTP/1.1 200").excess == 12
    assert parsed(response(chunked=True) + b"xy").excess == 2


def test_a_response_without_a_length_ends_with_the_connection():
    parser = parsed(b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\n" + b'{"error": "gone"}')
    assert not parser.done
    parser.end()
    assert parser.done
    assert not parser.keep_alive
    assert error_text(parser) == "gone"


@pytest.mark.parametrize("cut", [1, 40, 120, -1])
def test_a_connection_closed_in_the_middle_is_told(cut):
    parser = parsed(response()[:cut])
    with pytest.raises(MalformedResponseError):
        parser.end()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 9\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000,
    ],
)
def test_what_is_no_response_is_refused(data):
    with pytest.raises(MalformedResponseError):
        parsed(data)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"not json",
        b'{"model_name": "ocr", "outputs": [{"name": "OUT"}]}',
        b'{"model_name": "ocr", "outputs": 3}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_inference_response_is_refused(body):
    parser = parsed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with pytest.raises(MalformedResponseError):
        decode_outputs(parser)


def test_binary_data_must_be_as_long_as_the_outputs_say():
    with pytest.raises(MalformedResponseError):
        decode_outputs(parsed(response(data=b"short")))


def judged(data: bytes, reference=None, known=None):
    plan = RequestPlan("ocr", 1.0, [[b"request"]], EXPECTATION, {0: reference or {}})
    parser = parsed(data, keep_all=True)
    return verify(parser, LoadTarget(plan), plan.requests[0][0], known or ResponsePrefixes())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (response(status=503), "HTTP 503"),
        (response(model="other"), "WRONG RESPONSE"),
        (response([{**OUTPUT, "name": "X"}]), "WRONG RESPONSE"),
        (response([{**OUTPUT, "datatype": "INT32"}]), "WRONG RESPONSE"),
        (response([{**OUTPUT, "shape": [1, 3]}]), "WRONG RESPONSE"),
        (response([{**OUTPUT, "shape": [2]}]), "WRONG RESPONSE"),
        (response([{**OUTPUT, "shape": [2, 2]}]), "WRONG RESPONSE"),
        (response([OUTPUT, OUTPUT], b"0" * 16), "WRONG RESPONSE"),
        (response(data=b"x"), "MALFORMED"),
    ],
)
def test_wrong_responses_are_told_apart(data, code):
    failure = judged(data)
    assert failure is not None
    assert failure[0] == code


def test_a_right_response_teaches_its_beginning():
    known = ResponsePrefixes()
    data = response()
    assert judged(data, known=known) is None
    assert known.whole == {len(data): data[:-8]}


@pytest.mark.parametrize(
    "data", [response(chunked=True), response(headers="Connection: close\r\n")]
)
def test_beginnings_that_end_a_connection_are_not_learnt(data):
    known = ResponsePrefixes()
    assert judged(data, known=known) is None
    assert not known.whole


def test_values_are_compared_with_a_reference():
    assert judged(response(), {"OUT": b"abcdefgh"}) is None
    assert judged(response(), {"OUT": b"abcdefgX"})[0] == "WRONG VALUES"


def test_what_is_known_can_be_set_aside_for_one_look():
    known = ResponsePrefixes()
    known.learn(b"abc", 10)
    known.set_aside()
    assert not known.whole
    known.learn(b"abd", 11)
    assert known.whole == {10: b"abc", 11: b"abd"}


def test_the_size_of_a_large_response_is_known_from_its_first_bytes():
    known = ResponsePrefixes()
    known.learn(b"abc", 1_000)
    assert known.size_of(bytearray(b"abcdef"), 6) == 1_000
    assert known.size_of(bytearray(b"ab"), 2) == 0
    assert known.size_of(bytearray(b"xbcdef"), 6) == 0


def test_messages_of_refusals_are_short_text():
    text = json.dumps({"error": "a\n b" + "x" * 1_000}).encode()
    parser = parsed(b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
    assert error_text(parser).startswith("a bxxx")
    assert len(error_text(parser)) == 300
    plain = parsed(b"HTTP/1.1 502 Bad\r\nContent-Length: 11\r\n\r\n<html>\xff</a>")
    assert error_text(plain) == "502 Bad Gateway"
