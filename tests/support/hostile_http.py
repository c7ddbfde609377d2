"""A server that answers over HTTP as an attacker would, for as long as somebody listens."""

import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# How long an attack goes on where nobody leaves: longer than every limit of the tool.
PATIENCE_S = 100.0
_CHUNK = b"100000\r\n" + b"[" * 0x100000 + b"\r\n"

Attack = Callable[[socket.socket], None]


def whole(content: bytes, more: bytes = b"") -> Attack:
    """One answer, well formed but for its content."""
    head = OK + more + b"Content-Length: %d\r\n\r\n" % len(content)
    return lambda peer: peer.sendall(head + content)


def endless_chunks(peer: socket.socket) -> None:
    """A body that never ends."""
    peer.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    _until_left(lambda: peer.sendall(_CHUNK))


def endless_header(peer: socket.socket) -> None:
    """Answers that say that another one follows."""
    _until_left(lambda: peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000))


def trickled(peer: socket.socket) -> None:
    """A byte, and soon another one."""
    peer.sendall(OK + b"Content-Length: 1000000\r\n\r\n")
    _until_left(lambda: (peer.sendall(b" "), time.sleep(0.05)))


def trickled_header(peer: socket.socket) -> None:
    """The same before there is any content."""
    peer.sendall(OK + b"X: ")
    _until_left(lambda: (peer.sendall(b"x"), time.sleep(0.05)))


def negative_length(peer: socket.socket) -> None:
    """A length below zero, and an open connection."""
    peer.sendall(OK + b"Content-Length: -5\r\n\r\n[]")
    _until_left(lambda: (peer.sendall(b" "), time.sleep(0.05)))


def _until_left(step: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        step()
    raise AssertionError("nobody left")


@cache
def _packed() -> bytes:
    """256 MiB, packed when they are first asked for: it takes a second."""
    packing, block = zlib.compressobj(wbits=31), b"0" * 2**20
    return b"".join(packing.compress(block) for _ in range(256)) + packing.flush()


def gzip_bomb(peer: socket.socket) -> None:
    """An answer that is a thousand times larger unpacked."""
    whole(_packed(), b"Content-Encoding: gzip\r\n")(peer)


# Made once: tests count the memory of this process, too.
BEYOND_MEMORY = OK + b"Content-Length: 1000000000000\r\n\r\n" + b" " * 2**24

# What must be over at once, and what ends with the time of the client.
CONTENT: dict[str, Attack] = {
    "endless chunks": endless_chunks,
    "endless header": endless_header,
    "negative length": negative_length,
    "a length beyond all memory": lambda peer: peer.sendall(BEYOND_MEMORY),
    "gzip bomb": gzip_bomb,
    "deep JSON": whole(b"[" * 100_000),
    "deep objects": whole(b'{"a":' * 100_000),
    "many values": whole(b"[" + b"{}," * 5_000_000 + b"{}]"),
    "a number of 100,000 digits": whole(b"1" * 100_000),
    "a number beyond all": whole(b'{"model_stats": [{"inference_count": 1e999}]}'),
    "UTF-16": whole('{"model_stats": []}'.encode("utf-16")),
    "Latin-1": whole(b'{"error": "caf\xe9"}'),
    "HTML": whole(b"<html><body>It works!</body></html>"),
    "another form": whole(b'[[1], 2, {"name": null}]'),
    "another object": whole(b'{"model_stats": 3, "extensions": 4, "inputs": 5, "data": "x"}'),
    "null": whole(b"null"),
    "redirect": lambda peer: peer.sendall(
        b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    ),
}
TIME: dict[str, Attack] = {"trickled": trickled, "trickled header": trickled_header}


@dataclass
class HostileServer:
    """What came of the attacks.

    Attributes:
        address: ``host:port``.
        stayed: attacks that nobody left until they had lasted for `PATIENCE_S`.
    """

    address: str
    stayed: list[str] = field(default_factory=list)


@contextmanager
def hostile(attack: Attack, *, live: bool = False) -> Iterator[HostileServer]:
    """A server that attacks whoever asks.

    Args:
        attack: what it answers.
        live: answer as Triton does where its health is asked.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server = HostileServer(f"127.0.0.1:{listener.getsockname()[1]}")

    def serve(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            while asked := peer.recv(65536):
                if live and b"/health/live" in asked:
                    whole(b"")(peer)
                    continue
                try:
                    attack(peer)
                except AssertionError as problem:
                    server.stayed.append(str(problem))
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=serve, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
