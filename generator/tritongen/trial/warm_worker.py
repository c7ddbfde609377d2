"""Trials that follow one another, each in a fork of one process that has imported what they need.

Most of the trial of a small model is the start of its interpreter. A fork is watched, limited and
confined as a process of its own is, and ended whole before the next one begins.
"""

import json
import os
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from types import MappingProxyType, TracebackType
from typing import IO

from tritongen.system.machine import require_linux
from tritongen.trial.child import (
    WORKER,
    ChildEnd,
    ChildResult,
    Exchange,
    started_worker,
    watch_worker,
    work_folder,
)

# numpy's threads would be lost in a fork; no model that is data computes with numpy.
_VARIABLES = MappingProxyType({"OPENBLAS_NUM_THREADS": "1"})
_MAX_ANSWER_BYTES = 64  # Chosen: a number.


class WarmWorker:
    """Runs requests of trials one after the other, as `run_worker` does; not for models of code.

    The process starts with the first request, and again after one that had to be ended. A `with`
    ends it.
    """

    def __init__(self) -> None:
        self._own = ExitStack()
        self._running: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    def __enter__(self) -> "WarmWorker":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._end()

    def run(
        self, request: str, timeout_s: float, memory_bytes: int, *, tail: bytes = b""
    ) -> ChildResult:
        """Run one request; see `run_worker`, which has the same arguments.

        Raises:
            EnvironmentProblem: TG015, this is no Linux.
        """
        if self._running is not None and self._running[0].poll() is not None:
            self._end()  # somebody has ended it between two requests
        process, control = self._running or self._start()
        answers: list[bytes] = []
        done = threading.Event()
        with work_folder() as folder, ExitStack() as files:
            exchange = Exchange(_handed_over(files, control, folder), request.encode() + tail)
            listener = threading.Thread(target=_listen, args=(control, answers, done), daemon=True)
            listener.start()
            try:
                end = watch_worker(process.pid, time.monotonic() + timeout_s, memory_bytes, done)
            except BaseException:  # Ctrl-C, too: first the fork, then its folder
                self._end()
                raise
            if end is None and answers and answers[0]:
                return exchange.result(ChildEnd.EXITED, int(answers[0]))
            self._end()
            listener.join()
            return exchange.result(end or ChildEnd.EXITED, process.returncode)

    def _start(self) -> "tuple[subprocess.Popen[bytes], socket.socket]":
        require_linux("running a model on this machine")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._own.callback(ours.close)
        with theirs:
            worker = started_worker(
                WORKER, subprocess.DEVNULL, stdin=theirs.fileno(), variables=_VARIABLES
            )
            process = self._own.enter_context(worker)
        with suppress(OSError):  # as in `_handed_over`
            ours.send(json.dumps({"forks_for": os.getpid()}).encode() + b"\n")
        self._running = process, ours
        return self._running

    def _end(self) -> None:
        """End the process, and all that it started; the next request starts another."""
        self._running = None
        self._own.close()


def _handed_over(files: ExitStack, control: socket.socket, folder: str) -> list[IO[bytes]]:
    """This end of the three standard streams of a fork that is asked for."""
    ours, theirs = [], []
    for number in range(3):
        ends = os.pipe()
        mine, mode = (ends[1], "wb") if number == 0 else (ends[0], "rb")
        ours.append(files.enter_context(os.fdopen(mine, mode)))
        theirs.append(ends[0] if number == 0 else ends[1])
    # A worker that has ended takes nothing; how it ended is found soon.
    with suppress(OSError):
        socket.send_fds(control, [os.fsencode(folder)], theirs)
    for file in theirs:
        os.close(file)
    return ours


def _listen(control: socket.socket, answers: list[bytes], done: threading.Event) -> None:
    """Wait for the end of a fork, or of the whole worker."""
    with suppress(OSError):
        answers.append(control.recv(_MAX_ANSWER_BYTES))
    done.set()
