"""gRPC's channel over TLS, to servers whose certificate nobody vouches for, too."""

import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tritongen.errors import EnvironmentProblem
from tritongen.triton.address import Tls, tls_reason

Options = list[tuple[str, int | str]]


def call_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as gRPC takes them, whose names have no capitals; to HTTP they are the same."""
    return {name.lower(): value for name, value in headers.items()}


def channel_credentials(address: str, tls: Tls, seconds: float) -> tuple[Any, Options]:
    """Credentials for a channel, and the options that belong to them.

    gRPC verifies every certificate. Where none is to be verified, the one that the server shows now
    is fetched first, and trusted for the name that stands in it.

    Args:
        address: ``host:port``.
        tls: whom to trust.
        seconds: for each of the two connections that fetch a certificate.

    Raises:
        EnvironmentProblem: TG834, a file or the server's certificate cannot be used; TG814, there
            is no server to ask for it.
    """
    import grpc

    context = tls.context()  # says which file cannot be used; gRPC would not
    files = (tls.authority, tls.key or tls.certificate, tls.certificate)
    roots, key, chain = (file.read_bytes() if file is not None else None for file in files)
    options: Options = []
    if not tls.verify:
        shown, name = _shown_certificate(address, context, tls, seconds)
        roots, options = shown.encode(), [("grpc.ssl_target_name_override", name)]
    return grpc.ssl_channel_credentials(roots, key, chain), options


def _shown_certificate(
    address: str, anything: ssl.SSLContext, tls: Tls, seconds: float
) -> tuple[str, str]:
    """The certificate of a server in PEM, and a name that it is for."""
    try:
        with _connected(address, anything, seconds) as connection:
            shown = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")
        exactly = tls.context()
        exactly.verify_mode = ssl.CERT_REQUIRED
        exactly.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        exactly.load_verify_locations(cadata=shown)
        with _connected(address, exactly, seconds) as connection:
            found = connection.getpeercert() or {}
    except ssl.SSLError as problem:
        raise _unusable(address, tls_reason(problem)) from problem
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        what = f"server cannot be reached: {reason}"
        raise EnvironmentProblem("TG814", what, where=address) from problem
    name = _name(found)
    if not name:
        raise _unusable(address, "it is for no name")
    return shown, name


def handshake_fault(address: str, tls: Tls, seconds: float) -> str:
    """Why TLS fails, which gRPC's library does not say; empty where it does not."""
    try:
        _connected(address, tls.context(), seconds).close()
    except ssl.SSLError as problem:
        return tls_reason(problem)
    except OSError:
        pass
    return ""


def _connected(address: str, context: ssl.SSLContext, seconds: float) -> ssl.SSLSocket:
    parts = urlsplit(f"//{address}")
    plain = socket.create_connection((parts.hostname, parts.port), seconds)
    try:
        return context.wrap_socket(plain, server_hostname=parts.hostname)
    except BaseException:
        plain.close()
        raise


def _name(certificate: Mapping[str, Any]) -> str:
    """A name that a certificate is for; gRPC looks at the subject only where there is no other."""
    subject = [item for part in certificate.get("subject", ()) for item in part]
    names = [
        str(value)
        for kind, value in certificate.get("subjectAltName", ()) or subject
        if kind in {"DNS", "IP Address", "commonName"}
    ]
    return names[0].replace("*", "any", 1) if names else ""


def _unusable(address: str, reason: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        "TG834",
        f"gRPC cannot trust the server's certificate even unverified: {reason}",
        where=address,
        fix="Renew the certificate with a name, or ask over HTTP (https://), which can skip this.",
    )
