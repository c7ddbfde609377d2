"""The client over HTTP: the standard library's, and tensors by the protocol's binary extension.

tritonclient's own reads whatever comes, for as long as it comes, and unpacks it; here every answer
is within a time and a size, see `tritongen.triton.http_channel`.
"""

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from tritongen.errors import EnvironmentProblem
from tritongen.model.tensors import DType
from tritongen.triton.address import tls_reason
from tritongen.triton.client import ClientBase, IndexEntry, SequenceStep, ServerInfo
from tritongen.triton.http_channel import (
    MAX_BODY_BYTES,
    ForeignAnswerError,
    HttpAnswer,
    HttpChannel,
    read_json,
)
from tritongen.triton.messages import ModelMeta, WireTensor, model_meta, request_json
from tritongen.triton.refusals import refusal, stands_between

_HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(slots=True)
class HttpClient(ClientBase):
    """See `ClientBase`; `timeout` is from the question to the last byte of its answer."""

    _channel: HttpChannel | None = None

    def close(self) -> None:
        """Closes the connection; the next request opens a new one."""
        if self._channel is not None:
            self._channel.close()

    def connect(self) -> None:
        """Reads certificates; the server is asked for nothing."""
        self._opened()

    def says_live(self) -> bool:
        """Whether the server says that it is live."""
        answer = self._ask("GET", "/v2/health/live")
        if stands_between(answer.status):
            raise self._refusal(answer)
        return answer.status == 200

    def metadata(self) -> ServerInfo:
        """Name, version and extensions of the server."""
        found = self._object("/v2")
        extensions = found.get("extensions", [])
        if not isinstance(found.get("version"), str) or not isinstance(extensions, list):
            raise self._unusable("it does not tell its version as an inference server does")
        return ServerInfo(
            str(found.get("name", "")), found["version"], tuple(str(item) for item in extensions)
        )

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether this model answers requests."""
        return self._ask("GET", f"{_model(name, version)}/ready").status == 200

    def model_metadata(self, name: str, version: str = "") -> ModelMeta:
        """Versions, inputs and outputs, the batch axis included in shapes."""
        found = self._object(_model(name, version))
        with self._reading("its metadata of the model have an unknown form"):
            return model_meta(found)

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """The completed ModelConfig as the server holds it, in JSON's terms."""
        return self._object(f"{_model(name, version)}/config")

    def statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Counters and times of one model's versions, or of every model's."""
        path = f"{_model(name, version)}/stats" if name else "/v2/models/stats"
        return self._objects(self._object(path).get("model_stats"), "its statistics")

    def index(self) -> tuple[IndexEntry, ...]:
        """Every model of the repository with its state."""
        found = self._value("POST", "/v2/repository/index", {})
        return tuple(
            IndexEntry(*(str(entry.get(key, "")) for key in ("name", "version", "state", "reason")))
            for entry in self._objects(found, "its list of models")
        )

    def load(
        self, name: str, config: Mapping[str, Any] | None = None, seconds: float | None = None
    ) -> None:
        """Loads or reloads a model, with another configuration when one is given.

        Args:
            name: the model.
            config: its configuration; None for the repository's.
            seconds: for the answer; the client's own limit when None.
        """
        body = {"parameters": {"config": json.dumps(config)}} if config is not None else {}
        path = f"/v2/repository/models/{quote(name, safe='')}/load"
        self._checked("POST", path, body, seconds)

    def unload(self, name: str) -> None:
        """Starts to unload a model; `index` says when it is gone."""
        self._checked("POST", f"/v2/repository/models/{quote(name, safe='')}/unload", {})

    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        """Lets the server use a system shared memory region of that many bytes."""
        body = {"key": key, "offset": 0, "byte_size": size}
        self._checked("POST", f"/v2/systemsharedmemory/region/{name}/register", body)

    def unregister_shared_memory(self, name: str) -> None:
        """Lets the server forget a region."""
        self._checked("POST", f"/v2/systemsharedmemory/region/{name}/unregister", {})

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
            most_bytes: of the answer.

        Returns:
            name → array.
        """
        header, tensors = _infer_request(inputs, outputs, sequence)
        answer = self._ask(
            "POST",
            f"{_model(name, version)}/infer",
            header + b"".join(tensors),
            {_HEADER_LENGTH: str(len(header)), "Content-Type": "application/octet-stream"},
            most_bytes=most_bytes,
        )
        if answer.status != 200:
            raise self._refusal(answer)
        length = answer.headers.get(_HEADER_LENGTH.lower()) or len(answer.content)
        with self._reading("its outputs have an unknown form"):
            return _infer_response(memoryview(answer.content), int(length))

    def _object(self, path: str) -> dict[str, Any]:
        found = self._value("GET", path)
        if not isinstance(found, dict):
            raise self._unusable("its answer is no JSON object")
        return found

    def _objects(self, found: object, what: str) -> list[dict[str, Any]]:
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self._unusable(f"{what} have an unknown form")
        return found

    def _value(self, method: str, path: str, body: object = None) -> object:
        content = self._checked(method, path, body)
        with self._reading("its answer is no JSON"):
            return read_json(content)

    def _checked(
        self, method: str, path: str, body: object = None, seconds: float | None = None
    ) -> bytearray:
        raw = None if body is None else json.dumps(body).encode()
        answer = self._ask(method, path, raw, seconds=seconds)
        if answer.status != 200:
            raise self._refusal(answer)
        return answer.content

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float | None = None,
        most_bytes: int = MAX_BODY_BYTES,
    ) -> HttpAnswer:
        path, sent = self.path + path, {**self.headers, **(headers or {})}
        limit = self.timeout if seconds is None else seconds
        try:
            return self._opened().ask(
                method, path, body, sent, seconds=limit, most_bytes=most_bytes
            )
        except ForeignAnswerError as error:
            raise self._unusable(str(error)) from error
        except ssl.SSLError as error:
            raise EnvironmentProblem(
                "TG834", f"no TLS connection: {tls_reason(error)}", where=self.address
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

    @contextmanager
    def _reading(self, fault: str) -> Iterator[None]:
        """What goes wrong with an answer's content is the server's fault."""
        try:
            yield
        except ForeignAnswerError as problem:
            raise self._unusable(str(problem)) from problem
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
            raise self._unusable(fault) from problem

    def _unusable(self, what: str) -> EnvironmentProblem:
        return EnvironmentProblem("TG839", what, where=self.address)

    def _refusal(self, answer: HttpAnswer) -> EnvironmentProblem:
        return refusal(answer.status, answer.content, answer.headers, self.address)


def _model(name: str, version: str) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _infer_request(
    inputs: Mapping[str, Any], outputs: Sequence[str], sequence: SequenceStep | None
) -> tuple[bytes, list[bytes]]:
    from tritongen.triton.tensor_bytes import encode, sent_type

    tensors = [
        WireTensor(name, dtype.value, tuple(array.shape), encode(array, dtype))
        for name, array in inputs.items()
        for dtype in (sent_type(name, array),)
    ]
    parameters: dict[str, object] = {"binary_data_output": True}
    if sequence is not None:
        parameters |= sequence.parameters
    header = request_json(tensors, [(name, None) for name in outputs], parameters)
    return header, [tensor.data for tensor in tensors if isinstance(tensor.data, bytes)]


def _infer_response(data: memoryview, header_length: int) -> dict[str, Any]:
    import numpy as np

    from tritongen.model.samples import numpy_dtype
    from tritongen.triton.tensor_bytes import decode

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
