"""The clients of gRPC against servers whose messages are too large."""

from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.triton.address import Endpoint, Protocol
from tritongen.triton.foreign_answer import MAX_BODY_BYTES
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.grpc_control import GrpcControl


class Huge(grpc.GenericRpcHandler):
    """Answers everything with more than is read."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:  # noqa: ARG002
        return grpc.unary_unary_rpc_method_handler(lambda *_: b" " * (MAX_BODY_BYTES + 1))


@pytest.fixture
def port() -> Iterator[int]:
    server = grpc.server(
        futures.ThreadPoolExecutor(1), options=[("grpc.max_send_message_length", -1)]
    )
    server.add_generic_rpc_handlers((Huge(),))
    number = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield number
    server.stop(None).wait()


def test_a_message_beyond_the_limit_is_refused(port: int) -> None:
    with GrpcClient(f"127.0.0.1:{port}") as client, pytest.raises(EnvironmentProblem) as caught:
        client.metadata()
    assert caught.value.code == "TG839"
    control = GrpcControl(Endpoint("127.0.0.1", port, Protocol.GRPC))
    with pytest.raises(EnvironmentProblem) as caught:
        control.server()
    control.close()
    assert caught.value.code == "TG902"
    assert "larger than max" in caught.value.what
