"""The client for an endpoint."""

from tritongen.model.client_protocol import ClientProtocol
from tritongen.triton.address import Endpoint
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_client import HttpClient

# What can be asked of a Triton besides load, whichever protocol carries it: both offer the same.
ServerClient = HttpClient | GrpcClient


def client_for(endpoint: Endpoint, timeout: float = 60.0) -> ServerClient:
    """A client for an endpoint; nothing is sent yet.

    Args:
        endpoint: of the server.
        timeout: seconds for each answer.
    """
    headers = {**endpoint.keys, **endpoint.headers}
    if endpoint.protocol is ClientProtocol.GRPC:
        return GrpcClient(endpoint.address, timeout, endpoint.tls, headers)
    return HttpClient(endpoint.address, timeout, endpoint.tls, headers, endpoint.path)
