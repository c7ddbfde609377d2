"""HTTP at its plainest: one question a connection, and the end of the connection ends the answer.

The standard library's client loads what handles TLS and e-mail first. While a server starts, that
would take the cores from it for longer than all that is asked of it.
"""

import socket
from collections.abc import Mapping

from tritongen.triton.foreign_answer import AnswerBounds, ForeignAnswerError

__all__ = ["answer", "question"]

_CHUNK = 1 << 16
_HEAD_END = b"\r\n\r\n"


def question(
    method: str, path: str, host: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """A request as it goes over the wire; `path` is quoted already, `body` is JSON or empty."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    # HTTP/1.0: the answer comes whole and ends with the connection.
    head = (
        f"{method} {path} HTTP/1.0\r\nHost: {host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode("ascii") + body


def answer(connection: socket.socket, bounds: AnswerBounds) -> tuple[int, bytes]:
    """Status and content of the answer to the one question on a connection.

    Raises:
        OSError: it is not a whole answer, did not come in time, or is too long.
    """
    received = bytearray()
    connection.settimeout(bounds.seconds_left())
    while piece := connection.recv(_CHUNK):
        bounds.count(len(piece))
        received += piece
        connection.settimeout(bounds.seconds_left())
    head, ended, content = bytes(received).partition(_HEAD_END)
    status, *lines = head.split(b"\r\n")
    words = status.split()
    try:
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in lines)
        }
        if not ended or not words[0].startswith(b"HTTP/1.") or b"transfer-encoding" in fields:
            raise ValueError(status)
        if int(fields.get(b"content-length", len(content))) != len(content):
            raise ValueError(content)
        return int(words[1]), content
    except (ValueError, IndexError) as problem:
        raise ForeignAnswerError("its answer is not a whole one") from problem
