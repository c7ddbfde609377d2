"""The client for an endpoint."""

from tritongen.model.business import ClientProtocol
from tritongen.triton.address import Endpoint
from tritongen.triton.client import ServerClient
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_client import HttpClient


def client_for(endpoint: Endpoint, timeout: float = 60.0) -> ServerClient:
    """A client for an endpoint; nothing is sent yet.

    Args:
        endpoint: of the server.
        timeout: seconds for each answer.
    """
    kind = GrpcClient if endpoint.protocol is ClientProtocol.GRPC else HttpClient
    return kind(endpoint.address, timeout, endpoint.tls, endpoint.headers)
