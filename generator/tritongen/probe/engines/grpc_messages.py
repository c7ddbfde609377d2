"""What gRPC carries over HTTP/2: header blocks, inference requests, inference responses.

Messages are made and read by tritonclient, and travel behind a 5-byte prefix. tritonclient imports
grpcio, which takes half a second: when a request is made.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from urllib.parse import unquote

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.engines.frames import FrameError
from tritongen.probe.engines.infer_calls import client_module, infer_call
from tritongen.probe.engines.infer_results import InferResponse, read_response
from tritongen.triton.messages import FIRST_SEQUENCE_ID, Message

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


def request_bytes(message: Message) -> bytes:
    """The message behind its prefix: not compressed, four bytes of length."""
    content = _request(message)
    return b"\x00" + len(content).to_bytes(4, "big") + content


@dataclass(frozen=True, slots=True)
class GrpcTemplate:
    """A request with gaps for the correlation id and the two flags of a sequence.

    Attributes:
        parts: what stands before each gap, and the rest.
        gaps: which they are, in their order.
    """

    parts: tuple[bytes, ...]
    gaps: tuple[str, ...]

    def fill(self, sequence: int, *, start: bool, end: bool) -> bytes:
        """The request for one step of a sequence; ids are varints of five bytes."""
        number = bytes(((sequence >> shift) & 0x7F) | 0x80 for shift in (0, 7, 14, 21))
        values = {
            "sequence_id": number + bytes([(sequence >> 28) & 0x7F]),
            "sequence_start": bytes([start]),
            "sequence_end": bytes([end]),
        }
        filled = [
            piece
            for part, gap in zip(self.parts, self.gaps, strict=False)
            for piece in (part, values[gap])
        ]
        return b"".join((*filled, self.parts[-1]))


# How a parameter stands in a message: its name, the kind of its value, and bytes of that.
_GAPS = {
    "sequence_id": (b"\x12\x06\x10", 5),
    "sequence_start": (b"\x12\x02\x08", 1),
    "sequence_end": (b"\x12\x02\x08", 1),
}


def request_template(message: Message) -> GrpcTemplate:
    """The same for sequences. Their parameters come in any order, and before the tensors."""
    content = _request(message, sequence_id=FIRST_SEQUENCE_ID)
    rest = b"\x00" + len(content).to_bytes(4, "big") + content
    marks = {name: name.encode() + kind for name, (kind, _) in _GAPS.items()}
    gaps = sorted(_GAPS, key=lambda name: rest.index(marks[name]))
    parts = []
    for gap in gaps:
        before, mark, rest = rest.partition(marks[gap])
        parts.append(before + mark)
        rest = rest[_GAPS[gap][1] :]
    return GrpcTemplate((*parts, rest), tuple(gaps))


def _request(message: Message, sequence_id: int = 0) -> bytes:
    # What `infer` sends: tritonclient has no public name for it, as it has over HTTP. It takes the
    # same arguments from 2.60 to 2.73, and a test compares it with what `infer` puts on the wire.
    from tritonclient.grpc._utils import _get_inference_request

    request = _get_inference_request(
        **infer_call(message, ClientProtocol.GRPC),
        request_id="",
        sequence_id=sequence_id,
        sequence_start=False,
        sequence_end=False,
        priority=0,
        timeout=None,
    )
    content: bytes = request.SerializeToString()
    return content


class MessageError(Exception):
    """The bytes are not an inference response."""


def decode_response(data: bytes) -> tuple[InferResponse, int]:
    """A `ModelInferResponse`, without its prefix.

    Returns:
        What it says, and the bytes of the message before the first tensor's.

    Raises:
        MessageError: it is not one.
    """
    client = client_module(ClientProtocol.GRPC)
    kind = client.service_pb2.ModelInferResponse
    try:
        found = kind.FromString(data)
        answer = read_response(client.InferResult(found))
    except Exception as fault:  # noqa: BLE001  (tritonclient fails in any way on what it cannot read)
        raise MessageError(str(fault)) from None
    head = len(data)
    if found.raw_output_contents:
        # Whoever writes the fields in order puts the tensors last; else all bytes are the head.
        tensors = kind(raw_output_contents=found.raw_output_contents)
        first = found.raw_output_contents[0]
        place = (
            head - tensors.ByteSize() + kind(raw_output_contents=[first]).ByteSize() - len(first)
        )
        if data.startswith(first, place):
            head = place
    return answer, head
