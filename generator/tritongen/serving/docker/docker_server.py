"""A running container, seen from the process that started it or from another one."""

import logging
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritongen.errors import EnvironmentProblem
from tritongen.model.progress import Progress
from tritongen.serving.docker.container_reaper import container_guard
from tritongen.serving.docker.docker_engine import speaking
from tritongen.serving.growing_log import last_text, lines_of, new_log
from tritongen.serving.guard import Guard
from tritongen.system.files import write_atomic
from tritongen.triton.load_reasons import (
    load_failures,
    short_of_memory,
    start_failure,
    telling_lines,
)
from tritongen.triton.readiness import model_statuses, wait_for_models
from tritongen.triton.server import Endpoints, ModelStatus, ServerState

if TYPE_CHECKING:
    from docker.models.containers import Container

    from tritongen.serving.docker.access import EngineAccess
    from tritongen.triton.http_client import HttpClient

__all__ = ["DockerServer", "End"]

_log = logging.getLogger(__name__)
_ANSWER = 10.0  # seconds
_LOG_LINES = 5000
_SHOWN_LINES = 10
_SIGNALLED = 128
# Seconds between two looks at a container that is starting: each costs the engine milliseconds.
_LOOK_EVERY = 0.1
_STUB = "triton_python_backend_stub"
# What a container's state is called while nothing has gone wrong.
_UNDER_WAY = frozenset({"running", "created", "restarting"})


@dataclass(frozen=True, slots=True)
class End:
    """How a container ended.

    Attributes:
        exit_code: of the server.
        out_of_memory: the kernel killed a process of it for lack of memory.
        error: what the engine says, usually nothing.
    """

    exit_code: int
    out_of_memory: bool
    error: str = ""


def _signal_of(exit_code: int) -> str:
    """The signal that an exit code stands for, empty for none."""
    try:
        return signal.Signals(exit_code - _SIGNALLED).name
    except ValueError:
        return ""


class DockerServer:
    """One container that serves, or did.

    Args:
        state: what is known of it.
        engine: that runs it.
        container: the SDK's handle, fetched when it is first wanted where there is none.
        python_backends: backends of its image that run a process for each instance.
        guard: that removes it when this process dies, until `detach`.
        host: address of the engine for a guard, empty for what the environment says.
    """

    def __init__(
        self,
        state: ServerState,
        engine: "EngineAccess",
        *,
        container: "Container | None" = None,
        python_backends: frozenset[str] = frozenset({"python"}),
        guard: Guard | None = None,
        host: str = "",
    ) -> None:
        self._state = state
        self._engine = engine
        self._handle = container
        self._python_backends = python_backends
        self._guard = guard
        self._host = host
        self._looked = 0.0

    @property
    def state(self) -> ServerState:
        """What to remember of it."""
        return self._state

    @property
    def endpoints(self) -> Endpoints:
        """Where it listens."""
        return self._state.endpoints

    def alive(self) -> bool:
        """Whether its container still runs.

        Raises:
            EnvironmentProblem: TG840, the engine does not answer.
        """
        quick = self._engine.status(self._state.container)
        return quick == "running" or self._status() == "running"

    def wait_ready(
        self, timeout: float, progress: Progress | None = None
    ) -> tuple[ModelStatus, ...]:
        """Waits until every expected model is decided; see `RunningServer.wait_ready`."""
        with self._client() as client:
            found = wait_for_models(
                client,
                self._state.models,
                timeout=timeout,
                check_alive=self._check_started,
                read_log=self._log_text,
                progress=progress,
            )
        return self._explained(found)

    def statuses(self) -> tuple[ModelStatus, ...]:
        """The expected models as they are now; see `RunningServer.statuses`."""
        if not self.alive():
            raise self.ended()
        with self._client() as client:
            found, _ = model_statuses(client, self._state.models, self._log_text())
            stubs = self._stubs()
            return self._explained(self._with_dead_stubs(client, status, stubs) for status in found)

    def _client(self) -> "HttpClient":
        # Its import is not for those who only look at the process.
        from tritongen.triton.http_client import HttpClient

        return HttpClient(self.endpoints.http, _ANSWER, headers=self._state.headers())

    def logs(self, lines: int = 50) -> tuple[str, ...]:
        """The last lines of its log, without line ends."""
        return tuple(deque(self._log_text(lines).splitlines(), maxlen=max(0, lines)))

    def follow(self, lines: int = 50) -> Iterator[str]:
        """The log as it grows; see `RunningServer.follow`."""
        import docker.errors

        with speaking(self._state.container):
            try:
                yield from lines_of(self._container.logs(stream=True, follow=True, tail=lines))
            except docker.errors.NotFound:
                return  # it ended before the first look

    def processes(self) -> tuple[tuple[int, str], ...]:
        """Its processes: number on the engine's machine, and command line. None after its end.

        Raises:
            EnvironmentProblem: TG840.
        """
        import docker.errors

        with speaking(self._state.container):
            try:
                table = self._container.top(ps_args="-eo pid,args")
            except docker.errors.APIError:
                return ()
        return tuple((int(row[0]), str(row[-1])) for row in table.get("Processes") or ())

    def mirror_log(self) -> None:
        """Copies the log into the state's file while the container runs and this process lives."""
        threading.Thread(target=self._copy_log, daemon=True).start()

    def detach(self) -> None:
        """From now on the container outlives this process."""
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    def stop(self, grace: float = 30.0) -> None:
        """Ends and removes the container; see `RunningServer.stop`.

        From its first moment on, the death of this process makes a guard finish the work.
        """
        import docker.errors

        seconds = max(1, round(grace))
        if self._guard is None:
            self._guard = container_guard(self._state.server, self._host, seconds)
        with speaking(self._state.container):
            try:
                self._save_log()
                self._container.stop(timeout=seconds)
                self._save_log()
                self._container.remove(force=True, v=True)
            except docker.errors.NotFound:
                pass
            except docker.errors.APIError as error:
                if "is already in progress" not in str(error):
                    raise EnvironmentProblem(
                        "TG816", f"container cannot be removed: {error.explanation}"
                    ) from error
        self._guard.dismiss()
        _log.info("container %s is stopped and removed", self._state.container)

    def ended(self, fallback: str = "TG812") -> EnvironmentProblem:
        """The error for a container that has ended: how, and its last words.

        Args:
            fallback: code when neither the engine nor the log says more.
        """
        end = self._end()
        log = self._log_text()
        code, what = self._cause(end, log, fallback)
        how = f" (exit code {end.exit_code})" if end is not None else ""
        failed = load_failures(log) if code == "TG820" else ()
        return EnvironmentProblem(
            code,
            f"{what}{how}",
            where=f"container {self._state.container[:12]}",
            details=[
                *(f"model {failure.model}: {failure.reason}" for failure in failed),
                *telling_lines(log, _SHOWN_LINES),
            ],
        )

    def _cause(self, end: End | None, log: str, fallback: str) -> tuple[str, str]:
        if end is None:
            return "TG812", "the container is gone"
        if end.out_of_memory and end.exit_code:
            return "TG813", "the kernel ended the server for lack of memory"
        if name := _signal_of(end.exit_code):
            return "TG812", f"the server was ended by {name}"
        code, line = start_failure(log)
        return (fallback if code == "TG810" else code), end.error or line or "the server ended"

    @property
    def _container(self) -> "Container":
        """The SDK's handle. Its exceptions are those of whoever works with it."""
        if self._handle is None:
            self._handle = self._engine.container(self._state.container)
        return self._handle

    def _status(self) -> str:
        """The engine's word for the container's state; ``gone`` when it was removed."""
        import docker.errors

        with speaking(self._state.container):
            try:
                self._container.reload()
            except docker.errors.NotFound:
                return "gone"
        return str(self._container.status)

    def _end(self) -> End | None:
        if self._status() == "gone":
            return None
        state: dict[str, Any] = self._container.attrs["State"]
        return End(
            int(state.get("ExitCode", 0)),
            bool(state.get("OOMKilled")),
            str(state.get("Error") or ""),
        )

    def _check_started(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        if self._engine.status(self._state.container) in _UNDER_WAY:
            return
        if self._status() not in _UNDER_WAY:
            raise self.ended("TG810")

    def _log_text(self, lines: int = _LOG_LINES) -> str:
        import docker.errors

        with speaking(self._state.container):
            try:
                return self._container.logs(tail=max(1, lines)).decode("utf-8", "replace")
            except docker.errors.APIError:
                pass  # it is gone, and its log was saved
        with suppress(OSError, EnvironmentProblem):
            return last_text(Path(self._state.log))
        return ""

    def _copy_log(self) -> None:
        # The file serves those who read on; what ends the copy is told by the container itself.
        with suppress(OSError, EnvironmentProblem), new_log(Path(self._state.log)) as file:
            for chunk in self._engine.log(self._state.container):
                file.write(chunk)

    def _save_log(self) -> None:
        """Keeps the log for `tritongen logs` after the container; a full disk is no obstacle."""
        text = self._container.logs(tail=_LOG_LINES)
        with suppress(EnvironmentProblem):
            write_atomic(Path(self._state.log), text, mode=0o600)

    def _stubs(self) -> dict[str, int]:
        """Backend processes of each model: each names a file of the model's folder."""
        found: dict[str, int] = {}
        for _, command in self.processes():
            match = re.search(rf"{_STUB} /models/([^/]+)/", command)
            if match:
                found[match[1]] = found.get(match[1], 0) + 1
        return found

    def _with_dead_stubs(
        self, client: "HttpClient", status: ModelStatus, stubs: dict[str, int]
    ) -> ModelStatus:
        """Triton calls a model ready whose backend processes died; their count tells."""
        if not status.ready:
            return status
        config = client.model_config(status.name)
        if config.get("backend") not in self._python_backends:
            return status
        wanted = sum(int(group["count"]) for group in config.get("instance_group", ()))
        running = stubs.get(status.name, 0)
        if running >= wanted:
            return status
        reason = f"{wanted - running} of {wanted} backend processes died"
        return ModelStatus(status.name, ready=False, reason=reason, code="TG829")

    def _explained(self, statuses: Iterable[ModelStatus]) -> tuple[ModelStatus, ...]:
        """Backend processes that died while the kernel was short of the container's memory."""
        found = tuple(statuses)
        if all(status.code != "TG829" for status in found):
            return found
        end = self._end()
        return short_of_memory(found) if end is not None and end.out_of_memory else found
