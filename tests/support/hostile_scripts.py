"""Servers that follow a script made from a seed: almost a Triton, and then something else.

A script is a list of steps. It says what an honest server would say to this request, changed, cut,
repeated, delayed or broken off, and it does the same whenever it is asked.
"""

import gzip
import json
import multiprocessing
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from random import Random

from support.http2_peer import HEADERS, literal, response_message
from tritongen.probe.engines import frames
from tritongen.probe.engines.frames import frame

# Longer than every time limit that the tests give: who waits for more never ends.
PATIENCE_S = 20.0
Step = Callable[[socket.socket], object]
Script = Callable[[int, bytes], "Iterator[Step]"]

_TENSOR = {"name": "IN", "datatype": "FP32", "shape": [-1, 4]}
_ANSWERS: dict[bytes, object] = {
    b"/health/": {},
    b"/ready ": {},
    b"/index": [{"name": "echo", "version": "1", "state": "READY"}],
    b"/config": {
        "name": "echo",
        "max_batch_size": 8,
        "input": [{"name": "IN", "data_type": "TYPE_FP32", "dims": [4]}],
        "output": [{"name": "OUT", "data_type": "TYPE_FP32", "dims": [4]}],
    },
    b"/stats": {"model_stats": [{"name": "echo", "version": "1", "inference_count": 3}]},
    b"/infer": {
        "model_name": "echo",
        "model_version": "1",
        "outputs": [{"name": "OUT", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}],
    },
    b"/query_range": {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [
                {
                    "metric": {"__name__": "nv_inference_count", "model": "echo"},
                    "values": [[0.0, "1"], [1.0, "2"]],
                }
            ],
        },
    },
    b"/v2 ": {"name": "triton", "version": "2.51.0", "extensions": ["binary_tensor_data"]},
    b"/models/": {
        "name": "echo",
        "versions": ["1"],
        "inputs": [_TENSOR],
        "outputs": [{**_TENSOR, "name": "OUT"}],
    },
}
_PAGE = (
    b'# TYPE nv_cpu_utilization gauge\nnv_cpu_utilization 0.5\nnv_inference_count{model="m"} 3\n'
)
_ODD_VALUES = (None, -1, 1e308, 10**40, "", "\0", [], {}, True, [[[]]], "\ud800", {"a": {}})


def honest(asked: bytes) -> bytes:
    """The content of what a Triton or a Prometheus would answer to this request."""
    line = asked.partition(b"\r\n")[0]
    if b"/metrics" in line:
        return _PAGE
    return json.dumps(next((v for key, v in _ANSWERS.items() if key in line), {})).encode()


def _changed(rng: Random, value: object) -> object:
    """A JSON value with something in it replaced, taken away, or repeated."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        changed = dict(value)
        if rng.random() < 0.2:
            del changed[key]
        else:
            changed[key] = _changed(rng, value[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], _changed(rng, value[place]), *value[place:]]
    return rng.choice(_ODD_VALUES)


def _content(rng: Random, asked: bytes) -> bytes:
    good = honest(asked)
    choice = rng.randrange(8)
    if choice <= 2:
        return good
    if choice == 3 and not good.startswith(b"#"):
        return json.dumps(_changed(rng, json.loads(good))).encode("utf-8", "surrogatepass")
    if choice == 4:
        place = rng.randrange(len(good) + 1)
        return good[:place] + rng.randbytes(rng.randrange(40)) + good[place:]
    if choice == 5:
        return good[: rng.randrange(len(good) + 1)]
    if choice == 6:
        return rng.choice([b"[", b'{"a":', b" ", b"\xff", b"0", b'"']) * rng.choice([9, 70_000])
    return good * rng.choice([2, 2_000])


def _headers(rng: Random, content: bytes) -> list[bytes]:
    size = len(content)
    found = [b"Content-Length: %d" % size]
    lies = [
        [],
        [b"Content-Length: %d" % max(0, size - rng.randrange(9))],
        [b"Content-Length: %d" % (size + rng.randrange(1, 9))],
        [b"Content-Length: %d" % 10 ** rng.randrange(9, 25)],
        [b"Content-Length: -%d" % size],
        [b"Content-Length: 0x%x" % size],
        [b"Content-Length: %d" % size, b"Content-Length: %d" % (size + 1)],
        [b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: %d" % size],
        [b"Transfer-Encoding: gzip, chunked"],
    ]
    if rng.random() < 0.4:
        found = rng.choice(lies)
    more = [
        b"Connection: close",
        b"Connection: keep-alive",
        b"Content-Encoding: " + rng.choice([b"gzip", b"deflate", b"br", b"identity", b"x"]),
        b"Inference-Header-Content-Length: %d" % rng.choice([0, 1, size, size + 1, 10**18]),
        b"Location: http://192.0.2.1/",
        b"X: " + b"y" * rng.choice([10, 9_000, 70_000]),
        b" folded",
        b"no colon",
        b"\0: \0",
        b"Content-Type: text/html; charset=utf-16",
        b"Retry-After: 1000000",
    ]
    return found + rng.sample(more, rng.choice([0, 0, 1, 2]))


def _answer(rng: Random, asked: bytes) -> bytes:
    content = _content(rng, asked)
    headers = _headers(rng, content)
    joined = b"\r\n".join(headers)
    if b"gzip" in joined and rng.random() < 0.5:
        content = gzip.compress(content * rng.choice([1, 1_000]))
    if b"chunked" in joined and rng.random() < 0.8:
        size = rng.choice([b"%x" % len(content), b"%x" % (len(content) + 3), b"-1", b"f" * 30, b""])
        content = size + b"\r\n" + content + b"\r\n" + rng.choice([b"0\r\n\r\n", b"", b"0\r\nX: y"])
    status = rng.choice([b"200 OK"] * 12 + [
        b"100 Continue", b"204 No Content", b"302 Found", b"400 Bad Request", b"401 Unauthorized",
        b"429 Too Many", b"500 \xff", b"503 Service Unavailable", b"999", b"-1 x", b"200",
    ])  # fmt: skip
    version = rng.choice([b"HTTP/1.1"] * 9 + [b"HTTP/1.0", b"HTTP/2", b"HTTP/9.9", b"ICY"])
    before = b"HTTP/1.1 100 Continue\r\n\r\n" * rng.choice([0, 0, 0, 0, 1, 5_000])
    end = rng.choice([b"\r\n"] * 9 + [b"\n", b"\r\r"])
    return before + end.join([version + b" " + status, *headers, b"", b""]) + content


def http_steps(seed: int, asked: bytes) -> Iterator[Step]:
    """What the server of this seed does about a request over HTTP/1.1 (or a scrape)."""
    rng = Random(f"{seed} {asked.partition(b' HTTP')[0]!r}")
    yield from _said(rng, _answer(rng, asked))


def _frames(rng: Random, streams: list[int]) -> bytes:
    """One frame, or many like it, that may be wrong in each of its parts."""
    stream = rng.choice([0, 2, rng.choice(streams), rng.choice(streams), 99, frames.MAX_WINDOW])
    kind = rng.choice([*range(10), 99])
    payload = rng.choice([
        b"", bytes(4), bytes(5), bytes(8), rng.randbytes(rng.randrange(60)), HEADERS,
        HEADERS + literal("grpc-status", "0"), literal("x", "y" * 5_000), b"\xff" * 40,
        response_message(), response_message()[:-3], b"\0\xff\xff\xff\xff", bytes(20_000),
        struct.pack(">HI", rng.randrange(9), rng.choice([0, 1, 1 << 31, 0xFFFFFFFF])),
    ])  # fmt: skip
    made = frame(kind, rng.choice([0, 1, 4, 5, 8, 32, 255]), stream, payload)
    if rng.random() < 0.1:
        made = rng.randbytes(3) + made[3:]
    return made * rng.choice([1, 1, 1, 2, 3_000])


def http2_steps(seed: int, asked: bytes) -> Iterator[Step]:
    """What the server of this seed does about what it has read over HTTP/2."""
    rng = Random(f"{seed} {len(asked) % 7}")
    streams = [1, 3, 5, 7]
    pieces = [frames.settings([]), frame(frames.SETTINGS, frames.ACK, 0)]
    for stream in streams:
        if rng.random() < 0.5:
            pieces.append(frame(frames.HEADERS, frames.END_HEADERS, stream, HEADERS))
            pieces.append(frame(frames.DATA, 0, stream, response_message(model="echo")))
            last = literal("grpc-status", rng.choice(["0", "0", "13", "-1", "x", ""]))
            flags = frames.END_HEADERS | frames.END_STREAM
            pieces.append(frame(frames.HEADERS, flags, stream, last))
    for _ in range(rng.randrange(6)):
        pieces.insert(rng.randrange(len(pieces) + 1), _frames(rng, streams))
    yield from _said(rng, b"".join(pieces))


def _said(rng: Random, data: bytes) -> Iterator[Step]:
    """The data whole, in parts, byte by byte or without end, and what comes after it."""
    way = rng.randrange(10)
    if way == 0:
        parts = [data[place : place + 1] for place in range(min(len(data), 400))]
        yield from (_after(0.02, part) for part in parts)
    elif way == 1:
        yield _endless(data or b" ")
    else:
        cut = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(3)))
        edges = [0, *cut, len(data)]
        yield from (
            _after(rng.choice([0.0, 0.0, 0.03]), data[first:last])
            for first, last in pairwise(edges)
        )
    end = rng.randrange(8)
    if end == 0:
        yield _close
    elif end == 1:
        yield _reset
    elif end == 2:
        yield lambda peer: peer.shutdown(socket.SHUT_WR)
    elif end == 3:
        yield lambda _: time.sleep(PATIENCE_S)


def _after(seconds: float, data: bytes) -> Step:
    def step(peer: socket.socket) -> None:
        time.sleep(seconds)
        peer.sendall(data)

    return step


def _endless(data: bytes) -> Step:
    piece = data * (4096 // len(data) + 1)

    def step(peer: socket.socket) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            peer.sendall(piece)

    return step


def _close(peer: socket.socket) -> None:
    peer.close()


def _reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def _follow(steps: Script, seed: int, peer: socket.socket) -> None:
    with peer, suppress(OSError):
        while asked := peer.recv(1 << 16):
            for step in steps(seed, asked):
                step(peer)


def _accept(steps: Script, seed: int, listener: socket.socket) -> None:
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=_follow, args=(steps, seed, peer), daemon=True).start()


def _serve(steps: Script, listeners: dict[int, socket.socket], parent: int) -> None:
    """Until the process that made it is gone, however it ended; nobody waits for its output."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    threads = [
        threading.Thread(target=_accept, args=(steps, seed, listener), daemon=True)
        for seed, listener in listeners.items()
    ]
    for thread in threads:
        thread.start()
    while os.getppid() == parent:
        time.sleep(0.1)


@contextmanager
def scripted(steps: Script, seeds: Iterable[int]) -> Iterator[dict[int, str]]:
    """The address of a server for each seed, all in a process of their own.

    Args:
        steps: `http_steps` or `http2_steps`.
        seeds: of the scripts.
    """
    listeners = {seed: socket.create_server(("127.0.0.1", 0)) for seed in seeds}
    words = (steps, listeners, os.getpid())
    process = multiprocessing.get_context("fork").Process(target=_serve, args=words)
    process.start()
    try:
        yield {
            seed: f"127.0.0.1:{listener.getsockname()[1]}" for seed, listener in listeners.items()
        }
    finally:
        process.kill()
        process.join()
        for listener in listeners.values():
            listener.close()
