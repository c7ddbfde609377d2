"""A running embedded server, seen from the process that started it or from another one."""

import logging
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from tritongen.errors import EnvironmentProblem
from tritongen.serving import reaper
from tritongen.serving.embedded.layout import BACKENDS
from tritongen.serving.growing_log import follow_file, last_text
from tritongen.serving.reaper import Guard
from tritongen.serving.running_server import STUB, RunningServer, end_problem
from tritongen.system.machine import oom_kills
from tritongen.system.process_files import command_line
from tritongen.system.processes import SERVER, ProcessRef, region_prefix
from tritongen.triton.load_reasons import start_failure
from tritongen.triton.server import ServerState

# Between the end of a process's memory, with its marks, and its own.
_LAST_MOMENT_S = 5.0
_log = logging.getLogger(__name__)


class EmbeddedServer(RunningServer):
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
        super().__init__(state, BACKENDS, guard)
        self._process = process
        self._reference = ProcessRef(state.pid, state.start_ticks)
        self._marker = f"{SERVER}={state.server}"
        self._oom_kills = oom_kills()

    def alive(self) -> bool:
        """Whether its process still runs."""
        if self._process is not None:
            return self._process.poll() is None
        return self._reference.alive()

    def follow(self, lines: int = 50) -> Iterator[str]:
        """The log as it grows; see `RunningServer.follow`."""
        return follow_file(Path(self.state.log), lines, self.alive)

    def stop(self, grace: float = 30.0) -> None:
        """Ends it with all its children and removes its shared memory; see `RunningServer.stop`."""
        gone = reaper.end(self._marker, region_prefix(self.state.server), grace)
        # A process that is ending loses its marks a moment before it is gone.
        gone = gone and self._reference.wait(_LAST_MOMENT_S)
        if self._process is not None and gone:
            self._process.wait()
        if not gone:
            left = ", ".join(str(pid) for pid in reaper.marked(self._marker))
            raise EnvironmentProblem("TG816", f"processes {left} cannot be ended")
        self.detach()
        _log.info("tritonserver of %s has ended", self.state.repository)

    def ended(self) -> EnvironmentProblem:
        """The error for a server that is gone: how it ended, and its last words."""
        return self._ended("TG812", "the server ended", self._log_text())

    def _ended(self, code: str, what: str, log: str) -> EnvironmentProblem:
        how = ""
        exit_code = self._process.poll() if self._process is not None else None
        if exit_code is not None and exit_code < 0:
            # Whatever the log says, it was not the server's own decision to end.
            how = f" (killed by {signal.Signals(-exit_code).name})"
            code, what = "TG812", "the server ended"
            if exit_code == -signal.SIGKILL and self._lacked_memory():
                code, what = "TG813", "the kernel ended the server for lack of memory"
        elif exit_code is not None:
            how = f" (exit code {exit_code})"
        return end_problem(code, f"{what}{how}", self.state.log, log)

    def _log_text(self, lines: int | None = None) -> str:  # noqa: ARG002  (it is read in one piece)
        with suppress(OSError, EnvironmentProblem):
            return last_text(Path(self.state.log))
        return ""

    def _check_started(self) -> None:
        if not self.alive():
            log = self._log_text()
            code, line = start_failure(log)
            raise self._ended(code, line or "the server ended", log)

    def _lacked_memory(self) -> bool:
        return oom_kills() > self._oom_kills

    def _stubs(self) -> Mapping[str, int]:
        """Backend processes of each model: each names a file of the model's folder."""
        # The repository may have been given by a link; see `plain_path`.
        folders = {
            (name, Path(self.state.repository, name).resolve()): name for name in self.state.models
        }
        found: Counter[str] = Counter()
        for pid in reaper.marked(self._marker):
            program, *arguments = command_line(pid) or [b""]
            if STUB.encode() in program:
                above = Path(os.fsdecode(arguments[0])).parents
                places = {(part.name, part.resolve()) for part in above}
                found.update(name for place, name in folders.items() if place in places)
        return found
