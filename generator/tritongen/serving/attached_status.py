"""A server that somebody else runs: what it is, what it serves, and how far that is the disk's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.errors import InvalidInputError, describe_error
from tritongen.model.business import ClientProtocol
from tritongen.model.findings import Finding
from tritongen.serving.attached import AttachedRuntime
from tritongen.serving.drift import repository_drift
from tritongen.triton.address import Endpoint, Tls
from tritongen.triton.http_client import HttpClient
from tritongen.triton.server import Endpoints, ModelStatus
from tritongen.triton.server_state import own_headers

__all__ = ["AttachOptions", "AttachedStatus", "attached_status", "own_drift"]


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """How a server elsewhere is reached.

    Attributes:
        url: ``host:port``, or with ``http://``, ``https://``, ``grpc://`` or ``grpcs://``.
        authority: PEM file of the authorities to trust.
        certificate: PEM file of the client's own certificate.
        key: PEM file of its private key.
        insecure: accept any certificate.
        headers: ``NAME: VALUE`` each, such as those of restricted APIs.
        header_file: a file with one such line each, which keeps secrets off the command line.
        project: whose own server's key is sent to that server without being asked for.
    """

    url: str
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False
    headers: tuple[str, ...] = ()
    header_file: Path | None = None
    project: Path = Path()

    def endpoint(self) -> Endpoint:
        """The address with TLS and headers.

        Raises:
            InvalidInputError: TG304, it is none; TG003, the file of headers cannot be read.
        """
        given = (self.authority, self.certificate, self.key)
        secured = self.insecure or any(item is not None for item in given)
        tls = Tls(*given, verify=not self.insecure) if secured else None
        found = Endpoint.parse(self.url, tls, self._headers())
        grpc = found.protocol is ClientProtocol.GRPC
        known = own_headers(self.project, found.address, grpc=grpc)
        return replace(found, headers={**known, **found.headers})

    def _headers(self) -> Mapping[str, str]:
        lines = list(self.headers)
        if self.header_file is not None:
            try:
                text = self.header_file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as problem:
                raise InvalidInputError(
                    "TG003",
                    f"cannot be read: {describe_error(problem)}",
                    where=str(self.header_file),
                ) from problem
            lines += [line for line in text.splitlines() if line.strip()]
        found = {}
        for number, line in enumerate(lines, 1):
            name, separator, value = line.partition(":")
            if not separator or not _is_token(name.strip()) or not value.strip().isprintable():
                # The line may be a secret that was put in the wrong place: it is not repeated.
                raise InvalidInputError("TG304", f"header {number} is not NAME: VALUE")
            found[name.strip()] = value.strip()
        return found


def _is_token(name: str) -> bool:
    return bool(name) and all(part.isalnum() for part in name.replace("_", "-").split("-"))


@dataclass(frozen=True, slots=True)
class AttachedStatus:
    """A server that runs elsewhere.

    Attributes:
        endpoints: the one address that is known.
        version: of Triton.
        models: every model of its repository.
        drift: against the repository on disk; empty when there is none to compare with.
    """

    endpoints: Endpoints
    version: str
    models: tuple[ModelStatus, ...]
    drift: tuple[Finding, ...]


def attached_status(connection: AttachOptions, repository: Path | None) -> AttachedStatus:
    """What a server says of itself.

    Args:
        connection: to it.
        repository: to compare with; None compares nothing.

    Raises:
        InvalidInputError: TG304, the address or a header is none.
        EnvironmentProblem: TG814 it does not answer, TG815 it refuses, TG834 TLS fails.
    """
    server = AttachedRuntime(connection.endpoint()).connect()
    try:
        drift = repository_drift(server.client, repository) if repository is not None else ()
        return AttachedStatus(server.endpoints, server.version(), server.statuses(), drift)
    finally:
        server.stop()


def own_drift(
    endpoints: Endpoints, repository: Path, headers: Mapping[str, str]
) -> tuple[Finding, ...]:
    """How the project's own server differs from the repository that it was started on.

    Args:
        endpoints: of the server.
        repository: to compare with.
        headers: that open its list of models.

    Raises:
        EnvironmentProblem: TG814.
    """
    if not repository.is_dir():
        return ()
    with HttpClient(endpoints.http, 10.0, headers=headers) as client:
        return repository_drift(client, repository)
