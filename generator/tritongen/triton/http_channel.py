"""HTTP with the standard library's client, every answer within bounds: nobody vouches for servers.

The bounds are seconds, bytes, and JSON's values; every JSON is read through `read_json`, whichever
client asked. Redirects are not followed, and no encoding of the content is accepted: what was not
asked for is refused, with its reason.
"""

import http.client
import io
import json
import math
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

# Chosen: the statistics of 1,000 models with 8 batch sizes each take 5 MB. As text of four bytes a
# character it takes 64 MiB.
MAX_BODY_BYTES = 16 * 2**20
# Chosen: Python's values take up to some 100 bytes each, so that all of them take 100 MB at most.
MAX_VALUES = 1_000_000


class ForeignAnswerError(OSError):
    """What answers does not answer as the server that was meant does; the message says how."""


class AnswerBounds:
    """The seconds and bytes that are left for one exchange, from the first to the last byte.

    Args:
        seconds: for the question and its whole answer.
        most_bytes: of the answer with all that frames it.
    """

    def __init__(self, seconds: float, most_bytes: int = MAX_BODY_BYTES) -> None:
        self._seconds, self._most_bytes = seconds, most_bytes
        self._deadline = time.monotonic() + seconds
        self._received = 0

    def seconds_left(self) -> float:
        """How long the next step may take, above 0.

        Raises:
            TimeoutError: no time is left.
        """
        left = self._deadline - time.monotonic()
        if left <= 0.0:
            raise TimeoutError(f"no whole answer within {self._seconds:g} s")
        return left

    def count(self, received: int) -> None:
        """Take bytes that came off what may come.

        Raises:
            ForeignAnswerError: they are too many.
        """
        self._received += received
        if self._received > self._most_bytes:
            raise ForeignAnswerError(f"its answer has more than {self._most_bytes:,} bytes")


def read_json(content: bytes | bytearray | memoryview) -> object:
    """The value of a JSON text in UTF-8, without numbers that are none.

    Raises:
        ForeignAnswerError: it is no JSON, or more than can be taken.
    """
    data = bytes(content)
    check_values(data)
    try:
        value: object = json.loads(
            data.decode("utf-8"), parse_constant=_no_number, parse_float=_finite
        )
    except RecursionError:
        raise ForeignAnswerError("its answer is JSON that is nested too deeply") from None
    except UnicodeDecodeError:
        raise ForeignAnswerError("its answer is not text in UTF-8") from None
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        place = "a page of HTML or XML" if data.lstrip().startswith(b"<") else place
        raise ForeignAnswerError(f"its answer is not JSON ({place})") from None
    except ValueError:
        raise ForeignAnswerError("its answer has a number that is too large, or none") from None
    return value


def check_values(data: bytes | bytearray) -> None:
    """See that a JSON text, whoever reads it, has no more values than can be taken.

    Raises:
        ForeignAnswerError: it has more.
    """
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > MAX_VALUES:
        raise ForeignAnswerError(f"its answer is JSON of more than {MAX_VALUES:,} values")


def _no_number(text: str) -> float:
    raise ValueError(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text[:20])
    return value


_PIECE_BYTES = 1 << 16  # Chosen: as much as a socket gives at a time.
# What a kept connection says that the server has closed meanwhile.
_CLOSED = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer.

    Attributes:
        status: of HTTP, never a redirect.
        content: as it was sent.
        headers: by name, names in lower case.
    """

    status: int
    content: bytearray
    headers: Mapping[str, str]


@dataclass(slots=True)
class HttpChannel:
    """One connection to a server, opened when needed and kept. Not for several threads at once.

    Attributes:
        host: of the server, without brackets.
        port: of it.
        context: for TLS, None for plain HTTP.
    """

    host: str
    port: int
    context: ssl.SSLContext | None = None
    _connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection; the next question opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float,
        most_bytes: int = MAX_BODY_BYTES,
    ) -> HttpAnswer:
        """The answer to one question.

        Args:
            method: of HTTP.
            path: quoted already.
            body: None for none.
            headers: to send.
            seconds: for everything, from the connection to the last byte.
            most_bytes: of the answer.

        Raises:
            OSError: nobody answers, TLS fails (`ssl.SSLError`), or the time is over.
            ForeignAnswerError: what answers cannot be used; it is an OSError, too.
        """
        bounds = AnswerBounds(seconds, most_bytes)
        kept = self._connection is not None
        try:
            try:
                return self._exchange(method, path, body, headers or {}, bounds)
            except _CLOSED:
                self.close()
                if not kept:
                    raise
                return self._exchange(method, path, body, headers or {}, bounds)
        except (OSError, http.client.HTTPException) as problem:
            self.close()
            if isinstance(problem, OSError):  # as a connection that ends before the answer is
                raise
            if isinstance(problem, http.client.IncompleteRead):
                what = "the connection ended in the middle of the answer"
                raise ConnectionError(what) from problem
            raise ForeignAnswerError(_not_http(problem)) from problem

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        bounds: AnswerBounds,
    ) -> HttpAnswer:
        if self._connection is None:
            self._connection = self._opened(bounds.seconds_left())
        connection = self._connection
        connected = cast("_BoundedSocket", connection.sock)
        connected.bounds = bounds
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        _refuse_unasked(response.status, fields)
        content = bytearray()
        while piece := response.read(_PIECE_BYTES):
            content += piece
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        if response.will_close:
            self.close()
        return HttpAnswer(response.status, content, fields)

    def _opened(self, seconds: float) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPConnection(self.host, self.port, timeout=seconds)
            if self.context is None
            else http.client.HTTPSConnection(
                self.host, self.port, timeout=seconds, context=self.context
            )
        )
        try:
            connection.connect()
        except UnicodeError as problem:  # it has a label that DNS does not know
            raise OSError("there is no host of that name") from problem
        connection.sock = cast("socket.socket", _BoundedSocket(connection.sock))
        return connection


def _not_http(problem: http.client.HTTPException) -> str:
    """What answers instead of HTTP/1.x; a server of HTTP/2 alone begins with its settings."""
    line = getattr(problem, "line", "")
    if line[3:4] == "\x04" or line.startswith("HTTP/2"):
        return "it speaks HTTP/2 alone: name a port of HTTP/1.1, or gRPC's with grpc:// before it"
    return f"its answer is not HTTP ({type(problem).__name__})"


def _refuse_unasked(status: int, headers: Mapping[str, str]) -> None:
    """Refuse what only a server of another kind sends, before any of its content is read."""
    if 300 <= status < 400:
        place = headers.get("location", "another address")[:200]
        raise ForeignAnswerError(f"it redirects to {place}, which is not followed")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise ForeignAnswerError(f"its answer is compressed ({encoding[:40]}), which was not asked")
    length = headers.get("content-length", "0").strip()
    if not (length.isascii() and length.isdigit()):
        raise ForeignAnswerError(f"its answer says that it has {length[:40]} bytes")


class _BoundedSocket:
    """What `http.client` needs of a socket, within the bounds of the exchange that goes on."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        self.bounds = AnswerBounds(0.0)

    def sendall(self, data: bytes) -> None:
        """Send; a peer that takes it byte by byte has no more time than another."""
        rest = memoryview(data)
        while rest:
            self._connected.settimeout(self.bounds.seconds_left())
            rest = rest[self._connected.send(rest) :]

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002  (the socket's argument)
        """What comes, to be read."""
        return io.BufferedReader(_BoundedStream(self._connected, self.bounds), _PIECE_BYTES)

    def close(self) -> None:
        """Close it, once what is read of it is closed, too."""
        self._connected.close()


class _BoundedStream(io.RawIOBase):
    """The bytes of a socket until the time or the size of one exchange is used up."""

    def __init__(self, connected: socket.socket, bounds: AnswerBounds) -> None:
        self._connected, self._bounds = connected, bounds
        self._stream = connected.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int | None:
        self._connected.settimeout(self._bounds.seconds_left())
        count = self._stream.readinto(buffer)
        self._bounds.count(count or 0)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()
