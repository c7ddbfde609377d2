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

# Protocol, whether it means TLS, and the port where none is given: Triton's own, but that of every
# proxy for HTTPS, which Triton does not speak.
_SCHEMES = {
    "http": (ClientProtocol.HTTP, False, 8000),
    "https": (ClientProtocol.HTTP, True, 443),
    "grpc": (ClientProtocol.GRPC, False, 8001),
    "grpcs": (ClientProtocol.GRPC, True, 8001),
}
_PLACE = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::([0-9]{1,5}))?((?:/[A-Za-z0-9._~!$&'()*+;=:%-]+)*)/?"
)
# What every request adds to the address itself.
_DOUBLED = re.compile(r"/(?:v2(?:/(?:models|health|repository)(?:/.*)?)?|metrics)$")


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
                # A key with a password is refused: nobody may be there to type it.
                context.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except OSError as error:  # ssl.SSLError is one
            raise EnvironmentProblem(
                "TG834",
                f"certificates cannot be used: {error}",
                fix="Name files in PEM; a key belongs to its certificate and has no password.",
            ) from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def tls_reason(error: "ssl.SSLError") -> str:
    """Why TLS fails, in OpenSSL's words."""
    if error.reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS on this port"
    return getattr(error, "verify_message", "") or error.reason or str(error)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One port of a server.

    Attributes:
        host: name or address.
        port: of that protocol.
        protocol: HTTP or gRPC.
        tls: None for an open connection.
        streaming: use bidirectional streams, as decoupled models need them.
        path: before that of every request, such as ``/api/x``; empty for none, and over gRPC.
        headers: sent with every request. They may be secret: no state, log or message holds them.
        keys: likewise, but with requests that are measured: those of the project's own server.
    """

    host: str
    port: int
    protocol: ClientProtocol = ClientProtocol.HTTP
    tls: Tls | None = None
    streaming: bool = False
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def address(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def place(self) -> str:
        """The address with its path."""
        return self.address + self.path

    @classmethod
    def parse(
        cls,
        text: str,
        tls: Tls | None = None,
        headers: Mapping[str, str] | None = None,
        protocol: ClientProtocol | None = None,
    ) -> "Endpoint":
        """Reads ``host``, ``host:port`` or ``https://host:port/path``; so http, grpc and grpcs.

        Args:
            text: the address; the port is the scheme's usual one when left out.
            tls: files for a secured connection; needs or implies a secured scheme.
            headers: for every request.
            protocol: where the address has no scheme, which else must agree; None for HTTP.

        Raises:
            InvalidInputError: TG304 when it is no such address.
        """
        shown = shown_address(text)
        scheme, separator, rest = text.strip().partition("://")
        if not separator:
            scheme, rest = f"{protocol or ClientProtocol.HTTP}{'s' if tls else ''}", text.strip()
        if scheme.lower() not in _SCHEMES:
            raise InvalidInputError("TG304", f"address {shown!r} has an unknown scheme")
        found, secured, port = _SCHEMES[scheme.lower()]
        if protocol not in {None, found} or (tls and not secured):
            wanted = "a TLS connection" if protocol in {None, found} else str(protocol)
            raise InvalidInputError("TG304", f"address {shown!r} is not for {wanted}")
        match = _PLACE.fullmatch(rest)
        port = int(match[3]) if match and match[3] else port
        if match is None or not 0 < port < 65_536:
            raise InvalidInputError(
                "TG304",
                f"address {shown!r} is not host:port",
                fix="Write it like localhost:8000 or https://host/path.",
            )
        path = _checked_path(match[4], found, shown)
        trust = (tls or Tls()) if secured else None
        return cls(match[1] or match[2], port, found, trust, path=path, headers=dict(headers or {}))


def _checked_path(path: str, protocol: ClientProtocol, shown: str) -> str:
    if doubled := _DOUBLED.search(path):
        what = f"address {shown!r} ends in {doubled[0]}, which every request adds by itself"
        raise InvalidInputError("TG304", what, fix=f"Leave {doubled[0]} off.")
    if path and protocol is ClientProtocol.GRPC:
        what = f"address {shown!r} has a path, which clients of gRPC do not send"
        raise InvalidInputError("TG304", what, fix="Leave the path off, or use https://.")
    return path


def shown_address(text: str) -> str:
    """An address as it may be printed and stored: a user's name and password are left out of it.

    Everything between the scheme and the last ``@`` counts as such, since a password that was not
    quoted may hold any sign.
    """
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", text, flags=re.DOTALL)


def shown_header(line: str) -> str:
    """A header as it may be printed and stored: its name."""
    name, separator, _ = line.partition(":")
    return f"{name}: ***" if separator else "***"
