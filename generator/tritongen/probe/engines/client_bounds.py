"""Bounds for what tritonclient reads over HTTP: by itself it reads for as long as something comes.

Its time limit is of each piece of an answer, its sizes have none, and it unpacks what comes packed.
"""

import io
import threading
import zlib
from typing import Any

from tritongen.probe.engines.http_messages import MAX_HEAD_BYTES, MalformedResponseError
from tritongen.probe.load_engine import clock_ns

# Chosen: of all answers that an engine reads at a time.
MAX_ANSWER_BYTES = 64 << 20
# Chosen: Python's objects take forty times as much. Tensors come as bytes, beside the JSON.
_MAX_JSON_BYTES = 2 << 20
_READ_BYTES = 1 << 18


class Budget:
    """What all clients of an engine hold of answers that they read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more, or fewer."""
        with self._lock:
            self._held += size
            held = self._held
        if size > 0 and held > MAX_ANSWER_BYTES:
            raise MalformedResponseError(
                f"answers at one time take more than {MAX_ANSWER_BYTES >> 20} MiB, the most "
                "that is kept for tritonclient; --client fast has no such limit"
            )


class BoundedClient:
    """A client of tritonclient's whose answers end within a time and a size.

    Args:
        client: of `tritonclient.http`.
        budget: of the engine.
        limit_s: from the request to the last byte of its answer.
        compression: of answers, as it was asked for; empty for none.
    """

    def __init__(self, client: Any, budget: Budget, limit_s: float, compression: str) -> None:  # noqa: ANN401  (tritonclient has no types)
        self._client = client
        self._budget = budget
        self._compression = compression
        self._limit_ns = round(limit_s * 1e9)
        self._until_ns = self._held = self._most = 0
        self._part = ""
        stub = client._client_stub  # noqa: SLF001  (there is no other way to its connections)
        pool = stub._connection_pool  # noqa: SLF001  (likewise)
        self._connect, pool._create_socket = pool._create_socket, self._connected  # noqa: SLF001  (likewise)
        self._post, stub.post = stub.post, self._posted

    def infer(self, **call: object) -> Any:  # noqa: ANN401  (an `InferResult`)
        """See tritonclient's."""
        self._until_ns = clock_ns() + self._limit_ns
        self._most, self._part = MAX_HEAD_BYTES, "headers"
        try:
            return self._client.infer(**call)
        finally:
            self._budget.take(-self._held)
            self._held = 0

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def received(self, size: int) -> None:
        """So many bytes of the answer have come.

        Raises:
            MalformedResponseError: they are too many.
            TimeoutError: they come too late.
        """
        self._held += size
        self._budget.take(size)
        if self._held > self._most:
            raise MalformedResponseError(f"{self._part} of more than {self._most} bytes")
        if clock_ns() > self._until_ns:
            raise TimeoutError

    def _connected(self) -> "_Connection":
        return _Connection(self._connect(), self)

    def _posted(self, **request: object) -> Any:  # noqa: ANN401  (geventhttpclient's response)
        """The response, of which the headers have been read."""
        response = self._post(**request)
        try:
            encoding = response.get("content-encoding", "identity")
            if encoding not in {"identity", self._compression}:
                raise MalformedResponseError("the response is compressed though it must not be")
            said = response.get("inference-header-content-length")
            if said is not None and not 0 <= int(said) <= _MAX_JSON_BYTES:
                raise MalformedResponseError("the JSON part is too large")
            plain = said is None or response.status_code != 200
            most = _MAX_JSON_BYTES if plain else MAX_ANSWER_BYTES
            self._most, self._part = most + MAX_HEAD_BYTES, "JSON" if plain else "an answer"
            return response if encoding == "identity" else _Unpacked(response, most)
        except BaseException:
            response.release()
            raise


class _Unpacked:
    """A response that came compressed, as tritonclient reads one that did not.

    Raises:
        MalformedResponseError: it is no whole one of the longest size.
    """

    def __init__(self, response: Any, most: int) -> None:  # noqa: ANN401  (geventhttpclient's)
        self.status_code = response.status_code
        self._response = response
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # by its header gzip's or zlib's own
        try:
            self._data = io.BytesIO(unpacker.decompress(response.read(), most))
        except zlib.error as fault:
            raise MalformedResponseError(f"the compressed response is damaged ({fault})") from None
        if not unpacker.eof:
            raise MalformedResponseError(f"unpacked it is cut, or of more than {most} bytes")

    def get(self, name: str) -> str | None:
        """A header."""
        found: str | None = self._response.get(name)
        return None if name.lower() == "content-encoding" else found

    def read(self, length: int = -1) -> bytes:
        """See geventhttpclient's."""
        return self._data.read(length)


class _Connection:
    """A socket that tells what it receives."""

    __slots__ = ("_client", "_socket")

    def __init__(self, socket: Any, client: BoundedClient) -> None:  # noqa: ANN401  (gevent's)
        self._socket = socket
        self._client = client

    def recv(self, size: int) -> bytes:
        """See `socket.recv`."""
        data: bytes = self._socket.recv(min(size, _READ_BYTES))
        self._client.received(len(data))
        return data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (whatever a socket has)
        return getattr(self._socket, name)
