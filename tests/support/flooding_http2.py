"""An HTTP/2 server that floods whoever connects, in a process of its own."""

import multiprocessing
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.http2_peer import HEADERS, literal
from tritongen.probe.engines import frames
from tritongen.probe.engines.frames import frame

_CHUNK = 1 << 18
_PING = frame(frames.PING, 0, 0, b"12345678")
_TRAILERS = frame(
    frames.HEADERS,
    frames.END_HEADERS | frames.END_STREAM,
    1,
    b"\x88" + literal("grpc-status", "13"),
)


def _many(piece: bytes) -> bytes:
    return piece * (_CHUNK // len(piece) + 1)


def _each_stream(kind: int, flags: int, payload: bytes) -> bytes:
    return b"".join(frame(kind, flags, number, payload) for number in range(1, 20_001, 2))


# What is said once, and what is said for ever after it.
FLOODS = {
    "SETTINGS": (b"", _many(frames.settings([(frames.INITIAL_WINDOW_SIZE, 1 << 20)]))),
    "SETTINGS of many values": (
        b"",
        _many(frames.settings([(frames.MAX_FRAME_SIZE, 16_384)] * 9_999)),
    ),
    "PING": (b"", _many(_PING)),
    "PING acknowledged": (b"", _many(frame(frames.PING, frames.ACK, 0, b"12345678"))),
    "empty DATA": (b"", _many(frame(frames.DATA, 0, 1))),
    "padded DATA": (b"", _many(frame(frames.DATA, frames.PADDED, 1, b"\x07" + bytes(7)))),
    "DATA of no stream": (b"", _many(frame(frames.DATA, 0, 9_999, b"x"))),
    "WINDOW_UPDATE": (b"", _many(frames.window_update(1, 1))),
    "WINDOW_UPDATE of the connection": (b"", _many(frames.window_update(0, 1))),
    "RST_STREAM": (b"", _many(frame(frames.RST_STREAM, 0, 9_999, bytes(4)))),
    "RST_STREAM of each stream": (
        frames.window_update(0, 1 << 30) + frames.settings([(frames.INITIAL_WINDOW_SIZE, 1 << 30)]),
        _each_stream(frames.RST_STREAM, 0, bytes(4)),
    ),
    "HEADERS": (b"", _many(frame(frames.HEADERS, frames.END_HEADERS, 1, HEADERS))),
    "HEADERS of each stream": (
        b"",
        _each_stream(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, _TRAILERS[9:]),
    ),
    "large HEADERS": (
        b"",
        _many(frame(frames.HEADERS, frames.END_HEADERS, 9_999, literal("x", "y" * 16_000))),
    ),
    "PRIORITY": (b"", _many(frame(frames.PRIORITY, 0, 1, bytes(5)))),
    "CONTINUATION": (
        frame(frames.HEADERS, 0, 1, HEADERS),
        _many(frame(frames.CONTINUATION, 0, 1)),
    ),
    "unknown": (b"", _many(frame(99, 0, 1, b"x"))),
}  # fmt: skip


def _answer(opened: socket.socket, context: ssl.SSLContext | None, name: str, reads: bool) -> None:
    first, again = FLOODS[name]
    with suppress(OSError), opened:
        talk = context.wrap_socket(opened, server_side=True) if context else opened
        talk.recv(1 << 16)
        talk.sendall(frames.settings([]))
        # The flood begins once there is a request.
        talk.recv(1 << 16)
        if reads:
            threading.Thread(target=_read, args=(talk,), daemon=True).start()
        talk.sendall(first)
        while True:
            talk.sendall(again)


def _read(opened: socket.socket) -> None:
    with suppress(OSError):
        while opened.recv(1 << 20):
            pass


def _serve(
    listening: socket.socket, certificate: tuple[Path, Path] | None, name: str, reads: bool
) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.set_alpn_protocols(["h2"])
    while True:
        opened, _ = listening.accept()
        words = (opened, context, name, reads)
        threading.Thread(target=_answer, args=words, daemon=True).start()


@contextmanager
def flooding_server(
    name: str, *, reads: bool = False, certificate: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """The port of a server that floods with these frames.

    Args:
        name: of one of `FLOODS`.
        reads: it reads what it is sent, too.
        certificate: and its key, to speak TLS.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        words = (listening, certificate, name, reads)
        process = multiprocessing.get_context("fork").Process(target=_serve, args=words)
        process.start()
        try:
            yield listening.getsockname()[1]
        finally:
            process.kill()
            process.join()
