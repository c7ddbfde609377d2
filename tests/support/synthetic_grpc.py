"""A real gRPC server, without a Triton, with the methods that a load engine calls.

It runs in a process of its own. Its peer stack is gRPC's own, so what an engine meets here it
meets in the field: flow control, PING, GOAWAY when a connection grows old, limits on streams.
Run as a script it is the server itself.
"""

import argparse
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

MODEL = "echo"
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_SERVICE = "inference.GRPCInferenceService"


@dataclass(frozen=True)
class GrpcBehaviour:
    """How the server behaves.

    Attributes:
        latency_s: how long it holds a request.
        fail_share: of the requests that are refused.
        fail_status: name of their status.
        wrong_share: of the requests whose response has another output.
        max_streams: open streams that it allows on a connection, 0 for any number.
        max_age_ms: a connection older than this is sent away, 0 for never.
        silent_after: requests after this one get no answer, 0 for never.
        responses: of a streamed request, the empty final one not counted.
        certificate: file with certificate and key for TLS, empty for none.
        port: it listens on, 0 for a free one.
    """

    latency_s: float = 0.0
    fail_share: float = 0.0
    fail_status: str = "UNAVAILABLE"
    wrong_share: float = 0.0
    max_streams: int = 0
    max_age_ms: int = 0
    silent_after: int = 0
    responses: int = 1
    certificate: str = ""
    port: int = 0


@dataclass
class SyntheticGrpc:
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def synthetic_grpc(behaviour: GrpcBehaviour) -> Iterator[SyntheticGrpc]:
    """The server, on the loopback address."""
    process = subprocess.Popen(
        [sys.executable, __file__, json.dumps(asdict(behaviour))], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield SyntheticGrpc(process, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class _Model:
    def __init__(self, behaviour: GrpcBehaviour) -> None:
        self.behaviour = behaviour
        self.lock = threading.Lock()
        self.requests = 0

    def draw(self) -> float:
        with self.lock:
            self.requests += 1
            silent = self.behaviour.silent_after
            if silent and self.requests > silent:
                return -1.0
            # Evenly spread, so that any run of requests meets its share of the faults.
            return self.requests * _GOLDEN % 1.0

    def infer(self, request: Any, context: Any) -> Any:
        import grpc

        draw = self.draw()
        if draw < 0.0:
            time.sleep(3600.0)
        if self.behaviour.latency_s:
            time.sleep(self.behaviour.latency_s)
        if draw < self.behaviour.fail_share:
            status = grpc.StatusCode[self.behaviour.fail_status]
            context.abort(status, "refused on purpose: 100 %")
        wrong = draw < self.behaviour.fail_share + self.behaviour.wrong_share
        return self.response(request, wrong=wrong)

    def response(self, request: Any, *, wrong: bool = False) -> Any:
        from tritonclient.grpc import service_pb2

        response = service_pb2.ModelInferResponse(
            model_name=request.model_name, model_version="1", id=request.id
        )
        tensor = request.inputs[0]
        response.outputs.add(
            name="OTHER" if wrong else "OUT", datatype=tensor.datatype, shape=tensor.shape
        )
        response.raw_output_contents.extend(request.raw_input_contents)
        return response

    def stream(self, requests: Any, _: Any) -> Iterator[Any]:
        from tritonclient.grpc import service_pb2

        for request in requests:
            if self.draw() < self.behaviour.fail_share:
                yield service_pb2.ModelStreamInferResponse(error_message="refused on purpose")
                continue
            for _ in range(self.behaviour.responses):
                yield service_pb2.ModelStreamInferResponse(infer_response=self.response(request))
            final = service_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
            final.parameters["triton_final_response"].bool_param = True
            yield service_pb2.ModelStreamInferResponse(infer_response=final)


def _serve(behaviour: GrpcBehaviour) -> None:
    import grpc
    from tritonclient.grpc import service_pb2

    model = _Model(behaviour)
    handlers = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(
            model.infer,
            service_pb2.ModelInferRequest.FromString,
            service_pb2.ModelInferResponse.SerializeToString,
        ),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(
            model.stream,
            service_pb2.ModelInferRequest.FromString,
            service_pb2.ModelStreamInferResponse.SerializeToString,
        ),
    }
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    if behaviour.max_streams:
        options.append(("grpc.max_concurrent_streams", behaviour.max_streams))
    if behaviour.max_age_ms:
        options.append(("grpc.max_connection_age_ms", behaviour.max_age_ms))
        options.append(("grpc.max_connection_age_grace_ms", 5_000))
    # A stream keeps a thread for itself, and a probe may have 512.
    server = grpc.server(ThreadPoolExecutor(512), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    if behaviour.certificate:
        with open(behaviour.certificate, "rb") as file:  # noqa: PTH123  (one short read)
            pem = file.read()
        credentials = grpc.ssl_server_credentials([(pem, pem)])
        port = server.add_secure_port(f"localhost:{behaviour.port}", credentials)
    else:
        port = server.add_insecure_port(f"127.0.0.1:{behaviour.port}")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("behaviour")
    _serve(GrpcBehaviour(**json.loads(parser.parse_args().behaviour)))
