"""A running embedded server, seen from the process that started it or from another one."""

import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.errors import EnvironmentProblem
from tritongen.model.progress import Progress
from tritongen.serving import reaper
from tritongen.serving.growing_log import follow_file, last_text
from tritongen.serving.guard import Guard
from tritongen.system.cgroups import oom_kills
from tritongen.system.process_files import command_line
from tritongen.system.processes import SERVER, ProcessRef, region_prefix
from tritongen.triton.load_reasons import (
    load_failures,
    short_of_memory,
    start_failure,
    telling_lines,
)
from tritongen.triton.readiness import model_statuses, wait_for_models
from tritongen.triton.server import Endpoints, ModelStatus, ServerState

if TYPE_CHECKING:
    from tritongen.triton.http_client import HttpClient

__all__ = ["EmbeddedServer"]

_log = logging.getLogger(__name__)
_LAST_MOMENT = 5.0  # seconds
_ANSWER = 10.0  # seconds
_STUB = b"triton_python_backend_stub"


class EmbeddedServer:
    """One tritonserver process with its children.

    Args:
        state: what is known of it.
        process: the child, when this process started it.
        guard: that ends it when this process dies, until `detach`.
    """

    def __init__(
        self,
        state: ServerState,
        process: subprocess.Popen[bytes] | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._state = state
        self._process = process
        self._guard = guard
        self._reference = ProcessRef(state.pid, state.start_ticks)
        self._oom_kills = oom_kills()

    @property
    def state(self) -> ServerState:
        """What to remember of it."""
        return self._state

    @property
    def endpoints(self) -> Endpoints:
        """Where it listens."""
        return self._state.endpoints

    def alive(self) -> bool:
        """Whether its process still runs."""
        if self._process is not None:
            return self._process.poll() is None
        return self._reference.alive()

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
            raise self._ended("TG812", "the server ended")
        with self._client() as client:
            found, _ = model_statuses(client, self._state.models, self._log_text())
            return self._explained(tuple(self._with_dead_stubs(client, item) for item in found))

    def _client(self) -> "HttpClient":
        # Its import is not for those who only look at the process.
        from tritongen.triton.http_client import HttpClient

        return HttpClient(self.endpoints.http, _ANSWER, headers=self._state.headers())

    def logs(self, lines: int = 50) -> tuple[str, ...]:
        """The last lines of its log, without line ends."""
        return tuple(deque(self._log_text().splitlines(), maxlen=max(0, lines)))

    def follow(self, lines: int = 50) -> Iterator[str]:
        """The log as it grows; see `RunningServer.follow`."""
        return follow_file(Path(self._state.log), lines, self.alive)

    def detach(self) -> None:
        """From now on the server outlives this process."""
        if self._guard is not None:
            self._guard.dismiss()

    def stop(self, grace: float = 30.0) -> None:
        """Ends it with all its children and removes its shared memory; see `RunningServer.stop`."""
        marker = f"{SERVER}={self._state.server}"
        gone = reaper.end(marker, region_prefix(self._state.server), grace)
        # A process that is ending loses its marks a moment before it is gone.
        gone = gone and self._reference.wait(_LAST_MOMENT)
        if self._process is not None and gone:
            self._process.wait()
        if not gone:
            left = ", ".join(str(pid) for pid in reaper.marked(marker))
            raise EnvironmentProblem("TG816", f"processes {left} cannot be ended")
        self.detach()
        _log.info("tritonserver of %s has ended", self._state.repository)

    def _log_text(self) -> str:
        with suppress(OSError, EnvironmentProblem):
            return last_text(Path(self._state.log))
        return ""

    def _check_started(self) -> None:
        if self.alive():
            return
        code, line = start_failure(self._log_text())
        raise self._ended(code, line or "the server ended")

    def _ended(self, code: str, what: str) -> EnvironmentProblem:
        """The error for a server that is gone: how it ended, and its last words."""
        how = ""
        exit_code = self._process.poll() if self._process is not None else None
        if exit_code is not None and exit_code < 0:
            # Whatever the log says, it was not the server's own decision to end.
            how = f" (killed by {signal.Signals(-exit_code).name})"
            code, what = "TG812", "the server ended"
            if exit_code == -signal.SIGKILL and oom_kills() > self._oom_kills:
                code, what = "TG813", "the kernel ended the server for lack of memory"
        elif exit_code is not None:
            how = f" (exit code {exit_code})"
        log = self._log_text()
        failed = load_failures(log) if code == "TG820" else ()
        return EnvironmentProblem(
            code,
            f"{what}{how}",
            where=self._state.log,
            details=[
                *(f"model {failure.model}: {failure.reason}" for failure in failed),
                *telling_lines(log, 10),
            ],
        )

    def _explained(self, statuses: tuple[ModelStatus, ...]) -> tuple[ModelStatus, ...]:
        """Backend processes that died while this process looked on and memory was short."""
        return short_of_memory(statuses) if oom_kills() > self._oom_kills else statuses

    def _with_dead_stubs(self, client: "HttpClient", status: ModelStatus) -> ModelStatus:
        """Triton calls a model ready whose backend processes died; their count tells."""
        if not status.ready:
            return status
        config = client.model_config(status.name)
        wanted = sum(int(group["count"]) for group in config.get("instance_group", ()))
        running = self._stubs(status.name)
        if running >= wanted:
            return status
        reason = f"{wanted - running} of {wanted} backend processes died"
        return ModelStatus(status.name, ready=False, reason=reason, code="TG829")

    def _stubs(self, model: str) -> int:
        """Backend processes of one model: each names a file of the model's folder."""
        folder = Path(self._state.repository, model).resolve()
        count = 0
        for pid in reaper.marked(f"{SERVER}={self._state.server}"):
            program, *arguments = command_line(pid) or [b""]
            if _STUB in program:
                # The repository may have been given by a link; see `plain_path`.
                above = Path(os.fsdecode(arguments[0])).parents
                count += any(part.name == model and part.resolve() == folder for part in above)
        return count
