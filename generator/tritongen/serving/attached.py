"""Any Triton that runs already: it is looked at and never started or stopped.

How it is reached, what it serves, and how far that is what lies on the disk.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tritongen.errors import EnvironmentProblem, InvalidInputError, describe_error
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.findings import Finding
from tritongen.serving.served_config import listed_models, repository_drift
from tritongen.triton.address import Endpoint, Tls
from tritongen.triton.connect import client_for
from tritongen.triton.http_client import HttpClient
from tritongen.triton.load_reasons import model_statuses
from tritongen.triton.server import Endpoints, ModelStatus, RuntimeName, ServerState
from tritongen.triton.server_state import own_endpoint

_ANSWER_S = 10.0


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
        return own_endpoint(self.project, Endpoint.parse(self.url, tls, self._headers()))

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
class ServerStatus:
    """A server as it is now.

    Attributes:
        runtime: where it runs.
        endpoints: where it listens, as far as it is known.
        version: of Triton.
        models: those expected of the project's own server, every one of another's repository.
        drift: against the repository on disk; empty when there is none to compare with.
        repository: that the own server was started on, or another is compared with; empty for none.
        log: of the project's own server.
    """

    runtime: RuntimeName
    endpoints: Endpoints
    version: str
    models: tuple[ModelStatus, ...]
    drift: tuple[Finding, ...]
    repository: str
    log: str = ""


def attached_status(connection: AttachOptions, repository: Path | None) -> ServerStatus:
    """What a server says of itself.

    Args:
        connection: to it.
        repository: to compare with; None compares nothing.

    Raises:
        InvalidInputError: TG304, the address or a header is none.
        EnvironmentProblem: TG814 it does not answer, TG815 it refuses, TG834 TLS fails.
    """
    endpoint = connection.endpoint()
    address = endpoint.address
    with closing(client_for(endpoint, _ANSWER_S)) as client:
        if not client.live():
            raise EnvironmentProblem("TG814", "server does not answer", where=address)
        drift = repository_drift(client, repository) if repository is not None else ()
        version = client.metadata().version
        names = sorted({name for name, _ in listed_models(client, repository)})
        models, _ = model_statuses(client, names, "")
    grpc = endpoint.protocol is ClientProtocol.GRPC
    ends = Endpoints(grpc=address) if grpc else Endpoints(http=address)
    return ServerStatus(RuntimeName.ATTACHED, ends, version, models, drift, str(repository or ""))


def own_drift(state: ServerState, repository: Path) -> tuple[Finding, ...]:
    """How the project's own server differs from a repository on disk; none where there is none.

    Raises:
        EnvironmentProblem: TG814.
    """
    if not repository.is_dir():
        return ()
    with HttpClient(state.endpoints.http, _ANSWER_S, headers=state.headers()) as client:
        return repository_drift(client, repository)
