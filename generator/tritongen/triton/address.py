"""Where a server listens, and how it is spoken to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tritongen.errors import InvalidInputError


class Protocol(StrEnum):
    """How requests travel."""

    HTTP = "http"
    GRPC = "grpc"


_DEFAULT_PORTS = {Protocol.HTTP: 8000, Protocol.GRPC: 8001}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One port of a server.

    Attributes:
        host: name or address.
        port: of that protocol.
        protocol: HTTP or gRPC.
        tls: speak TLS.
        ca_file: certificates to trust, empty for the system's.
        verify: check the server's certificate.
        streaming: use bidirectional streams, as decoupled models need them.
        headers: that open restricted APIs; inference needs none of them.
    """

    host: str
    port: int
    protocol: Protocol = Protocol.HTTP
    tls: bool = False
    ca_file: str = ""
    verify: bool = True
    streaming: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def address(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def shown_address(text: str) -> str:
    """An address as it may be printed and stored: a user's name and password are left out of it.

    Everything between the scheme and the last ``@`` counts as such, since a password that was not
    quoted may hold any sign.
    """
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", text, flags=re.DOTALL)


def parse_endpoint(text: str, protocol: Protocol) -> tuple[str, int]:
    """Host and port from ``host``, ``host:port``, ``[v6]:port`` or an URL without a path.

    Raises:
        InvalidInputError: TG905, it is none of these.
    """
    bare = re.sub(r"^(https?|grpcs?)://", "", text.strip()).rstrip("/")
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", bare)
    port = int(match[3]) if match and match[3] else _DEFAULT_PORTS[protocol]
    if match is None or not 0 < port < 65_536:
        raise InvalidInputError(
            "TG905",
            f"{shown_address(text)!r} is not an address",
            fix="Write it like -u localhost:8000.",
        )
    return match[1] or match[2], port
