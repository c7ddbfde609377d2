"""Commands of the tool, each a fork of a process that has loaded the tool's modules.

A command spends three tenths of a second on loading them, and the suite runs some thousand. What a
fork does is what the console script does: its arguments, folder, variables and streams are its own,
and so is its end. Commands whose interpreter itself is asked for something else by a variable, and
all of them with ``TRITONGEN_TEST_COMMANDS=each``, run in an interpreter of their own.
"""

import array
import atexit
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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

TRITONGEN = Path(sys.executable).with_name("tritongen")
SWITCH = "TRITONGEN_TEST_COMMANDS"
# What an interpreter or its loader reads when it starts.
_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "OMP_", "OPENBLAS_", "GRPC_")
# They need libraries that are imported where they are used.
_APART = "tritongen.serving.backends"
_ROOM = 1 << 20
_KILLED_S = 5.0


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
    asked = {"words": [*map(str, words)], "folder": str(folder), "variables": environment}
    code, texts = _forked(json.dumps(asked).encode(), seconds)
    if code is None:
        raise subprocess.TimeoutExpired([TRITONGEN, *words], seconds, *texts)
    return subprocess.CompletedProcess([TRITONGEN, *words], code, *texts)


def _is_read_at_start(variable: str) -> bool:
    return variable.startswith(_AT_START)


def _forked(message: bytes, seconds: float) -> tuple[int | None, list[bytes]]:
    """The exit code of one command as `subprocess` has it, None when its time was over; both texts.

    Pipes, which end with the last process that holds them, as a shell's ``$(…)`` does.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(_server())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        pipes = [os.pipe(), os.pipe()]
        numbers = array.array("i", [end for _, end in pipes])
        client.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
        for _, end in pipes:
            os.close(end)
        pid = int(client.recv(64))
        with ThreadPoolExecutor(2) as readers:
            texts = [readers.submit(_read, begin) for begin, _ in pipes]
            wait(texts, seconds)
            client.settimeout(max(_KILLED_S, seconds) if all(text.done() for text in texts) else 0)
            try:
                code = int(client.recv(64))
            except OSError:
                os.kill(pid, signal.SIGKILL)
                code = None
            return code, [text.result() for text in texts]


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
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, *map(str, (theirs.fileno(), address[1:]))],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    assert ours.recv(1) == b"."
    return address


_START = "import sys; from support.commands import serve; serve(int(sys.argv[1]), sys.argv[2])"


def serve(number: int, name: str) -> None:
    """Answer until the process that asked for it is gone.

    Args:
        number: descriptor of a socket whose other end that process holds.
        name: of the address, in the abstract namespace.
    """

    owner = socket.socket(fileno=number)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"\0{name}")
    listener.listen(64)
    import tritongen

    for module in pkgutil.walk_packages(tritongen.__path__, "tritongen."):
        if not module.name.startswith(_APART):
            importlib.import_module(module.name)
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
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with running.pop(pid) as client, suppress(OSError):
                client.send(str(os.waitstatus_to_exitcode(status)).encode())


def _be_command(asked: Mapping[str, object], streams: Sequence[int]) -> NoReturn:
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
    os.environ.update(asked["variables"])  # type: ignore[call-overload]
    os.chdir(asked["folder"])  # type: ignore[arg-type]
    time.tzset()
    sys.argv = [str(TRITONGEN), *asked["words"]]  # type: ignore[misc]
    sys.stdin, sys.stdout, sys.stderr = (
        open(0, encoding="utf-8"),  # noqa: SIM115  (they end with the process)
        open(1, "w", encoding="utf-8"),  # noqa: SIM115
        open(2, "w", encoding="utf-8", errors="backslashreplace"),  # noqa: SIM115
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    from tritongen.__main__ import main

    code: object = 1
    try:
        code = main()
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001  (an interpreter prints it, too)
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream_ in (sys.stdout, sys.stderr):
            stream_.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)
