"""The guard of a start: a process that ends a server whose starter died, however it died.

It reads its standard input until the end. Without an ``ok`` the process that started or stopped the
server is gone or gave up, and the guard ends the server. `Guard` is the starter's side, `released`
the guard's own; what is to be ended, and how, is the module's that it runs.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import tritongen
from tritongen.system.process_files import command_line, running_pids

__all__ = ["Guard", "guarded", "released"]

# The package comes last, so that nothing beside it stands in for the standard library.
_RUN = (
    "import importlib, sys; sys.path.append(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(*sys.argv[3:])"
)


class Guard:
    """Watches over one server until it is told to let go.

    Args:
        module: whose `main` waits until it is `released`, and otherwise ends the server.
        arguments: of that `main`.
        packages: whether it needs more than the standard library and this package; without, it
            starts in milliseconds, before the server does.
        variables: further ones of its environment.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        packages: bool,
        variables: dict[str, str] | None = None,
    ) -> None:
        import subprocess  # not in the guard's own process

        options = ["-I"] if packages else ["-I", "-S"]
        root = Path(tritongen.__file__).resolve().parents[1]
        self._process = subprocess.Popen(
            [sys.executable, *options, "-c", _RUN, str(root), module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(variables or {})},
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Lets the server outlive this process. Idempotent."""
        self._close(b"ok")
        self._process.wait()

    def finish(self, *, wait: bool = True) -> None:
        """Has the guard end the server now. Idempotent.

        Args:
            wait: until that is done; without, the guard goes on by itself.
        """
        self._close(b"")
        if wait:
            self._process.wait()

    def _close(self, last: bytes) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            return
        with suppress(BrokenPipeError):  # the guard itself was killed; nobody watches any more
            pipe.write(last)
            pipe.close()


def guarded(module: str) -> Iterator[str]:
    """The first argument of each guard on this machine that runs a module."""
    word = module.encode()
    for pid in running_pids():
        words = command_line(pid)
        if _RUN.encode() in words and word in words[:-1]:
            yield os.fsdecode(words[words.index(word) + 1])


def released() -> bool:
    """Waits, in the guard's process, for the starter; whether it said that all is well."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return b"ok" in sys.stdin.buffer.read()
