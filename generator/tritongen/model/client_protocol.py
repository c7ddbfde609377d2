"""What clients speak; apart from their other wishes, which take longer to load than a client."""

from enum import StrEnum


class ClientProtocol(StrEnum):
    """How requests travel."""

    HTTP = "http"
    GRPC = "grpc"
