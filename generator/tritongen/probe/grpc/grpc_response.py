"""Inference responses: what they say, and which bytes of them say it."""

from dataclasses import dataclass

from tritongen.probe.grpc.protobuf_fields import ProtobufError, fields, read_packed
from tritongen.triton.messages import TensorMeta

# Numbers of the fields in `ModelInferResponse` and its parts.
_MODEL, _ID, _PARAMETERS, _OUTPUTS, _RAW = 1, 3, 4, 5, 6
_NAME, _DATATYPE, _SHAPE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Decoded:
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


def decode_response(data: bytes) -> Decoded:
    """A `ModelInferResponse`, without its prefix.

    Raises:
        ProtobufError: it is not one.
    """
    model, outputs, raw = "", [], []
    head = len(data)
    for number, value, position in fields(data):
        if not isinstance(value, bytes):
            continue
        if number == _MODEL:
            model = _text(value)
        elif number == _OUTPUTS:
            outputs.append(_output(value))
        elif number == _RAW:
            head = min(head, position)
            raw.append(value)
    if raw and len(raw) != len(outputs):
        raise ProtobufError(f"{len(raw)} tensors for {len(outputs)} outputs")
    return Decoded(model, tuple(outputs), tuple(raw), head)


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """One message of a bidirectional stream.

    Attributes:
        key: the request's id.
        decoded: the response, None with an error.
        final: whether it is the last one for its request.
        error: the server's message, empty without an error.
    """

    key: bytes
    decoded: Decoded | None
    final: bool
    error: str = ""


def decode_streamed(data: bytes) -> StreamedResponse:
    """A `ModelStreamInferResponse`.

    Raises:
        ProtobufError: it is not one.
    """
    error, inner = "", b""
    for number, value, _ in fields(data):
        if number == 1 and isinstance(value, bytes):
            error = " ".join(value.decode("utf-8", "replace").split())[:300]
        elif number == 2 and isinstance(value, bytes):
            inner = value
    key, final = b"", False
    for number, value, _ in fields(inner):
        if number == _ID and isinstance(value, bytes):
            key = value
        elif number == _PARAMETERS and isinstance(value, bytes):
            final = final or _is_final(value)
    return StreamedResponse(key, None if error else decode_response(inner), final, error)


def _is_final(entry: bytes) -> bool:
    """Whether an entry of a response's parameters says that it is the last one."""
    name, truth = b"", False
    for number, value, _ in fields(entry):
        if number == 1 and isinstance(value, bytes):
            name = value
        elif number == 2 and isinstance(value, bytes):
            truth = any(key == 1 and bool(flag) for key, flag, _ in fields(value))
    return name == b"triton_final_response" and truth


def _output(data: bytes) -> TensorMeta:
    name = datatype = ""
    shape: tuple[int, ...] = ()
    for number, value, _ in fields(data):
        if number == _NAME and isinstance(value, bytes):
            name = _text(value)
        elif number == _DATATYPE and isinstance(value, bytes):
            datatype = _text(value)
        elif number == _SHAPE:
            shape += read_packed(value) if isinstance(value, bytes) else (value,)
    return TensorMeta(name, datatype, shape)


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ProtobufError("a name is not UTF-8") from None
