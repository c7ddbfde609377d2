"""The server's side channel over gRPC, with tritonclient."""

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tritongen.errors import EnvironmentProblem
from tritongen.triton.address import Endpoint
from tritongen.triton.control import NAME_MODELS, ServerInfo, model_meta, model_statistics
from tritongen.triton.grpc_channel import call_metadata, channel_credentials, channel_options
from tritongen.triton.http_client import Tls
from tritongen.triton.messages import ModelMeta
from tritongen.triton.statistics import ModelStatistics

_UNREACHABLE = {"StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED"}


class GrpcControl:
    """See `tritongen.triton.control.Control`."""

    def __init__(self, endpoint: Endpoint, timeout_s: float = 10.0) -> None:
        """Remember the address; nothing is sent yet, but for a certificate to trust unverified.

        Raises:
            EnvironmentProblem: TG006, tritonclient lacks its gRPC part; TG834, TG814, see
                `channel_credentials`.
        """
        try:
            from tritonclient import grpc  # half a second; only who speaks gRPC pays for it
            from tritonclient.utils import InferenceServerException
        except ImportError:
            raise EnvironmentProblem(
                "TG006", "tritonclient has no gRPC part", fix="pip install 'tritonclient[grpc]'"
            ) from None
        self._refused: type[Exception] = InferenceServerException
        self._timeout_s = timeout_s
        self.address = endpoint.address
        self._place = (endpoint.host, endpoint.port)
        self._headers = call_metadata(endpoint.headers)
        credentials, options = None, channel_options()
        if endpoint.tls:
            tls = Tls(Path(endpoint.ca_file) if endpoint.ca_file else None, verify=endpoint.verify)
            credentials, more = channel_credentials(endpoint.address, tls, timeout_s)
            options += more
        self._client: Any = grpc.InferenceServerClient(
            endpoint.address, creds=credentials, channel_args=options
        )

    def server(self) -> ServerInfo:
        """Name, version and extensions."""
        data = self._ask(self._client.get_server_metadata, "TG902", as_json=True)
        return ServerInfo(
            str(data.get("name", "")),
            str(data.get("version", "")),
            tuple(str(item) for item in data.get("extensions", ())),
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
        try:
            data = self._ask(self._client.get_model_repository_index, "TG902", as_json=True)
        except EnvironmentProblem as problem:
            if problem.code != "TG902":
                raise
            what = f"the server does not list its models: {problem.what}"
            raise EnvironmentProblem("TG902", what, where=self.address, fix=NAME_MODELS) from None
        return [
            (str(item.get("name", "")), str(item.get("state", "")), str(item.get("reason", "")))
            for item in data.get("models", ())
        ]

    def is_ready(self, model: str, version: str = "") -> bool:
        """Whether the model can be asked."""
        return bool(self._ask(self._client.is_model_ready, "TG902", model, version))

    def metadata(self, model: str, version: str = "") -> ModelMeta:
        """Inputs and outputs."""
        return model_meta(
            self._ask(self._client.get_model_metadata, "TG903", model, version, as_json=True)
        )

    def config(self, model: str, version: str = "") -> Mapping[str, Any]:
        """The configuration in force."""
        data = self._ask(self._client.get_model_config, "TG903", model, version, as_json=True)
        found: Mapping[str, Any] = data["config"]
        return found

    def statistics(self, model: str, version: str = "") -> ModelStatistics:
        """Sums since the model was loaded."""
        return model_statistics(
            self._ask(self._client.get_inference_statistics, "TG902", model, version, as_json=True)
        )

    def load(self, model: str, config: Mapping[str, Any] | None = None) -> None:
        """Load or reload a model."""
        text = json.dumps(config) if config is not None else None
        self._ask(self._client.load_model, "TG913", model, config=text, timeout_s=300.0)

    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        """Let the server use a system shared memory region."""
        self._ask(self._client.register_system_shared_memory, "TG909", name, key, size)

    def unregister_shared_memory(self, name: str) -> None:
        """Let the server forget a region."""
        self._ask(self._client.unregister_system_shared_memory, "TG909", name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _ask(
        self,
        method: Callable[..., Any],
        code: str,
        *arguments: object,
        timeout_s: float | None = None,
        **named: object,
    ) -> Any:  # noqa: ANN401  (JSON or a truth value, as the method gives it)
        """Call a method of the client; its faults become the tool's own, with the given code."""
        try:
            limit = timeout_s or self._timeout_s
            return method(*arguments, client_timeout=limit, headers=self._headers, **named)
        except self._refused as fault:
            raise self._translated(fault, code) from None

    def _translated(self, fault: Exception, code: str) -> EnvironmentProblem:
        status, message = (
            str(getattr(fault, name)() or "") if hasattr(fault, name) else str(fault)
            for name in ("status", "message")
        )
        text = " ".join(message.split())[:500]
        # Triton calls a restricted API unavailable, too.
        if status not in _UNREACHABLE or "is restricted" in text:
            return EnvironmentProblem(code, text, where=self.address)
        if self._listens():
            what = f"something listens there and does not speak gRPC: {text}"
            return EnvironmentProblem("TG902", what, where=self.address)
        return EnvironmentProblem("TG901", f"no answer: {text}", where=self.address)

    def _listens(self) -> bool:
        """Whether the port takes connections at all."""
        try:
            socket.create_connection(self._place, self._timeout_s).close()
        except OSError:
            return False
        return True
