"""Inference responses over gRPC: what they say, and which bytes of them say it."""

from dataclasses import dataclass
from typing import Any

from tritongen.triton.messages import TensorMeta

_MAX_ERROR_CHARACTERS = 300


class MessageError(Exception):
    """The bytes are not an inference response."""


@dataclass(frozen=True, slots=True)
class InferResponse:
    """A response.

    Attributes:
        model: the name of the model.
        outputs: in order.
        raw: the bytes of each output's tensor, in order; empty where they are elsewhere.
        head: bytes of the message before the first tensor's.
    """

    model: str
    outputs: tuple[TensorMeta, ...]
    raw: tuple[bytes, ...]
    head: int


def decode_response(data: bytes) -> InferResponse:
    """A `ModelInferResponse`, without its prefix.

    Raises:
        MessageError: it is not one.
    """
    from tritonclient.grpc import service_pb2

    found = _parsed(service_pb2.ModelInferResponse, data)
    head = len(data)
    if found.raw_output_contents:
        # Whoever writes the fields in order puts the tensors last; else all bytes are the head.
        tensors = service_pb2.ModelInferResponse(raw_output_contents=found.raw_output_contents)
        first = found.raw_output_contents[0]
        alone = service_pb2.ModelInferResponse(raw_output_contents=[first])
        place = head - tensors.ByteSize() + alone.ByteSize() - len(first)
        if data.startswith(first, place):
            head = place
    return _response(found, head)


def _response(found: Any, head: int = 0) -> InferResponse:  # noqa: ANN401  (a message)
    outputs = tuple(
        TensorMeta(output.name, output.datatype, tuple(output.shape)) for output in found.outputs
    )
    raw = tuple(found.raw_output_contents)
    if raw and len(raw) != len(outputs):
        raise MessageError(f"{len(raw)} tensors for {len(outputs)} outputs")
    return InferResponse(found.model_name, outputs, raw, head)


def _parsed(kind: Any, data: bytes) -> Any:  # noqa: ANN401  (a class of messages, and one of them)
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(data)
    except DecodeError as fault:
        raise MessageError(str(fault)) from None


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """One message of a bidirectional stream.

    Attributes:
        key: the request's id.
        response: what it says, None with an error.
        final: whether it is the last one for its request.
        error: the server's message, empty without an error.
    """

    key: bytes
    response: InferResponse | None
    final: bool
    error: str = ""


def decode_streamed(data: bytes) -> StreamedResponse:
    """A `ModelStreamInferResponse`.

    Raises:
        MessageError: it is not one.
    """
    from tritonclient.grpc import service_pb2

    found = _parsed(service_pb2.ModelStreamInferResponse, data)
    inner = found.infer_response
    key = inner.id.encode()
    final = "triton_final_response" in inner.parameters and (
        inner.parameters["triton_final_response"].bool_param
    )
    error = " ".join(found.error_message.split())[:_MAX_ERROR_CHARACTERS]
    return StreamedResponse(key, None if error else _response(inner), final, error)
