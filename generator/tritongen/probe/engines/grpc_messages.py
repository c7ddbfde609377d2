"""What gRPC carries over HTTP/2: header blocks, inference requests, inference responses.

A request is tritonclient's `ModelInferRequest` behind a 5-byte prefix. tritonclient imports grpcio,
which takes half a second: it is imported by whoever makes a request or reads a response.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

from tritongen.probe.engines.frames import FrameError
from tritongen.triton.messages import FIRST_SEQUENCE_ID, Message, SharedRegion, Template, TensorMeta

# Headers of most servers.
_NONE: Mapping[str, str] = MappingProxyType({})
_PATH = "/inference.GRPCInferenceService/ModelInfer"
# Chosen: a server has a handful of different blocks, and each takes some 100 bytes.
_MAX_BLOCKS = 256
_MAX_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What matters of a block.

    Attributes:
        http_status: of the first block, 0 where it is absent.
        grpc_status: of the trailers, -1 where it is absent.
        message: of the trailers.
    """

    http_status: int = 0
    grpc_status: int = -1
    message: str = ""

    @property
    def failure(self) -> tuple[str, str] | None:
        """The code and message of a failed request, None for success."""
        if self.http_status not in {0, 200}:
            return f"HTTP {self.http_status}", self.message or "the answer is not gRPC's"
        if self.grpc_status == 0:
            return None
        name = _status_names().get(self.grpc_status)
        if name is not None:
            return f"GRPC {name}", self.message
        return "MALFORMED", "the response has no grpc-status"


class HeaderReader:
    """Decodes the blocks of one connection; equal blocks are decoded once where that is sound.

    It is sound once the peer has put the table size in force that we ask for, which is 0: no block
    then says or changes what another one means.
    """

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._known: dict[bytes, HeaderFacts] = {}

    def read(self, block: bytes) -> HeaderFacts:
        """What a block says.

        Raises:
            FrameError: it cannot be decoded.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        stateless = self._decoder.header_table_size == 0
        try:
            facts = _facts(self._decoder.decode(block, raw=True))
        except HPACKError as fault:
            raise FrameError(f"headers that cannot be read: {fault}") from None
        stateless = stateless and self._decoder.header_table_size == 0
        if stateless and len(self._known) < _MAX_BLOCKS:
            self._known[block] = facts
        return facts

    def is_known(self, block: bytes) -> bool:
        """Whether the block always means the same."""
        return block in self._known


def _facts(headers: Iterable[tuple[bytes, bytes]]) -> HeaderFacts:
    http_status, grpc_status, message = 0, -1, ""
    for name, value in headers:
        if name == b":status":
            http_status = _number(value)
        elif name == b"grpc-status":
            grpc_status = _number(value)
        elif name == b"grpc-message":
            text = unquote(value.decode("latin-1"), errors="replace")
            message = " ".join(text.split())[:_MAX_MESSAGE_CHARACTERS]
    return HeaderFacts(http_status, grpc_status, message)


@cache
def _status_names() -> dict[int, str]:
    import grpc

    return {code.value[0]: code.name for code in grpc.StatusCode}


def _number(value: bytes) -> int:
    if not 1 <= len(value) <= 6 or not value.isdigit():
        raise FrameError("a status is not a number")
    return int(value)


def request_block(authority: str, *, secure: bool, headers: Mapping[str, str] = _NONE) -> bytes:
    """The headers of every request; constant, as nothing of them is for the peer's table.

    Args:
        authority: of the server.
        secure: whether TLS is spoken.
        headers: sent besides, names in lower case.
    """
    fields = {
        ":method": "POST",
        ":scheme": "https" if secure else "http",
        ":path": _PATH,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity",
        "user-agent": "tritongen",
        **headers,
    }
    block: bytes = Encoder().encode(
        [(name, value, True) for name, value in fields.items()], huffman=False
    )
    return block


# Digits of the id at the end of a streamed request.
ID_DIGITS = 10
# Bytes before a message, and of the two kinds of values of a sequence: a varint, and a bool.
_PREFIX_BYTES, _ID_BYTES, _FLAG_BYTES = 5, 5, 1


def request_bytes(message: Message, *, streamed: bool = False) -> bytes:
    """The message behind its prefix: not compressed, four bytes of length.

    Args:
        message: what to ask.
        streamed: for a bidirectional stream: it ends in an id of ten digits, and asks for a final
            response even where there is nothing to say.
    """
    return _prefixed(b"", _request(message, streamed=streamed))


def request_template(message: Message, *, streamed: bool = False) -> Template:
    """The same with gaps for a sequence's correlation id, start and end.

    One message after the other is, on the wire, one message with the fields of both. The value of
    a parameter stands at the end of its own.
    """
    number = _parameter("sequence_id", int64_param=FIRST_SEQUENCE_ID)
    start = _parameter("sequence_start", bool_param=False)
    end = _parameter("sequence_end", bool_param=False)
    tail = _request(message, streamed=streamed)
    prefix = _prefixed(number + start + end, tail)[:_PREFIX_BYTES]
    parts = (prefix + number[:-_ID_BYTES], start[:-_FLAG_BYTES], end[:-_FLAG_BYTES], tail)
    return Template(parts, grpc=True)


def _prefixed(parameters: bytes, request: bytes) -> bytes:
    size = len(parameters) + len(request)
    return b"".join((b"\x00", size.to_bytes(4, "big"), parameters, request))


def _request(message: Message, *, streamed: bool) -> bytes:
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest(model_name=message.model, model_version=message.version)
    for tensor in message.inputs:
        added = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if isinstance(tensor.data, bytes):
            request.raw_input_contents.append(tensor.data)
        else:
            _place(added, tensor.data)
    for name, region in message.outputs:
        output = request.outputs.add(name=name)
        if region is not None:
            _place(output, region)
    if streamed:
        request.parameters["triton_enable_empty_final_response"].bool_param = True
    content: bytes = request.SerializeToString()
    if streamed:
        # Alone, so that it stands at the end.
        content += service_pb2.ModelInferRequest(id="0" * ID_DIGITS).SerializeToString()
    return content


def _parameter(name: str, **value: int | bool) -> bytes:
    """A request of one parameter, whose value stands at its end."""
    from tritonclient.grpc import service_pb2

    request = service_pb2.ModelInferRequest()
    request.parameters[name].CopyFrom(service_pb2.InferParameter(**value))
    content: bytes = request.SerializeToString()
    return content


def _place(tensor: Any, region: SharedRegion) -> None:  # noqa: ANN401  (a message of an input or output)
    tensor.parameters["shared_memory_region"].string_param = region.name
    tensor.parameters["shared_memory_offset"].int64_param = region.offset
    tensor.parameters["shared_memory_byte_size"].int64_param = region.size


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
