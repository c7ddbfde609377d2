"""Large responses: the engine sleeps until the rest of one is there, and misses none of it."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from support.probe import SECOND
from tritongen.probe.engines.http_engine import HttpEngine
from tritongen.probe.load_engine import EngineOptions, RequestPlan, clock_ns
from tritongen.triton.address import Endpoint
from tritongen.triton.messages import ExpectedResponse, TensorMeta

FLOATS = 150_000
REQUEST = b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


def whole_response() -> bytes:
    output = {"name": "OUT", "datatype": "FP32", "shape": [1, FLOATS]}
    output["parameters"] = {"binary_data_size": FLOATS * 4}
    head = json.dumps({"model_name": "m", "outputs": [output]}).encode()
    length = len(head) + FLOATS * 4
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
        b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n"
        % (len(head), length)
        + head
        + bytes(FLOATS * 4)
    )


RESPONSE = whole_response()
REFUSAL = b'HTTP/1.1 503 Busy\r\nContent-Length: 16\r\n\r\n{"error":"busy"}'

# What a server does with the request of that number, from 0.
Answer = Callable[[socket.socket, int], None]


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """A server of one connection after the other on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            number = 0
            while True:
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                with peer:
                    while _take_request(peer):
                        try:
                            answer(peer, number)
                        except OSError:
                            break
                        number += 1

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10.0)


def _take_request(peer: socket.socket) -> bool:
    taken = b""
    while not taken.endswith(b"\r\n\r\n"):
        try:
            piece = peer.recv(65_536)
        except OSError:
            return False
        if not piece:
            return False
        taken += piece
    return True


def run_until(port: int, finished: int) -> HttpEngine:
    """One request at a time until so many are done."""
    output = TensorMeta("OUT", "FP32", (-1, FLOATS))
    plan = RequestPlan("m", 1.0, [[REQUEST]], ExpectedResponse("m", {"OUT": output}, 1))
    engine = HttpEngine(Endpoint("127.0.0.1", port), [plan], EngineOptions(timeout_s=20.0))
    engine.open(1, closed=True)
    engine.start()
    log, limit = engine.targets[0].log, clock_ns() + 30 * SECOND
    while len(log.done) + len(log.failures) < finished and clock_ns() < limit:
        engine.serve(clock_ns() + SECOND // 100)
        engine.check_timeouts(clock_ns())
    engine.close()
    return engine


@pytest.mark.parametrize("piece", [1_000, 70_000, 400_000])
def test_a_response_in_pieces_with_pauses_is_one_response(piece):
    def answer(peer: socket.socket, number: int) -> None:
        if not number % 2:
            peer.sendall(RESPONSE)
            return
        # The end of the pieces, too, comes in two: little of it may be missing for a while.
        for edges in ((0, piece), (piece, len(RESPONSE) - 7), (len(RESPONSE) - 7, None)):
            peer.sendall(RESPONSE[slice(*edges)])
            time.sleep(0.005)

    with serving(answer) as port:
        log = run_until(port, 20).targets[0].log
    assert len(log.done) >= 20
    assert not log.failures


def test_a_refusal_after_large_responses_is_seen_at_once():
    def answer(peer: socket.socket, number: int) -> None:
        peer.sendall(REFUSAL if number % 3 == 2 else RESPONSE)

    with serving(answer) as port:
        log = run_until(port, 12).targets[0].log
    assert set(log.codes) == {"HTTP 503"}
    assert abs(len(log.done) - 2 * len(log.failures)) <= 2


def test_a_large_response_cut_short_is_told():
    def answer(peer: socket.socket, number: int) -> None:
        if number % 3 != 2:
            peer.sendall(RESPONSE)
            return
        peer.sendall(RESPONSE[:200_000])
        peer.shutdown(socket.SHUT_RDWR)

    with serving(answer) as port:
        log = run_until(port, 9).targets[0].log
    assert set(log.codes) == {"CUT SHORT"}
    assert len(log.done) >= 6
