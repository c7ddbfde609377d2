"""A server that speaks as much of Triton's HTTP protocol as a probe needs, with known latencies.

It runs in a process of its own, so that it does not share the interpreter with the probe::

    with synthetic_server(Behaviour(latency_s=0.005)) as server:
        server.port, server.address
        server.log()          # seconds that each request was in the server, by its own clock

The model ``echo`` takes FP32 ``IN`` of shape [-1, 4], the batch first, and returns it as
``OUT``. What can go wrong is a field of `Behaviour`. Run as a script it is the server itself.
"""

import argparse
import asyncio
import json
import math
import random
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODEL = "echo"
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True)
class Behaviour:
    """How the server behaves.

    Attributes:
        latency_s: how long it holds a request.
        spread_s: added to it, uniformly between 0 and this, drawn with `seed`.
        workers: requests that are held at the same time, 0 for any number; others wait their turn.
        stall_every_s: it answers nothing for `stall_s` once in this time, 0 for never.
        stall_s: see above.
        fail_share: of the requests that are refused with `fail_status`.
        fail_status: HTTP status of a refusal.
        cut_share: of the requests whose response is cut in the middle.
        drop_share: of the requests whose connection is closed instead of an answer.
        wrong_share: of the requests whose response has another output.
        silent_after: requests after this one get no answer at all, 0 for never.
        exit_after: the server ends itself with this request, 0 for never.
        chunked: responses are sent in chunks.
        close: every response closes its connection.
        version: of HTTP.
        extensions: what the server says that it can do.
        seed: of the spread.
        certificate: file with certificate and key for TLS, empty for none.
    """

    latency_s: float = 0.0
    spread_s: float = 0.0
    workers: int = 0
    stall_every_s: float = 0.0
    stall_s: float = 0.0
    fail_share: float = 0.0
    fail_status: int = 503
    cut_share: float = 0.0
    drop_share: float = 0.0
    wrong_share: float = 0.0
    silent_after: int = 0
    exit_after: int = 0
    chunked: bool = False
    close: bool = False
    version: str = "1.1"
    extensions: tuple[str, ...] = ("binary_tensor_data", "statistics", "system_shared_memory")
    seed: int = 1
    certificate: str = ""


@dataclass
class SyntheticServer:
    """A running synthetic server."""

    process: subprocess.Popen[str]
    port: int
    log_path: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def log(self) -> list[float]:
        """Seconds that each answered request was in the server, in the order of the answers."""
        return [float(line) for line in self.log_path.read_text().split()]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def synthetic_server(behaviour: Behaviour, folder: Path) -> Iterator[SyntheticServer]:
    """The server, on a free port of the loopback address; its log lies in `folder`."""
    log = folder / f"synthetic-{time.monotonic_ns()}.log"
    process = subprocess.Popen(
        [sys.executable, __file__, "--behaviour", json.dumps(asdict(behaviour)), "--log", str(log)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield SyntheticServer(process, int(process.stdout.readline()), log)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class _Server:
    """Everything that the connections share."""

    def __init__(self, behaviour: Behaviour, log: Path) -> None:
        self.behaviour = behaviour
        self.random = random.Random(behaviour.seed)
        self.log = log.open("w", buffering=1)
        self.begin = time.monotonic()
        self.requests = 0
        self.statistics = {"success": 0, "fail": 0, "ns": 0}
        self.free = asyncio.Semaphore(behaviour.workers) if behaviour.workers else None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        began = time.monotonic()
        _, path, _ = head.split("\r\n", 1)[0].split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path.endswith("/infer"):
            return await self._infer(headers, body, writer, began)
        status, answer = self._side_channel(path)
        await self._send(writer, status, json.dumps(answer).encode(), None)
        return True

    def _side_channel(self, path: str) -> tuple[int, Any]:
        tensor = {"datatype": "FP32", "shape": [-1, 4]}
        if path == "/v2":
            extensions = list(self.behaviour.extensions)
            return 200, {"name": "synthetic", "version": "1", "extensions": extensions}
        if path == "/v2/repository/index":
            return 200, [{"name": MODEL, "version": "1", "state": "READY"}]
        if not path.startswith(f"/v2/models/{MODEL}"):
            return 404, {"error": "Request for unknown model"}
        if path.endswith("/ready"):
            return 200, {}
        if path.endswith("/config"):
            return 200, {
                "name": MODEL,
                "max_batch_size": 8,
                "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
            }
        if path.endswith("/stats"):
            found = self.statistics
            whole = {"count": found["success"], "ns": found["ns"]}
            stats = {"success": whole, "compute_infer": whole, "queue": {"count": 0, "ns": 0}}
            return 200, {
                "model_stats": [
                    {
                        "name": MODEL,
                        "version": "1",
                        "inference_count": found["success"],
                        "execution_count": found["success"],
                        "inference_stats": stats,
                        "batch_stats": [{"batch_size": 1, "compute_infer": whole}],
                    }
                ]
            }
        return 200, {
            "name": MODEL,
            "versions": ["1"],
            "platform": "synthetic",
            "inputs": [{"name": "IN", **tensor}],
            "outputs": [{"name": "OUT", **tensor}],
        }

    async def _infer(
        self, headers: dict[str, str], body: bytes, writer: asyncio.StreamWriter, began: float
    ) -> bool:
        behaviour = self.behaviour
        self.requests += 1
        if behaviour.exit_after and self.requests >= behaviour.exit_after:
            sys.stdout.flush()
            self.log.flush()
            # As a crash would: no goodbye to anyone.
            signal.raise_signal(signal.SIGKILL)
        if behaviour.silent_after and self.requests > behaviour.silent_after:
            await asyncio.sleep(3600.0)
        # Evenly spread, so that any run of requests meets its share of the faults.
        draw = self.requests * _GOLDEN % 1.0
        hold = behaviour.latency_s + behaviour.spread_s * self.random.random()
        if self.free is None:
            await self._hold(hold)
        else:
            async with self.free:
                await self._hold(hold)
        edge = behaviour.fail_share
        if draw < edge:
            self.statistics["fail"] += 1
            answer = {"error": "refused on purpose"}
            await self._send(writer, behaviour.fail_status, json.dumps(answer).encode(), None)
            return not behaviour.close
        if draw < edge + behaviour.drop_share:
            return False
        json_size = int(headers["inference-header-content-length"])
        request = json.loads(body[:json_size])
        cut = draw < edge + behaviour.drop_share + behaviour.cut_share
        wrong = not cut and draw < (
            edge + behaviour.drop_share + behaviour.cut_share + behaviour.wrong_share
        )
        head, data = _response(request, body[json_size:], wrong=wrong)
        if cut:
            writer.write(_head(200, len(head) + len(data), len(head)) + head + data[:-3])
            await writer.drain()
            return False
        await self._send(writer, 200, head + data, len(head))
        spent = time.monotonic() - began
        self.statistics["success"] += 1
        self.statistics["ns"] += round(spent * 1e9)
        self.log.write(f"{spent:.6f}\n")
        return not behaviour.close

    async def _hold(self, seconds: float) -> None:
        if seconds:
            await asyncio.sleep(seconds)
        every, length = self.behaviour.stall_every_s, self.behaviour.stall_s
        if every:
            since = (time.monotonic() - self.begin) % every
            if since < length:
                await asyncio.sleep(length - since)

    async def _send(
        self, writer: asyncio.StreamWriter, status: int, body: bytes, json_size: int | None
    ) -> None:
        head = _head(status, len(body), json_size, self.behaviour)
        if self.behaviour.chunked:
            half = len(body) // 2
            pieces = [piece for piece in (body[:half], body[half:]) if piece]
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
        writer.write(head + body)
        await writer.drain()


def _head(
    status: int, size: int, json_size: int | None, behaviour: Behaviour | None = None
) -> bytes:
    version = behaviour.version if behaviour is not None else "1.1"
    lines = [f"HTTP/{version} {status} {'OK' if status == 200 else 'No'}"]
    lines.append("Content-Type: application/octet-stream")
    if json_size is not None:
        lines.append(f"Inference-Header-Content-Length: {json_size}")
    if behaviour is not None and behaviour.chunked:
        lines.append("Transfer-Encoding: chunked")
    else:
        lines.append(f"Content-Length: {size}")
    if behaviour is not None and behaviour.close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _response(request: dict[str, Any], data: bytes, *, wrong: bool) -> tuple[bytes, bytes]:
    tensor = request["inputs"][0]
    output = {
        "name": "OTHER" if wrong else "OUT",
        "datatype": "FP32",
        "shape": tensor["shape"],
        "parameters": {"binary_data_size": len(data)},
    }
    head = {"model_name": MODEL, "model_version": "1", "outputs": [output]}
    return json.dumps(head, separators=(",", ":")).encode(), data


async def _serve(behaviour: Behaviour, log: Path) -> None:
    server = _Server(behaviour, log)
    context = None
    if behaviour.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(behaviour.certificate)
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=context, backlog=512)
    print(listening.sockets[0].getsockname()[1], flush=True)
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--behaviour", required=True)
    parser.add_argument("--log", required=True, type=Path)
    arguments = parser.parse_args()
    fields = json.loads(arguments.behaviour)
    fields["extensions"] = tuple(fields["extensions"])
    asyncio.run(_serve(Behaviour(**fields), arguments.log))
