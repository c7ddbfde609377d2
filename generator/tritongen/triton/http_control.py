"""The server's side channel over HTTP, with the standard library's client."""

import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tritongen.errors import EnvironmentProblem
from tritongen.triton.control import NAME_MODELS, ServerInfo, model_meta, model_statistics
from tritongen.triton.foreign_answer import ForeignAnswerError, read_json
from tritongen.triton.http_channel import HttpChannel
from tritongen.triton.messages import ModelMeta
from tritongen.triton.statistics import ModelStatistics

_OTHER_FORM = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class HttpControl:
    """See `tritongen.triton.control.Control`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        context: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Remember the address; nothing is sent yet."""
        self.address = f"{host}:{port}"
        self._channel = HttpChannel(host, port, context)
        self._timeout_s = timeout_s
        self._headers = dict(headers or {})

    def server(self) -> ServerInfo:
        """Name, version and extensions."""
        status, data = self._json("GET", "/v2")
        if (
            status != 200
            or not isinstance(data, dict)
            or not isinstance(data.get("extensions"), list)
        ):
            raise self._foreign(f"GET /v2 gave status {status}")
        return ServerInfo(
            str(data.get("name", "")),
            str(data.get("version", "")),
            tuple(str(item) for item in data["extensions"]),
        )

    def ready_models(self) -> list[str]:
        """Names of the models that are ready, sorted."""
        return sorted({name for name, state, _ in self._index() if state == "READY"})

    def reason(self, model: str) -> str:
        """What the repository index says of a model."""
        found = [(state, reason) for name, state, reason in self._index() if name == model]
        if not found:
            return "the server's repository has no model of that name"
        return "; ".join(f"{state or 'not loaded'} {reason}".strip() for state, reason in found)

    def _index(self) -> list[tuple[str, str, str]]:
        status, data = self._json("POST", "/v2/repository/index", {})
        if (
            status != 200
            or not isinstance(data, list)
            or not all(isinstance(item, dict) for item in data)
        ):
            what = f"the server does not list its models: {_error(data, status)}"
            raise EnvironmentProblem("TG902", what, where=self.address, fix=NAME_MODELS)
        return [
            (str(item.get("name", "")), str(item.get("state", "")), str(item.get("reason", "")))
            for item in data
        ]

    def is_ready(self, model: str, version: str = "") -> bool:
        """Whether the model can be asked."""
        return self._request("GET", f"{_path(model, version)}/ready")[0] == 200

    def metadata(self, model: str, version: str = "") -> ModelMeta:
        """Inputs and outputs."""
        status, data = self._json("GET", _path(model, version))
        try:
            if status == 200:
                return model_meta(data)
        except _OTHER_FORM:
            raise self._foreign("the model's metadata have an unknown form") from None
        raise EnvironmentProblem("TG903", _error(data, status), where=model)

    def config(self, model: str, version: str = "") -> Mapping[str, Any]:
        """The configuration in force."""
        status, data = self._json("GET", f"{_path(model, version)}/config")
        if status != 200 or not isinstance(data, dict):
            raise EnvironmentProblem("TG903", _error(data, status), where=model)
        return data

    def statistics(self, model: str, version: str = "") -> ModelStatistics:
        """Sums since the model was loaded."""
        status, data = self._json("GET", f"{_path(model, version)}/stats")
        try:
            if status == 200:
                return model_statistics(data)
        except _OTHER_FORM:
            raise self._foreign("the statistics have an unknown form") from None
        raise EnvironmentProblem("TG902", _error(data, status), where=model)

    def load(self, model: str, config: Mapping[str, Any] | None = None) -> None:
        """Load or reload a model."""
        body = {"parameters": {"config": json.dumps(config)}} if config is not None else {}
        path = f"/v2/repository/models/{quote(model, safe='')}/load"
        status, data = self._json("POST", path, body, timeout_s=300.0)
        if status != 200:
            raise EnvironmentProblem("TG913", _error(data, status), where=model)

    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        """Let the server use a system shared memory region."""
        body = {"key": key, "offset": 0, "byte_size": size}
        path = f"/v2/systemsharedmemory/region/{name}/register"
        status, data = self._json("POST", path, body)
        if status != 200:
            raise EnvironmentProblem("TG909", _error(data, status), where=self.address)

    def unregister_shared_memory(self, name: str) -> None:
        """Let the server forget a region."""
        self._request("POST", f"/v2/systemsharedmemory/region/{name}/unregister", b"")

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _json(
        self, method: str, path: str, body: object = None, timeout_s: float | None = None
    ) -> tuple[int, Any]:
        raw = None if body is None else json.dumps(body).encode()
        status, data = self._request(method, path, raw, timeout_s)
        if status == 200 and not data:
            return status, None
        try:
            return status, read_json(data)
        except ForeignAnswerError as fault:
            if status == 200:
                raise self._foreign(str(fault)) from None
            return status, data[:300].decode("utf-8", "replace")

    def _request(
        self, method: str, path: str, body: bytes | None = None, timeout_s: float | None = None
    ) -> tuple[int, bytearray]:
        seconds = timeout_s or self._timeout_s
        try:
            answer = self._channel.ask(method, path, body, self._headers, seconds=seconds)
        except ForeignAnswerError as fault:
            raise self._foreign(str(fault)) from None
        except OSError as fault:
            text = fault.strerror or str(fault) or type(fault).__name__
            raise EnvironmentProblem("TG901", f"no answer: {text}", where=self.address) from None
        return answer.status, answer.content

    def _foreign(self, what: str) -> EnvironmentProblem:
        return EnvironmentProblem("TG902", what, where=self.address)


def _path(model: str, version: str) -> str:
    tail = f"/versions/{quote(version, safe='')}" if version else ""
    return f"/v2/models/{quote(model, safe='')}{tail}"


def _error(data: object, status: int) -> str:
    if isinstance(data, dict) and "error" in data:
        return " ".join(str(data["error"]).split())[:500]
    return f"status {status}: {str(data)[:200]}"
