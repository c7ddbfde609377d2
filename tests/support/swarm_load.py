"""What clients of a deployed stack do, and what becomes of their requests."""

import json
import queue
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from support.export_stack import Stack


class Load:
    """A probe that runs beside the test, for so many seconds.

    Args:
        stack: whose gateway is asked.
        protocol: http or grpc.
        seconds: of load.
        rate: requests per second.
    """

    def __init__(self, stack: Stack, protocol: str, seconds: int, rate: int = 15) -> None:
        port = stack.http if protocol == "http" else stack.grpc
        self._process = stack.project.start(
            "probe", "-u", f"127.0.0.1:{port}", "--protocol", protocol, "-m", "digits",
            "--rate", str(rate), "--duration", str(seconds), "--format", "json",
        )  # fmt: skip

    def requests(self) -> dict[str, Any]:
        """What became of the requests."""
        out, err = self._process.communicate(timeout=400)
        assert self._process.returncode == 0, err
        return json.loads(out)["levels"][0]["requests"]

    def stop(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


class Client(threading.Thread):
    """Asks one thing over and over, and counts what fails.

    Args:
        ask: one request; what it raises has failed.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        super().__init__()
        self._ask, self._over = ask, threading.Event()
        self.sent, self.failed = 0, []

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.sent += 1
            try:
                self._ask()
            except Exception as problem:  # noqa: BLE001  (whatever it is, the request has failed)
                self.failed.append(f"{time.strftime('%H:%M:%S')} {problem!r}")

    def stop(self) -> None:
        """No further request."""
        self._over.set()
        if self.ident is not None:
            self.join()


def connection_each(stack: Stack) -> Callable[[], None]:
    """A request over HTTP on a connection of its own."""
    tensor = {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.http}/v2/models/digits/infer",
        json.dumps({"inputs": [tensor]}).encode(),
        {"Connection": "close", "Content-Type": "application/json"},
    )

    def ask() -> None:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  (ours)
            answer.read()

    return ask


def stream_each(stack: Stack) -> Callable[[], None]:
    """A request on a gRPC stream of its own, all of them on one connection."""
    import numpy as np
    from tritonclient import grpc

    client = grpc.InferenceServerClient(f"127.0.0.1:{stack.grpc}")
    tensor = grpc.InferInput("X", [1, 64], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 64), np.float32))

    def ask() -> None:
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def heard(result: object, error: Exception | None) -> None:
            del result  # tritonclient gives both by name
            answers.put(error)

        client.start_stream(heard)
        try:
            client.async_stream_infer("digits", [tensor])
            error = answers.get(timeout=30)
        finally:
            client.stop_stream()
        if error is not None:
            raise error

    return ask
