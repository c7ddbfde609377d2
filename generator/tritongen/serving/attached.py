"""Any Triton that runs already: it is looked at and never started or stopped.

What it serves, and how far that is what lies on the disk.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.model.client_protocol import ClientProtocol
from tritongen.model.findings import Finding
from tritongen.serving.served_config import listed_models, repository_drift
from tritongen.triton.address import Endpoint
from tritongen.triton.connect import client_for
from tritongen.triton.http_client import HttpClient
from tritongen.triton.load_reasons import model_statuses
from tritongen.triton.server import Endpoints, ModelStatus, RuntimeName, ServerState

_ANSWER_S = 10.0


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


def attached_status(endpoint: Endpoint, repository: Path | None) -> ServerStatus:
    """What a server says of itself.

    Args:
        endpoint: of the server.
        repository: to compare with; None compares nothing.

    Raises:
        EnvironmentProblem: TG814 it does not answer, TG815 it refuses, TG834 TLS fails; see
            `ClientBase` for more.
    """
    with closing(client_for(endpoint, _ANSWER_S)) as client:
        if not client.says_live():
            raise EnvironmentProblem("TG814", "server does not answer", where=endpoint.address)
        drift = repository_drift(client, repository) if repository is not None else ()
        version = client.metadata().version
        names = sorted({name for name, _ in listed_models(client, repository)})
        models, _ = model_statuses(client, names, "")
    grpc = endpoint.protocol is ClientProtocol.GRPC
    place = endpoint.place
    ends = Endpoints(grpc=place) if grpc else Endpoints(http=place)
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
