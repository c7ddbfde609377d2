"""What tritonclient reads over HTTP ends within a time and a size, whatever a server sends."""

import json
import socket
import threading
import time
from collections.abc import Callable

import pytest

from support.hostile_http import OK, PATIENCE_S, Attack, endless_header, hostile, trickled, whole
from support.probe_engines import job_of_rows, run_level
from tritongen.probe.load_engine import EngineOptions, LoadClient, Log
from tritongen.probe.load_job import make_plan
from tritongen.probe.prober import make_engine
from tritongen.triton.address import Endpoint

CHUNK = b"100000\r\n{}" + bytes((1 << 20) - 2) + b"\r\n"


def load(attack: Attack, seconds: float = 0.4, **options: float) -> Log:
    """What became of the requests of two clients."""
    with hostile(attack) as server:
        endpoint = Endpoint.parse(server.address)
        plan = make_plan(job_of_rows(), endpoint, client=LoadClient.TRITONCLIENT)
        engine = make_engine(endpoint, [plan], EngineOptions(**options))
        try:
            run_level(engine, 2, seconds)
        finally:
            engine.close()
    assert server.stayed == []
    return engine.targets[0].log


def answer(floats: int) -> bytes:
    """Of the model, with so many values."""
    output = {"name": "OUT", "datatype": "FP32", "shape": [1, floats]}
    said = {
        "model_name": "echo",
        "outputs": [output | {"parameters": {"binary_data_size": 4 * floats}}],
    }
    head = json.dumps(said).encode()
    sizes = b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n"
    return OK + sizes % (len(head), len(head) + 4 * floats) + head + bytes(4 * floats)


def without_end(headers: bytes) -> Attack:
    """A body that never ends."""

    def attack(peer: socket.socket) -> None:
        peer.sendall(OK + headers + b"Transfer-Encoding: chunked\r\n\r\n")
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            peer.sendall(CHUNK)

    return attack


@pytest.mark.parametrize("floats", [1, 1_000_000])
def test_an_answer_may_be_large(floats: int) -> None:
    data = answer(floats)
    log = load(lambda peer: peer.sendall(data), 2.0)
    assert set(log.codes) <= {"UNFINISHED"}
    assert log.done


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (endless_header, "headers of more than 65536 bytes"),
        (without_end(b""), "JSON of more than 2162688 bytes"),
        (without_end(b"Inference-Header-Content-Length: 2\r\n"), "more than 64 MiB"),
        (whole(b"{}", b"Inference-Header-Content-Length: 2097153\r\n"), "JSON part is too large"),
        (whole(b"{}", b"Inference-Header-Content-Length: -1\r\n"), "JSON part is too large"),
        (whole(b"{}", b"Content-Encoding: gzip\r\n"), "compressed though it must not be"),
    ],
    ids=["headers", "JSON", "tensors", "a long JSON part", "a negative JSON part", "gzip"],
)
def test_what_is_too_much_is_a_failed_request(attack: Attack, told: str) -> None:
    log = load(attack, 2.0)
    assert not log.done
    assert set(log.codes) <= {"MALFORMED", "UNFINISHED"}
    assert told in log.examples["MALFORMED"]


def test_what_trickles_ends_with_the_time_limit_and_leaves_no_thread() -> None:
    def readers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if "_work" in thread.name]

    log = load(trickled, timeout_s=0.1)
    assert not log.done
    assert set(log.codes) <= {"TIMEOUT", "UNFINISHED"}
    assert log.codes["TIMEOUT"] >= 2
    assert eventually(lambda: not readers())


def eventually(what: Callable[[], bool], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.01)
    return what()
