"""Any Triton that runs already, by its address. It is looked at and never started or stopped."""

import time
from collections.abc import Iterator
from typing import Any

from tritongen.errors import EnvironmentProblem
from tritongen.model.business import ClientProtocol
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.progress import Progress
from tritongen.serving.protocol import ServerSpec
from tritongen.triton.address import Endpoint
from tritongen.triton.client import ServerClient
from tritongen.triton.connect import client_for
from tritongen.triton.readiness import model_statuses, wait_for_models
from tritongen.triton.server import Endpoints, ModelStatus, RuntimeName, ServerState

__all__ = ["AttachedRuntime", "AttachedServer"]


class AttachedServer:
    """A server that somebody else runs.

    Args:
        endpoint: of it.
        models: names to ask for; every model of its repository when empty.
    """

    def __init__(self, endpoint: Endpoint, models: tuple[str, ...] = ()) -> None:
        self._endpoint = endpoint
        self._client = client_for(endpoint, timeout=10.0)
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
            server=self._endpoint.address,
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
        address = self._endpoint.address
        grpc = self._endpoint.protocol is ClientProtocol.GRPC
        return Endpoints(grpc=address) if grpc else Endpoints(http=address)

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
        return self._client.metadata().version

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
            raise EnvironmentProblem(
                "TG814", "server does not answer", where=self._endpoint.address
            )


class AttachedRuntime:
    """Looks at a server that runs already.

    Args:
        endpoint: of it.
    """

    name = RuntimeName.ATTACHED

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def preflight(self, spec: ServerSpec) -> tuple[Finding, ...]:  # noqa: ARG002  (it runs already)
        """Whether it answers; what runs already needs nothing else."""
        try:
            reachable = client_for(self._endpoint, timeout=10.0).live()
        except EnvironmentProblem as problem:
            return (finding(problem.code, Severity.ERROR, problem.what),)
        if reachable:
            return ()
        message = f"no server answers at {self._endpoint.address}"
        return (finding("TG814", Severity.ERROR, message),)

    def start(self, spec: ServerSpec) -> AttachedServer:
        """Connects to it and asks for the models of `spec`; nothing is started."""
        return self.connect(spec.models)

    def connect(self, models: tuple[str, ...] = ()) -> AttachedServer:
        """Connects to it without a spec; every model of its repository when none is named.

        Raises:
            EnvironmentProblem: TG814 when it does not answer, TG834 when TLS fails.
        """
        server = AttachedServer(self._endpoint, models)
        if not server.alive():
            raise EnvironmentProblem(
                "TG814", "server does not answer", where=self._endpoint.address
            )
        return server

    def attach_to(self, state: ServerState) -> AttachedServer | None:
        """The server of a state file, with this runtime's TLS and headers; None when it is gone."""
        if state.runtime is not self.name or state.server != self._endpoint.address:
            return None
        server = AttachedServer(self._endpoint, state.models)
        return server if server.alive() else None
