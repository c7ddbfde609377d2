"""The few requests that start a container and watch it load, straight to the engine's socket.

Importing the SDK takes longer than everything else that stands before a container's start, and
while Triton loads it would take the cores from it. Only an engine that listens on a Unix socket of
this machine is spoken to in this way, and whatever is not a plain success is left to the SDK, which
meets the same trouble again and words it.
"""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

from tritongen.serving.docker.plain_http import answer, question
from tritongen.triton.foreign_answer import AnswerBounds, read_json

__all__ = ["EngineSocket", "usual_socket"]

_USUAL = "/var/run/docker.sock"
_TIMEOUT_S = 60.0
_HEAD_END = b"\r\n\r\n"
# Before each piece of a log: which stream it is of, and its length in the last four bytes.
_FRAME = 8
# What would make the SDK speak to another engine, or in another way.
_ELSEWHERE = ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


def usual_socket() -> "EngineSocket | None":
    """The engine that the SDK would take, when it listens on a Unix socket; None otherwise."""
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
    # The SDK reads the first that exists; here none of them may name another context.
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
        """What the engine answers; None when it refuses, or when there is any doubt."""
        try:
            return self._ask("GET", path, query, None)
        except OSError:
            return None

    def get_both(self, first: str, second: str) -> tuple[Any, Any]:
        """Two answers of `get`, for which the engine works at the same time."""
        try:
            with (
                self._sent("GET", first, {}, None) as one,
                self._sent("GET", second, {}, None) as other,
            ):
                return _content(one), _content(other)
        except OSError:
            return None, None

    def post(self, path: str, body: Any = None, **query: str) -> Any:  # noqa: ANN401  (JSON)
        """What the engine answers, True for nothing; None when it refuses, having done nothing.

        Raises:
            OSError: it did not answer, so that nobody knows what it has done.
        """
        return self._ask("POST", path, query, body)

    def log(self, container: str) -> Iterator[bytes] | None:
        """A container's log as it grows, until the container ends; None when it is refused.

        Raises:
            OSError: the engine does not answer, while the log is read too.
        """
        wanted = {"follow": "1", "stdout": "1", "stderr": "1"}
        connection = self._sent("GET", f"/containers/{container}/logs", wanted, None)
        file = connection.makefile("rb")
        head = b""
        while not head.endswith(_HEAD_END) and (line := file.readline()):
            head += line
        told = head.startswith((b"HTTP/1.0 200 ", b"HTTP/1.1 200 ")) and head.endswith(_HEAD_END)
        if not told or b"chunked" in head.lower():
            file.close()
            connection.close()
            return None
        connection.settimeout(None)  # a server may have nothing to say for days
        return _pieces(connection, file)

    def _ask(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:  # noqa: ANN401
        with self._sent(method, path, query, body) as connection:
            return _content(connection)

    def _sent(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any,  # noqa: ANN401  (a JSON document)
    ) -> socket.socket:
        """A connection on which a request was sent, and the answer is still to be read."""
        words = f"?{urlencode(query)}" if query else ""
        content = b"" if body is None else json.dumps(body).encode()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(self._path)
            connection.sendall(
                question(method, f"{self._prefix}{quote(path)}{words}", "docker", content)
            )
        except BaseException:
            connection.close()
            raise
        return connection


def _pieces(connection: socket.socket, file: IO[bytes]) -> Iterator[bytes]:
    """What stands in the frames of a log."""
    with connection, file:
        while frame := file.read(_FRAME):
            yield file.read(int.from_bytes(frame[4:], "big"))


def _content(connection: socket.socket) -> Any:  # noqa: ANN401  (a JSON document)
    """The document of an answer, True for an empty one; None when its status is no success.

    Raises:
        OSError: it is not a whole answer.
    """
    status, content = answer(connection, AnswerBounds(_TIMEOUT_S))
    if not 200 <= status < 300:
        return None
    return read_json(content) if content.strip() else True
