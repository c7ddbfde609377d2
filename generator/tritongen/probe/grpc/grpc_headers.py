"""Header blocks of gRPC over HTTP/2: those of requests, and what a peer's say."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

from tritongen.probe.grpc.frames import FrameError

_STATUS_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
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
            return f"HTTP {self.http_status}", self.message or "the server is not gRPC"
        if self.grpc_status == 0:
            return None
        if 0 < self.grpc_status < len(_STATUS_NAMES):
            return f"GRPC {_STATUS_NAMES[self.grpc_status]}", self.message
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


def _number(value: bytes) -> int:
    if not 1 <= len(value) <= 6 or not value.isdigit():
        raise FrameError("a status is not a number")
    return int(value)


def request_block(authority: str, *, secure: bool) -> bytes:
    """The headers of every request; constant, as nothing of them is for the peer's table."""
    headers = {
        ":method": "POST",
        ":scheme": "https" if secure else "http",
        ":path": _PATH,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity",
        "user-agent": "tritongen",
    }
    block: bytes = Encoder().encode(
        [(name, value, True) for name, value in headers.items()], huffman=False
    )
    return block
