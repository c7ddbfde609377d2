"""gRPC's header blocks and messages: what is sent and what is understood, held against protobuf."""

import numpy as np
import pytest
from hpack import Decoder
from tritonclient.grpc import service_pb2

from support.http2_peer import NO_TABLE, literal
from tritongen.probe.engines.frames import FrameError
from tritongen.probe.engines.grpc_messages import (
    HeaderFacts,
    HeaderReader,
    MessageError,
    decode_response,
    request_block,
    request_bytes,
    request_template,
)
from tritongen.triton.messages import Message, SharedRegion, TensorMeta, WireTensor

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


def test_headers_of_the_user_s_are_part_of_every_block():
    block = request_block("h", secure=True, headers={"authorization": "Bearer x", "a": "b"})
    decoder = Decoder()
    found = dict(decoder.decode(block, raw=True))
    assert (found[b"authorization"], found[b"a"]) == (b"Bearer x", b"b")
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


DATA = np.arange(4, dtype=np.float32).tobytes()
MESSAGE = Message(
    "ocr",
    "2",
    (
        WireTensor("A", "FP32", (1, 4), DATA),
        WireTensor("B", "INT64", (300,), SharedRegion("r", 64, 2400)),
    ),
    (("OUT", None), ("SHM", SharedRegion("s", 0, 99))),
    {},
)


def read(data: bytes):
    assert data[0] == 0
    assert int.from_bytes(data[1:5], "big") == len(data) - 5
    return service_pb2.ModelInferRequest.FromString(data[5:])


def test_a_request_is_what_the_classes_read():
    request = read(request_bytes(MESSAGE))
    assert (request.model_name, request.model_version) == ("ocr", "2")
    assert list(request.inputs[0].shape) == [1, 4]
    assert list(request.inputs[1].shape) == [300]
    assert request.raw_input_contents == [DATA]
    shared = request.inputs[1].parameters
    assert shared["shared_memory_region"].string_param == "r"
    assert shared["shared_memory_offset"].int64_param == 64
    assert shared["shared_memory_byte_size"].int64_param == 2400
    assert [output.name for output in request.outputs] == ["OUT", "SHM"]
    assert request.outputs[1].parameters["shared_memory_byte_size"].int64_param == 99


def test_a_step_of_a_sequence_is_filled_in():
    template = request_template(MESSAGE)
    first = template.fill(1_000_000_123, start=True, end=False)
    last = template.fill(1_999_999_999, start=False, end=True)
    assert len(first) == len(last)
    parameters = read(first).parameters
    assert parameters["sequence_id"].int64_param == 1_000_000_123
    assert parameters["sequence_start"].bool_param is True
    assert parameters["sequence_end"].bool_param is False
    assert read(last).parameters["sequence_id"].int64_param == 1_999_999_999
    assert read(last).parameters["sequence_end"].bool_param is True


def a_response(**changes):
    response = service_pb2.ModelInferResponse(model_name="ocr", model_version="1", id="7")
    response.outputs.add(name="OUT", datatype="FP32", shape=[1, 4])
    response.outputs.add(name="N", datatype="INT64", shape=[-1])
    response.raw_output_contents.extend([DATA, b"12345678"])
    for key, value in changes.items():
        setattr(response, key, value)
    return response


def test_a_response_is_read():
    data = a_response().SerializeToString()
    found, head = decode_response(data)
    assert found.model == "ocr"
    assert found.outputs == (TensorMeta("OUT", "FP32", (1, 4)), TensorMeta("N", "INT64", (-1,)))
    assert found.sizes == (16, 8)
    assert found.result.as_numpy("OUT").tobytes() == DATA
    assert data[head:].startswith(DATA)


def test_a_response_needs_a_tensor_for_each_output():
    response = a_response()
    response.raw_output_contents.append(b"more")
    with pytest.raises(MessageError):
        decode_response(response.SerializeToString())


@pytest.mark.parametrize(
    "data",
    [b"\x80", b"\x0a\x05ab", b"\x00\x01", b"\x0b", b"\x0d\x01", b"\xff" * 11, b"\x0a\x01\xff"],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(MessageError):
        decode_response(data)


def test_tensors_before_their_description_belong_to_what_is_compared():
    response = a_response()
    tensors = service_pb2.ModelInferResponse(raw_output_contents=response.raw_output_contents)
    del response.raw_output_contents[:]
    data = tensors.SerializeToString() + response.SerializeToString()
    found, head = decode_response(data)
    assert found.result.as_numpy("OUT").tobytes() == DATA
    assert head == len(data)
