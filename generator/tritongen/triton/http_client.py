"""Clients of a Triton server: what `serving`, `verify` and the tuner ask it.

`HttpClient` needs the standard library only and moves tensors by the protocol's binary extension.
"""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import quote

from tritongen.errors import EnvironmentProblem
from tritongen.model.tensors import DType
from tritongen.triton.readiness_client import IndexEntry, index_entries

__all__ = ["HttpClient", "IndexEntry", "SequenceStep", "ServerClient", "Tls"]

_HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Tls:
    """How to trust a server and be trusted.

    Attributes:
        authority: PEM file of the authorities to trust; the system's when None.
        certificate: PEM file of the client's own certificate, None for none.
        key: PEM file of its private key.
        verify: False accepts any certificate; for tests on a trusted network only.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """For the standard library's sockets.

        Raises:
            EnvironmentProblem: TG834 when a file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.authority)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            raise EnvironmentProblem("TG834", f"certificates cannot be used: {error}") from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """Where a request stands in a sequence of requests.

    Attributes:
        identity: the sequence's, a number above 0 or a text.
        start: whether it is the first one.
        end: whether it is the last one.
    """

    identity: int | str
    start: bool = False
    end: bool = False


class ServerClient(Protocol):
    """What can be asked of a server. Arrays are numpy's; BYTES are object arrays of bytes.

    Every method raises EnvironmentProblem: TG814 when the server cannot be reached, TG834 when
    TLS fails, TG815 with the server's reason when it refuses.
    """

    def live(self) -> bool:
        """Whether the server answers."""
        ...

    def metadata(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        ...

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether this model answers requests."""
        ...

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Versions, inputs and outputs, the batch axis included in shapes."""
        ...

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """The completed ModelConfig as the server holds it, in JSON's terms."""
        ...

    def statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Counters and times of one model's versions, or of every model's."""
        ...

    def index(self) -> tuple[IndexEntry, ...]:
        """Every model of the repository with its state."""
        ...

    def load(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        """Loads or reloads a model, with another configuration when one is given."""
        ...

    def unload(self, name: str) -> None:
        """Starts to unload a model; `index` says when it is gone."""
        ...

    def infer(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] = (),
        version: str = "",
        sequence: SequenceStep | None = None,
    ) -> dict[str, Any]:
        """Runs a model once.

        Args:
            name: the model.
            inputs: name → array, the batch axis included when the model batches.
            outputs: names to return; all when empty.
            version: of the model; the server's choice when empty.
            sequence: for a model that keeps state; None for any other.

        Returns:
            name → array.
        """
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


@dataclass(slots=True)
class HttpClient:
    """A client over one HTTP connection, opened when needed. Not for several threads at once.

    Attributes:
        address: ``host:port``.
        timeout: seconds for each answer.
        tls: None for plain HTTP.
        headers: sent with every request, such as those of restricted APIs.
    """

    address: str
    timeout: float = 60.0
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    _connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def live(self) -> bool:
        """Whether the server answers; a server that cannot be reached is not live."""
        try:
            return self._request("GET", "/v2/health/live")[0] == 200
        except EnvironmentProblem as error:
            if error.code == "TG814":
                return False
            raise

    def metadata(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return self._object("GET", "/v2")

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether this model answers requests."""
        return self._request("GET", f"{_model(name, version)}/ready")[0] == 200

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Versions, inputs and outputs, the batch axis included in shapes."""
        return self._object("GET", _model(name, version))

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """The completed ModelConfig as the server holds it, in JSON's terms."""
        return self._object("GET", f"{_model(name, version)}/config")

    def statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Counters and times of one model's versions, or of every model's."""
        path = f"{_model(name, version)}/stats" if name else "/v2/models/stats"
        return list(self._object("GET", path)["model_stats"])

    def index(self) -> tuple[IndexEntry, ...]:
        """Every model of the repository with its state."""
        return index_entries(self._checked("POST", "/v2/repository/index", b"{}"))

    def load(self, name: str, config: Mapping[str, Any] | None = None) -> None:
        """Loads or reloads a model, with another configuration when one is given."""
        body = {"parameters": {"config": json.dumps(config)}} if config is not None else {}
        path = f"/v2/repository/models/{quote(name, safe='')}/load"
        self._checked("POST", path, json.dumps(body).encode())

    def unload(self, name: str) -> None:
        """Starts to unload a model; `index` says when it is gone."""
        self._checked("POST", f"/v2/repository/models/{quote(name, safe='')}/unload", b"{}")

    def infer(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] = (),
        version: str = "",
        sequence: SequenceStep | None = None,
    ) -> dict[str, Any]:
        """Runs a model once; see `ServerClient.infer`."""
        header, tensors = _infer_request(inputs, outputs, sequence)
        status, data, length = self._request(
            "POST",
            f"{_model(name, version)}/infer",
            header + b"".join(tensors),
            {_HEADER_LENGTH: str(len(header)), "Content-Type": "application/octet-stream"},
        )
        if status != 200:
            raise _refusal(self.address, data)
        return _infer_response(memoryview(data), int(length or len(data)))

    def _object(self, method: str, path: str) -> dict[str, Any]:
        return dict(json.loads(self._checked(method, path)))

    def _checked(self, method: str, path: str, body: bytes | None = None) -> bytes:
        status, data, _ = self._request(method, path, body)
        if status != 200:
            raise _refusal(self.address, data)
        return data

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, str]:
        """Status, body and the length of the JSON part of an inference's answer."""
        sent = {**self.headers, **(headers or {})}
        fresh = self._connection is None
        with self._translated():
            try:
                response = self._exchange(method, path, body, sent)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # A kept connection that the server closed meanwhile; a new one never retries.
                self.close()
                if fresh:
                    raise
                response = self._exchange(method, path, body, sent)
            return response.status, response.read(), response.getheader(_HEADER_LENGTH) or ""

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            if self.tls is None:
                self._connection = http.client.HTTPConnection(self.address, timeout=self.timeout)
            else:
                self._connection = http.client.HTTPSConnection(
                    self.address, timeout=self.timeout, context=self.tls.context()
                )
        self._connection.request(method, path, body, dict(headers))
        return self._connection.getresponse()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLError as error:
            self.close()
            raise EnvironmentProblem(
                "TG834", f"no TLS connection: {error.reason or error}", where=self.address
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise EnvironmentProblem(
                "TG814", f"server cannot be reached: {reason.lower()}", where=self.address
            ) from error


def _model(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _refusal(address: str, data: bytes) -> EnvironmentProblem:
    text = data.decode("utf-8", "replace")
    try:
        reason = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        reason = text.strip() or "no reason given"
    return EnvironmentProblem("TG815", reason, where=address)


def _infer_request(
    inputs: Mapping[str, Any], outputs: Sequence[str], sequence: SequenceStep | None
) -> tuple[bytes, list[bytes]]:
    from tritongen.triton.tensor_bytes import dtype_of, encode

    described, tensors = [], []
    for name, array in inputs.items():
        dtype = dtype_of(array)
        if dtype is None:
            raise EnvironmentProblem(
                "TG815", f"no type of the protocol for {array.dtype}", where=name
            )
        tensors.append(encode(array, dtype))
        described.append(
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": dtype.value,
                "parameters": {"binary_data_size": len(tensors[-1])},
            }
        )
    parameters: dict[str, object] = {"binary_data_output": True}
    if sequence is not None:
        parameters |= {
            "sequence_id": sequence.identity,
            "sequence_start": sequence.start,
            "sequence_end": sequence.end,
        }
    request: dict[str, Any] = {"inputs": described, "parameters": parameters}
    if outputs:
        request["outputs"] = [
            {"name": name, "parameters": {"binary_data": True}} for name in outputs
        ]
    return json.dumps(request).encode(), tensors


def _infer_response(data: memoryview, header_length: int) -> dict[str, Any]:
    import numpy as np

    from tritongen.triton.tensor_bytes import decode, numpy_dtype

    result: dict[str, Any] = {}
    offset = header_length
    for output in json.loads(bytes(data[:header_length]))["outputs"]:
        dtype = DType(output["datatype"])
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:  # a server without the binary extension sends JSON
            values = np.array(output["data"], dtype=numpy_dtype(dtype))
            result[output["name"]] = values.reshape(output["shape"])
            continue
        result[output["name"]] = decode(data[offset : offset + size], dtype, output["shape"])
        offset += size
    return result
