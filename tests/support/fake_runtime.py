"""A runtime without a Triton: its server is an HTTP server in this process, with set answers."""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tritongen.errors import EnvironmentProblem
from tritongen.model.findings import Severity, finding
from tritongen.serving.preflight import choose_ports
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.triton.http_client import HttpClient
from tritongen.triton.load_reasons import model_statuses, wait_for_models
from tritongen.triton.server import Endpoints, ModelStatus, RuntimeName, ServerState


class FakeTriton(ThreadingHTTPServer):
    """Answers health, index and readiness as Triton does.

    Args:
        address: host and port.
        models: name → index entry; a model is ready when its entry's state is READY.
        delay: seconds until loading ends; before, every model is LOADING.
    """

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], models: dict[str, dict[str, str]], delay: float = 0.0
    ) -> None:
        super().__init__(address, _Handler)
        self.models = models
        self.ready_at = time.monotonic() + delay
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def entries(self) -> list[dict[str, str]]:
        """The repository index."""
        if time.monotonic() >= self.ready_at:
            return [{"name": name, **entry} for name, entry in self.models.items()]
        return [{"name": name, "version": "1", "state": "LOADING"} for name in self.models]

    def close(self) -> None:
        """Stops listening."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeTriton

    def do_GET(self) -> None:
        if self.path == "/v2/health/live":
            self.answer(200)
        elif self.path == "/v2":
            self.answer(200, {"name": "triton", "version": "0.0.0", "extensions": []})
        elif self.path.startswith("/v2/models/") and self.path.endswith("/ready"):
            name = self.path.split("/")[3]
            ready = any(
                entry["name"] == name and entry.get("state") == "READY"
                for entry in self.server.entries()
            )
            self.answer(200 if ready else 400)
        else:
            self.answer(404, {"error": f"no {self.path}"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, self.server.entries())

    def answer(self, status: int, body: object = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


class FakeServer:
    """A running `FakeTriton`, behind the protocol of a running server."""

    def __init__(self, triton: FakeTriton, state: ServerState) -> None:
        self._triton = triton
        self._state = state
        self.stopped = False

    @property
    def state(self) -> ServerState:
        return self._state

    @property
    def endpoints(self) -> Endpoints:
        return self._state.endpoints

    @property
    def run_line(self) -> str:
        return ""

    def alive(self) -> bool:
        return not self.stopped

    def _check_alive(self) -> None:
        if self.stopped:
            raise EnvironmentProblem("TG812", "the server ended")

    def wait_ready(self, timeout, progress=None) -> tuple[ModelStatus, ...]:
        with HttpClient(self.endpoints.http) as client:
            return wait_for_models(
                client,
                self._state.models,
                timeout=timeout,
                check_alive=self._check_alive,
                read_log=lambda: "",
                progress=progress,
            )

    def statuses(self) -> tuple[ModelStatus, ...]:
        self._check_alive()
        with HttpClient(self.endpoints.http) as client:
            return model_statuses(client, self._state.models, "")[0]

    def logs(self, lines: int = 50) -> tuple[str, ...]:
        return ("started",)[:lines]

    def follow(self, lines: int = 50) -> Iterator[str]:
        return iter(("started",)[:lines])

    def detach(self) -> None:
        """It lives in this process and ends with it."""

    def stop(self, grace: float = 30.0) -> None:  # noqa: ARG002  (the protocol's argument)
        if not self.stopped:
            self._triton.close()
            self.stopped = True


class FakeRuntime:
    """Starts fakes; models that have a folder are ready, those with a file ``broken`` are not."""

    name = RuntimeName.EMBEDDED

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay
        self._servers: dict[str, FakeServer] = {}

    def preflight(self, spec: ServerSpec):
        if spec.repository.is_dir():
            return ()
        return (finding("TG831", Severity.ERROR, "model repository does not exist"),)

    def make_room(self, label: str) -> None:
        """Nothing is left of a fake."""

    def start(self, spec: ServerSpec) -> FakeServer:
        ports = choose_ports(spec.host, Ports(0, 0, 0))
        entries = {}
        for folder in spec.repository.iterdir():
            broken = (folder / "broken").exists()
            entries[folder.name] = (
                {"version": "1", "state": "UNAVAILABLE", "reason": "Internal: broken on purpose"}
                if broken
                else {"version": "1", "state": "READY"}
            )
        triton = FakeTriton((spec.host, ports.http), entries, self._delay)
        state = ServerState(
            runtime=self.name,
            label=spec.label,
            server=secrets.token_hex(4),
            pid=0,
            start_ticks=0,
            boot_id="",
            container="",
            endpoints=Endpoints(f"{spec.host}:{ports.http}"),
            models=spec.models,
            repository=str(spec.repository),
            log=str(spec.log),
            version="0.0.0",
            started=0.0,
        )
        server = FakeServer(triton, state)
        self._servers[state.server] = server
        return server

    def attach_to(self, state: ServerState) -> FakeServer | None:
        server = self._servers.get(state.server)
        return server if server is not None and server.alive() else None
