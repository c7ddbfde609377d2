"""Where a server listens, and how it is spoken to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.client_protocol import ClientProtocol

if TYPE_CHECKING:
    import ssl

_DEFAULT_PORTS = {ClientProtocol.HTTP: 8000, ClientProtocol.GRPC: 8001}
# Whether a scheme means TLS.
_SCHEMES = {
    "http": (ClientProtocol.HTTP, False),
    "https": (ClientProtocol.HTTP, True),
    "grpc": (ClientProtocol.GRPC, False),
    "grpcs": (ClientProtocol.GRPC, True),
}
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::([0-9]{1,5}))?/?")


@dataclass(frozen=True, slots=True)
class Tls:
    """How to trust a server and be trusted.

    Attributes:
        authority: PEM file of the authorities to trust; the system's when None.
        certificate: PEM file of the client's own certificate, None for none.
        key: PEM file of its private key.
        verify: False accepts any certificate; for tests on a trusted network only.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True

    def context(self) -> "ssl.SSLContext":
        """For the standard library's sockets.

        Raises:
            EnvironmentProblem: TG834 when a file cannot be used.
        """
        import ssl

        try:
            context = ssl.create_default_context(cafile=self.authority)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            raise EnvironmentProblem("TG834", f"certificates cannot be used: {error}") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One port of a server.

    Attributes:
        host: name or address.
        port: of that protocol.
        protocol: HTTP or gRPC.
        tls: None for an open connection.
        streaming: use bidirectional streams, as decoupled models need them.
        headers: sent with every request but those that are measured, such as the keys of restricted
            APIs. They may be secret: no state, log or message holds them.
    """

    host: str
    port: int
    protocol: ClientProtocol = ClientProtocol.HTTP
    tls: Tls | None = None
    streaming: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def address(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(
        cls, text: str, tls: Tls | None = None, headers: Mapping[str, str] | None = None
    ) -> "Endpoint":
        """Reads ``host:port`` or ``http://``, ``https://``, ``grpc://``, ``grpcs://`` before it.

        Args:
            text: the address; the port is Triton's usual one when left out.
            tls: files for a secured connection; needs or implies a secured scheme.
            headers: for every request.

        Raises:
            InvalidInputError: TG304 when it is no such address.
        """
        shown = shown_address(text)
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = ("https" if tls else "http"), text
        if scheme not in _SCHEMES:
            raise InvalidInputError("TG304", f"address {shown!r} has an unknown scheme")
        protocol, secured = _SCHEMES[scheme]
        if tls and not secured:
            raise InvalidInputError("TG304", f"address {shown!r} is not for a TLS connection")
        place = _host_and_port(rest, protocol)
        if place is None:
            raise InvalidInputError("TG304", f"address {shown!r} is not host:port")
        return cls(
            *place, protocol, (tls or Tls()) if secured else None, headers=dict(headers or {})
        )


def shown_address(text: str) -> str:
    """An address as it may be printed and stored: a user's name and password are left out of it.

    Everything between the scheme and the last ``@`` counts as such, since a password that was not
    quoted may hold any sign.
    """
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", text, flags=re.DOTALL)


def parse_endpoint(text: str, protocol: ClientProtocol) -> tuple[str, int]:
    """Host and port from ``host``, ``host:port``, ``[v6]:port`` or an URL without a path.

    Raises:
        InvalidInputError: TG905, it is none of these.
    """
    place = _host_and_port(re.sub(r"^(https?|grpcs?)://", "", text.strip()), protocol)
    if place is None:
        raise InvalidInputError(
            "TG905",
            f"{shown_address(text)!r} is not an address",
            fix="Write it like -u localhost:8000.",
        )
    return place


def _host_and_port(text: str, protocol: ClientProtocol) -> tuple[str, int] | None:
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        return None
    port = int(match[3]) if match[3] else _DEFAULT_PORTS[protocol]
    return (match[1] or match[2], port) if 0 < port < 65_536 else None
