"""The client over gRPC, which is tritonclient's.

tritonclient takes half a second to import: when used.
"""

import json
import os
import queue
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tritongen.errors import EnvironmentProblem
from tritongen.system.process_usage import resident_bytes
from tritongen.triton.client import ClientBase, IndexEntry, SequenceStep, ServerInfo
from tritongen.triton.grpc_channel import (
    Options,
    call_metadata,
    channel_credentials,
    handshake_fault,
)
from tritongen.triton.http_channel import MAX_BODY_BYTES
from tritongen.triton.messages import ModelMeta, model_meta
from tritongen.triton.refusals import refusal

# What Triton and gRPC can send at all.
MAX_MESSAGE_BYTES = 2**31 - 1

# What something that is no gRPC server answers, in the words of gRPC's library.
_BETWEEN = re.compile(r"http2 header with status: (\d{3})")
# Triton says UNAVAILABLE of a model too; gRPC's own words tell the two apart.
UNREACHABLE = ("failed to connect", "Connection", "Socket closed", "DNS resolution failed")
# Chosen: beside four copies of the largest answer, on the way from the socket to a message.
_FLOOD_BYTES = 32 << 20
_WATCH_S = 0.02


@dataclass(slots=True)
class GrpcClient(ClientBase):
    """See `ClientBase`; its methods are those of `HttpClient`, and `stream`.

    Attributes:
        most_bytes: of each answer.
    """

    most_bytes: int = MAX_BODY_BYTES
    _client: Any = None

    def close(self) -> None:
        """Closes the channel; the next request opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def connect(self) -> None:
        """Opens the channel; without verification it first asks for the server's certificate.

        Raises:
            EnvironmentProblem: TG006, tritonclient lacks its gRPC part; TG834, TG814, see
                `channel_credentials`.
        """
        if self._client is not None:
            return
        try:
            from tritonclient.grpc import InferenceServerClient
        except (ImportError, RuntimeError):  # tritonclient turns the one into the other
            raise EnvironmentProblem(
                "TG006", "tritonclient has no gRPC part", fix="pip install 'tritonclient[grpc]'"
            ) from None
        credentials = None
        options: Options = [
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_receive_message_length", self.most_bytes),
        ]
        if self.tls is not None:
            credentials, more = channel_credentials(self.address, self.tls, self.timeout)
            options += more
        self._client = InferenceServerClient(self.address, creds=credentials, channel_args=options)

    def says_live(self) -> bool:
        """Whether the server says that it is live."""
        return bool(self._call("is_server_live"))

    def metadata(self) -> ServerInfo:
        """Name, version and extensions of the server."""
        found = self._call("get_server_metadata")
        return ServerInfo(found.name, found.version, tuple(found.extensions))

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether this model answers requests."""
        return bool(self._call("is_model_ready", name, version))

    def model_metadata(self, name: str, version: str = "") -> ModelMeta:
        """Versions, inputs and outputs, the batch axis included in shapes."""
        found = self._call("get_model_metadata", name, version)
        try:
            return model_meta(_as_dict(found))
        except ValueError as problem:
            what = "its metadata of the model have an unknown form"
            raise EnvironmentProblem("TG839", what, where=self.address) from problem

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """The completed ModelConfig as the server holds it, in the terms of the HTTP API."""
        return _as_dict(self._call("get_model_config", name, version).config)

    def statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Counters and times of one model's versions, or of every model's."""
        found = self._call("get_inference_statistics", name, version)
        return [_as_dict(item) for item in found.model_stats]

    def index(self) -> tuple[IndexEntry, ...]:
        """Every model of the repository with its state."""
        models = self._call("get_model_repository_index").models
        return tuple(
            IndexEntry(item.name, item.version, item.state, item.reason) for item in models
        )

    def load(
        self, name: str, config: Mapping[str, Any] | None = None, seconds: float | None = None
    ) -> None:
        """Loads or reloads a model; see `HttpClient.load`."""
        text = None if config is None else json.dumps(config)
        self._call("load_model", name, seconds=seconds, config=text)

    def unload(self, name: str) -> None:
        """Starts to unload a model; `index` says when it is gone."""
        self._call("unload_model", name)

    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        """Lets the server use a system shared memory region of that many bytes."""
        self._call("register_system_shared_memory", name, key, size)

    def unregister_shared_memory(self, name: str) -> None:
        """Lets the server forget a region."""
        self._call("unregister_system_shared_memory", name)

    def infer(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Sequence[str] = (),
        version: str = "",
        sequence: SequenceStep | None = None,
        most_bytes: int = MAX_BODY_BYTES,  # noqa: ARG002  (HttpClient's; the channel has its own)
    ) -> dict[str, Any]:
        """Runs a model once; see `HttpClient.infer`."""
        from tritonclient.grpc import InferRequestedOutput

        tensors = _tensors(inputs)
        wanted = [InferRequestedOutput(output) for output in outputs] or None
        options: dict[str, Any] = {"model_version": version, "outputs": wanted}
        if sequence is not None:
            options |= sequence.parameters
        return _arrays(self._call("infer", name, tensors, **options))

    def stream(
        self, name: str, inputs: Mapping[str, Any], version: str = ""
    ) -> list[dict[str, Any]]:
        """Every response to one request, as a decoupled model gives them.

        Args:
            name: the model.
            inputs: name → array, the batch axis included when the model batches.
            version: of the model; the server's choice when empty.

        Returns:
            name → array of each response; the final one is left out where it holds nothing.

        Raises:
            EnvironmentProblem: TG814 the server cannot be reached or stops in the middle, TG815 it
                refuses.
        """
        answers: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        client = self._connected()
        responses: list[dict[str, Any]] = []
        with self._translated():
            client.start_stream(
                lambda result, error: answers.put((result, error)),
                headers=call_metadata(self.headers),
            )
            try:
                client.async_stream_infer(
                    name, _tensors(inputs), model_version=version, enable_empty_final_response=True
                )
                while True:
                    result, error = self._next(answers)
                    if error is not None:
                        raise error
                    response = result.get_response()
                    if response.outputs:
                        responses.append(_arrays(result))
                    if response.parameters["triton_final_response"].bool_param:
                        return responses
            finally:
                client.stop_stream(cancel_requests=True)

    def _next(self, answers: "queue.SimpleQueue[tuple[Any, Any]]") -> tuple[Any, Any]:
        try:
            return answers.get(timeout=self.timeout)
        except queue.Empty:
            message = f"no further response within {self.timeout:g} s"
            raise EnvironmentProblem("TG814", message, where=self.address) from None

    def _call(
        self, method: str, *arguments: object, seconds: float | None = None, **options: object
    ) -> Any:  # noqa: ANN401  (a message or bool)
        with self._translated():
            return getattr(self._connected(), method)(
                *arguments,
                headers=call_metadata(self.headers),
                client_timeout=self.timeout if seconds is None else seconds,
                **options,
            )

    def _connected(self) -> Any:  # noqa: ANN401  (tritonclient has no types)
        self.connect()
        return self._client

    def _watch(self, done: threading.Event, flood: threading.Event) -> None:
        """Close the channel where a call takes more memory than its answer can.

        gRPC's library bounds messages, and not what a flood of frames that are none takes.
        """
        pid = os.getpid()
        most = resident_bytes(pid) + _FLOOD_BYTES + 4 * self.most_bytes
        while not done.wait(_WATCH_S):
            if resident_bytes(pid) > most:
                flood.set()
                self.close()
                return

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from tritonclient.utils import InferenceServerException

        self.connect()  # what is loaded for it counts against no answer
        done, flood = threading.Event(), threading.Event()
        watch = threading.Thread(target=self._watch, args=(done, flood), daemon=True)
        watch.start()
        try:
            yield
        except InferenceServerException as error:
            if flood.is_set():
                what = "its answers take more memory than they may"
                raise EnvironmentProblem("TG839", what, where=self.address) from error
            raise self._problem(str(error.status() or ""), str(error.message())) from error
        finally:
            done.set()
            watch.join()

    def _problem(self, status: str, text: str) -> EnvironmentProblem:
        """The error of a call that failed with that status of gRPC."""
        if between := _BETWEEN.search(text):
            return refusal(int(between[1]), b"", {}, self.address)
        code = "TG815"
        unreachable = "UNAVAILABLE" in status and any(word in text for word in UNREACHABLE)
        if unreachable or "DEADLINE_EXCEEDED" in status:
            tls = self.tls if unreachable else None
            fault = handshake_fault(self.address, tls, self.timeout) if tls is not None else ""
            handshake = tls is not None and "handshake" in text.lower()
            code = "TG834" if fault or handshake else "TG814"
            text = f"server cannot be reached: {fault or text}"
        elif "RESOURCE_EXHAUSTED" in status and "larger than max" in text:
            code = "TG839"
        elif "UNAUTHENTICATED" in status:
            code = "TG861"
        return EnvironmentProblem(code, text, where=self.address)


def _tensors(inputs: Mapping[str, Any]) -> list[Any]:
    from tritonclient.grpc import InferInput

    from tritongen.triton.tensor_bytes import sent_type

    tensors = []
    for key, array in inputs.items():
        dtype = sent_type(key, array)
        tensor = InferInput(key, list(array.shape), dtype.value)
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def _arrays(result: Any) -> dict[str, Any]:  # noqa: ANN401  (tritonclient has no types)
    names = [output.name for output in result.get_response().outputs]
    return {output: result.as_numpy(output) for output in names}


def _as_dict(message: Any) -> dict[str, Any]:  # noqa: ANN401  (a protobuf message)
    """A message in the terms of Triton's JSON: all plain fields, 64-bit integers as numbers."""
    result: dict[str, Any] = {}
    for descriptor in message.DESCRIPTOR.fields:
        value = getattr(message, descriptor.name)
        if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
            kinds = descriptor.message_type.fields_by_name["value"]
            plain = kinds.message_type is None
            result[descriptor.name] = {
                key: item if plain else _as_dict(item) for key, item in value.items()
            }
        elif hasattr(value, "__len__") and not isinstance(value, str | bytes):  # repeated
            result[descriptor.name] = [_plain(descriptor, item) for item in value]
        elif not descriptor.has_presence or message.HasField(descriptor.name):
            result[descriptor.name] = _plain(descriptor, value)
    return result


def _plain(descriptor: Any, value: Any) -> Any:  # noqa: ANN401  (any field's value)
    if descriptor.message_type is not None:
        return _as_dict(value)
    if descriptor.enum_type is not None:
        return descriptor.enum_type.values_by_number[value].name
    return value
