"""Commands of the tool, each a fork of a process that has loaded the tool's modules.

A command spends three tenths of a second on loading them, and the suite runs some thousand. What a
fork does is what the console script does: its arguments, folder, variables and streams are its own,
and so is its end. Commands whose interpreter itself is asked for something else by a variable, and
all of them with ``TRITONGEN_TEST_COMMANDS=each``, run in an interpreter of their own.
"""

import array
import atexit
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

TRITONGEN = Path(sys.executable).with_name("tritongen")
SWITCH = "TRITONGEN_TEST_COMMANDS"
# What an interpreter or its loader reads when it starts.
_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "OMP_", "OPENBLAS_", "GRPC_")
# They need libraries that are imported where they are used.
_APART = "tritongen.serving.backends"
_ROOM = 1 << 20
_KILLED_S = 5.0


@dataclass(frozen=True)
class End:
    """How a command ended.

    Attributes:
        code: as `subprocess` has it.
        peak: bytes of memory of the largest of its processes.
        ended_s: when, seconds since 1970.
    """

    code: int
    peak: int
    ended_s: float


def run_command(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], seconds: float
) -> "subprocess.CompletedProcess[bytes]":
    """Run ``tritongen`` to its end, as `subprocess.run` would.

    Args:
        words: of its command line.
        folder: in which it runs.
        variables: of its environment, beyond this process's own.
        seconds: until it is killed.

    Raises:
        subprocess.TimeoutExpired: it was.
    """
    environment = {**os.environ, **variables}
    if environment.get(SWITCH) == "each" or any(map(_is_read_at_start, variables)):
        return subprocess.run(
            [TRITONGEN, *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=seconds, check=False,
        )  # fmt: skip
    pipes = [os.pipe(), os.pipe()]
    fork = _Fork(words, folder, environment, [end for _, end in pipes])
    for _, end in pipes:
        os.close(end)
    with fork, ThreadPoolExecutor(2) as readers:
        # Pipes, which end with the last process that holds them, as those of a shell's ``$(…)`` do.
        texts = [readers.submit(_read, begin) for begin, _ in pipes]
        wait(texts, seconds)
        end = fork.end(_KILLED_S if all(text.done() for text in texts) else 0.0)
        if end is None:
            fork.kill()
        told = [text.result() for text in texts]
    if end is None:
        raise subprocess.TimeoutExpired([TRITONGEN, *words], seconds, *told)
    return subprocess.CompletedProcess([TRITONGEN, *words], end.code, *told)


def watch_command(words: Sequence[str], folder: Path, printed: IO[bytes], seconds: float) -> End:
    """Run ``tritongen`` to its end, both of its streams into one file.

    Args:
        words: of its command line.
        folder: in which it runs.
        printed: the file.
        seconds: until it is killed.
    """
    streams = [printed.fileno(), printed.fileno()]
    with _Fork(words, folder, os.environ, streams) as fork:
        end = fork.end(seconds)
        if end is None:
            fork.kill()
            end = fork.end(_KILLED_S)
        assert end is not None, f"{words} cannot be killed"
        return end


def _is_read_at_start(variable: str) -> bool:
    return variable.startswith(_AT_START)


class _Fork:
    """A command that runs; its socket is closed when the block ends."""

    def __init__(
        self, words: Sequence[str], folder: Path, variables: Mapping[str, str],
        streams: Sequence[int],
    ) -> None:  # fmt: skip
        asked = {"words": [*map(str, words)], "folder": str(folder), "variables": {**variables}}
        self._client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._client.connect(_server())
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))
        self._client.sendmsg([json.dumps(asked).encode()], [rights])
        self._pid = int(self._client.recv(64))

    def __enter__(self) -> "_Fork":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def end(self, seconds: float) -> End | None:
        """How it ended; None when it has not within so many seconds."""
        self._client.settimeout(seconds)
        try:
            return End(*json.loads(self._client.recv(256)))
        except OSError:
            return None

    def kill(self) -> None:
        """End it, whatever it does."""
        os.kill(self._pid, signal.SIGKILL)


def _read(number: int) -> bytes:
    with open(number, "rb") as stream:
        return stream.read()


@cache
def _server() -> str:
    """The address of this process's server, which ends with it."""
    ours, theirs = socket.socketpair()
    address = f"\0tritongen-tests-{os.getpid()}-{time.monotonic_ns()}"
    with theirs:
        # Its standard streams are nobody's: each command has its own.
        subprocess.run(
            [sys.executable, "-P", "-c", _START, *map(str, (theirs.fileno(), address[1:]))],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}, check=True,
        )  # fmt: skip
    atexit.register(ours.close)
    assert ours.recv(1) == b"."
    return address


_START = "import sys; from support.commands import serve; serve(int(sys.argv[1]), sys.argv[2])"


def serve(number: int, name: str) -> None:
    """Answer until the process that asked for it is gone.

    Args:
        number: descriptor of a socket whose other end that process holds.
        name: of the address, in the abstract namespace.
    """

    if os.fork():
        os._exit(0)  # no child of the tests, some of which count theirs
    owner = socket.socket(fileno=number)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"\0{name}")
    listener.listen(64)
    import tritongen

    for module in pkgutil.walk_packages(tritongen.__path__, "tritongen."):
        if not module.name.startswith(_APART):
            importlib.import_module(module.name)
    # What nearly every command that writes or reads configurations loads once it needs it.
    from tritongen.config.protobuf import new_model_config
    from tritongen.resources import plain_template

    new_model_config()
    plain_template("config.pbtxt.j2")
    gc.freeze()  # the forks need not look through it
    told, woken = socket.socketpair()
    for one in (told, woken):
        one.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    owner.send(b".")
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([owner, listener, told], [], [])
        if owner in ready:
            return
        if listener in ready:
            client, _ = listener.accept()
            pid = _start(client, [owner, listener, told, woken, *running.values()])
            running[pid] = client
        if told in ready:
            told.recv(4096)
            _tell(running)


def _start(client: socket.socket, others: Sequence[socket.socket]) -> int:
    """Fork the command that the client asks for; its process id."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
    message, streams, _, _ = socket.recv_fds(client, _ROOM, 2)
    pid = os.fork()
    if pid == 0:
        for one in (client, *others):
            one.close()
        _be_command(json.loads(message), streams)
    for stream in streams:
        os.close(stream)
    client.send(str(pid).encode())
    return pid


def _tell(running: dict[int, socket.socket]) -> None:
    """Tell the clients of commands that have ended."""
    for pid in [*running]:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            end = (os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024, time.time())
            with running.pop(pid) as client, suppress(OSError):
                client.send(json.dumps(end).encode())


def _be_command(asked: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    """What the console script does, in a process that has just been forked."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as an interpreter begins
    for target, stream in enumerate(streams, 1):
        os.dup2(stream, target)
        os.close(stream)
    os.environ.clear()
    os.environ.update(asked["variables"])
    os.chdir(asked["folder"])
    time.tzset()
    sys.argv = [str(TRITONGEN), *asked["words"]]
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(0, encoding="utf-8"),
        os.fdopen(1, "w", encoding="utf-8"),
        os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace"),
    )
    from tritongen.__main__ import main

    code: object = 1
    try:
        code = main()
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001  (an interpreter prints it, too)
        traceback.print_exc()
    finally:
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
        for stream_ in (sys.stdout, sys.stderr):
            stream_.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)
