"""Any Triton that runs already, by its address. It is looked at and never started or stopped."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.progress import Progress
from tritongen.serving.protocol import ServerSpec
from tritongen.triton.address import shown_address
from tritongen.triton.grpc_client import GrpcClient
from tritongen.triton.http_client import HttpClient, ServerClient, Tls
from tritongen.triton.readiness import model_statuses, wait_for_models
from tritongen.triton.server import Endpoints, ModelStatus, RuntimeName, ServerState

__all__ = ["Address", "AttachedRuntime", "AttachedServer"]

_SCHEMES = {
    "http": (False, False),
    "https": (False, True),
    "grpc": (True, False),
    "grpcs": (True, True),
}
_HTTP_PORT = 8000
_GRPC_PORT = 8001


@dataclass(frozen=True, slots=True)
class Address:
    """Where and how a server is reached.

    Attributes:
        host: ``host:port``.
        grpc: gRPC instead of HTTP.
        tls: None for an open connection.
        headers: sent with every request. They may be secret: no state, log or message holds them.
    """

    host: str
    grpc: bool = False
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(
        cls, text: str, tls: Tls | None = None, headers: Mapping[str, str] | None = None
    ) -> "Address":
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
        grpc, secured = _SCHEMES[scheme]
        if tls and not secured:
            raise InvalidInputError("TG304", f"address {shown!r} is not for a TLS connection")
        try:
            parts = urlsplit(f"//{rest}")
            port = parts.port or (_GRPC_PORT if grpc else _HTTP_PORT)
        except ValueError:
            raise InvalidInputError("TG304", f"address {shown!r}: its port is no number") from None
        if not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise InvalidInputError("TG304", f"address {shown!r} is not host:port")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        security = (tls or Tls()) if secured else None
        return cls(f"{host}:{port}", grpc, security, dict(headers or {}))

    def client(self, timeout: float = 60.0) -> ServerClient:
        """A client for it; nothing is sent yet."""
        kind = GrpcClient if self.grpc else HttpClient
        return kind(self.host, timeout, self.tls, self.headers)


class AttachedServer:
    """A server that somebody else runs.

    Args:
        address: of it.
        models: names to ask for; every model of its repository when empty.
    """

    def __init__(self, address: Address, models: tuple[str, ...] = ()) -> None:
        self._address = address
        self._client = address.client(timeout=10.0)
        self._models = models
        self._version = ""

    @property
    def client(self) -> ServerClient:
        """For everything else that can be asked of it: metadata, configuration, statistics."""
        return self._client

    @property
    def state(self) -> ServerState:
        """What may be remembered of it: its address, and none of its headers."""
        return ServerState(
            runtime=RuntimeName.ATTACHED,
            label="",
            server=self._address.host,
            pid=0,
            start_ticks=0,
            boot_id="",
            container="",
            endpoints=self.endpoints,
            models=self._models,
            repository="",
            log="",
            version=self._version,
            started=time.time(),
        )

    @property
    def endpoints(self) -> Endpoints:
        """The one address that is known."""
        host = self._address.host
        return Endpoints(grpc=host) if self._address.grpc else Endpoints(http=host)

    def alive(self) -> bool:
        """Whether it answers."""
        return self._client.live()

    def wait_ready(
        self, timeout: float, progress: Progress | None = None
    ) -> tuple[ModelStatus, ...]:
        """Waits until every expected model is decided; see `RunningServer.wait_ready`."""
        found = wait_for_models(
            self._client,
            self._expected(),
            timeout=timeout,
            check_alive=self._check_alive,
            read_log=lambda: "",
            progress=progress,
        )
        self._version = self.version()
        return found

    def statuses(self) -> tuple[ModelStatus, ...]:
        """The expected models as they are now; see `RunningServer.statuses`."""
        self._check_alive()
        return model_statuses(self._client, self._expected(), "")[0]

    def version(self) -> str:
        """Triton's version.

        Raises:
            EnvironmentProblem: TG814 when it does not answer.
        """
        return str(self._client.metadata()["version"])

    def config(self, model: str) -> dict[str, Any]:
        """The configuration that it serves a model with, for a comparison with the one on disk.

        Raises:
            EnvironmentProblem: TG814, or TG815 when it has no such model.
        """
        return self._client.model_config(model)

    def logs(self, lines: int = 50) -> tuple[str, ...]:  # noqa: ARG002  (the protocol's argument)
        """Nothing: its log is not within reach."""
        return ()

    def follow(self, lines: int = 50) -> Iterator[str]:  # noqa: ARG002  (the protocol's argument)
        """Nothing: its log is not within reach."""
        return iter(())

    def detach(self) -> None:
        """Nothing: it is independent of this process anyway."""

    def stop(self, grace: float = 30.0) -> None:  # noqa: ARG002  (the protocol's argument)
        """Closes the connection; the server is not this tool's to stop."""
        self._client.close()

    def _expected(self) -> tuple[str, ...]:
        if self._models:
            return self._models
        return tuple(sorted({entry.name for entry in self._client.index()}))

    def _check_alive(self) -> None:
        if not self._client.live():
            raise EnvironmentProblem("TG814", "server does not answer", where=self._address.host)


class AttachedRuntime:
    """Looks at a server that runs already.

    Args:
        address: of it.
    """

    name = RuntimeName.ATTACHED

    def __init__(self, address: Address) -> None:
        self._address = address

    def preflight(self, spec: ServerSpec) -> tuple[Finding, ...]:  # noqa: ARG002  (it runs already)
        """Whether it answers; what runs already needs nothing else."""
        try:
            reachable = self._address.client(timeout=10.0).live()
        except EnvironmentProblem as problem:
            return (finding(problem.code, Severity.ERROR, problem.what),)
        if reachable:
            return ()
        message = f"no server answers at {self._address.host}"
        return (finding("TG814", Severity.ERROR, message),)

    def start(self, spec: ServerSpec) -> AttachedServer:
        """Connects to it and asks for the models of `spec`; nothing is started."""
        return self.connect(spec.models)

    def connect(self, models: tuple[str, ...] = ()) -> AttachedServer:
        """Connects to it without a spec; every model of its repository when none is named.

        Raises:
            EnvironmentProblem: TG814 when it does not answer, TG834 when TLS fails.
        """
        server = AttachedServer(self._address, models)
        if not server.alive():
            raise EnvironmentProblem("TG814", "server does not answer", where=self._address.host)
        return server

    def attach_to(self, state: ServerState) -> AttachedServer | None:
        """The server of a state file, with this runtime's TLS and headers; None when it is gone."""
        if state.runtime is not self.name or state.server != self._address.host:
            return None
        server = AttachedServer(self._address, state.models)
        return server if server.alive() else None
