"""The protocol of clients, apart from their other requirements, which take longer to load."""

from enum import StrEnum


class ClientProtocol(StrEnum):
    """How requests travel."""

    HTTP = "http"
    GRPC = "grpc"
