"""The fast engines send the very bytes that tritonclient's `infer` puts on the wire."""

import gzip
import socket
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import SimpleQueue

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from support.probe_engines import job_of_rows
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.samples import InputRecipe, make_inputs
from tritongen.model.tensors import DType
from tritongen.probe.engines import grpc_messages, http_messages
from tritongen.probe.engines.infer_calls import CallTemplate, client_module, infer_call
from tritongen.probe.load_engine import EngineOptions, LoadClient, clock_ns
from tritongen.probe.load_job import make_plan
from tritongen.probe.prober import make_engine
from tritongen.triton.address import Endpoint
from tritongen.triton.messages import Message, SharedRegion, WireTensor
from tritongen.triton.tensor_bytes import encode

METHOD = "/inference.GRPCInferenceService/ModelInfer"
ANSWER = b'{"model_name":"m","outputs":[]}'


@dataclass
class Recorder:
    """Servers that keep what they are sent: heads and bodies over HTTP, messages over gRPC."""

    http: str
    grpc: str
    bodies: "SimpleQueue[tuple[bytes, bytes]]"
    messages: "SimpleQueue[bytes]"


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    bodies: SimpleQueue[tuple[bytes, bytes]] = SimpleQueue()
    messages: SimpleQueue[bytes] = SimpleQueue()

    def keep(message: bytes, _: object) -> bytes:
        messages.put(message)
        return service_pb2.ModelInferResponse(model_name="m").SerializeToString()

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(keep)
    service, method = METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve_http, args=(listening, bodies), daemon=True)
        thread.start()
        http = f"127.0.0.1:{listening.getsockname()[1]}"
        yield Recorder(http, f"127.0.0.1:{port}", bodies, messages)
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10.0)
    server.stop(0).wait()


def _serve_http(listening: socket.socket, bodies: "SimpleQueue[tuple[bytes, bytes]]") -> None:
    while True:
        try:
            peer, _ = listening.accept()
        except OSError:
            return
        with peer:
            data = b""
            while piece := peer.recv(65_536):
                data += piece
                head, found, body = data.partition(b"\r\n\r\n")
                size = int(headers(head).get("content-length", 0)) if found else 0
                if found and len(body) >= size:
                    bodies.put((head, body))
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(ANSWER))
                    peer.sendall(b"\r\n" + ANSWER)
                    data = b""


def headers(head: bytes) -> dict[str, str]:
    lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
    return {name.lower(): value for name, _, value in lines}


def message(dtype: DType, shape: tuple[int, ...], name: str = "IN") -> Message:
    """A request of generated values, of a second input, and of two outputs."""
    recipes = [InputRecipe(name, dtype, shape, ""), InputRecipe("B", DType.FP32, (1, 2), "")]
    tensors = [
        WireTensor(recipe.name, recipe.dtype.value, recipe.shape, encode(array, recipe.dtype))
        for recipe, array in zip(recipes, make_inputs(recipes, 7).values(), strict=True)
    ]
    return Message("m", "3", tuple(tensors), (("OUT", None), ("OTHER", None)), {})


def strings(*values: bytes) -> Message:
    array = np.empty((1, len(values)), dtype=object)
    array[0, :] = values
    tensor = WireTensor("IN", "BYTES", array.shape, encode(array, DType.BYTES))
    return Message("m", "", (tensor,), (("OUT", None),), {})


def placed() -> Message:
    """Of shared memory alone, with and without an offset."""
    first, second = SharedRegion("in", 0, 16), SharedRegion("out", 4_096, 16)
    tensor = WireTensor("IN", "FP32", (1, 4), first)
    other = WireTensor("B", "FP32", (1, 4), replace(first, offset=64))
    return Message("m", "", (tensor, other), (("OUT", second), ("O", first)), {})


MESSAGES = {
    **{
        f"{dtype.value} batch {rows}": message(dtype, (rows, 3))
        for dtype in DType
        for rows in (1, 8)
    },
    "no values": message(DType.FP32, (0, 3)),
    "a scalar": message(DType.INT64, ()),
    "odd name": message(DType.FP32, (1, 3), 'a "sequence_id":1 ü\n'),
    "strings": strings(b"", "é".encode(), b"\0\xff", b"x" * 70_000, b'"sequence_id":1000000000'),
    "no strings": strings(),
    "shared memory": placed(),
    "part of it shared": replace(
        placed(), inputs=(placed().inputs[0], message(DType.FP16, (1, 3)).inputs[0])
    ),
    "a parameter": replace(message(DType.FP32, (1, 3)), parameters={"max_tokens": 256}),
    "a text": replace(message(DType.FP32, (1, 3)), parameters={"note": '"sequence_id":1'}),
    "no outputs named": replace(message(DType.FP32, (1, 3)), outputs=()),
}
STEPS = [(True, False), (False, False), (False, True), (True, True)]


def sent_over_http(recorder: Recorder, call) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body that `infer` sends."""
    with client_module(ClientProtocol.HTTP).InferenceServerClient(recorder.http) as client:
        client.infer(**call)
    return taken_apart(*recorder.bodies.get(timeout=10.0))


def taken_apart(head: bytes, body: bytes) -> tuple[str, dict[str, str], bytes]:
    wanted = ("host", "content-length", "inference-header-content-length")
    found = headers(head)
    kept = {name: found[name] for name in wanted if name in found}
    return head.decode().split("\r\n")[0], kept, body


def test_the_client_sends_the_headers_and_the_path_of_its_endpoint(recorder):
    given = {"X-Key": "abc", "Host": "gateway.example"}
    endpoint = replace(Endpoint.parse(f"http://{recorder.http}/api/x"), headers=given)
    job = replace(job_of_rows(), messages=(MESSAGES["FP32 batch 1"],))
    engine = make_engine(
        endpoint, [make_plan(job, endpoint, client=LoadClient.TRITONCLIENT)], EngineOptions()
    )
    engine.open(1, closed=False)
    engine.submit(0, clock_ns())
    head, _ = recorder.bodies.get(timeout=10.0)
    engine.close()
    ours = http_messages.request_bytes(job.messages[0], recorder.http, "/api/x", given)
    wanted = headers(ours.partition(b"\r\n\r\n")[0])
    assert head.split(b"\r\n")[0] == ours.split(b"\r\n")[0]
    assert (wanted["x-key"], wanted["host"]) == ("abc", "gateway.example")
    assert {name: headers(head)[name] for name in ("x-key", "host")} == {
        name: wanted[name] for name in ("x-key", "host")
    }


@pytest.mark.parametrize(
    ("kind", "taken"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)]
)
def test_a_compressed_request_is_the_same_request(recorder, kind, taken):
    endpoint = Endpoint.parse(f"http://{recorder.http}")
    job = replace(job_of_rows(), messages=(MESSAGES["FP32 batch 8"],))
    plan = make_plan(job, endpoint, client=LoadClient.TRITONCLIENT)
    engine = make_engine(endpoint, [plan], EngineOptions(compression=kind))
    engine.open(1, closed=False)
    engine.submit(0, clock_ns())
    head, body = recorder.bodies.get(timeout=10.0)
    engine.close()
    told = headers(head)
    assert (told["content-encoding"], told["accept-encoding"]) == (kind, kind)
    ours = http_messages.request_bytes(job.messages[0], recorder.http)
    assert taken(body) == ours.partition(b"\r\n\r\n")[2]


def sent_over_grpc(recorder: Recorder, call) -> bytes:
    with client_module(ClientProtocol.GRPC).InferenceServerClient(recorder.grpc) as client:
        client.infer(**call)
    return recorder.messages.get(timeout=10.0)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_request_over_http(recorder, name):
    asked = MESSAGES[name]
    ours = http_messages.request_bytes(asked, recorder.http).split(b"\r\n\r\n", 1)
    call = infer_call(asked, ClientProtocol.HTTP)
    assert taken_apart(*ours) == sent_over_http(recorder, call)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_request_over_grpc(recorder, name):
    asked = MESSAGES[name]
    ours = grpc_messages.request_bytes(asked)
    theirs = sent_over_grpc(recorder, infer_call(asked, ClientProtocol.GRPC))
    assert ours == b"\0" + len(theirs).to_bytes(4, "big") + theirs


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize(("start", "end"), STEPS)
def test_a_step_of_a_sequence_over_http(recorder, name, start, end):
    asked = MESSAGES[name]
    template = http_messages.request_template(asked, recorder.http)
    ours = template.fill(1_234_567_890, start=start, end=end).split(b"\r\n\r\n", 1)
    call = CallTemplate(infer_call(asked, ClientProtocol.HTTP)).fill(
        1_234_567_890, start=start, end=end
    )
    assert taken_apart(*ours) == sent_over_http(recorder, call)


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize(("start", "end"), STEPS)
def test_a_step_of_a_sequence_over_grpc(recorder, name, start, end):
    """The three parameters are a map, which protobuf writes in any order."""
    asked = MESSAGES[name]
    template = grpc_messages.request_template(asked)
    ours = template.fill(1_234_567_890, start=start, end=end)
    call = CallTemplate(infer_call(asked, ClientProtocol.GRPC)).fill(
        1_234_567_890, start=start, end=end
    )
    theirs = sent_over_grpc(recorder, call)
    assert ours[:5] == b"\0" + len(theirs).to_bytes(4, "big")
    read = service_pb2.ModelInferRequest.FromString
    assert read(ours[5:]) == read(theirs)
