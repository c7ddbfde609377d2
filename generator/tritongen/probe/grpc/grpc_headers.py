"""What a gRPC peer's header blocks say."""

from dataclasses import dataclass
from urllib.parse import unquote

from tritongen.probe.grpc.hpack import Decoder, HpackError, literal

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
_PATH = b"/inference.GRPCInferenceService/ModelInfer"
_MOST_BLOCKS = 256


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
    """Decodes the blocks of one connection; equal blocks are decoded once where that is sound."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._known: dict[bytes, HeaderFacts] = {}

    def read(self, block: bytes) -> HeaderFacts:
        """What a block says.

        Raises:
            HpackError: it cannot be decoded.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        facts = _facts(self._decoder.decode(block))
        if self._decoder.stateless and len(self._known) < _MOST_BLOCKS:
            self._known[block] = facts
        return facts

    def is_known(self, block: bytes) -> bool:
        """Whether the block always means the same."""
        return block in self._known


def _facts(headers: list[tuple[bytes, bytes]]) -> HeaderFacts:
    http_status, grpc_status, message = 0, -1, ""
    for name, value in headers:
        if name == b":status":
            http_status = _number(value)
        elif name == b"grpc-status":
            grpc_status = _number(value)
        elif name == b"grpc-message":
            text = unquote(value.decode("latin-1"), errors="replace")
            message = " ".join(text.split())[:300]
    return HeaderFacts(http_status, grpc_status, message)


def _number(value: bytes) -> int:
    if not 1 <= len(value) <= 6 or not value.isdigit():
        raise HpackError("a status is not a number")
    return int(value)


def request_block(authority: str, *, secure: bool) -> bytes:
    """The headers of every request; constant, and without any table."""
    scheme = b"\x87" if secure else b"\x86"
    path = b"\x04" + bytes([len(_PATH)]) + _PATH
    return (
        b"\x83"
        + scheme
        + path
        + literal(b":authority", authority.encode("ascii", "replace"))
        + literal(b"te", b"trailers")
        + literal(b"content-type", b"application/grpc")
        + literal(b"grpc-accept-encoding", b"identity")
        + literal(b"user-agent", b"tritongen")
    )
