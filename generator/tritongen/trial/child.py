"""A child process that runs what is the user's: started, watched, and ended whole.

What the child does for that itself is in `trial.confinement`.
"""

import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import IO

import tritongen
from tritongen.system.machine import require_linux
from tritongen.system.process_files import descendants
from tritongen.system.process_usage import resident_bytes_of
from tritongen.system.processes import module_command, module_environment
from tritongen.trial.confinement import FOLDERS

_log = logging.getLogger(__name__)
_POLL_S = 0.01
# Looking through every thread for what it has started takes a millisecond for each hundred.
_FAMILY_POLL_S = 0.1
# For the child to end all that it has started; killing takes milliseconds.
_GRACE_S = 5.0
# Chosen: a report has kilobytes; of the errors the last lines are wanted.
_MAX_OUTPUT_BYTES = 16 * 2**20
_MAX_ERROR_BYTES = 64 * 2**10
WORKER = "tritongen.trial.worker"
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "Cannot allocate memory", "out of memory")
# Variables of the caller that a model may see: those of a server that serves it, and where programs
# and libraries lie. Everything else, secrets above all, stays out.
_INHERITED = (
    "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ",
    "PATH", "LD_LIBRARY_PATH", "PYTHONPATH",
)  # fmt: skip
# Chosen: above what a library with a thread for each of a few hundred cores starts, which are
# threads and not counted, and far below what burdens a machine.
MAX_PROCESSES = 256


class ChildEnd(Enum):
    """How the child ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    TIMED_OUT = "timed out"
    TOO_LARGE = "too large"


@dataclass(frozen=True, slots=True)
class ChildResult:
    """What a child left.

    Attributes:
        end: how it ended.
        status: exit status for `ChildEnd.EXITED`, signal number otherwise.
        output: its standard output.
        last_words: the last line of its standard error, empty when there was none.
    """

    end: ChildEnd
    status: int
    output: str
    last_words: str

    @property
    def starved(self) -> bool:
        """Whether its last words, Python's or a library's, say that memory was short."""
        return any(text in self.last_words for text in _OUT_OF_MEMORY)


def run_worker(
    request: str, timeout_s: float, memory_bytes: int, module: str = WORKER, *, tail: bytes = b""
) -> ChildResult:
    """Run one request in a child process.

    Args:
        request: JSON for the worker's standard input.
        timeout_s: wall clock.
        memory_bytes: resident memory at which the child is killed.
        module: the worker, a module that runs as a program; the trial's unless told otherwise.
        tail: what follows the request on its standard input.
    """
    with started_worker(module) as process:
        exchange = Exchange(
            (process.stdin, process.stdout, process.stderr), request.encode() + tail
        )
        end = watch_worker(process.pid, time.monotonic() + timeout_s, memory_bytes)
        end_worker(process)
        return exchange.result(end, process.wait())


def work_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder for a child, gone at the end of a `with`.

    What a model leaves there may resist, as a folder without rights does: it is only a remnant.
    """
    return tempfile.TemporaryDirectory(prefix="tritongen-", ignore_cleanup_errors=True)


@contextmanager
def started_worker(
    module: str,
    errors: int = subprocess.PIPE,
    *,
    stdin: int = subprocess.PIPE,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker in a folder of its own that is gone with it; at the end no process is left.

    Args:
        module: that runs as a program, and calls `confine` first.
        errors: where its standard error goes.
        stdin: where its standard input comes from.
        variables: of its environment, beside the usual ones.

    Raises:
        EnvironmentProblem: TG015, this is no Linux.
    """
    require_linux("running a model on this machine")
    with work_folder() as folder:
        process = subprocess.Popen(
            module_command(module),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env={**_environment(os.environ, folder), **variables},
            start_new_session=True,
        )
        _log.debug("process %d started: %s", process.pid, module)
        try:
            yield process
        finally:
            # Also on Ctrl-C and on errors of our own.
            if process.returncode is None:
                end_worker(process)
                process.wait()
            _log.debug("process %d ended with status %s", process.pid, process.returncode)
            for stream in (process.stdin, process.stdout, process.stderr):
                _close(stream)


def _environment(own: Mapping[str, str], folder: str) -> dict[str, str]:
    """The few variables of the parent's, with paths that hold from elsewhere; no telemetry."""
    given = {name: own[name] for name in _INHERITED if name in own}
    root = Path(tritongen.__file__).resolve().parents[1]
    installed = root.name in {"site-packages", "dist-packages"}
    return {
        **module_environment(given, *(() if installed else (root,))),
        **dict.fromkeys(FOLDERS, folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def _send(stream: IO[bytes] | None, request: bytes) -> None:
    # A child that died early takes no request; how it ended says why. ValueError: closed meanwhile.
    with suppress(OSError, ValueError):
        if stream is not None:
            stream.write(request)
            stream.close()


def _close(stream: IO[bytes] | None) -> None:
    with suppress(OSError):
        if stream is not None:
            stream.close()


class _Drain:
    """Reads a pipe to its end in a thread, so that the child never waits for its reader."""

    def __init__(self, stream: IO[bytes] | None, limit: int, *, keep_end: bool) -> None:
        self._stream = stream
        self._limit = limit
        self._keep_end = keep_end
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What was read; complete once the child and its children are gone."""
        self._thread.join(timeout=5)
        return bytes(self._kept).decode("utf-8", "replace")

    def _read(self) -> None:
        if self._stream is None:
            return
        # A closed stream ends the reading like its end does.
        with suppress(OSError, ValueError):
            while chunk := os.read(self._stream.fileno(), 65_536):
                self._kept += chunk
                excess = len(self._kept) - self._limit
                if excess > 0:
                    del self._kept[: excess if self._keep_end else 0]
                    del self._kept[self._limit :]


class Exchange:
    """What is sent to a child, and what it says; in threads, so that neither waits for the other.

    Args:
        streams: its standard input, output and error, at this end.
        sent: to the first of them, which is closed then.
    """

    def __init__(self, streams: Sequence[IO[bytes] | None], sent: bytes) -> None:
        stdin, stdout, stderr = streams
        self._output = _Drain(stdout, _MAX_OUTPUT_BYTES, keep_end=False)
        self._errors = _Drain(stderr, _MAX_ERROR_BYTES, keep_end=True)
        self._sender = threading.Thread(target=_send, args=(stdin, sent), daemon=True)
        self._sender.start()

    def result(self, end: ChildEnd | None, status: int) -> ChildResult:
        """What there is once the child and all that it started are gone.

        Args:
            end: why it was ended, None for no reason.
            status: exit status, negative for a signal.
        """
        self._sender.join()
        text, last = self._output.text(), _last_line(self._errors.text())
        if end is None or (end is ChildEnd.EXITED and status < 0):
            end = ChildEnd.SIGNALLED
        return ChildResult(end, abs(status), text, last)


def watch_worker(
    pid: int, deadline: float, memory_bytes: int, done: threading.Event | None = None
) -> ChildEnd | None:
    """Wait for the child to end or to go beyond its limits; the child is not reaped here.

    Reaping only after the whole group was killed keeps the group's number from being used again.

    Returns:
        None when `done` was set before that.
    """
    family: tuple[int, ...] = (pid,)
    looked_at = 0.0
    done = done or threading.Event()
    while not done.is_set():
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return ChildEnd.EXITED
        now = time.monotonic()
        if now - looked_at > _FAMILY_POLL_S:
            family, looked_at = (pid, *descendants(pid)), now
        if len(family) > MAX_PROCESSES or resident_bytes_of(family) > memory_bytes:
            return ChildEnd.TOO_LARGE
        if now > deadline:
            return ChildEnd.TIMED_OUT
        done.wait(_POLL_S)
    return None


def end_worker(process: "subprocess.Popen[bytes]") -> None:
    """Have the child end all that it started, see `confine`; one that does not is killed."""
    # Until it is waited for, the numbers of process and group are not used again.
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
        os.kill(process.pid, signal.SIGCONT)
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            break
        time.sleep(_POLL_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
