"""Ends a container whose starter died, and finishes a stop that was interrupted.

The module runs by itself (``python -I guard.py <server> <grace>``). It reads its standard input
until the end; without an ``ok`` the process that started or stopped the container is gone or gave
up, and the guard removes every container with the label ``tritongen.server=<server>``, which gets
`grace` seconds to end by itself.

`Guard` is the other end.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["Guard", "guarded"]

# A server that is still starting has nobody to serve.
START_GRACE_S = 1
_LABEL = "tritongen.server"
# A request that was on its way when its sender died may still create a container a moment later.
_QUIET_ROUNDS = 3
_PAUSE_S = 0.3
_PATIENCE_S = 60.0


class Guard:
    """Watches over the containers of one server until it is told to let go.

    Args:
        server: unique name of the start.
        host: address of the engine, empty for what the environment says.
        grace: seconds for the server to end by itself.
    """

    def __init__(self, server: str, host: str = "", grace: int = START_GRACE_S) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).resolve()), server, str(grace)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "DOCKER_HOST": host} if host else None,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Lets the container be. Idempotent."""
        self._close(b"ok")
        self._process.wait()

    def finish(self, *, wait: bool = True) -> None:
        """Has the guard remove the container now. Idempotent.

        Args:
            wait: until that is done; without, the guard goes on by itself, as long as the engine
                keeps it waiting.
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


def guarded() -> frozenset[str]:
    """Servers that a guard on this machine watches."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        own = str(Path(__file__).resolve()).encode()
        if own in words:
            found.add(words[words.index(own) + 1].decode())
    return frozenset(found)


def remove(server: str, grace: int) -> None:
    """Removes every container of a server, also one that appears while this runs."""
    import docker.errors
    import requests

    deadline = time.monotonic() + _PATIENCE_S
    quiet = 0
    while quiet < _QUIET_ROUNDS and time.monotonic() < deadline:
        # The engine may be restarting, or somebody else be removing the container.
        with suppress(docker.errors.DockerException, requests.RequestException):
            quiet = 0 if _remove_found(server, grace) else quiet + 1
        time.sleep(_PAUSE_S)


def _remove_found(server: str, grace: int) -> bool:
    import docker
    import docker.errors

    client = docker.from_env(version="auto", timeout=120)
    try:
        found = client.containers.list(all=True, filters={"label": f"{_LABEL}={server}"})
        for container in found:
            with suppress(docker.errors.APIError):  # it was never started, or has ended
                container.stop(timeout=grace)
            container.remove(force=True, v=True)
    finally:
        client.close()
    return bool(found)


def main(server: str, grace: int) -> None:
    """Waits for the other end, and acts when no ``ok`` comes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if b"ok" not in sys.stdin.buffer.read():
        remove(server, grace)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
