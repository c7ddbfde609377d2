"""A running container, seen from the process that started it or from another one."""

import logging
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritongen.errors import EnvironmentProblem
from tritongen.serving.docker.container_reaper import container_guard
from tritongen.serving.docker.docker_engine import remove_container, speaking
from tritongen.serving.growing_log import last_text, lines_of, new_log
from tritongen.serving.reaper import Guard
from tritongen.serving.running_server import STUB, RunningServer, end_problem
from tritongen.system.files import write_atomic
from tritongen.triton.load_reasons import start_failure
from tritongen.triton.server import ServerState

if TYPE_CHECKING:
    from docker.models.containers import Container

    from tritongen.serving.docker.docker_engine import DockerEngine


_log = logging.getLogger(__name__)
_LOG_LINES = 5000
_SIGNALLED = 128  # what an engine adds to a signal's number
# Between two looks at a container that is starting: each costs the engine milliseconds.
_LOOK_EVERY_S = 0.1
_STUB_OF_MODEL = re.compile(rf"{STUB} /models/([^/]+)/")
# What a container's state is called while nothing has gone wrong.
_UNDER_WAY = frozenset({"running", "created", "restarting"})


def _signal_of(exit_code: int) -> str:
    """The signal that an exit code stands for, empty for none."""
    try:
        return signal.Signals(exit_code - _SIGNALLED).name
    except ValueError:
        return ""


class DockerServer(RunningServer):
    """One container that serves, or did.

    Args:
        state: what is known of it.
        engine: that runs it.
        python_backends: backends of its image that run a process for each instance.
        container: the package's handle on it, fetched when it is first wanted.
        guard: that removes it when this process dies, until `detach`.
        run_line: the ``docker run`` command that starts the same container; empty when not known.
    """

    def __init__(
        self,
        state: ServerState,
        engine: "DockerEngine",
        python_backends: frozenset[str],
        *,
        container: "Container | None" = None,
        guard: Guard | None = None,
        run_line: str = "",
    ) -> None:
        super().__init__(state, python_backends, guard, run_line)
        self._engine = engine
        self._handle = container
        self._looked = 0.0

    def alive(self) -> bool:
        """Whether its container still runs.

        Raises:
            EnvironmentProblem: TG840, the engine does not answer.
        """
        return self._status() == "running"

    def follow(self, lines: int = 50) -> Iterator[str]:
        """The log as it grows; see `RunningServer.follow`."""
        import docker.errors

        with speaking(self.state.container):
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

        with speaking(self.state.container):
            try:
                table = self._container.top(ps_args="-eo pid,args")
            except docker.errors.APIError:
                return ()
        return tuple((int(row[0]), str(row[-1])) for row in table.get("Processes") or ())

    def mirror_log(self) -> None:
        """Copies the log into the state's file while the container runs and this process lives."""
        threading.Thread(target=self._copy_log, daemon=True).start()

    def stop(self, grace: float = 30.0) -> None:
        """Ends and removes the container; see `RunningServer.stop`.

        From its first moment on, the death of this process makes a guard finish the work.
        """
        seconds = max(1, round(grace))
        if self._guard is None:
            self._guard = container_guard(self.state.server, self._engine.host(), seconds)
        container = self._engine.container(self.state.container)
        if container is not None:
            remove_container(container, seconds, self._save_log)
        self._guard.dismiss()
        _log.info("container %s is stopped and removed", self.state.container)

    def ended(self) -> EnvironmentProblem:
        """The error for a container that has ended: how, and its last words."""
        return self._ended("TG812")

    def _ended(self, fallback: str) -> EnvironmentProblem:
        """The same, with a code for when neither the engine nor the log says more."""
        end, log = self._end(), self._log_text()
        code, what = _cause(end, log, fallback)
        how = f" (exit code {end.get('ExitCode', 0)})" if end is not None else ""
        return end_problem(code, f"{what}{how}", f"container {self.state.container[:12]}", log)

    @property
    def _container(self) -> "Container":
        """The package's handle. Its exceptions are those of whoever works with it."""
        if self._handle is None:
            self._handle = self._engine.client().containers.get(self.state.container)
        return self._handle

    def _status(self) -> str:
        """The engine's word for the container's state; ``gone`` when it was removed."""
        return self._engine.status(self.state.container) or self._looked_at()

    def _looked_at(self) -> str:
        """The same, with all that the engine knows of the container now."""
        import docker.errors

        with speaking(self.state.container):
            try:
                self._container.reload()
            except docker.errors.NotFound:
                return "gone"
        return str(self._container.status)

    def _end(self) -> Mapping[str, Any] | None:
        """The engine's words for how it ended; None when it was removed."""
        return None if self._looked_at() == "gone" else dict(self._container.attrs["State"])

    def _check_started(self) -> None:
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            if self._status() not in _UNDER_WAY:
                raise self._ended("TG810")

    def _log_text(self, lines: int | None = None) -> str:
        import docker.errors

        with speaking(self.state.container):
            try:
                text: bytes = self._container.logs(tail=lines or _LOG_LINES)
                return text.decode("utf-8", "replace")
            except docker.errors.APIError:
                pass  # it is gone, and its log was saved
        with suppress(OSError, EnvironmentProblem):
            return last_text(Path(self.state.log))
        return ""

    def _copy_log(self) -> None:
        # The file serves those who read on; what ends the copy is told by the container itself.
        ended = (OSError, HTTPException, EnvironmentProblem)
        with suppress(*ended), new_log(Path(self.state.log)) as file:
            for chunk in self._engine.log(self.state.container):
                file.write(chunk)

    def _save_log(self) -> None:
        """Keeps the log for `tritongen logs` after the container; a full disk is no obstacle."""
        text = self._container.logs(tail=_LOG_LINES)
        with suppress(EnvironmentProblem):
            write_atomic(Path(self.state.log), text, mode=0o600)

    def _stubs(self) -> Mapping[str, int]:
        """Backend processes of each model: each names a file of the model's folder."""
        matches = (_STUB_OF_MODEL.search(command) for _, command in self.processes())
        return Counter(match[1] for match in matches if match)

    def _lacked_memory(self) -> bool:
        end = self._end()
        return end is not None and bool(end.get("OOMKilled"))


def _cause(end: Mapping[str, Any] | None, log: str, fallback: str) -> tuple[str, str]:
    """Code and words for the end of a container."""
    if end is None:
        return "TG812", "the container is gone"
    exit_code = int(end.get("ExitCode", 0))
    if end.get("OOMKilled") and exit_code:
        return "TG813", "the kernel ended the server for lack of memory"
    if name := _signal_of(exit_code):
        return "TG812", f"the server was ended by {name}"
    code, line = start_failure(log)
    said = str(end.get("Error") or "")
    return (fallback if code == "TG810" else code), said or line or "the server ended"
