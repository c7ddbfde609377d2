"""The clients of gRPC: large messages, headers with capitals, and certificates of strangers."""

import socket
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from support.certificates import certificate
from tritongen.errors import EnvironmentProblem
from tritongen.model.client_protocol import ClientProtocol
from tritongen.triton.address import Endpoint, Tls
from tritongen.triton.control import ServerControl
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_channel import MAX_BODY_BYTES


class Huge(grpc.GenericRpcHandler):
    """Answers everything with more than is read."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:  # noqa: ARG002  (grpc's)
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
    control = ServerControl(Endpoint("127.0.0.1", port, ClientProtocol.GRPC))
    with pytest.raises(EnvironmentProblem) as caught:
        control.server()
    control.close()
    assert caught.value.code == "TG902"
    assert "larger than max" in caught.value.what


class Metadata(grpc.GenericRpcHandler):
    """Answers everything with an empty message, and remembers what was sent beside it."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        self.seen |= dict(handler_call_details.invocation_metadata)
        return grpc.unary_unary_rpc_method_handler(lambda *_: b"")


@contextmanager
def served(handler: Metadata, pair: tuple[Path, Path] | None = None) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((handler,))
    if pair is None:
        number = server.add_insecure_port("127.0.0.1:0")
    else:
        cert, key = (path.read_bytes() for path in pair)
        credentials = grpc.ssl_server_credentials([(key, cert)])
        number = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield number
    server.stop(None).wait()


def test_headers_may_have_capitals() -> None:
    handler = Metadata()
    headers = {"Authorization": "Bearer x", "X-Tenant": "a"}
    with served(handler) as port, GrpcClient(f"127.0.0.1:{port}", headers=headers) as client:
        client.metadata()
    assert handler.seen["authorization"] == "Bearer x"
    handler.seen.clear()
    with served(handler) as port:
        control = ServerControl(Endpoint("127.0.0.1", port, ClientProtocol.GRPC, headers=headers))
        control.server()
        control.close()
    assert (handler.seen["authorization"], handler.seen["x-tenant"]) == ("Bearer x", "a")


NAMES = ("DNS:other.example", "DNS:*.example.org", "IP:10.1.2.3")


@pytest.mark.parametrize("names", NAMES)
def test_any_certificate_is_accepted_where_none_is_verified(tmp_path: Path, names: str) -> None:
    pair = certificate(tmp_path, "server", names)
    with served(Metadata(), pair) as port:
        address = f"127.0.0.1:{port}"
        with GrpcClient(address, 5.0, Tls(verify=False)) as client:
            assert client.metadata().version == ""
        endpoint = Endpoint("127.0.0.1", port, ClientProtocol.GRPC, Tls(verify=False))
        control = ServerControl(endpoint)
        assert control.server().version == ""
        control.close()
        for tls in (Tls(), Tls(authority=pair[0])):  # nobody vouches for it; not for that name
            with GrpcClient(address, 5.0, tls) as client, pytest.raises(EnvironmentProblem):
                client.metadata()


def test_a_certificate_without_a_name_is_told(tmp_path: Path) -> None:
    pair = certificate(tmp_path, "server", "email:nobody@example.org", subject="/O=nobody")
    with served(Metadata(), pair) as port, pytest.raises(EnvironmentProblem) as caught:
        GrpcClient(f"127.0.0.1:{port}", 5.0, Tls(verify=False)).metadata()
    assert caught.value.code == "TG834"
    assert "no name" in caught.value.what
    assert "https://" in caught.value.fix


def test_nobody_has_a_certificate() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EnvironmentProblem) as caught:
        GrpcClient(f"127.0.0.1:{port}", 5.0, Tls(verify=False)).metadata()
    assert caught.value.code == "TG814"
