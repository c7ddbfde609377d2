"""The engine's socket: what is a success; everything else is left to the docker package."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from tritongen.serving.docker.engine_socket import EngineSocket, usual_socket

OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"


class Engine:
    """Answers every request with the same bytes, and keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.answer = b""
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):  # who asked may have gone
                with connection.makefile("rb") as file:
                    asked = b"".join(iter(file.readline, b"\r\n")) + b"\r\n"
                    length = re.search(rb"Content-Length: (\d+)", asked)
                    asked += file.read(int(length[1])) if length else b""
                self.asked.append(asked)
                connection.sendall(self.answer)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    made = Engine(path)
    yield made
    made.close()


def test_a_question_and_an_order(engine: Engine, path: Path) -> None:
    way = EngineSocket(str(path))
    engine.answer = OK + b'{"a": [1]}'
    assert way.get("/info", all="1", filters='{"label":["x y"]}') == {"a": [1]}
    way.agree("1.45")
    assert way.post("/containers/create", {"Image": "ü"}, name="n") == {"a": [1]}
    engine.answer = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"
    assert way.post("/containers/x/start") is True
    first, second, third = engine.asked
    assert first.startswith(b"GET /info?all=1&filters=%7B%22label%22%3A%5B%22x+y%22%5D%7D HTTP/1.1")
    assert second.startswith(b"POST /v1.45/containers/create?name=n HTTP/1.1\r\n")
    head, _, body = second.partition(b"\r\n\r\n")
    assert json.loads(body) == {"Image": "ü"}
    assert f"Content-Length: {len(body)}".encode() in head
    assert third.startswith(b"POST /v1.45/containers/x/start HTTP/1.1\r\n")


@pytest.mark.parametrize("status", [b"304 Not Modified", b"404 Not Found", b"409 x", b"500 x"])
def test_a_refusal(engine: Engine, path: Path, status: bytes) -> None:
    engine.answer = b"HTTP/1.1 " + status + b'\r\n\r\n{"message": "no"}'
    assert EngineSocket(str(path)).get("/x") is None
    assert EngineSocket(str(path)).post("/x") is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 abc OK\r\n\r\n{}",
        b"220 mail.example ready\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{",
        OK + b'{"Id": "12',
        OK + b"[" * 100_000,
        OK + b"\xff\xfe",
    ],
)
def test_half_an_answer_is_none(engine: Engine, path: Path, answer: bytes) -> None:
    """Of a question nothing is known then; of an order nobody knows what became of it."""
    engine.answer = answer
    assert EngineSocket(str(path)).get("/x") is None
    with pytest.raises((OSError, HTTPException)):
        EngineSocket(str(path)).post("/x")


def test_a_log(engine: Engine, path: Path) -> None:
    pieces = (b"one\n", b"", b"two\nth", b"ree" * 50_000)
    frames = (bytes([1 + n % 2, 0, 0, 0]) + len(p).to_bytes(4) + p for n, p in enumerate(pieces))
    engine.answer = OK + b"".join(frames)
    found = EngineSocket(str(path)).log("abc")
    assert found is not None
    assert b"".join(found) == b"".join(pieces)
    assert engine.asked[0].startswith(b"GET /containers/abc/logs?follow=1&stdout=1&stderr=1 ")


@pytest.mark.parametrize("head", [b"HTTP/1.1 404 Not Found", b"HTTP/1.1 500 x"])
def test_a_log_that_is_refused(engine: Engine, path: Path, head: bytes) -> None:
    engine.answer = head + b"\r\n\r\n{}"
    assert EngineSocket(str(path)).log("abc") is None


def test_a_log_that_is_cut(engine: Engine, path: Path) -> None:
    engine.answer = OK + b"\x01\0\0\0\0\0\0\x09half"
    found = EngineSocket(str(path)).log("abc")
    assert found is not None
    assert b"".join(found) == b"half"


def test_nobody_listens(path: Path) -> None:
    assert EngineSocket(str(path)).get("/x") is None
    with pytest.raises(FileNotFoundError):
        EngineSocket(str(path)).post("/x")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., bool]:
    """Whether the socket is taken with these variables and settings of the docker command."""
    names = (
        "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
        "TRITONGEN_DOCKER_LIBRARY",
    )  # fmt: skip

    def ask(settings: str | None = None, **variables: str) -> bool:
        for name in names:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        file = tmp_path / "config.json"
        file.unlink(missing_ok=True)
        if settings is not None:
            file.write_text(settings)
        return usual_socket() is not None

    return ask


def test_only_a_plain_local_engine_is_spoken_to(alone: Callable[..., bool], tmp_path: Path) -> None:
    assert alone()
    assert alone('{"auths": {}, "currentContext": "default"}')
    assert alone(DOCKER_HOST="unix:///run/docker.sock")
    for host in ("tcp://127.0.0.1:2375", "ssh://host", "npipe:////./pipe/x", "unix://", "/run/x"):
        assert not alone(DOCKER_HOST=host), host
    assert not alone(DOCKER_CONTEXT="far")
    assert not alone(DOCKER_TLS_VERIFY="1")
    assert not alone(DOCKER_CERT_PATH="/certs")
    assert not alone(TRITONGEN_DOCKER_LIBRARY="1")
    for settings in ('{"currentContext": "far"}', "[]", "{", ""):
        assert not alone(settings), settings
    # The user's own settings count, too.
    home = tmp_path / "home/.docker"
    home.mkdir(parents=True)
    (home / "config.json").write_text('{"currentContext": "far"}')
    assert not alone()
