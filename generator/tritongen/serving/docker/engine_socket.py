"""The few requests that start a container and watch it load, straight to the engine's socket.

Importing the docker package takes longer than everything else that stands before a container's
start, and while Triton loads it would take the cores from it: `up` of the demo was seen slower by
more than a tenth with it. Only an engine that
listens on a Unix socket of this machine is spoken to in this way, and whatever is not a plain
success is left to the package, which meets the same trouble again and words it. The variable
TRITONGEN_DOCKER_LIBRARY leaves everything to it.
"""

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

_USUAL = "/var/run/docker.sock"
_TIMEOUT_S = 60.0
# Before each piece of a log: which stream it is of, and its length in the last four bytes.
_FRAME_BYTES = 8
# What would make the package speak to another engine, or in another way, and what asks for it.
_ELSEWHERE = (
    "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "TRITONGEN_DOCKER_LIBRARY",
)  # fmt: skip


def usual_socket() -> "EngineSocket | None":
    """The engine that the package would take, when it listens on a Unix socket; None otherwise."""
    if any(os.environ.get(name) for name in _ELSEWHERE) or not _default_context():
        return None
    scheme, separator, path = (os.environ.get("DOCKER_HOST") or f"unix://{_USUAL}").partition("://")
    if scheme != "unix" or not separator or not path.startswith("/"):
        return None
    return EngineSocket(path)


def _default_context() -> bool:
    """Whether the ``docker`` command's settings name no other engine; False in any doubt."""
    home = os.path.expanduser("~")  # noqa: PTH111  (pathlib's raises where nobody has a home)
    places = [Path(home, ".docker/config.json"), Path(home, ".dockercfg")]
    if own := os.environ.get("DOCKER_CONFIG"):
        places.append(Path(own, "config.json"))
    # The package reads the first that exists; here none of them may name another context.
    return all(_is_usual(place) for place in places)


def _is_usual(place: Path) -> bool:
    try:
        found = json.loads(place.read_bytes()).get("currentContext", "default")
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
    return bool(found == "default")


class EngineSocket:
    """An engine's API on a Unix socket, one connection a request.

    Args:
        path: of the socket.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._prefix = ""

    def agree(self, version: str) -> None:
        """From now on speak a version of the API, as the engine's answer names it."""
        self._prefix = f"/v{version}"

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401  (a JSON document)
        """What the engine says; None when it refuses, or does not answer as an engine does."""
        try:
            return self.post(path, method="GET", **query)
        except (OSError, http.client.HTTPException):
            return None

    def log(self, container: str) -> Iterator[bytes] | None:
        """A container's log as it grows, until the container ends; None when it is refused.

        Raises:
            OSError: the engine does not answer, while the log is read too.
            http.client.HTTPException: the same.
        """
        # A server may have nothing to say for days.
        connection = _UnixConnection(self._path, timeout_s=None)
        words = "follow=1&stdout=1&stderr=1"
        connection.request("GET", f"{self._prefix}/containers/{quote(container)}/logs?{words}")
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            connection.close()
            return None
        return _pieces(connection, answer)

    def post(self, path: str, body: object = None, *, method: str = "POST", **query: str) -> Any:  # noqa: ANN401  (a JSON document)
        """What the engine answers, True for nothing; None when it refuses, having done nothing.

        Raises:
            OSError: it did not answer as a whole, so that nobody knows what it has done.
            http.client.HTTPException: the same.
        """
        words = f"?{urlencode(query)}" if query else ""
        content = b"" if body is None else json.dumps(body).encode()
        connection = _UnixConnection(self._path)
        try:
            headers = {"Content-Type": "application/json", "Connection": "close"}
            connection.request(method, f"{self._prefix}{quote(path)}{words}", content, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            return None
        try:
            return json.loads(text) if text.strip() else True
        except (ValueError, RecursionError) as problem:
            raise http.client.HTTPException("its answer is not a whole one") from problem


def _pieces(
    connection: http.client.HTTPConnection, answer: http.client.HTTPResponse
) -> Iterator[bytes]:
    """What stands in the frames of a log."""
    with closing(connection):
        while frame := answer.read(_FRAME_BYTES):
            yield answer.read(int.from_bytes(frame[4:], "big"))


class _UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str, timeout_s: float | None = _TIMEOUT_S) -> None:
        super().__init__("docker", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Opens the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
