"""Clients of a Triton server: what `serving`, `verify` and the tuner ask it.

`HttpClient` needs the standard library only and moves tensors by the protocol's binary extension.
"""

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import quote, urlsplit

from tritongen.errors import EnvironmentProblem
from tritongen.model.tensors import DType
from tritongen.triton.control import model_meta
from tritongen.triton.foreign_answer import MAX_BODY_BYTES, ForeignAnswerError, read_json
from tritongen.triton.http_channel import Answer, HttpChannel
from tritongen.triton.readiness_client import IndexEntry, index_entries

__all__ = ["HttpClient", "IndexEntry", "SequenceStep", "ServerClient", "Tls"]

_HEADER_LENGTH = "Inference-Header-Content-Length"
_SHOWN_BYTES = 2_000
_OTHER_FORM = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


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
    TLS fails, TG815 with the server's reason when it refuses, TG839 when its answer is none of
    Triton's or too large.
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
        most_bytes: int = MAX_BODY_BYTES,
    ) -> dict[str, Any]:
        """Runs a model once.

        Args:
            name: the model.
            inputs: name → array, the batch axis included when the model batches.
            outputs: names to return; all when empty.
            version: of the model; the server's choice when empty.
            sequence: for a model that keeps state; None for any other.
            most_bytes: of the answer over HTTP.

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
        timeout: seconds for each answer, from the question to the last byte.
        tls: None for plain HTTP.
        headers: sent with every request, such as those of restricted APIs.
    """

    address: str
    timeout: float = 60.0
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    _channel: HttpChannel | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the next request opens a new one."""
        if self._channel is not None:
            self._channel.close()

    def live(self) -> bool:
        """Whether the server answers; a server that cannot be reached is not live."""
        try:
            return self._request("GET", "/v2/health/live").status == 200
        except EnvironmentProblem as error:
            if error.code == "TG814":
                return False
            raise

    def metadata(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        found = self._object("GET", "/v2")
        if not isinstance(found.get("version"), str):
            raise self._unusable("it does not tell its version as an inference server does")
        return found

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether this model answers requests."""
        return self._request("GET", f"{_model(name, version)}/ready").status == 200

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Versions, inputs and outputs, the batch axis included in shapes."""
        try:
            found = asdict(model_meta(self._object("GET", _model(name, version))))
        except _OTHER_FORM as problem:
            raise self._unusable("its metadata of the model have an unknown form") from problem
        if not all(item.isascii() and item.isdigit() for item in found["versions"]):
            raise self._unusable("the model's versions are no numbers")
        return found

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """The completed ModelConfig as the server holds it, in JSON's terms."""
        return self._object("GET", f"{_model(name, version)}/config")

    def statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Counters and times of one model's versions, or of every model's."""
        path = f"{_model(name, version)}/stats" if name else "/v2/models/stats"
        found = self._object("GET", path).get("model_stats")
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._unusable("its statistics have an unknown form")
        return found

    def index(self) -> tuple[IndexEntry, ...]:
        """Every model of the repository with its state."""
        content = self._checked("POST", "/v2/repository/index", b"{}")
        try:
            return index_entries(content)
        except ForeignAnswerError as problem:
            raise self._unusable(str(problem)) from problem

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
        most_bytes: int = MAX_BODY_BYTES,
    ) -> dict[str, Any]:
        """Runs a model once; see `ServerClient.infer`."""
        header, tensors = _infer_request(inputs, outputs, sequence)
        answer = self._request(
            "POST",
            f"{_model(name, version)}/infer",
            header + b"".join(tensors),
            {_HEADER_LENGTH: str(len(header)), "Content-Type": "application/octet-stream"},
            most_bytes,
        )
        if answer.status != 200:
            raise _refusal(self.address, answer.content)
        length = answer.headers.get(_HEADER_LENGTH.lower()) or len(answer.content)
        try:
            return _infer_response(memoryview(answer.content), int(length))
        except ForeignAnswerError as problem:
            raise self._unusable(str(problem)) from problem
        except _OTHER_FORM as problem:
            raise self._unusable("its outputs have an unknown form") from problem

    def _object(self, method: str, path: str) -> dict[str, Any]:
        content = self._checked(method, path)
        try:
            found = read_json(content)
        except ForeignAnswerError as problem:
            raise self._unusable(str(problem)) from problem
        if not isinstance(found, dict):
            raise self._unusable("its answer is no JSON object")
        return found

    def _checked(self, method: str, path: str, body: bytes | None = None) -> bytearray:
        answer = self._request(method, path, body)
        if answer.status != 200:
            raise _refusal(self.address, answer.content)
        return answer.content

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most_bytes: int = MAX_BODY_BYTES,
    ) -> Answer:
        sent = {**self.headers, **(headers or {})}
        try:
            return self._opened().ask(
                method, path, body, sent, seconds=self.timeout, most_bytes=most_bytes
            )
        except ForeignAnswerError as error:
            raise self._unusable(str(error)) from error
        except ssl.SSLError as error:
            raise EnvironmentProblem(
                "TG834", f"no TLS connection: {error.reason or error}", where=self.address
            ) from error
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise EnvironmentProblem(
                "TG814", f"server cannot be reached: {reason.lower()}", where=self.address
            ) from error

    def _opened(self) -> HttpChannel:
        if self._channel is None:
            parts = urlsplit(f"//{self.address}")
            context = self.tls.context() if self.tls is not None else None
            self._channel = HttpChannel(parts.hostname or "", parts.port or 80, context)
        return self._channel

    def _unusable(self, what: str) -> EnvironmentProblem:
        return EnvironmentProblem("TG839", what, where=self.address)


def _model(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _refusal(address: str, data: bytearray) -> EnvironmentProblem:
    try:
        found = read_json(data)
    except ForeignAnswerError:
        found = None
    text = data[:_SHOWN_BYTES].decode("utf-8", "replace").strip() or "no reason given"
    reason = str(found["error"]) if isinstance(found, dict) and "error" in found else text
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
    found: Any = read_json(data[:header_length])
    for output in found["outputs"]:
        dtype = DType(output["datatype"])
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:  # a server without the binary extension sends JSON
            values = np.array(output["data"], dtype=numpy_dtype(dtype))
            result[output["name"]] = values.reshape(output["shape"])
            continue
        result[output["name"]] = decode(data[offset : offset + size], dtype, output["shape"])
        offset += size
    return result
